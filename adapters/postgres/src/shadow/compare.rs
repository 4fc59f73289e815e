//! Compares source and shadow, and counts duplicates.

use crate::facts::ShadowFacts;
use crate::journal;
use crate::key::values::{self, Raw};
use crate::schema::column_mapping;
use crate::schema::columns::{Column, Counted};
use crate::schema::definition;
use crate::server::names::Names;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::shadow::duplicates;
use crate::shadow::row_error;
use crate::sql;
use altergeist_contract::{ColumnCounts, Comparison, Error, Result, ValueCounts};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// How many numbers the comparison selects for a column that it counts.
const COUNTS_OF_COLUMN: usize = 7;

pub(crate) async fn compare(
    workers: &Arc<SessionPool>,
    names: &Names,
    shadow: &ShadowFacts,
    (statement, counted): (&str, &[(usize, &Column, &Counted)]),
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Comparison> {
    let attempted = || format!("compare {} with its shadow", names.display);
    let lease = workers.take().await?;
    let rows = lease.query(statement, parameters).await;
    let rows = lease
        .settle(rows.map_err(|error| row_error::row_error(attempted(), &error, shadow)))
        .await?;
    let mut comparison = Comparison::default();
    for row in &rows {
        comparison.rows += row.get::<_, i64>(0).unsigned_abs();
        if row.get::<_, Option<Raw<'_>>>(1).is_some() {
            comparison.differing.push(values::of_row(row, 1, shadow.layout.keys.len()));
        }
        ColumnCounts::add_all(&mut comparison.columns, &counts_of(row, shadow, counted));
    }
    if comparison.differing.len() > sql::DIFFERENCES {
        return Err(Error::fatal(
            attempted(),
            format!("more than {} rows differ", sql::DIFFERENCES),
        ));
    }
    Ok(comparison)
}

/// Reads the counts behind the key of a row.
fn counts_of(
    row: &Row,
    shadow: &ShadowFacts,
    counted: &[(usize, &Column, &Counted)],
) -> Vec<ColumnCounts> {
    let first = shadow.layout.keys.len() + 1;
    let number = |at: usize| row.get::<_, Option<i64>>(at).map(i64::unsigned_abs);
    let values = |at: usize, rows: u64| {
        let (nulls, empties) = (number(at)?, number(at + 1)?);
        Some(ValueCounts { rows, nulls, empties, distinct: number(at + 2) })
    };
    let counts = |(nth, (_, column, _)): (usize, &(usize, &Column, &Counted))| {
        let at = first + 1 + nth * COUNTS_OF_COLUMN;
        let in_source = row.get::<_, i64>(0).unsigned_abs();
        ColumnCounts {
            column: column.name.clone(),
            before: values(at, in_source),
            after: values(at + 3, number(first).unwrap_or_default()).unwrap_or_default(),
            ends_moved: number(at + 6),
            differing: row.get::<_, Option<Raw<'_>>>(1).is_some().into(),
        }
    };
    counted.iter().enumerate().map(counts).collect()
}

pub(crate) async fn duplicate_queries(
    session: &Session,
    names: &Names,
    shadow: &ShadowFacts,
) -> Result<Vec<duplicates::Count>> {
    let facts = journal::facts(session, names).await?;
    let after = definition::attributes(session, shadow.oid).await?;
    let changes = column_mapping::added_columns(&shadow.layout, &after);
    duplicates::queries(session, facts.source, shadow.oid, &shadow.layout, &changes).await
}
