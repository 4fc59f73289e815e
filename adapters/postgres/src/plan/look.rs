//! Looks at the table and what hangs on it, before any row is read.

use crate::cutover::blockers;
use crate::cutover::dependents;
use crate::cutover::locked_relations;
use crate::cutover::materialized_views;
use crate::journal::{self, Entry};
use crate::key::missing_key;
use crate::log::identity;
use crate::log::source;
use crate::plan::cascade::{self, Cascade};
use crate::plan::oids;
use crate::plan::online_steps;
use crate::plan::others_flags::refuse_others_flags;
use crate::plan::refusals;
use crate::plan::trial;
use crate::plan::view::View;
use crate::schema::catalogue::{self, SchemaState};
use crate::schema::clauses::{KeyClause, KeyDeed};
use crate::schema::requested;
use crate::server::error::{self, refuse};
use crate::server::names;
use crate::server::own_objects;
use crate::server::session::Session;
use crate::sql;
use crate::state::Postgres;
use altergeist_contract::{ForeignKeys, Refusal, Result};

pub(crate) async fn look(session: &Session, engine: &Postgres) -> Result<View> {
    let source = catalogue::source(session, &engine.names).await?;
    let failed = |error: tokio_postgres::Error| {
        error::of(format!("look at {}", engine.names.display), &error)
    };
    let size = session.one(sql::SIZE, &[&source]).await.map_err(failed)?;
    let clauses = requested::clauses(session, engine, source).await?;
    let cascade = match &clauses {
        Ok(clauses) => cascade::find(session, source, &clauses.cascades).await?,
        Err(_) => Cascade::default(),
    };
    let views = cascade.without(materialized_views::list(session, source).await?);
    let mut view = View {
        altered: None,
        key: None,
        obstacles: refusals::find(
            session,
            &engine.names,
            source,
            &views,
            engine.target.foreign_keys,
        )
        .await?,
        refusals: Vec::new(),
        is_native: false,
        recipe: None,
        native_only: Vec::new(),
        bound: Vec::new(),
        duplicates: Vec::new(),
        questions: Vec::new(),
        rows: size.get(0),
        bytes: size.get(1),
        notes: notes(session, source).await?,
        notes_on_copy: Vec::new(),
        hanging: dependents::read(session, &engine.names, source, &views)
            .await?
            .into_iter()
            .map(|carried| carried.object)
            .chain(views.iter().map(|view| format!("materialized view {}", view.display())))
            .collect(),
        neighbours: locked_relations::list(
            session,
            &engine.names.display,
            source,
            &views,
            &cascade.relations(),
        )
        .await?
        .into_iter()
        .map(|neighbour| neighbour.name)
        .collect(),
        materialized: views,
        cascade,
    };
    view.native_only.extend(view.cascade.refusals());
    view.notes.extend(view.cascade.note());
    view.refusals.extend(own_objects::refusals(session).await?);
    view.refusals.extend(refuse_others_flags(&engine.target));
    match catalogue::key(session, source).await?.0 {
        Ok(key) => view.key = Some(key),
        Err(why) => match identity::lent(session, engine, source).await? {
            Some(lent) => {
                view.notes_on_copy.push(format!(
                    "its replica identity does not tell which rows change; for the time of the \
                     run it gets another one, which locks it for an instant (ACCESS EXCLUSIVE): \
                     {}; the swap, or cleanup, gives back its own",
                    lent.statement
                ));
                view.key = Some(lent.key);
            }
            None => view
                .obstacles
                .push(missing_key::refusal(session, &engine.names, source, &why).await?),
        },
    }
    view.notes_on_copy.extend(blockers::temporary(session, source).await?.iter().map(|blocker| {
        format!(
            "in the way of the swap: {}; only that session can drop it. Have it do that, or end \
             it (--kill-blockers)",
            blocker.who
        )
    }));
    let replaced: Vec<u32> =
        view.materialized.iter().map(|view| view.oid).chain([source]).collect();
    let kept = oids::find(session, &replaced, &replaced).await?;
    view.obstacles.extend(kept.refusals());
    view.notes_on_copy.extend(kept.notes());
    let clauses = match clauses {
        Ok(clauses) => clauses,
        Err(refusal) => {
            view.refusals.push(refusal);
            return Ok(view);
        }
    };
    let alone = |(clause, why): &(String, &'static str)| Refusal {
        object: format!("clause {clause}"),
        reason: (*why).to_owned(),
        remedy: format!(
            "leave it out of this change, and give ALTER TABLE {} {clause} yourself",
            engine.names.source()
        ),
    };
    view.refusals.extend(clauses.refused.iter().map(alone));
    view.native_only.extend(clauses.native_only.iter().map(alone));
    let changes_key =
        |key: &&KeyClause| matches!(key.deed, KeyDeed::Rename(_) | KeyDeed::Alter { .. });
    if engine.target.foreign_keys == ForeignKeys::Discard {
        let left_out = "the foreign key is to be left out (--foreign-keys discard)";
        let changed: Vec<_> = clauses
            .keys
            .iter()
            .filter(changes_key)
            .map(|key| (key.clause.clone(), left_out))
            .collect();
        view.native_only.extend(changed.iter().map(alone));
    }
    if let Some(recipe) = online_steps::unfinished(session, engine).await? {
        if recipe.alter != engine.change.given {
            view.refusals.push(refuse(
                format!("table {}", engine.names.display),
                format!("another change of it is under way in steps: {}", recipe.alter),
                "finish it by giving that command again, or take it back with `altergeist cleanup`",
            ));
        }
        view.recipe = Some(recipe);
        return Ok(view);
    }
    view.refusals.extend(refusals::of_role(session, engine, source).await?);
    if view.refusals.is_empty() && !refusals::prevents_clone(&view.obstacles) {
        trial::try_clauses(session, engine, source, &clauses, &mut view).await?;
    }
    if !view.is_native && view.recipe.is_none() {
        view.obstacles.extend(source::refusals(session, engine).await?);
        view.obstacles.extend(refusals::of_server(session, engine, source).await?);
        view.notes_on_copy.extend(source::notes(session, engine).await?);
        view.obstacles.extend(taken_names(session, engine).await?);
    }
    Ok(view)
}

