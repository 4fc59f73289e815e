//! Moves rows into the shadow. Values never leave the server.

use crate::facts::ShadowFacts;
use crate::key::values;
use crate::schema::columns::Layout;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::shadow::returned_rows;
use crate::shadow::row_error;
use crate::sql;
use altergeist_contract::{Chunk, Error, Key, Result, Watermark};
use std::sync::Arc;
use tokio_postgres::types::ToSql;

/// Finds the end of the next chunk of the source.
pub(crate) async fn next_chunk(
    workers: &Arc<SessionPool>,
    names: &Names,
    layout: &Layout,
    after: &Watermark,
    rows: u64,
) -> Result<Chunk> {
    let attempted = || format!("find the end of a chunk of {}", names.display);
    let last = i64::try_from(rows.max(1) - 1).unwrap_or(i64::MAX);
    let bounds = values::values(after);
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&last];
    parameters.extend(bounds.iter().map(|value| value as &(dyn ToSql + Sync)));
    let lease = workers.take().await?;
    let found = lease.query(&sql::chunk_end(layout, after), &parameters).await;
    let found = lease.settle(found.doing(attempted)).await?;
    let through = found.first().map_or(Watermark::End, |row| {
        Watermark::At(values::of_row(row, 0, layout.scan_columns().len()))
    });
    Ok(Chunk { after: after.clone(), through })
}

/// Copies a chunk into the shadow. Returns the number of rows.
pub(crate) async fn copy(
    workers: &Arc<SessionPool>,
    names: &Names,
    shadow: &ShadowFacts,
    chunk: &Chunk,
) -> Result<u64> {
    let values = values::both_values(chunk);
    let statement = sql::copy(&shadow.layout, &chunk.after, &chunk.through);
    let lease = workers.take().await?;
    let copied = lease.execute(&statement, &values::parameters(&values)).await;
    let attempted = || format!("copy a chunk of {}", names.display);
    lease.settle(copied.map_err(|error| row_error::row_error(attempted(), &error, shadow))).await
}

/// Deletes the shadow's rows beyond a watermark, by the given statement.
pub(crate) async fn clear_beyond(
    workers: &Arc<SessionPool>,
    names: &Names,
    statement: &str,
    through: &Watermark,
) -> Result<()> {
    let values = values::values(through);
    let lease = workers.take().await?;
    let cleared = lease.execute(statement, &values::parameters(&values)).await;
    let attempted = || format!("clear the shadow of {} beyond the watermark", names.display);
    lease.settle(cleared.map(drop).doing(attempted)).await
}

/// Refreshes the rows of keys in a transaction of its own.
pub(crate) async fn refresh_in_transaction(
    session: &Session,
    names: &Names,
    shadow: &ShadowFacts,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let attempted = || format!("refresh rows of {}", names.display);
    let failed = |error: tokio_postgres::Error| row_error::row_error(attempted(), &error, shadow);
    session.run(sql::BEGIN_REFRESH).await.map_err(failed)?;
    refresh(session, &names.display, shadow, keys, through).await?;
    session.run(sql::COMMIT).await.map_err(failed)
}

/// Deletes the rows of all keys, then inserts those that exist up to the watermark, in the
/// session's transaction.
pub(crate) async fn refresh(
    session: &Session,
    table: &str,
    shadow: &ShadowFacts,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let attempted = || format!("refresh rows of {table}");
    let failed = |error: tokio_postgres::Error| row_error::row_error(attempted(), &error, shadow);
    check_keys(table, shadow, keys)?;
    if let Some(back) = &shadow.layout.back {
        return Box::pin(returned_rows::refresh(session, table, shadow, back, keys)).await;
    }
    let sets = values::sets(keys, &shadow.layout);
    for set in &sets {
        let delete = sql::delete_keys(&shadow.layout, set.places);
        session.execute(&delete, &set.parameters()).await.map_err(failed)?;
    }
    if *through == Watermark::Start {
        return Ok(());
    }
    let bound = values::values(through);
    for set in &sets {
        let insert = sql::insert_keys(&shadow.layout, through, set.places);
        let mut parameters = set.parameters();
        parameters.extend(bound.iter().map(|value| value as &(dyn ToSql + Sync)));
        session.execute(&insert, &parameters).await.map_err(failed)?;
    }
    Ok(())
}

pub(crate) fn check_keys(table: &str, shadow: &ShadowFacts, keys: &[Key]) -> Result<()> {
    if keys.iter().all(|key| values::fits(&shadow.layout, key)) {
        return Ok(());
    }
    Err(Error::fatal(
        format!("refresh rows of {table}"),
        "a key has another number of columns than the table's",
    ))
}
