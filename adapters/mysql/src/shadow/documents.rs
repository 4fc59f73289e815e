//! Refreshes a shadow that numbers its documents itself (FTS_DOC_ID) and has its FULLTEXT index.
//!
//! InnoDB then takes a row only if its number is greater than all numbers committed before. Two
//! things follow.
//!
//! - A row whose document has not changed is updated in place. It cannot be deleted and inserted
//!   again. The source has the same rule, so a document with the same number has the same texts.
//! - New documents come in the order of their numbers. In the source, a document is visible only
//!   when no smaller number can be added any more: InnoDB raises its limit before the commit, and
//!   checks a number after the row is written. So a refresh that adds a document looks for all
//!   smaller ones that the shadow lacks, and adds them in the same transaction. If some of them are
//!   not committed yet, it waits for them.
//!
//! All work is by document numbers, not by keys. A row whose key changed keeps its document, and is
//! updated in place as well.
//!
//! Two things end this way, and the run copies the table again: InnoDB refuses a number anyway, or
//! rows exchanged the values of a unique index, so that none of them can be updated first.

use crate::change::Change;
use crate::log::cascades::rows_of;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::full_text::DOCUMENT;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, number};
use crate::shadow::insert::{check_warnings, insert, parts};
use crate::sql;
use crate::state::ShadowState;
use altergeist_contract::{Error, Key, Kind, Result, Watermark};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Most documents in one statement.
const DOCUMENTS_MAX: usize = 1000;

/// The pause before the run looks again for documents that are not committed.
const PAUSE: Duration = Duration::from_millis(50);

/// How often the run looks again before the refresh fails, and the core tries it later.
const LOOKS_MAX: u32 = 200;

/// How often a row is tried that another row is in the way of.
const CONFLICTS_MAX: u32 = 20;

/// Refreshes keys in a transaction of their own. One such refresh runs at a time.
pub(crate) async fn refresh_keys_by_document(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    mapping: &ColumnMapping,
    keys: &[Key],
    through: &Watermark,
) -> Result<()> {
    let attempted = change.doing("refresh rows of");
    let _turn = shadow_state.document_turn.lock().await;
    let mut lease = pool.worker().await?;
    let session = lease.session();
    let others = Others::MayAdd(pool);
    let writing = shadow_state.shadow_writes.begin();
    let documents = documents_of(session, others, mapping, keys, &attempted).await;
    let outcome = match documents {
        Ok(documents) => {
            in_transaction(session, mapping, &documents, adds(through), &attempted).await
        }
        Err(error) => Err(error),
    };
    lease.keep();
    judge(shadow_state, keys, adds(through), writing.end(outcome))
}

/// Ends conflicts that updates in place can never resolve: rows that exchanged the values of a
/// unique index. The core tries such a key alone.
fn judge(shadow_state: &ShadowState, keys: &[Key], adds: bool, outcome: Result<u64>) -> Result<()> {
    let mut conflicts = shadow_state.conflicts.lock().expect("not poisoned");
    match (outcome, keys) {
        (Err(error), [alone]) if matches!(error.kind, Kind::Stale { .. }) => {
            let tried = conflicts.entry(alone.clone()).or_default();
            *tried += 1;
            match *tried > CONFLICTS_MAX {
                true => Err(Error::new(Kind::Missed, error.attempted, error.reason)),
                false => Err(error),
            }
        }
        (Err(error), _) => Err(error),
        // What only made room has resolved nothing.
        (Ok(_), keys) => {
            conflicts.retain(|key, _| !adds || !keys.contains(key));
            Ok(())
        }
    }
}

/// Refreshes keys within a transaction, while no other session can write the source.
pub(crate) async fn refresh_by_document_locked(
    session: &mut Session,
    mapping: &ColumnMapping,
    keys: &[Key],
    attempted: &str,
) -> Result<u64> {
    let documents = documents_of(session, Others::AreLocked, mapping, keys, attempted).await?;
    refresh(session, mapping, &documents, true, attempted).await
}

