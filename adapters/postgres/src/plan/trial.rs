//! Tries the change on an empty clone, in a transaction that is rolled back.

use crate::cutover::dependents::{self, Carried};
use crate::cutover::twins;
use crate::facts::Recipe;
use crate::plan::cascade::Cascade;
use crate::plan::data_checks;
use crate::plan::lost_keys;
use crate::plan::online_steps::{self, Ingredients};
use crate::plan::refusals;
use crate::plan::rehearsal;
use crate::plan::view::View;
use crate::schema::alteration;
use crate::schema::altered::{Altered, NOT_ACCEPTED, Wish};
use crate::schema::clauses::{Clauses, KeyDeed};
use crate::schema::definition;
use crate::schema::expression;
use crate::schema::requested;
use crate::server::error::{self, refuse};
use crate::server::session::Session;
use crate::shadow::duplicates;
use crate::sql;
use crate::sql::quote;
use crate::state::Postgres;
use altergeist_contract::{ForeignKeys, Refusal, Result, Strategy};

/// Everything here is rolled back.
pub(crate) async fn try_clauses(
    session: &Session,
    engine: &Postgres,
    source: u32,
    clauses: &Clauses,
    view: &mut View,
) -> Result<()> {
    let attempted = || format!("try the clauses on a clone of {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of_clauses(attempted(), &error);
    let schema = format!("ag_plan_{}", engine.marks.incarnation);
    session.run("BEGIN").await.map_err(failed)?;
    definition::make_schema(session, &schema, source).await?;
    session.run("SAVEPOINT clone").await.map_err(failed)?;
    let (order, making) = match requested::copy_wishes(session, engine, source).await? {
        Ok(wishes) => wishes,
        Err(refusal) => {
            view.refusals.push(refusal);
            return session.run("ROLLBACK").await.map_err(failed);
        }
    };
    let wish = engine.wish(source, view.key.as_ref(), clauses);
    let wish = Wish { order: &order, making: making.as_ref(), ..wish };
    let mut altered = alteration::alter_clone(session, &wish, &schema).await?;
    if making.is_some() && !altered.refusals.is_empty() {
        view.altered = Some(altered);
        return session.run("ROLLBACK").await.map_err(failed);
    }
    altered.arrival.cascade = view.cascade.objects();
    view.obstacles.retain(|obstacle| !altered.arrival.drops(&obstacle.object));
    view.hanging.retain(|object| !altered.arrival.drops(object));
    view.obstacles.extend(keys_and_partitions(session, engine, source, &altered).await?);
    let wanted = data_checks::constraints(session, altered.clone).await?;
    view.is_native = altered.is_catalogue_only
        && altered.arrival.validations.is_empty()
        && clauses.validated.is_empty()
        && !engine.asks_for_a_copy();
    let is_unlogged: bool =
        session.one(sql::IS_UNLOGGED, &[&altered.clone]).await.map_err(failed)?.get(0);
    if is_unlogged && !view.is_native {
        view.obstacles.extend(refusals::of_unlogged(session, &engine.names, source).await?);
        view.notes_on_copy.push(
            "the shadow is not logged either: a crash of the server during the run empties it, \
             and the copy starts again"
                .to_owned(),
        );
    }
    if altered.touches_columns {
        view.bound = bound_columns(session, source, &altered, &view.cascade).await?;
    }
    if altered.refusals.is_empty() && engine.target.foreign_keys != ForeignKeys::Discard {
        view.bound.extend(lost_keys::lost_keys(session, engine, source, &schema, &altered).await?);
    }
    if engine.target.create.is_some() {
        view.obstacles.extend(misread_views(session, source, &schema).await?);
    }
    if !view.is_native
        && let Some(layout) = &altered.layout
    {
        view.duplicates =
            duplicates::queries(session, source, altered.clone, layout, &altered.news).await?;
        let known = data_checks::constraints(session, source).await?;
        view.questions = data_checks::questions(
            &known,
            &wanted,
            &altered.arrival.orphans,
            layout,
            &altered.news,
        );
        let walked = view
            .key
            .iter()
            .flat_map(|key| &key.columns)
            .chain(&order)
            .map(|column| &*column.source);
        view.obstacles.extend(
            refusals::of_collations(session, engine, source, &walked.collect::<Vec<_>>()).await?,
        );
    }
    let is_copied = !view.is_native || engine.target.strategy == Strategy::Copy;
    if is_copied
        && altered.refusals.is_empty()
        && view.bound.is_empty()
        && view.obstacles.is_empty()
    {
        let stage = format!("{schema}_stage");
        match rehearsal::rehearse(session, engine, clauses, source, &view.materialized, &stage)
            .await?
        {
            // What is tried here matters to a copy only: the same may be done in steps.
            Err(refusals) => view.obstacles.extend(refusals),
            Ok(adapted) => {
                let views = &view.materialized;
                let twins =
                    twins::make_twins(session, &engine.names, source, &schema, views, &adapted)
                        .await?;
                view.obstacles.extend(twins);
            }
        }
    }
    if view.is_native {
        altered.refusals.retain(|refusal| {
            refusal.object.starts_with("clause ") || refusal.reason.starts_with(NOT_ACCEPTED)
        });
    } else if engine.target.strategy != Strategy::Copy
        && !engine.asks_for_a_copy()
        && altered.refusals.is_empty()
    {
        session.run("ROLLBACK TO SAVEPOINT clone").await.map_err(failed)?;
        view.recipe =
            in_steps(session, engine, clauses, &altered, &wanted, (source, &schema)).await?;
    }
    view.altered = Some(altered);
    session.run("ROLLBACK").await.map_err(failed)
}

/// Foreign keys cannot be carried to a partitioned table in an instant.
async fn keys_and_partitions(
    session: &Session,
    engine: &Postgres,
    source: u32,
    altered: &Altered,
) -> Result<Vec<Refusal>> {
    let is_partitioned = altered.layout.as_ref().is_some_and(|layout| layout.is_partitioned);
    if !is_partitioned || engine.target.foreign_keys == ForeignKeys::Discard {
        return Ok(Vec::new());
    }
    let hanging = dependents::read(session, &engine.names, source, &[]).await?;
    let refusal = |key: Carried| {
        refuse(
            key.object,
            "the new table is partitioned, where every row would be checked at once when it is \
             made again",
            "have it left out (--foreign-keys discard), and make it again afterwards",
        )
    };
    let is_carried = |carried: &Carried| carried.is_key && !altered.arrival.drops(&carried.object);
    Ok(hanging.into_iter().filter(is_carried).map(refusal).collect())
}

/// Views of the table that would come out of the swap as other ones: what the server says of a
/// view, even respelled, is not always what it reads as that view.
async fn misread_views(session: &Session, source: u32, schema: &str) -> Result<Vec<Refusal>> {
    let failed = |error: tokio_postgres::Error| error::of("try the table's views", &error);
    let trial = format!("{}.ag_view", quote::quoted(schema));
    let mut refusals = Vec::new();
    for row in session.query(sql::VIEWS_ON, &[&source]).await.map_err(failed)? {
        let (object, query): (String, String) = (row.get(0), row.get(1));
        session.run("SAVEPOINT view").await.map_err(failed)?;
        let reason = match session
            .run(&format!("CREATE VIEW {trial} AS {}", expression::reread(&query)))
            .await
        {
            Ok(()) => {
                let made: String =
                    session.one(sql::QUERY_OF, &[&trial]).await.map_err(failed)?.get(0);
                (made != query).then(|| {
                    "the server reads what it says of its query as another query".to_owned()
                })
            }
            Err(error) if error::is_passing(&error) => return Err(failed(error)),
            Err(error) => Some(format!(
                "it could not be made again: {}",
                error::of_clauses("try it", &error).reason
            )),
        };
        session.run("ROLLBACK TO SAVEPOINT view").await.map_err(failed)?;
        refusals.extend(
            reason.map(|why| refuse(object, why, "drop it first, and make it again afterwards")),
        );
    }
    Ok(refusals)
}

/// Whether all that is not for the catalogue alone can be done step by step.
async fn in_steps(
    session: &Session,
    engine: &Postgres,
    clauses: &Clauses,
    altered: &Altered,
    wanted: &[data_checks::Constraint],
    (source, schema): (u32, &str),
) -> Result<Option<Recipe>> {
    if clauses.keys.iter().any(|key| key.deed != KeyDeed::Validate) {
        return Ok(None);
    }
    let has_foreign_keys = !altered.arrival.validations.is_empty();
    if !clauses.has_steps && !has_foreign_keys && clauses.validated.is_empty() {
        return Ok(None);
    }
    let light = Clauses {
        native: clauses.light.clone(),
        statements: clauses.light.clone(),
        light: clauses.light.clone(),
        ..Clauses::default()
    };
    let wish = engine.wish(source, None, &light);
    let base = alteration::alter_clone(session, &wish, schema).await?;
    if !(clauses.light.is_empty() || base.is_catalogue_only) || !base.refusals.is_empty() {
        return Ok(None);
    }
    let given = data_checks::constraints(session, base.clone).await?;
    // What is dropped must not be missing for longer than an instant.
    let drops =
        clauses.light.iter().any(|clauses| clauses.to_lowercase().contains("drop constraint"));
    if drops {
        return Ok(None);
    }
    let before = definition::attributes(session, base.clone).await?;
    let may_be_null =
        |name: &str| before.iter().any(|column| column.name == name && !column.not_null);
    let not_null = altered.demanded.iter().filter(|name| may_be_null(name)).cloned().collect();
    let foreign_keys = clauses.foreign_keys.iter().zip(&altered.arrival.key_names);
    Ok(online_steps::write(
        engine,
        &Ingredients {
            light: &clauses.light,
            foreign_keys: foreign_keys
                .map(|(key, name)| (name.clone(), key.add(name, &key.parent)))
                .collect(),
            validations: altered.arrival.validations.clone(),
            validated: &clauses.validated,
            wanted,
            given: &given,
            not_null,
            clone: quote::qualified(schema, &engine.names.table),
        },
    ))
}

/// Columns that are dropped or become another type, and what the server will not let go of them
/// for.
async fn bound_columns(
    session: &Session,
    source: u32,
    altered: &Altered,
    cascade: &Cascade,
) -> Result<Vec<Refusal>> {
    let rows =
        session.query(sql::COLUMN_DEPENDENTS, &[&source, &altered.touched, &cascade.oids()]).await;
    let rows = rows.map_err(|error| error::of("look for what depends on columns", &error))?;
    let refusal = |row: &tokio_postgres::Row| {
        let (column, object): (String, String) = (row.get(0), row.get(1));
        refuse(
            object,
            format!(
                "it uses column {column}, which the server will not drop or give another type as \
                 long as it does"
            ),
            "drop it before the change and make it again after it",
        )
    };
    Ok(rows.iter().map(refusal).collect())
}
