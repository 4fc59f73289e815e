//! Tries the change on an empty clone, in a transaction that it rolls back.

use crate::change::Change;
use crate::cutover::dependents::{self, Dependent};
use crate::cutover::replacement_views;
use crate::facts::OnlineSteps;
use crate::plan::cascade::Cascade;
use crate::plan::data_checks;
use crate::plan::lost_keys;
use crate::plan::online_steps::{self, StepInputs};
use crate::plan::refusals;
use crate::plan::rehearsal;
use crate::plan::survey::Survey;
use crate::plan::unstable;
use crate::schema::alteration;
use crate::schema::altered::{Altered, CloneRequest, NOT_ACCEPTED};
use crate::schema::clauses::{Clauses, KeyAction};
use crate::schema::definition;
use crate::schema::expression;
use crate::schema::requested;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::shadow::duplicates;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{ForeignKeys, Refusal, Result};

/// Everything here is rolled back.
pub(crate) async fn try_clauses(
    session: &Session,
    change: &Change,
    source: u32,
    clauses: &Clauses,
    survey: &mut Survey,
) -> Result<()> {
    let attempted = || format!("try the clauses on a clone of {}", change.names.display);
    let schema = change.trial_schema();
    session.run(sql::BEGIN).await.trying_clauses(attempted)?;
    definition::make_schema(session, &schema, source).await?;
    session.run(&sql::savepoint("clone")).await.trying_clauses(attempted)?;
    let (order, user_table) =
        match requested::order_and_table(session, &change.target, source).await? {
            Ok(requested) => requested,
            Err(refusal) => {
                survey.refusals.push(refusal);
                return session.run(sql::ROLLBACK).await.trying_clauses(attempted);
            }
        };
    let request = requested::clone_request(change, source, survey.key.as_ref(), clauses);
    let request = CloneRequest { order: &order, user_table: user_table.as_ref(), ..request };
    let mut altered = alteration::alter_clone(session, &request, &schema).await?;
    if user_table.is_some() && !altered.refusals.is_empty() {
        survey.altered = Some(altered);
        return session.run(sql::ROLLBACK).await.trying_clauses(attempted);
    }
    if altered.refusals.is_empty() {
        let found = unstable::unstable(session, &request, &schema).await?;
        altered.refusals.extend(found.refusals);
        survey.notes_on_copy.extend(found.notes);
    }
    altered.final_steps.cascade = survey.cascade.objects();
    survey.obstacles.retain(|obstacle| !altered.final_steps.drops(&obstacle.object));
    survey.dependents.retain(|object| !altered.final_steps.drops(object));
    survey.obstacles.extend(keys_and_partitions(session, change, source, &altered).await?);
    let wanted = data_checks::constraints(session, altered.clone).await?;
    survey.is_native = altered.is_catalogue_only
        && altered.final_steps.validations.is_empty()
        && clauses.validated.is_empty()
        && !change.asks_for_a_copy();
    let is_unlogged: bool =
        session.one(sql::IS_UNLOGGED, &[&altered.clone]).await.trying_clauses(attempted)?.get(0);
    if is_unlogged && !survey.is_native {
        survey.obstacles.extend(refusals::of_unlogged(session, &change.names, source).await?);
        survey.notes_on_copy.push(
            "the shadow is not logged either: a crash of the server during the run empties it, \
             and the copy starts again"
                .to_owned(),
        );
    }
    if altered.touches_columns {
        survey.bound = bound_columns(session, source, &altered, &survey.cascade).await?;
    }
    if altered.refusals.is_empty() && change.target.foreign_keys != ForeignKeys::Discard {
        survey
            .bound
            .extend(lost_keys::lost_keys(session, change, source, &schema, &altered).await?);
    }
    if change.target.create.is_some() {
        survey.obstacles.extend(misread_views(session, source, &schema).await?);
    }
    if !survey.is_native
        && let Some(layout) = &altered.layout
    {
        survey.duplicates =
            duplicates::queries(session, source, altered.clone, layout, &altered.changes).await?;
        let known = data_checks::constraints(session, source).await?;
        survey.questions = data_checks::questions(
            &known,
            &wanted,
            &altered.final_steps.unvalidated,
            layout,
            &altered.changes,
        );
        let walked = survey
            .key
            .iter()
            .flat_map(|key| &key.columns)
            .chain(&order)
            .map(|column| &*column.source);
        survey.obstacles.extend(
            refusals::of_collations(session, change, source, &walked.collect::<Vec<_>>()).await?,
        );
    }
    if !survey.is_native
        && altered.refusals.is_empty()
        && survey.bound.is_empty()
        && survey.obstacles.is_empty()
    {
        let stage = format!("{schema}_stage");
        match rehearsal::rehearse(session, change, clauses, source, &survey.materialized, &stage)
            .await?
        {
            // This trial matters for a copy only. The same change may work in online steps.
            Err(refusals) => survey.obstacles.extend(refusals),
            Ok(adapted) => {
                let views = &survey.materialized;
                let replacements = replacement_views::create(
                    session,
                    &change.names,
                    source,
                    &schema,
                    views,
                    &adapted,
                )
                .await?;
                survey.obstacles.extend(replacements);
            }
        }
    }
    if survey.is_native {
        altered.refusals.retain(|refusal| {
            refusal.object.starts_with("clause ") || refusal.reason.starts_with(NOT_ACCEPTED)
        });
    } else if !change.asks_for_a_copy() && altered.refusals.is_empty() {
        session.run(&sql::roll_back_to("clone")).await.trying_clauses(attempted)?;
        survey.online_steps =
            plan_online_steps(session, change, clauses, &altered, &wanted, (source, &schema))
                .await?;
    }
    survey.altered = Some(altered);
    session.run(sql::ROLLBACK).await.trying_clauses(attempted)
}