/// Brings documents into the shadow that it lacks below its greatest number. They were not
/// committed when a greater one was copied. From the FULLTEXT index on it is too late for them.
pub(crate) async fn fill_gaps(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    mapping: &ColumnMapping,
) -> Result<()> {
    let attempted = change.doing("look for missing documents in the shadow of");
    let mut dirty = seer(pool, &attempted).await?;
    let greatest = dirty.text(&sql::documents::greatest(mapping)).await.doing(&attempted)?;
    let greatest = greatest.parse().unwrap_or_default();
    let mut after = 0;
    loop {
        let query = sql::documents::missing(mapping, after, greatest, DOCUMENTS_MAX as u64);
        let mut missing = numbers(&mut dirty, &query, &attempted).await?;
        let Some(last) = missing.last().copied() else { return Ok(()) };
        after = last;
        while !missing.is_empty() {
            refresh_missing(pool, shadow_state, mapping, &missing, &attempted).await?;
            let wanted = sql::documents::present(mapping, &mapping.source, &missing);
            let wanted = numbers(&mut dirty, &wanted, &attempted).await?;
            let found = sql::documents::present(mapping, &mapping.shadow, &missing);
            let found = numbers(&mut dirty, &found, &attempted).await?;
            missing = wanted.into_iter().filter(|document| !found.contains(document)).collect();
            if !missing.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn refresh_missing(
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    mapping: &ColumnMapping,
    missing: &[u64],
    attempted: &str,
) -> Result<()> {
    let _turn = shadow_state.document_turn.lock().await;
    let mut lease = pool.worker().await?;
    let writing = shadow_state.shadow_writes.begin();
    let outcome = in_transaction(lease.session(), mapping, missing, true, attempted).await;
    lease.keep();
    writing.end(outcome).map(drop)
}

/// Whether other sessions may write the source now.
#[derive(Clone, Copy)]
enum Others<'a> {
    MayAdd(&'a Arc<SessionPool>),
    AreLocked,
}

/// A refresh up to the beginning of the key space only makes room.
fn adds(through: &Watermark) -> bool {
    *through != Watermark::Start
}

async fn in_transaction(
    session: &mut Session,
    mapping: &ColumnMapping,
    documents: &[u64],
    adds: bool,
    attempted: &str,
) -> Result<u64> {
    session.execute(sql::session::BEGIN).await.doing(attempted)?;
    let outcome = refresh(session, mapping, documents, adds, attempted).await;
    match session.execute(sql::session::end(&outcome)).await {
        Err(failure) if outcome.is_ok() => Err(failure.of_rows(attempted)),
        _ => outcome,
    }
}

/// Returns the documents of these keys in both tables, and all documents that must be added with
/// them.
async fn documents_of(
    session: &mut Session,
    others: Others<'_>,
    mapping: &ColumnMapping,
    keys: &[Key],
    attempted: &str,
) -> Result<Vec<u64>> {
    let keys = rows_of(session, mapping, keys).await.doing(attempted)?;
    let mut documents = BTreeSet::new();
    for part in parts(&keys) {
        let of_source = sql::documents::of_keys(mapping, part)?;
        documents.extend(numbers(session, &of_source, attempted).await?);
        let of_shadow = sql::documents::of_keys_in_shadow(mapping, part)?;
        documents.extend(numbers(session, &of_shadow, attempted).await?);
    }
    let greatest = session.text(&sql::documents::greatest(mapping)).await.doing(attempted)?;
    let greatest = greatest.parse().unwrap_or_default();
    if let Some(last) = documents.last().copied().filter(|last| *last > greatest) {
        documents.extend(committed(session, others, mapping, greatest, last, attempted).await?);
    }
    Ok(documents.into_iter().collect())
}

/// Returns the source's documents of this range, once all of them are committed.
async fn committed(
    session: &mut Session,
    others: Others<'_>,
    mapping: &ColumnMapping,
    after: u64,
    through: u64,
    attempted: &str,
) -> Result<Vec<u64>> {
    let query = sql::documents::between(mapping, after, through);
    let Others::MayAdd(pool) = others else { return numbers(session, &query, attempted).await };
    let mut dirty = seer(pool, attempted).await?;
    for _ in 0..LOOKS_MAX {
        let seen = numbers(&mut dirty, &query, attempted).await?;
        let committed: BTreeSet<u64> =
            numbers(session, &query, attempted).await?.into_iter().collect();
        if seen.iter().all(|document| committed.contains(document)) {
            return Ok(committed.into_iter().collect());
        }
        tokio::time::sleep(PAUSE).await;
    }
    let reason = format!(
        "an open transaction has added rows with a smaller {DOCUMENT} than rows that are \
         committed; the run waits for it"
    );
    Err(Error::new(Kind::Transient, attempted, reason))
}

/// Makes the shadow's rows of these documents equal to the source's. Deletes come first.
async fn refresh(
    session: &mut Session,
    mapping: &ColumnMapping,
    documents: &[u64],
    adds: bool,
    attempted: &str,
) -> Result<u64> {
    let mut written = 0;
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for part in documents.chunks(DOCUMENTS_MAX) {
        let of_source = present(session, mapping, &mapping.source, part, attempted).await?;
        let of_shadow = present(session, mapping, &mapping.shadow, part, attempted).await?;
        let gone: Vec<u64> = of_shadow.difference(&of_source).copied().collect();
        if !gone.is_empty() {
            let deleted = session.execute(&sql::documents::delete(mapping, &gone)).await;
            written += deleted.doing(attempted)?.rows;
        }
        old.extend(of_source.intersection(&of_shadow).copied());
        new.extend(of_source.difference(&of_shadow).copied());
    }
    if adds {
        for part in old.chunks(DOCUMENTS_MAX) {
            written += update_in_any_order(session, mapping, part, attempted).await?;
        }
        for part in new.chunks(DOCUMENTS_MAX) {
            written +=
                insert(session, mapping, &sql::documents::insert(mapping, part), attempted).await?;
        }
    }
    Ok(written)
}

/// Updates documents together. If a value moved from one row to another, it updates them one by
/// one, as long as that frees another's place.
async fn update_in_any_order(
    session: &mut Session,
    mapping: &ColumnMapping,
    documents: &[u64],
    attempted: &str,
) -> Result<u64> {
    match update(session, mapping, documents, attempted).await {
        Err(error) if matches!(error.kind, Kind::Stale { .. }) => {}
        outcome => return outcome,
    }
    let (mut written, mut waiting) = (0, documents.to_vec());
    while !waiting.is_empty() {
        let (mut still, mut conflict) = (Vec::new(), None);
        for document in &waiting {
            match update(session, mapping, &[*document], attempted).await {
                Ok(rows) => written += rows,
                Err(error) if matches!(error.kind, Kind::Stale { .. }) => {
                    still.push(*document);
                    conflict = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = conflict.filter(|_| still.len() == waiting.len()) {
            return Err(error);
        }
        waiting = still;
    }
    Ok(written)
}

async fn update(
    session: &mut Session,
    mapping: &ColumnMapping,
    documents: &[u64],
    attempted: &str,
) -> Result<u64> {
    let updated = session.execute(&sql::documents::update(mapping, documents)).await;
    if updated.as_ref().is_err_and(|failure| failure.is_out_of_range(DOCUMENT)) {
        let index = mapping.key.shadow_index.clone();
        let reason = format!("another document is in the way in unique index {index}");
        return Err(Error::new(Kind::Stale { index }, attempted, reason));
    }
    let done = updated.doing(attempted)?;
    check_warnings(session, mapping, done, attempted).await?;
    // The server counts a row that it updated twice.
    Ok(done.rows / 2)
}

async fn present(
    session: &mut Session,
    mapping: &ColumnMapping,
    table: &crate::server::names::TableName,
    documents: &[u64],
    attempted: &str,
) -> Result<BTreeSet<u64>> {
    let query = sql::documents::present(mapping, table, documents);
    Ok(numbers(session, &query, attempted).await?.into_iter().collect())
}

async fn numbers(session: &mut Session, query: &str, attempted: &str) -> Result<Vec<u64>> {
    let rows = session.rows(query).await.doing(attempted)?;
    Ok(rows.iter().filter_map(|row| number(&row[0])).collect())
}

/// Opens a session that sees rows that are not committed.
async fn seer(pool: &Arc<SessionPool>, attempted: &str) -> Result<Session> {
    let mut session = pool.reader().await?;
    session.execute(sql::documents::SEE_UNCOMMITTED).await.doing(attempted)?;
    Ok(session)
}
