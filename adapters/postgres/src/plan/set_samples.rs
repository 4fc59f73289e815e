//! Samples what the expressions of `--set` give: NULL, an empty value, an error.

use crate::change::Change;
use crate::plan::survey::Survey;
use crate::schema::columns::Column;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::limited;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Finding, Look, Outcomes, Result, computed_values};
use tokio_postgres::Row;

/// About how many rows are sampled.
const SAMPLE_ROWS: f64 = 50_000.0;

/// Returns a finding for each computed column.
pub(crate) async fn find(
    session: &Session,
    change: &Change,
    survey: &Survey,
) -> Result<Vec<Finding>> {
    let Some(altered) = &survey.altered else { return Ok(Vec::new()) };
    let Some(layout) = &altered.layout else { return Ok(Vec::new()) };
    let look = change.target.look;
    let sampled = if look == Look::Thorough { f64::INFINITY } else { SAMPLE_ROWS };
    let percent = (100.0 * sampled / survey.rows.max(1) as f64).min(100.0);
    let mut findings = Vec::new();
    for (set, held) in change.sets().iter().zip(&altered.sets) {
        let Some(column) = layout.columns.iter().find(|column| column.name == held.name) else {
            continue;
        };
        let outcomes = sample(session, change, column, percent).await?;
        let is_all = percent >= 100.0;
        findings.push(match outcomes {
            Some(outcomes) => computed_values::finding(&set.object(), outcomes, is_all),
            None => limited::unanswered(look, &set.object(), "NULLs, empty values and errors"),
        });
    }
    Ok(findings)
}

/// Counts in one statement. If the expression fails for a row, a function counts row by row. None
/// if the time was up.
async fn sample(
    session: &Session,
    change: &Change,
    column: &Column,
    percent: f64,
) -> Result<Option<Outcomes>> {
    let look = change.target.look;
    let attempted = || format!("sample what --set gives for {}", column.name);
    let (table, alias) = (change.names.source(), quote::quoted(&change.names.table));
    let value = format!("CAST({} AS {})", column.value, column.type_name);
    let statement = sql::sample_values(&table, &alias, &value, percent);
    match limited::ask(session, look, &statement).await {
        Ok(row) => return Ok(row.map(|row| outcomes(&row, 3))),
        Err(error) if error::is_passing(&error) => return Err(error::of(attempted(), &error)),
        Err(_) => {}
    }
    let schema = change.trial_schema();
    let function = format!("{}.ag_outcome", quote::quoted(&schema));
    let create = sql::create_outcome(&function, &table, &alias, &value);
    session.run(sql::BEGIN).await.doing(attempted)?;
    session.run(&sql::create_plain_schema(&schema)).await.doing(attempted)?;
    session.execute(&create, &[]).await.doing(attempted)?;
    let statement = sql::sample_outcomes(&table, &alias, &function, percent);
    let row = counted_row_by_row(session, look, &statement).await;
    let outcomes = row.doing(attempted).map(|row| row.map(|row| outcomes(&row, 4)));
    session.run(sql::ROLLBACK).await.doing(attempted)?;
    outcomes
}

/// Asks within a transaction, which a statement that takes too long aborts.
async fn counted_row_by_row(
    session: &Session,
    look: Look,
    statement: &str,
) -> std::result::Result<Option<Row>, tokio_postgres::Error> {
    if let Some(limit) = look.question_limit() {
        session.run(&sql::time_limit(limit)).await?;
    }
    match session.one(statement, &[]).await {
        Err(error) if error::is_timeout(&error) && look.question_limit().is_some() => Ok(None),
        row => row.map(Some),
    }
}

fn outcomes(row: &Row, columns: usize) -> Outcomes {
    let count = |at: usize| match at < columns {
        true => row.get::<_, i64>(at).unsigned_abs(),
        false => 0,
    };
    Outcomes { rows: count(0), nulls: count(1), empties: count(2), errors: count(3) }
}
