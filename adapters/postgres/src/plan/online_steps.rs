//! A change in online steps: each step holds a strong lock only for an instant. A constraint holds
//! for new rows first. Then the server proves it for all rows, under a lock that allows reads and
//! writes. Each step and its note in the journal are one transaction. An index that is built
//! concurrently cannot be in one, so the run looks for it instead.

use crate::change::Change;
use crate::facts::{Facts, OnlineStep, OnlineSteps, StepLock};
use crate::journal;
use crate::plan::data_checks::Constraint;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::{qualified, quoted};
use altergeist_contract::{Error, Kind, Result};

/// The inputs from which the online steps are written.
pub(crate) struct StepInputs<'a> {
    /// Clauses that touch only the catalogue.
    pub(crate) instant: &'a [String],
    /// Foreign keys: the name, quoted, and the clause that adds it for new rows only.
    pub(crate) foreign_keys: Vec<(String, String)>,
    /// Statements that prove the foreign keys.
    pub(crate) validations: Vec<String>,
    /// Constraints to prove, as given.
    pub(crate) validated: &'a [String],
    /// The constraints with all clauses, and with the instant clauses alone.
    pub(crate) wanted: &'a [Constraint],
    pub(crate) given: &'a [Constraint],
    /// Columns that may no longer be NULL.
    pub(crate) not_null: Vec<String>,
    /// The clone's qualified name, as index definitions spell it.
    pub(crate) clone: String,
}

/// Writes the steps. None if a constraint cannot be added in online steps.
pub(crate) fn write(change: &Change, inputs: &StepInputs<'_>) -> Option<OnlineSteps> {
    let table = change.names.source();
    let mut steps = Vec::new();
    let mut undo = Vec::new();
    let is_new =
        |constraint: &&Constraint| !inputs.given.iter().any(|given| given.name == constraint.name);
    let new: Vec<&Constraint> = inputs.wanted.iter().filter(is_new).collect();
    if new.iter().any(|constraint| constraint.kind == "x") {
        return None;
    }
    let mut first: Vec<String> = Vec::new();
    let mut scans = inputs.validations.clone();
    let scan = |name: &str| sql::validate_constraint(&table, name);
    for constraint in new.iter().filter(|constraint| matches!(constraint.kind.as_str(), "c" | "n"))
    {
        let name = quoted(&constraint.name);
        first.push(sql::add_unvalidated(&name, &constraint.definition));
        scans.push(scan(&name));
        undo.push(sql::drop_constraint_if_exists(&table, &name));
    }
    let mut proofs = Vec::new();
    for column in inputs.not_null.iter().filter(|_| !change.version.names_not_null()) {
        let name = quoted(&format!("altergeist_{}", crate::server::names::tag(column)));
        let column = quoted(column);
        first.push(sql::add_unvalidated_not_null(&name, &column));
        scans.push(scan(&name));
        proofs.push(instant(sql::set_not_null(&table, &column)));
        proofs.push(instant(sql::drop_constraint(&table, &name)));
        undo.push(sql::drop_constraint_if_exists(&table, &name));
    }
    for (name, clause) in &inputs.foreign_keys {
        first.push(clause.clone());
        undo.push(sql::drop_constraint_if_exists(&table, name));
    }
    scans.extend(inputs.validated.iter().map(|name| scan(name)));
    steps.extend(inputs.instant.iter().map(|clauses| instant(sql::alter_table(&table, clauses))));
    if !first.is_empty() {
        steps.push(instant(sql::alter_table(&table, &first.join(", "))));
    }
    steps.extend(scans.into_iter().map(|statement| OnlineStep {
        statement,
        index: String::new(),
        lock: StepLock::Scan,
    }));
    steps.extend(proofs);
    for constraint in new.iter().filter(|constraint| matches!(constraint.kind.as_str(), "u" | "p"))
    {
        let (build, add) = by_index(&change.names, constraint, &inputs.clone)?;
        undo.push(sql::drop_index_concurrently_if_exists(&build.index));
        steps.push(build);
        steps.push(add);
    }
    let alter = change.alter.given.clone();
    Some(OnlineSteps { alter, search_path: change.search_path.clone(), steps, done: 0, undo })
}

