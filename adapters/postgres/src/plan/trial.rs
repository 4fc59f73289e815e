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
use crate::plan::reversible;
use crate::plan::set_checks::{self, SetChecks};
use crate::plan::survey::Survey;
use crate::plan::unstable;
use crate::schema::alteration;
use crate::schema::altered::{Altered, CloneRequest, NOT_ACCEPTED};
use crate::schema::clauses::Clauses;
use crate::schema::columns::KeyColumn;
use crate::schema::definition;
use crate::schema::expression;
use crate::schema::key_clauses::KeyAction;
use crate::schema::requested;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::shadow::duplicates;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, ForeignKeys, Result, Severity};

/// Tries the clauses, in a transaction that it rolls back.
pub(crate) async fn try_clauses(
    session: &Session,
    change: &Change,
    source: u32,
    clauses: &Clauses,
    survey: &mut Survey,
) -> Result<()> {
    let attempted = || format!("try the clauses on a clone of {}", change.names.display);
    session.run(sql::BEGIN).await.trying_clauses(attempted)?;
    try_all(session, change, source, clauses, survey).await?;
    session.run(sql::ROLLBACK).await.trying_clauses(attempted)
}

async fn try_all(
    session: &Session,
    change: &Change,
    source: u32,
    clauses: &Clauses,
    survey: &mut Survey,
) -> Result<()> {
    let attempted = || format!("try the clauses on a clone of {}", change.names.display);
    let schema = change.trial_schema();
    definition::make_schema(session, &schema, source).await?;
    session.run(&sql::savepoint("clone")).await.trying_clauses(attempted)?;
    let (order, user_table) =
        match requested::order_and_table(session, &change.target, source).await? {
            Ok(requested) => requested,
            Err(refusal) => {
                survey.refusals.push(refusal);
                return Ok(());
            }
        };
    let request = requested::clone_request(change, source, survey.key.as_ref(), clauses);
    let request = CloneRequest { order: &order, user_table: user_table.as_ref(), ..request };
    let mut altered = alteration::alter_clone(session, &request, &schema).await?;
    if user_table.is_some() && !altered.refusals.is_empty() {
        survey.altered = Some(altered);
        return Ok(());
    }
    if altered.refusals.is_empty() {
        let found = unstable::unstable(session, &request, &schema).await?;
        altered.refusals.extend(found.refusals);
        survey.notes_on_copy.extend(found.notes);
    }
    if altered.refusals.is_empty() {
        let checks = check_sets(session, &request, &schema, &altered).await?;
        altered.refusals.extend(checks.found.refusals);
        survey.notes_on_copy.extend(checks.found.notes);
        survey.set_reads = checks.reads;
    }
    altered.final_steps.cascade = survey.cascade.objects();
    let wanted = data_checks::constraints(session, altered.clone).await?;
    survey.is_native = altered.is_catalogue_only
        && altered.final_steps.validations.is_empty()
        && clauses.validated.is_empty()
        && !change.asks_for_a_copy();
    check_dependents(session, change, (source, &schema), &altered, survey).await?;
    check_way_back(session, change, (source, &schema), &altered, survey).await?;
    if !survey.is_native {
        prepare_questions(session, source, &altered, &wanted, survey).await?;
        if altered.layout.is_some() {
            refuse_collations(session, change, source, &order, survey).await?;
        }
    }
    if altered.refusals.is_empty() {
        rehearse(session, change, clauses, (source, &schema), survey).await?;
    }
    if survey.is_native {
        altered.refusals.retain(|refusal| {
            refusal.object.starts_with("clause ") || refusal.message.starts_with(NOT_ACCEPTED)
        });
    } else if !change.asks_for_a_copy() && altered.refusals.is_empty() {
        session.run(&sql::roll_back_to("clone")).await.trying_clauses(attempted)?;
        survey.online_steps =
            plan_online_steps(session, change, clauses, &altered, &wanted, (source, &schema))
                .await?;
    }
    survey.altered = Some(altered);
    Ok(())
}

/// Asks whether the change can be undone. An object that the change drops is no obstacle to the
/// change, but it may be one to the way back: so this comes after the dependents.
async fn check_way_back(
    session: &Session,
    change: &Change,
    (source, schema): (u32, &str),
    altered: &Altered,
    survey: &mut Survey,
) -> Result<()> {
    if !change.target.reversible || !altered.refusals.is_empty() {
        return Ok(());
    }
    let cascade = &survey.cascade;
    let found = reversible::findings(session, change, (source, schema), altered, cascade);
    let (refusals, notes): (Vec<Finding>, Vec<Finding>) =
        Box::pin(found).await?.into_iter().partition(|it| it.severity == Severity::Error);
    survey.obstacles.extend(refusals);
    survey.notes_on_copy.extend(notes);
    Ok(())
}

/// Checks the expressions of --set.
async fn check_sets(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    altered: &Altered,
) -> Result<SetChecks> {
    let mut checks = SetChecks::default();
    for (set, held) in request.sets.iter().zip(&altered.sets) {
        set_checks::check(session, request, schema, (set, &held.name), &mut checks).await?;
    }
    Ok(checks)
}

