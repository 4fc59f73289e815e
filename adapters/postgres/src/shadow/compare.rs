//! Compares source and shadow, and counts duplicates.

use crate::facts::ShadowFacts;
use crate::journal;
use crate::key::values::{self, Raw};
use crate::schema::column_mapping;
use crate::schema::definition;
use crate::server::names::Names;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::shadow::duplicates;
use crate::shadow::row_error;
use crate::sql;
use altergeist_contract::{Comparison, Error, Result};
use std::sync::Arc;
use tokio_postgres::types::ToSql;

pub(crate) async fn compare(
    workers: &Arc<SessionPool>,
    names: &Names,
    shadow: &ShadowFacts,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Comparison> {
    let attempted = || format!("compare {} with its shadow", names.display);
    let lease = workers.take().await?;
    let rows = lease.query(statement, parameters).await;
    let rows = lease
        .settle(rows.map_err(|error| row_error::row_error(attempted(), &error, shadow)))
        .await?;
    let mut comparison = Comparison { rows: 0, differing: Vec::new() };
    for row in &rows {
        comparison.rows += row.get::<_, i64>(0).unsigned_abs();
        if row.get::<_, Option<Raw<'_>>>(1).is_some() {
            comparison.differing.push(values::of_row(row, 1, shadow.layout.keys.len()));
        }
    }
    if comparison.differing.len() > sql::DIFFERENCES {
        return Err(Error::fatal(
            attempted(),
            format!("more than {} rows differ", sql::DIFFERENCES),
        ));
    }
    Ok(comparison)
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
