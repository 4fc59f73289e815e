//! Fills the shadow and keeps it current (laws 2 and 4).

use crate::change::Change;
use crate::log::cascades::{rows_of, stale_children};
use crate::schema::column_mapping::ColumnMapping;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::pool::{Lease, SessionPool};
use crate::server::session::{Cells, Session};
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::documents::{refresh_by_document_locked, refresh_keys_by_document};
use crate::shadow::insert::{insert, parts};
use crate::shadow::way_back::{make_temporary, refresh_back};
use crate::sql;
use crate::sql::compare::Compared;
use crate::state::ShadowState;
use altergeist_contract::{Chunk, Error, Key, Kind, Result, Watermark};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Most rows that one statement deletes.
const MOST_DELETED: u64 = 10_000;
/// How often the run tries a locked row that it does not wait for.
const ATTEMPTS_AT_LOCKED_ROWS: u32 = 40;

pub(crate) async fn next_chunk(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    after: &Watermark,
    rows: u64,
) -> Result<Chunk> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let attempted = || change.doing("find the end of a chunk of");
    let found = read_by_worker(pool, &sql::rows::range_end(&mapping, after, rows)?)
        .await
        .doing(attempted)?;
    let through = match found.first() {
        Some(row) => Watermark::At(
            mapping
                .key
                .of_query(row)
                .ok_or_else(|| Error::fatal(attempted(), "its key cannot be read"))?,
        ),
        None => Watermark::End,
    };
    Ok(Chunk { after: after.clone(), through })
}

pub(crate) async fn copy_chunk(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    chunk: &Chunk,
) -> Result<u64> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let attempted = || change.doing("copy a chunk of");
    let statement = sql::rows::copy(&mapping, chunk)?;
    let _moves = shadow_state.cascades.moves.read().await;
    let mut lease = pool.worker().await?;
    let writing = shadow_state.shadow_writes.begin();
    let outcome = retry_locked_rows(pool, async || {
        insert(lease.session(), &mapping, &statement, &attempted()).await
    })
    .await;
    lease.keep();
    writing.end(outcome)
}

pub(crate) async fn refresh_keys(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let _moves = shadow_state.cascades.lock_moves(&mapping).await;
    if mapping.by_document.load(Ordering::SeqCst) && mapping.reverse.is_none() {
        return refresh_keys_by_document(change, pool, shadow_state, &mapping, keys, through).await;
    }
    let mut lease = pool.worker().await?;
    let attempted = change.doing("refresh rows of");
    let refreshed = async || in_transaction(&mut lease, &mapping, keys, through, &attempted).await;
    let writing = shadow_state.shadow_writes.begin();
    let outcome = retry_locked_rows(pool, refreshed).await;
    lease.keep();
    writing.end(outcome).map(drop)
}

pub(crate) async fn clear_beyond(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    through: &Watermark,
) -> Result<()> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let statement = sql::rows::delete_beyond(&mapping, through, MOST_DELETED)?;
    let mut lease = pool.worker().await?;
    loop {
        let attempted = || change.doing("clear the shadow of");
        let cleared = async || lease.session().execute(&statement).await.doing(attempted);
        let writing = shadow_state.shadow_writes.begin();
        match writing.end(retry_locked_rows(pool, cleared).await.map(|done| done.rows)) {
            Ok(MOST_DELETED) => {}
            outcome => {
                lease.keep();
                return outcome.map(drop);
            }
        }
    }
}

/// Retries locked rows within bounds, if the workers do not wait for row locks.
async fn retry_locked_rows<T>(
    pool: &Arc<SessionPool>,
    mut work: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    for attempt in 1..=ATTEMPTS_AT_LOCKED_ROWS {
        match work().await {
            Err(error)
                if error.kind == Kind::Transient && pool.checks_parents.load(Ordering::SeqCst) =>
            {
                tokio::time::sleep(Duration::from_millis(2) * attempt).await;
            }
            outcome => return outcome,
        }
    }
    work().await
}

pub(crate) async fn read_by_worker(
    pool: &Arc<SessionPool>,
    statement: &str,
) -> std::result::Result<Vec<Cells>, Failure> {
    let mut lease = pool.worker().await.map_err(|error| Failure::Lost(error.to_string()))?;
    let rows = lease.session().rows(statement).await;
    lease.keep();
    rows
}

async fn in_transaction(
    lease: &mut Lease,
    mapping: &ColumnMapping,
    keys: &[Key],
    through: &Watermark,
    attempted: &str,
) -> Result<u64> {
    let session = lease.session();
    make_temporary(session, mapping, attempted).await?;
    session.execute(sql::session::BEGIN).await.doing(attempted)?;
    let outcome = refresh_within(session, mapping, keys, through, attempted).await;
    match session.execute(sql::session::end(&outcome)).await {
        Err(failure) if outcome.is_ok() => Err(failure.of_rows(attempted)),
        _ => outcome,
    }
}

/// Deletes the keys' rows from the shadow, then inserts what the source has of them. All deletes
/// come first, so that values that moved between rows find their places free. The caller has opened
/// the transaction. Returns how many rows were written.
///
/// Stale children of these rows are refreshed with them. The run looks for them before, so that
/// their values are out of the way, and after, because rows of the source may be gone meanwhile.
pub(crate) async fn refresh_within(
    session: &mut Session,
    mapping: &ColumnMapping,
    keys: &[Key],
    through: &Watermark,
    attempted: &str,
) -> Result<u64> {
    if let Some(reverse) = &mapping.reverse {
        return match through {
            // To make room, a refresh would delete rows, and with them what only the old table has.
            Watermark::Start => Ok(0),
            _ => refresh_back(session, mapping, reverse, keys, attempted).await,
        };
    }
    if mapping.by_document.load(Ordering::SeqCst) {
        return refresh_by_document_locked(session, mapping, keys, attempted).await;
    }
    let mut written = 0;
    let mut keys = rows_of(session, mapping, keys).await.doing(attempted)?;
    let mut fresh = stale_of(session, mapping, &keys, attempted).await?;
    let mut known: HashSet<Key> =
        if fresh.is_empty() { HashSet::new() } else { keys.iter().cloned().collect() };
    while !fresh.is_empty() {
        fresh.retain(|key| known.insert(key.clone()));
        keys.to_mut().extend_from_slice(&fresh);
        fresh = stale_of(session, mapping, &fresh, attempted).await?;
    }
    while !keys.is_empty() {
        for part in parts(&keys) {
            let deleted = session.execute(&sql::rows::delete_keys(mapping, part)?).await;
            written += deleted.doing(attempted)?.rows;
        }
        if *through != Watermark::Start {
            for part in parts(&keys) {
                written += insert(
                    session,
                    mapping,
                    &sql::rows::insert_keys(mapping, part, through)?,
                    attempted,
                )
                .await?;
            }
        }
        keys = stale_of(session, mapping, &keys, attempted).await?.into();
    }
    Ok(written)
}

async fn stale_of(
    session: &mut Session,
    mapping: &ColumnMapping,
    keys: &[Key],
    attempted: &str,
) -> Result<Vec<Key>> {
    let mut stale = Vec::new();
    for part in parts(keys).into_iter().filter(|_| !mapping.own_keys.is_empty()) {
        let found = stale_children(session, mapping, &Compared::Keys(part)).await;
        stale.extend(found.doing(attempted)?);
    }
    Ok(stale)
}