fn instant(statement: String) -> OnlineStep {
    OnlineStep { statement, index: String::new(), lock: StepLock::Instant }
}

/// Returns the steps that build a unique index and make a constraint of it.
fn by_index(
    names: &Names,
    constraint: &Constraint,
    clone: &str,
) -> Option<(OnlineStep, OnlineStep)> {
    let name = quoted(&constraint.name);
    let begin = sql::unique_index_head(&name, clone);
    let rest = constraint.index.strip_prefix(&begin)?;
    let table = names.source();
    let build = OnlineStep {
        statement: sql::build_unique_index(&name, &table, rest, &constraint.tablespace),
        index: qualified(&names.schema, &constraint.name),
        lock: StepLock::Build,
    };
    let kind = if constraint.kind == "p" { "PRIMARY KEY" } else { "UNIQUE" };
    let late = match (constraint.is_deferrable, constraint.is_deferred) {
        (_, true) => " DEFERRABLE INITIALLY DEFERRED",
        (true, false) => " DEFERRABLE",
        _ => "",
    };
    let add = sql::use_index(&table, &name, kind, late);
    Some((build, instant(add)))
}

/// Returns the online steps in the journal, if some are left.
pub(crate) async fn unfinished(session: &Session, names: &Names) -> Result<Option<OnlineSteps>> {
    let entry = journal::entry(session, names).await?;
    // Another user may have written these statements, so they must not run.
    let facts = entry.facts.filter(|_| entry.is_ours);
    Ok(facts.and_then(|facts| facts.online_steps).filter(|online_steps| !online_steps.is_done()))
}