async fn notes(session: &Session, source: u32) -> Result<Vec<String>> {
    let failed = |error: tokio_postgres::Error| error::of("look around on the server", &error);
    let mut notes = Vec::new();
    for row in session.query(sql::EVENT_TRIGGERS, &[]).await.map_err(failed)? {
        notes.push(format!(
            "event trigger {} sees every statement of this change",
            row.get::<_, &str>(0)
        ));
    }
    for row in session.query(sql::INVALID_INDEXES, &[&source]).await.map_err(failed)? {
        notes.push(format!("index {} is not valid and will not be carried", row.get::<_, &str>(0)));
    }
    Ok(notes)
}

/// Names we need that somebody else has, or that an earlier change still has.
async fn taken_names(session: &Session, engine: &Postgres) -> Result<Vec<Refusal>> {
    let names = &engine.names;
    let mut refusals = Vec::new();
    for schema in [&names.shadow_schema, &names.old_schema] {
        refusals.extend(own_objects::stranger_schema(session, schema).await?);
    }
    for schema in [&names.shadow_schema, &names.old_schema, &names::JOURNAL_SCHEMA.to_owned()] {
        if matches!(catalogue::schema_state(session, schema).await?, SchemaState::Foreign) {
            refusals.push(refuse(
                format!("schema {schema}"),
                "this tool needs its name, and another user created it",
                "rename it",
            ));
        }
    }
    let Entry { facts, .. } = journal::entry(session, engine).await?;
    let shadow = facts.as_ref().and_then(|facts| facts.shadow.as_ref()).map(|shadow| shadow.oid);
    let found = catalogue::table_id(session, &names.shadow_schema, &names.table).await?;
    if found.is_some() && found != shadow {
        refusals.push(refuse(
            format!("table {}", names.shadow()),
            "it has the shadow's name, and the journal does not know it",
            "`altergeist cleanup` drops it if it was left by a change of this tool; else drop it \
             if nobody needs it",
        ));
    }
    if catalogue::table_id(session, &names.old_schema, &names.table).await?.is_some() {
        refusals.push(refuse(
            format!("table {}", names.old()),
            "the old table of an earlier change is still there",
            "drop it by cleaning up, if the way back is not needed any more",
        ));
    }
    Ok(refusals)
}
