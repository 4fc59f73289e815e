//! How much of its log the server retains for the run, and what becomes of a slot that is lost or
//! given up.

use crate::change::Change;
use crate::log::slot::START_AGAIN;
use crate::log::slot::{self, RESUME_GRACE};
use crate::log::source::LogSource;
use crate::server::error;
use crate::server::session::{Session, locked};
use crate::sql;
use altergeist_contract::{LogKept, Result};

/// What the server keeps of its log for the slot. The run ends at the bound it was given, and
/// before the server's own.
pub(crate) async fn kept(
    session: &Session,
    change: &Change,
    source: &LogSource,
) -> Result<Option<LogKept>> {
    let log = source.session(session).await?;
    let rows = log.query(sql::LOG_KEPT, &[&change.names.slot]).await;
    let rows = rows.map_err(|error| {
        error::of(format!("ask what the slot {} keeps", change.names.slot), &error)
    })?;
    let Some(row) = rows.first() else { return Ok(None) };
    let bytes = row.get::<_, i64>(0).unsigned_abs();
    // A run that has just been taken up again has not been able to move its slot on.
    let is_under_way =
        locked(&source.following_since).is_some_and(|since| since.elapsed() > RESUME_GRACE);
    let servers = servers_limit(row.get(1)).filter(|_| is_under_way);
    let limit_bytes = change.target.log_limit_bytes.into_iter().chain(servers).min();
    Ok(Some(LogKept { bytes, limit_bytes }))
}

/// Where the run ends for the server's own bound: early enough that it can still be resumed.
pub(crate) fn servers_limit(megabytes: i64) -> Option<u64> {
    u64::try_from(megabytes).ok().map(|megabytes| (megabytes << 20) / 10 * 9)
}

/// At the bound the run was given, the slot is dropped: nothing else would keep the log from
/// growing. The server's own bound keeps the disk from filling up, so there the slot stays.
pub(crate) async fn give_up(
    session: &Session,
    change: &Change,
    source: &LogSource,
) -> Result<String> {
    let writers = session.query(sql::WRITERS, &[]).await;
    let writers: Vec<String> =
        writers.map(|rows| rows.iter().map(|row| row.get(0)).collect()).unwrap_or_default();
    let meanwhile = match writers.is_empty() {
        true => String::new(),
        false => {
            format!("; transactions under way, which may be what holds it: {}", writers.join("; "))
        }
    };
    let kept = kept(session, change, source).await?;
    let is_ours = kept
        .is_none_or(|kept| change.target.log_limit_bytes.is_some_and(|limit| kept.bytes >= limit));
    if is_ours {
        slot::drop_log(session, change, source).await?;
        return Ok(format!(
            "that is all it may (--max-log-kept), so the replication slot was dropped, and the \
             copy made so far is of no use any more; {START_AGAIN}{meanwhile}"
        ));
    }
    Ok(format!(
        "it is near max_slot_wal_keep_size, where the server would invalidate the replication \
         slot {}. Raise it, and the same command continues from here; or run `altergeist cleanup` \
         to drop the copy{meanwhile}",
        change.names.slot
    ))
}
