//! Tries the clauses about foreign keys, and about objects that only the swap creates.

use crate::schema::altered::NOT_ACCEPTED;
use crate::schema::altered::{Altered, CloneRequest, FinalSteps, UnvalidatedKey};
use crate::schema::clause::ForeignKey;
use crate::schema::key_clauses::{KeyAction, KeyClause};
use crate::schema::late_clauses::LateClause;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result};

/// What the clauses do with the table's own foreign keys.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) final_steps: FinalSteps,
    /// The foreign keys to prove, with the columns' old names.
    pub(crate) unvalidated: Vec<UnvalidatedKey>,
    pub(crate) refusals: Vec<Finding>,
}

/// Reads what the clauses do with the table's foreign keys. No clone has them, so the trial creates
/// each on it. It tries these clauses before all others, while the columns still have their names.
pub(crate) async fn try_keys(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
) -> Result<Keys> {
    let Keys { mut final_steps, mut unvalidated, mut refusals } = Keys::default();
    for key in &request.clauses.keys {
        let row = session
            .one(sql::FOREIGN_KEY, &[&request.source, &key.name])
            .await
            .trying_clauses(format!("try the clause {}", key.clause))?;
        let (object, proof, definition, is_validated): (String, String, String, bool) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        match &key.action {
            KeyAction::Drop => final_steps.dropped_keys.push(object),
            KeyAction::Validate if is_validated => {}
            KeyAction::Validate => {
                final_steps.validations.push(proof);
                unvalidated.push(UnvalidatedKey::of_row(&row, 4));
            }
            KeyAction::Rename(new) => {
                refusals.extend(try_key(session, request, schema, key, &definition).await?);
                let renamed = sql::validate_constraint(&request.names.source(), new);
                final_steps.other_proofs.push((proof, Some(renamed)));
                final_steps.clauses.push(sql::alter_table(&request.names.source(), &key.clause));
            }
            KeyAction::Alter { is_enforced } => {
                refusals.extend(try_key(session, request, schema, key, &definition).await?);
                if !is_enforced {
                    final_steps.other_proofs.push((proof, None));
                }
                final_steps.clauses.push(sql::alter_table(&request.names.source(), &key.clause));
            }
        }
    }
    Ok(Keys { final_steps, unvalidated, refusals })
}

async fn try_key(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    key: &KeyClause,
    definition: &str,
) -> Result<Option<Finding>> {
    let clone = quote::qualified(schema, &request.names.table);
    let name = quote::quoted(&key.name);
    let script =
        [sql::add_constraint(&clone, &name, definition), sql::alter_table(&clone, &key.clause)];
    let script = script.join("; ");
    session.run(&sql::savepoint("key")).await.doing("try a clause")?;
    let outcome = session.run(&script).await;
    session.run(&sql::roll_back_to("key")).await.doing("try a clause")?;
    let Err(error) = outcome else { return Ok(None) };
    let attempted = format!("try the clause {}", key.clause);
    if error::is_passing(&error) {
        return Err(error::of_lock(attempted, &error));
    }
    Ok(Some(not_accepted(request, error::of_clauses(attempted, &error).reason)))
}

/// Tries what the swap does at its end, and rolls it back. It locks other tables only for an
/// instant.
pub(crate) async fn try_late(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    altered: &mut Altered,
) -> Result<()> {
    altered.final_steps.search_path = request.search_path.to_owned();
    for late in &request.clauses.late {
        altered.refusals.extend(try_clause(session, request, schema, late).await?);
        altered.final_steps.clauses.push(sql::alter_table(&request.names.source(), &late.clause));
    }
    for key in &request.clauses.foreign_keys {
        try_foreign_key(session, request, schema, key, altered).await?;
    }
    Ok(())
}

async fn try_clause(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    late: &LateClause,
) -> Result<Option<Finding>> {
    let attempted = || format!("try the clause {}", late.clause);
    if let Some(name) = late.trigger.as_ref().or(late.rule.as_ref()) {
        let query = if late.trigger.is_some() { sql::HAS_TRIGGER } else { sql::HAS_RULE };
        let is_there: bool =
            session.one(query, &[&request.source, name]).await.trying_clauses(attempted)?.get(0);
        let missing = || {
            Finding::error(
                Code::ClauseRejected,
                format!("clause {}", late.clause),
                "the table has none of this name",
                "correct the name",
            )
        };
        return Ok((!is_there).then(missing));
    }
    let mut trial = vec![sql::use_search_path(request.search_path)];
    trial.extend(late.owner.as_ref().map(|owner| sql::open_schema_to(schema, owner)));
    trial.push(sql::alter_table(&quote::qualified(schema, &request.names.table), &late.clause));
    let trial = trial.join("; ");
    session.run(&sql::savepoint("late")).await.trying_clauses(attempted)?;
    let outcome = session.run(&trial).await.trying_clauses(attempted);
    session.run(&sql::roll_back_to("late")).await.trying_clauses(attempted)?;
    match outcome {
        Err(error) if error.kind == altergeist_contract::Kind::Refused => {
            Ok(Some(not_accepted(request, error.reason)))
        }
        outcome => outcome.map(|()| None),
    }
}

async fn try_foreign_key(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    key: &ForeignKey,
    altered: &mut Altered,
) -> Result<()> {
    let attempted = || format!("try the foreign key to {}", key.parent);
    session.run(&sql::savepoint("late")).await.trying_clauses(attempted)?;
    let outcome = add_foreign_key(session, request, schema, key, altered.clone).await;
    session.run(&sql::roll_back_to("late")).await.trying_clauses(attempted)?;
    let added = match outcome {
        Err(error) if error::is_passing(&error) => return Err(error::of_lock(attempted(), &error)),
        Err(error) => {
            altered
                .refusals
                .push(not_accepted(request, error::of_clauses(attempted(), &error).reason));
            return Ok(());
        }
        Ok(added) => added,
    };
    let name = quote::quoted(&added.name);
    let table = request.names.source();
    altered.final_steps.key_names.push(name.clone());
    altered.final_steps.clauses.push(sql::alter_table(&table, &key.add(&name, &key.parent)));
    if key.is_validated {
        altered.final_steps.validations.push(sql::validate_constraint(&table, &name));
    }
    if !added.is_to_itself {
        altered.final_steps.parents.push(added.parent.clone());
    }
    if key.is_validated {
        altered.final_steps.unvalidated.push(added);
    }
    Ok(())
}

/// Adds a foreign key to the clone. A self-reference then points to the clone.
async fn add_foreign_key(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    key: &ForeignKey,
    clone: u32,
) -> std::result::Result<UnvalidatedKey, tokio_postgres::Error> {
    session.run(&sql::use_search_path(request.search_path)).await?;
    let is_to_itself: bool =
        session.one(sql::IS_TABLE, &[&key.parent, &request.source]).await?.get(0);
    let own = quote::qualified(schema, &request.names.table);
    let parent = if is_to_itself { &own } else { &key.parent };
    session.run(&sql::alter_table(&own, &key.add(&key.name, parent))).await?;
    session.run(&sql::use_own_language()).await?;
    Ok(UnvalidatedKey::of_row(&session.one(sql::NEWEST_FOREIGN_KEY, &[&clone]).await?, 0))
}

pub(crate) fn not_accepted(request: &CloneRequest<'_>, words: String) -> Finding {
    Finding::error(
        Code::ClauseRejected,
        format!("the clauses for {}", request.names.display),
        format!("{NOT_ACCEPTED}: {words}"),
        "correct the clauses",
    )
}
