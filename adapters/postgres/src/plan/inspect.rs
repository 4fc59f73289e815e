//! Inspects the table and its dependents, before any row is read.

use crate::change::Change;
use crate::cutover::blockers;
use crate::cutover::dependents;
use crate::cutover::locked_relations;
use crate::cutover::materialized_views;
use crate::journal::{self, Entry};
use crate::key::missing_key;
use crate::log::identity;
use crate::log::source::{self, LogSource};
use crate::plan::cascade::{self, Cascade};
use crate::plan::held;
use crate::plan::oids;
use crate::plan::online_steps;
use crate::plan::others_flags::refuse_others_flags;
use crate::plan::refusals;
use crate::plan::surroundings;
use crate::plan::survey::Survey;
use crate::plan::trial;
use crate::schema::catalogue::{self, SchemaState};
use crate::schema::clauses::Clauses;
use crate::schema::key_clauses::{KeyAction, KeyClause};
use crate::schema::requested;
use crate::server::doing::Doing;
use crate::server::names::{self, Names};
use crate::server::own_objects;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, ForeignKeys, Result};

pub(crate) async fn inspect(session: &Session, change: &Change, log: &LogSource) -> Result<Survey> {
    let source = catalogue::source(session, &change.names).await?;
    let clauses = requested::clauses(session, change, source).await?;
    let cascade = match &clauses {
        Ok(clauses) => cascade::find(session, source, &clauses.cascades).await?,
        Err(_) => Cascade::default(),
    };
    let mut survey = survey(session, change, source, cascade).await?;
    add_key(session, change, source, &mut survey).await?;
    add_oids_and_temporary_objects(session, source, &mut survey).await?;
    let clauses = match clauses {
        Ok(clauses) => clauses,
        Err(refusal) => {
            survey.refusals.push(refusal);
            return Ok(survey);
        }
    };
    refuse_clauses(change, &clauses, &mut survey);
    if let Some(online_steps) = online_steps::unfinished(session, &change.names).await? {
        if online_steps.alter != change.alter.given {
            survey.refusals.push(Finding::error(
                Code::Left,
                format!("table {}", change.names.display),
                format!("another change of it has begun in steps: {}", online_steps.alter),
                "run that command again to finish it, or undo it with `altergeist cleanup`",
            ));
        }
        survey.online_steps = Some(online_steps);
        return Ok(survey);
    }
    survey.refusals.extend(refusals::of_role(session, &change.names, source).await?);
    if survey.refusals.is_empty() && !refusals::prevents_clone(&survey.obstacles) {
        trial::try_clauses(session, change, source, &clauses, &mut survey).await?;
    }
    if !survey.is_native && survey.online_steps.is_none() {
        survey.obstacles.extend(source::refusals(session, log).await?);
        survey.obstacles.extend(refusals::of_server(session, &change.names, log, source).await?);
        survey.notes_on_copy.extend(source::notes(session, log, change.target.poll_log).await?);
        survey.notes_on_copy.extend(surroundings::costs(session, change, survey.bytes).await?);
        survey.obstacles.extend(taken_names(session, &change.names).await?);
    }
    Ok(survey)
}

/// Reads the table's size and what is connected with it.
async fn survey(
    session: &Session,
    change: &Change,
    source: u32,
    cascade: Cascade,
) -> Result<Survey> {
    let names = &change.names;
    let size = session.one(sql::SIZE, &[&source]).await;
    let size = size.doing(format!("look at {}", names.display))?;
    let views = cascade.without(materialized_views::list(session, source).await?);
    let obstacles =
        refusals::find(session, names, source, &views, change.target.foreign_keys).await?;
    let dependents = dependents::read(session, names, source, &views).await?;
    let dependents = dependents.into_iter().map(|dependent| dependent.object);
    let materialized = views.iter().map(|view| format!("materialized view {}", view.display()));
    let locked =
        locked_relations::list(session, &names.display, source, &views, &cascade.relations())
            .await?;
    let oids: Vec<u32> = locked.iter().map(|relation| relation.oid).chain([source]).collect();
    let open = surroundings::find(session, change, &oids).await?;
    let mut survey = Survey {
        altered: None,
        key: None,
        obstacles,
        refusals: own_objects::refusals(session).await?,
        is_native: false,
        online_steps: None,
        native_only: cascade.refusals(),
        bound: Vec::new(),
        duplicates: Vec::new(),
        questions: Vec::new(),
        rows: size.get(0),
        bytes: size.get(1),
        notes: notes(session, source).await?.into_iter().chain(open.in_the_way).collect(),
        notes_on_copy: open.others,
        dependents: dependents.chain(materialized).collect(),
        locked_relations: locked.into_iter().map(|relation| relation.name).collect(),
        materialized: views,
        set_reads: Vec::new(),
        cascade,
    };
    survey.notes.extend(survey.cascade.note());
    survey.refusals.extend(refuse_others_flags(&change.target));
    survey.refusals.extend(change.sets.as_ref().err().cloned());
    survey.notes.extend(held::find(session, change, source).await?);
    Ok(survey)
}