/// Refuses foreign keys of a partitioned table: to create one again takes more than an instant.
async fn keys_and_partitions(
    session: &Session,
    change: &Change,
    source: u32,
    altered: &Altered,
) -> Result<Vec<Refusal>> {
    let is_partitioned = altered.layout.as_ref().is_some_and(|layout| layout.is_partitioned);
    if !is_partitioned || change.target.foreign_keys == ForeignKeys::Discard {
        return Ok(Vec::new());
    }
    let dependents = dependents::read(session, &change.names, source, &[]).await?;
    let refusal = |key: Dependent| {
        Refusal::new(
            key.object,
            "the new table is partitioned, where every row would be checked at once when it is \
             made again",
            "have it left out (--foreign-keys discard), and make it again afterwards",
        )
    };
    let is_carried =
        |dependent: &Dependent| dependent.is_key && !altered.final_steps.drops(&dependent.object);
    Ok(dependents.into_iter().filter(is_carried).map(refusal).collect())
}

/// Finds views that the swap would change. The server does not always read its own printed query as
/// the same view, not even in other words.
async fn misread_views(session: &Session, source: u32, schema: &str) -> Result<Vec<Refusal>> {
    let failed = |error: tokio_postgres::Error| error::of("try the table's views", &error);
    let trial = format!("{}.ag_view", quote::quoted(schema));
    let mut refusals = Vec::new();
    for row in session.query(sql::VIEWS_ON, &[&source]).await.doing("try the table's views")? {
        let (object, query): (String, String) = (row.get(0), row.get(1));
        session.run(&sql::savepoint("view")).await.doing("try the table's views")?;
        let reason = match session.run(&sql::create_view(&trial, &expression::reread(&query))).await
        {
            Ok(()) => {
                let made: String = session
                    .one(sql::QUERY_OF, &[&trial])
                    .await
                    .doing("try the table's views")?
                    .get(0);
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
        session.run(&sql::roll_back_to("view")).await.doing("try the table's views")?;
        refusals.extend(
            reason.map(|why| {
                Refusal::new(object, why, "drop it first, and make it again afterwards")
            }),
        );
    }
    Ok(refusals)
}

/// Returns the online steps, if every clause is instant or can be done in them.
async fn plan_online_steps(
    session: &Session,
    change: &Change,
    clauses: &Clauses,
    altered: &Altered,
    wanted: &[data_checks::Constraint],
    (source, schema): (u32, &str),
) -> Result<Option<OnlineSteps>> {
    if clauses.keys.iter().any(|key| key.action != KeyAction::Validate) {
        return Ok(None);
    }
    let has_foreign_keys = !altered.final_steps.validations.is_empty();
    if !clauses.has_steps && !has_foreign_keys && clauses.validated.is_empty() {
        return Ok(None);
    }
    let instant = Clauses {
        native: clauses.instant.clone(),
        statements: clauses.instant.clone(),
        instant: clauses.instant.clone(),
        ..Clauses::default()
    };
    let request = requested::clone_request(change, source, None, &instant);
    let base = alteration::alter_clone(session, &request, schema).await?;
    if !(clauses.instant.is_empty() || base.is_catalogue_only) || !base.refusals.is_empty() {
        return Ok(None);
    }
    let given = data_checks::constraints(session, base.clone).await?;
    // A dropped constraint must not be missing for longer than an instant.
    let drops =
        clauses.instant.iter().any(|clauses| clauses.to_lowercase().contains("drop constraint"));
    if drops {
        return Ok(None);
    }
    let before = definition::attributes(session, base.clone).await?;
    let may_be_null =
        |name: &str| before.iter().any(|column| column.name == name && !column.not_null);
    let not_null = altered.demanded.iter().filter(|name| may_be_null(name)).cloned().collect();
    let foreign_keys = clauses.foreign_keys.iter().zip(&altered.final_steps.key_names);
    Ok(online_steps::write(
        change,
        &StepInputs {
            instant: &clauses.instant,
            foreign_keys: foreign_keys
                .map(|(key, name)| (name.clone(), key.add(name, &key.parent)))
                .collect(),
            validations: altered.final_steps.validations.clone(),
            validated: &clauses.validated,
            wanted,
            given: &given,
            not_null,
            clone: quote::qualified(schema, &change.names.table),
        },
    ))
}

/// Finds objects that keep the server from dropping columns or changing their type.
async fn bound_columns(
    session: &Session,
    source: u32,
    altered: &Altered,
    cascade: &Cascade,
) -> Result<Vec<Refusal>> {
    let rows =
        session.query(sql::COLUMN_DEPENDENTS, &[&source, &altered.touched, &cascade.oids()]).await;
    let rows = rows.doing("look for what depends on columns")?;
    let refusal = |row: &tokio_postgres::Row| {
        let (column, object): (String, String) = (row.get(0), row.get(1));
        Refusal::new(
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
