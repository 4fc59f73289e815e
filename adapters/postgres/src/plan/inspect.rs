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
use crate::plan::oids;
use crate::plan::online_steps;
use crate::plan::others_flags::refuse_others_flags;
use crate::plan::refusals;
use crate::plan::survey::Survey;
use crate::plan::trial;
use crate::schema::catalogue::{self, SchemaState};
use crate::schema::clauses::{KeyAction, KeyClause};
use crate::schema::requested;
use crate::server::doing::Doing;
use crate::server::names::{self, Names};
use crate::server::own_objects;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{ForeignKeys, Refusal, Result};

pub(crate) async fn inspect(session: &Session, change: &Change, log: &LogSource) -> Result<Survey> {
    let source = catalogue::source(session, &change.names).await?;
    let size = session
        .one(sql::SIZE, &[&source])
        .await
        .doing(format!("look at {}", change.names.display))?;
    let clauses = requested::clauses(session, change, source).await?;
    let cascade = match &clauses {
        Ok(clauses) => cascade::find(session, source, &clauses.cascades).await?,
        Err(_) => Cascade::default(),
    };
    let views = cascade.without(materialized_views::list(session, source).await?);
    let mut survey = Survey {
        altered: None,
        key: None,
        obstacles: refusals::find(
            session,
            &change.names,
            source,
            &views,
            change.target.foreign_keys,
        )
        .await?,
        refusals: Vec::new(),
        is_native: false,
        online_steps: None,
        native_only: Vec::new(),
        bound: Vec::new(),
        duplicates: Vec::new(),
        questions: Vec::new(),
        rows: size.get(0),
        bytes: size.get(1),
        notes: notes(session, source).await?,
        notes_on_copy: Vec::new(),
        dependents: dependents::read(session, &change.names, source, &views)
            .await?
            .into_iter()
            .map(|dependent| dependent.object)
            .chain(views.iter().map(|view| format!("materialized view {}", view.display())))
            .collect(),
        locked_relations: locked_relations::list(
            session,
            &change.names.display,
            source,
            &views,
            &cascade.relations(),
        )
        .await?
        .into_iter()
        .map(|relation| relation.name)
        .collect(),
        materialized: views,
        cascade,
    };
    survey.native_only.extend(survey.cascade.refusals());
    survey.notes.extend(survey.cascade.note());
    survey.refusals.extend(own_objects::refusals(session).await?);
    survey.refusals.extend(refuse_others_flags(&change.target));
    match catalogue::key(session, source).await?.0 {
        Ok(key) => survey.key = Some(key),
        Err(why) => match identity::temporary_identity(session, change, source).await? {
            Some(temporary) => {
                survey.notes_on_copy.push(format!(
                    "its replica identity does not tell which rows change; for the time of the \
                     run it gets another one, which locks it for an instant (ACCESS EXCLUSIVE): \
                     {}; the swap, or cleanup, gives back its own",
                    temporary.statement
                ));
                survey.key = Some(temporary.key);
            }
            None => survey
                .obstacles
                .push(missing_key::refusal(session, &change.names, source, &why).await?),
        },
    }
    survey
        .notes_on_copy
        .extend(blockers::temporary(session, source).await?.iter().map(|blocker| {
        format!(
            "in the way of the swap: {}; only that session can drop it. Have it do that, or end \
             it (--kill-blockers)",
            blocker.who
        )
    }));
    let replaced: Vec<u32> =
        survey.materialized.iter().map(|view| view.oid).chain([source]).collect();
    let kept = oids::find(session, &replaced, &replaced).await?;
    survey.obstacles.extend(kept.refusals());
    survey.notes_on_copy.extend(kept.notes());
    let clauses = match clauses {
        Ok(clauses) => clauses,
        Err(refusal) => {
            survey.refusals.push(refusal);
            return Ok(survey);
        }
    };
    let alone = |(clause, why): &(String, &'static str)| Refusal {
        object: format!("clause {clause}"),
        reason: (*why).to_owned(),
        remedy: format!(
            "leave it out of this change, and give ALTER TABLE {} {clause} yourself",
            change.names.source()
        ),
    };
    survey.refusals.extend(clauses.refused.iter().map(alone));
    survey.native_only.extend(clauses.native_only.iter().map(alone));
    let changes_key =
        |key: &&KeyClause| matches!(key.action, KeyAction::Rename(_) | KeyAction::Alter { .. });
    if change.target.foreign_keys == ForeignKeys::Discard {
        let left_out = "the foreign key is to be left out (--foreign-keys discard)";
        let changed: Vec<_> = clauses
            .keys
            .iter()
            .filter(changes_key)
            .map(|key| (key.clause.clone(), left_out))
            .collect();
        survey.native_only.extend(changed.iter().map(alone));
    }
    if let Some(online_steps) = online_steps::unfinished(session, &change.names).await? {
        if online_steps.alter != change.alter.given {
            survey.refusals.push(Refusal::new(
                format!("table {}", change.names.display),
                format!("another change of it is under way in steps: {}", online_steps.alter),
                "finish it by giving that command again, or take it back with `altergeist cleanup`",
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
        survey.obstacles.extend(taken_names(session, &change.names).await?);
    }
    Ok(survey)
}

async fn notes(session: &Session, source: u32) -> Result<Vec<String>> {
    let attempted = "look around on the server";
    let mut notes = Vec::new();
    for row in session.query(sql::EVENT_TRIGGERS, &[]).await.doing(attempted)? {
        notes.push(format!(
            "event trigger {} sees every statement of this change",
            row.get::<_, &str>(0)
        ));
    }
    for row in session.query(sql::INVALID_INDEXES, &[&source]).await.doing(attempted)? {
        notes.push(format!("index {} is not valid and will not be carried", row.get::<_, &str>(0)));
    }
    for row in session.query(sql::OTHERS_FUNCTIONS, &[&source]).await.doing(attempted)? {
        let (caller, function): (String, String) = (row.get(0), row.get(1));
        let (owner, us): (String, String) = (row.get(2), row.get(3));
        notes.push(format!(
            "{caller} calls {function} of {owner}, and writing rows runs it with the rights of \
             {us}; run the change as {owner} unless you trust it"
        ));
    }
    Ok(notes)
}

/// Refuses names we need that another user has, or an earlier change still has.
async fn taken_names(session: &Session, names: &Names) -> Result<Vec<Refusal>> {
    let mut refusals = Vec::new();
    for schema in [&names.shadow_schema, &names.old_schema] {
        refusals.extend(own_objects::stranger_schema(session, schema).await?);
    }
    for schema in [&names.shadow_schema, &names.old_schema, &names::JOURNAL_SCHEMA.to_owned()] {
        if matches!(catalogue::schema_state(session, schema).await?, SchemaState::Foreign) {
            refusals.push(Refusal::new(
                format!("schema {schema}"),
                "this tool needs its name, and another user created it",
                "rename it",
            ));
        }
    }
    let Entry { facts, .. } = journal::entry(session, names).await?;
    let shadow = facts.as_ref().and_then(|facts| facts.shadow.as_ref()).map(|shadow| shadow.oid);
    let found = catalogue::table_id(session, &names.shadow_schema, &names.table).await?;
    if found.is_some() && found != shadow {
        refusals.push(Refusal::new(
            format!("table {}", names.shadow()),
            "it has the shadow's name, and the journal does not know it",
            "`altergeist cleanup` drops it if it was left by a change of this tool; else drop it \
             if nobody needs it",
        ));
    }
    if catalogue::table_id(session, &names.old_schema, &names.table).await?.is_some() {
        refusals.push(Refusal::new(
            format!("table {}", names.old()),
            "the old table of an earlier change is still there",
            "drop it by cleaning up, if the way back is not needed any more",
        ));
    }
    Ok(refusals)
}