/// Finds the key that identifies rows. The run may have to set a replica identity for it.
async fn add_key(
    session: &Session,
    change: &Change,
    source: u32,
    survey: &mut Survey,
) -> Result<()> {
    let why = match catalogue::key(session, source).await?.0 {
        Ok(key) => {
            survey.key = Some(key);
            return Ok(());
        }
        Err(why) => why,
    };
    let Some(temporary) = identity::temporary_identity(session, change, source).await? else {
        let refusal = missing_key::refusal(session, &change.names, source, &why).await?;
        survey.obstacles.push(refusal);
        return Ok(());
    };
    let message = format!(
        "its replica identity does not tell which rows change. The run sets another one, which \
         locks the table for an instant (ACCESS EXCLUSIVE): {}. The swap, or cleanup, restores \
         its own",
        temporary.statement
    );
    let note = Finding::note(Code::KeyChoice, message);
    survey.notes_on_copy.push(note.about(format!("table {}", change.names.display)));
    survey.key = Some(temporary.key);
    Ok(())
}

/// Finds temporary objects of other sessions, and OIDs of the table that data keeps.
async fn add_oids_and_temporary_objects(
    session: &Session,
    source: u32,
    survey: &mut Survey,
) -> Result<()> {
    let temporary = blockers::temporary(session, source).await?;
    survey.notes_on_copy.extend(temporary.into_iter().map(|blocker| {
        Finding::warning(
            Code::Blockers,
            blocker.who,
            "it is in the way of the swap, and only its session can drop it",
            "drop it in that session, or end the session (--kill-blockers)",
        )
    }));
    let replaced: Vec<u32> =
        survey.materialized.iter().map(|view| view.oid).chain([source]).collect();
    let kept = oids::find(session, &replaced, &replaced).await?;
    survey.obstacles.extend(kept.refusals());
    survey.notes_on_copy.extend(kept.notes());
    Ok(())
}

/// Refuses clauses that this tool does not do, or does not do by a copy.
fn refuse_clauses(change: &Change, clauses: &Clauses, survey: &mut Survey) {
    let alone = |(clause, why): &(String, &'static str)| {
        Finding::error(
            Code::ClauseNotCarried,
            format!("clause {clause}"),
            *why,
            format!(
                "leave it out of this change, and run ALTER TABLE {} {clause} yourself",
                change.names.source()
            ),
        )
    };
    survey.refusals.extend(clauses.refused.iter().map(alone));
    survey.native_only.extend(clauses.native_only.iter().map(alone));
    let changes_key =
        |key: &&KeyClause| matches!(key.action, KeyAction::Rename(_) | KeyAction::Alter { .. });
    if change.target.foreign_keys == ForeignKeys::Discard {
        let left_out = "--foreign-keys discard leaves the foreign key out";
        let changed = clauses.keys.iter().filter(changes_key);
        let changed = changed.map(|key| alone(&(key.clause.clone(), left_out)));
        survey.native_only.extend(changed);
    }
}

async fn notes(session: &Session, source: u32) -> Result<Vec<Finding>> {
    let attempted = "look around on the server";
    let mut notes = Vec::new();
    for row in session.query(sql::EVENT_TRIGGERS, &[]).await.doing(attempted)? {
        let object = format!("event trigger {}", row.get::<_, &str>(0));
        notes.push(
            Finding::note(Code::Trigger, "it sees every statement of this change").about(object),
        );
    }
    for row in session.query(sql::INVALID_INDEXES, &[&source]).await.doing(attempted)? {
        let index: &str = row.get(0);
        notes.push(Finding::warning(
            Code::Dependent,
            format!("index {index}"),
            "it is not valid, and the new table will not have it",
            format!("{}, or drop it", sql::reindex(index)),
        ));
    }
    for row in session.query(sql::OTHERS_FUNCTIONS, &[&source]).await.doing(attempted)? {
        let (caller, function): (String, String) = (row.get(0), row.get(1));
        let (owner, us): (String, String) = (row.get(2), row.get(3));
        notes.push(Finding::warning(
            Code::Privilege,
            caller,
            format!(
                "it calls {function} of {owner}, and writing rows runs it with the rights of {us}"
            ),
            format!("run the change as {owner}, unless you trust it"),
        ));
    }
    Ok(notes)
}

/// Refuses names we need that another user has, or an earlier change still has.
async fn taken_names(session: &Session, names: &Names) -> Result<Vec<Finding>> {
    let mut refusals = Vec::new();
    for schema in [&names.shadow_schema, &names.old_schema] {
        refusals.extend(own_objects::stranger_schema(session, schema).await?);
    }
    for schema in [&names.shadow_schema, &names.old_schema, &names::JOURNAL_SCHEMA.to_owned()] {
        if matches!(catalogue::schema_state(session, schema).await?, SchemaState::Foreign) {
            refusals.push(Finding::error(
                Code::NameTaken,
                format!("schema {schema}"),
                "this tool needs the name, and another user created the schema",
                "rename it",
            ));
        }
    }
    let Entry { facts, .. } = journal::entry(session, names).await?;
    let shadow = facts.as_ref().and_then(|facts| facts.shadow.as_ref()).map(|shadow| shadow.oid);
    let found = catalogue::table_id(session, &names.shadow_schema, &names.table).await?;
    if found.is_some() && found != shadow {
        refusals.push(Finding::error(
            Code::NameTaken,
            format!("table {}", names.shadow()),
            "it has the shadow's name, and the journal does not know it",
            "`altergeist cleanup` drops it if it was left by a change of this tool; else drop it \
             if nobody needs it",
        ));
    }
    if catalogue::table_id(session, &names.old_schema, &names.table).await?.is_some() {
        refusals.push(Finding::error(
            Code::Left,
            format!("table {}", names.old()),
            "the old table of an earlier change is still there",
            "if you no longer need the way back, drop it with `altergeist cleanup --drop-old`",
        ));
    }
    Ok(refusals)
}
