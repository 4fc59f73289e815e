//! Samples what the expressions of `--set` give: NULL, an empty value, an error.

use crate::change::Change;
use crate::plan::survey::Survey;
use crate::schema::columns::Column;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Finding, Outcomes, Result, computed_values};
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
    let percent = (100.0 * SAMPLE_ROWS / survey.rows.max(1) as f64).min(100.0);
    let mut findings = Vec::new();
    for (set, held) in change.sets().iter().zip(&altered.sets) {
        let Some(column) = layout.columns.iter().find(|column| column.name == held.name) else {
            continue;
        };
        let outcomes = sample(session, change, column, percent).await?;
        findings.push(computed_values::finding(&set.object(), outcomes, percent >= 100.0));
    }
    Ok(findings)
}

/// Counts in one statement. If the expression fails for a row, a function counts row by row.
async fn sample(
    session: &Session,
    change: &Change,
    column: &Column,
    percent: f64,
) -> Result<Outcomes> {
    let attempted = || format!("sample what --set gives for {}", column.name);
    let (table, alias) = (change.names.source(), quote::quoted(&change.names.table));
    let value = format!("CAST({} AS {})", column.value, column.type_name);
    let statement = sql::sample_values(&table, &alias, &value, percent);
    match session.one(&statement, &[]).await {
        Ok(row) => return Ok(outcomes(&row, 3)),
        Err(error) if error::is_passing(&error) => return Err(error::of(attempted(), &error)),
        Err(_) => {}
    }
    let schema = change.trial_schema();
    let function = format!("{}.ag_outcome", quote::quoted(&schema));
    let create = sql::create_outcome(&function, &table, &alias, &value);
    session.run(sql::BEGIN).await.doing(attempted)?;
    session.run(&sql::create_plain_schema(&schema)).await.doing(attempted)?;
    session.execute(&create, &[]).await.doing(attempted)?;
    let row = session.one(&sql::sample_outcomes(&table, &alias, &function, percent), &[]).await;
    let outcomes = row.doing(attempted).map(|row| outcomes(&row, 4));
    session.run(sql::ROLLBACK).await.doing(attempted)?;
    outcomes
}

fn outcomes(row: &Row, columns: usize) -> Outcomes {
    let count = |at: usize| match at < columns {
        true => row.get::<_, i64>(at).unsigned_abs(),
        false => 0,
    };
    Outcomes { rows: count(0), nulls: count(1), empties: count(2), errors: count(3) }
}