/// Checks what is connected with the table against the clone.
async fn check_dependents(
    session: &Session,
    change: &Change,
    (source, schema): (u32, &str),
    altered: &Altered,
    survey: &mut Survey,
) -> Result<()> {
    survey.obstacles.retain(|obstacle| !altered.final_steps.drops(&obstacle.object));
    survey.dependents.retain(|object| !altered.final_steps.drops(object));
    survey.obstacles.extend(keys_and_partitions(session, change, source, altered).await?);
    let is_unlogged = session.one(sql::IS_UNLOGGED, &[&altered.clone]).await;
    let is_unlogged: bool = is_unlogged.trying_clauses("read the clone's definition")?.get(0);
    if is_unlogged && !survey.is_native {
        survey.obstacles.extend(refusals::of_unlogged(session, &change.names, source).await?);
        survey.notes_on_copy.push(Finding::note(
            Code::Method,
            "the shadow is not logged either: a crash of the server during the run empties it, \
             and the copy starts again",
        ));
    }
    if altered.touches_columns {
        survey.bound = bound_columns(session, source, altered, &survey.cascade).await?;
    }
    if altered.refusals.is_empty() && change.target.foreign_keys != ForeignKeys::Discard {
        let lost = lost_keys::lost_keys(session, change, source, schema, altered).await?;
        survey.bound.extend(lost);
    }
    if change.target.create.is_some() {
        survey.obstacles.extend(misread_views(session, source, schema).await?);
    }
    Ok(())
}

/// Writes the questions about the rows.
async fn prepare_questions(
    session: &Session,
    source: u32,
    altered: &Altered,
    wanted: &[data_checks::Constraint],
    survey: &mut Survey,
) -> Result<()> {
    let Some(layout) = &altered.layout else { return Ok(()) };
    survey.duplicates =
        duplicates::queries(session, source, altered.clone, layout, &altered.changes).await?;
    let known = data_checks::constraints(session, source).await?;
    let unvalidated = &altered.final_steps.unvalidated;
    survey.questions =
        data_checks::questions(&known, wanted, unvalidated, layout, &altered.changes);
    Ok(())
}

/// Refuses columns by which rows are found, if their collation has changed.
async fn refuse_collations(
    session: &Session,
    change: &Change,
    source: u32,
    order: &[KeyColumn],
    survey: &mut Survey,
) -> Result<()> {
    let keys = survey.key.iter().flat_map(|key| &key.columns);
    let walked: Vec<&str> = keys.chain(order).map(|column| &*column.source).collect();
    let refusals = refusals::of_collations(session, change, source, &walked).await?;
    survey.obstacles.extend(refusals);
    Ok(())
}

/// Rehearses the swap, if nothing else prevents a copy. This trial matters for a copy only: the
/// same change may work in online steps.
async fn rehearse(
    session: &Session,
    change: &Change,
    clauses: &Clauses,
    (source, schema): (u32, &str),
    survey: &mut Survey,
) -> Result<()> {
    if survey.is_native || !survey.bound.is_empty() || !survey.obstacles.is_empty() {
        return Ok(());
    }
    let stage = format!("{schema}_stage");
    let views = &survey.materialized;
    let refusals =
        match rehearsal::rehearse(session, change, clauses, source, views, &stage).await? {
            Err(refusals) => refusals,
            Ok(adapted) => {
                replacement_views::create(session, &change.names, source, schema, views, &adapted)
                    .await?
            }
        };
    survey.obstacles.extend(refusals);
    Ok(())
}

/// Refuses foreign keys of a partitioned table: to create one again takes more than an instant.
async fn keys_and_partitions(
    session: &Session,
    change: &Change,
    source: u32,
    altered: &Altered,
) -> Result<Vec<Finding>> {
    let is_partitioned = altered.layout.as_ref().is_some_and(|layout| layout.is_partitioned);
    if !is_partitioned || change.target.foreign_keys == ForeignKeys::Discard {
        return Ok(Vec::new());
    }
    let dependents = dependents::read(session, &change.names, source, &[]).await?;
    let refusal = |key: Dependent| {
        Finding::error(
            Code::ForeignKey,
            key.object,
            "the new table is partitioned, and the server checks every row at once when the key \
             is created",
            "leave it out (--foreign-keys discard), and create it again afterwards",
        )
    };
    let is_carried =
        |dependent: &Dependent| dependent.is_key && !altered.final_steps.drops(&dependent.object);
    Ok(dependents.into_iter().filter(is_carried).map(refusal).collect())
}

/// Finds views that the swap would change. The server does not always read its own printed query as
/// the same view, not even in other words.
async fn misread_views(session: &Session, source: u32, schema: &str) -> Result<Vec<Finding>> {
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
                (made != query)
                    .then(|| "the server reads its printed query as another query".to_owned())
            }
            Err(error) if error::is_passing(&error) => return Err(failed(error)),
            Err(error) => Some(format!(
                "the server cannot create it again: {}",
                error::of_clauses("try it", &error).reason
            )),
        };
        session.run(&sql::roll_back_to("view")).await.doing("try the table's views")?;
        refusals.extend(reason.map(|why| {
            Finding::error(
                Code::Dependent,
                object,
                why,
                "drop it before the change, and create it again afterwards",
            )
        }));
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
) -> Result<Vec<Finding>> {
    let rows =
        session.query(sql::COLUMN_DEPENDENTS, &[&source, &altered.touched, &cascade.oids()]).await;
    let rows = rows.doing("look for what depends on columns")?;
    let refusal = |row: &tokio_postgres::Row| {
        let (column, object): (String, String) = (row.get(0), row.get(1));
        Finding::error(
            Code::Dependent,
            object,
            format!(
                "it uses column {column}, and the server does not drop or convert a column that is \
                 in use"
            ),
            "drop it before the change, and create it again afterwards",
        )
    };
    Ok(rows.iter().map(refusal).collect())
}