/// Runs the steps that are left.
pub(crate) async fn carry_out(
    session: &Session,
    change: &Change,
    planned: Option<OnlineSteps>,
) -> Result<()> {
    let names = &change.names;
    let mut online_steps = match unfinished(session, names).await? {
        Some(online_steps) if online_steps.alter == change.alter.given => online_steps,
        _ => {
            planned.ok_or_else(|| Error::fatal(attempted(names), "the plan has no online steps"))?
        }
    };
    note(session, names, &online_steps).await?;
    while let Some(step) = online_steps.steps.get(online_steps.done).cloned() {
        online_steps.done += 1;
        let outcome = match step.index.as_str() {
            "" => one_step(session, names, &online_steps, &step).await,
            _ => build(session, change, &online_steps, &step).await,
        };
        match outcome {
            Err(error) if error.kind == Kind::Refused => {
                return Err(give_up(session, names, &online_steps, error).await);
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn attempted(names: &Names) -> String {
    format!("alter {} step by step", names.display)
}

async fn note(session: &Session, names: &Names, online_steps: &OnlineSteps) -> Result<()> {
    let facts = journal::entry(session, names).await?.facts.unwrap_or_else(Facts::none);
    journal::save_facts(
        session,
        names,
        &Facts { online_steps: Some(online_steps.clone()), done: None, ..facts },
    )
    .await
}

async fn one_step(
    session: &Session,
    names: &Names,
    online_steps: &OnlineSteps,
    step: &OnlineStep,
) -> Result<()> {
    let attempted = || doing(names, step);
    session.run(sql::BEGIN).await.altering(attempted)?;
    session.run(&sql::use_search_path(&online_steps.search_path)).await.altering(attempted)?;
    session.execute(&step.statement, &[]).await.altering(attempted)?;
    session.run(&sql::use_own_language()).await.altering(attempted)?;
    note(session, names, online_steps).await?;
    session.run(sql::COMMIT).await.altering(attempted)
}

/// Builds an index concurrently. It first drops an invalid index of an earlier attempt. The wait
/// for older transactions blocks nobody, so it has no limit.
async fn build(
    session: &Session,
    change: &Change,
    online_steps: &OnlineSteps,
    step: &OnlineStep,
) -> Result<()> {
    let names = &change.names;
    let state =
        session.query(sql::INDEX_STATE, &[&step.index]).await.altering(doing(names, step))?;
    let is_whole = state.first().map(|row| row.get::<_, bool>(0));
    session.run(&sql::set_lock_timeout(0)).await.altering(doing(names, step))?;
    let mut outcome = Ok(());
    if is_whole == Some(false) {
        outcome = session.run(&sql::drop_index_concurrently(&step.index)).await;
    }
    if outcome.is_ok() && is_whole != Some(true) {
        outcome = session.run(&step.statement).await;
    }
    session
        .run(&sql::set_lock_timeout(change.lock_timeout_ms()))
        .await
        .altering(doing(names, step))?;
    if outcome.as_ref().is_err_and(error::is_timeout) {
        // Whoever ended the build wants no invalid index. If it cannot be dropped now, the next
        // attempt drops it.
        let _ = session.run(&sql::drop_index(&step.index)).await;
    }
    outcome.altering(doing(names, step))?;
    note(session, names, online_steps).await
}

/// Ends the step that another session of this run carries out now.
pub(crate) async fn interrupt(session: &Session, change: &Change) -> Result<()> {
    let ended = session.query(sql::CANCEL_STEPS, &[&change.names.application]).await;
    ended.doing(format!("end the step of {}", change.names.display)).map(drop)
}

fn doing(names: &Names, step: &OnlineStep) -> String {
    let what = match step.lock {
        StepLock::Build => format!("build the index {}", step.index),
        StepLock::Scan => step.statement.clone(),
        StepLock::Instant => format!("alter {}", names.display),
    };
    format!("{what} ({})", names.display)
}

/// Undoes the steps after the rows turned out to violate a constraint.
async fn give_up(
    session: &Session,
    names: &Names,
    online_steps: &OnlineSteps,
    mut error: Error,
) -> Error {
    // Ends the transaction of the step.
    let _ = session.run(sql::ROLLBACK).await;
    let undone = undo(session, names, online_steps).await;
    let instant = online_steps.steps.iter().take(online_steps.done - 1).filter(|step| {
        step.lock == StepLock::Instant
            && !step.statement.contains(" NOT VALID")
            && !step.statement.contains("USING INDEX")
    });
    let kept: Vec<&str> = instant.map(|step| step.statement.as_str()).collect();
    if !kept.is_empty() {
        error.reason =
            format!("{}; this was done before and stays: {}", error.reason, kept.join("; "));
    }
    if let Err(left) = undone {
        error.reason = format!("{}; and what was begun is still there: {left}", error.reason);
    }
    error
}

/// Drops the constraints and indexes of unfinished online steps, and forgets the steps.
pub(crate) async fn undo(
    session: &Session,
    names: &Names,
    online_steps: &OnlineSteps,
) -> Result<()> {
    let attempted = || format!("undo what was begun on {}", names.display);
    for statement in &online_steps.undo {
        match session.run(statement).await {
            // If the table is gone, so are they.
            Err(error) if error::is_missing_table(&error) => {}
            other => other.locking(attempted)?,
        }
    }
    let facts = journal::entry(session, names).await?.facts.unwrap_or_else(Facts::none);
    journal::save_facts(session, names, &Facts { online_steps: None, ..facts }).await
}

#[cfg(test)]
mod tests {
    use crate::facts::{OnlineStep, OnlineSteps, StepLock};

    #[test]
    fn a_recipe_is_done_when_no_step_is_left() {
        let step = OnlineStep { statement: "x".into(), index: String::new(), lock: StepLock::Scan };
        let mut online_steps = OnlineSteps {
            alter: String::new(),
            search_path: String::new(),
            steps: vec![step],
            done: 0,
            undo: Vec::new(),
        };
        assert!(!online_steps.is_done());
        online_steps.done = 1;
        assert!(online_steps.is_done());
    }
}
