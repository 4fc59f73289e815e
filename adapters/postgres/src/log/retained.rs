//! How much log the server retains for the run, and what happens to a lost slot or one that is
//! given up.

use crate::change::Change;
use crate::log::slot::START_AGAIN;
use crate::log::slot::{self, RESUME_GRACE};
use crate::log::source::LogSource;
use crate::server::doing::Doing;
use crate::server::session::{Session, locked};
use crate::sql;
use altergeist_contract::{LogKept, Result};

/// Returns how much log the server retains for the slot. The run ends at its own limit, or before
/// the server's.
pub(crate) async fn kept(
    session: &Session,
    change: &Change,
    source: &LogSource,
) -> Result<Option<LogKept>> {
    let log = source.session(session).await?;
    let rows = log.query(sql::LOG_KEPT, &[&change.names.slot]).await;
    let rows = rows.doing(format!("ask what the slot {} keeps", change.names.slot))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let bytes = row.get::<_, i64>(0).unsigned_abs();
    // A run that has just resumed could not advance its slot yet.
    let is_under_way =
        locked(&source.following_since).is_some_and(|since| since.elapsed() > RESUME_GRACE);
    let servers = servers_limit(row.get(1)).filter(|_| is_under_way);
    let limit_bytes = change.target.log_limit_bytes.into_iter().chain(servers).min();
    Ok(Some(LogKept { bytes, limit_bytes }))
}

/// Returns where the run ends because of the server's own limit: early enough to resume.
pub(crate) fn servers_limit(megabytes: i64) -> Option<u64> {
    u64::try_from(megabytes).ok().map(|megabytes| (megabytes << 20) / 10 * 9)
}

/// Drops the slot at the run's own limit, because nothing else would stop the log from growing. At
/// the server's limit the slot stays, because that limit protects the disk.
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
            format!("; open transactions, which may be the cause: {}", writers.join("; "))
        }
    };
    let kept = kept(session, change, source).await?;
    let is_ours = kept
        .is_none_or(|kept| change.target.log_limit_bytes.is_some_and(|limit| kept.bytes >= limit));
    if is_ours {
        slot::drop_log(session, change, source).await?;
        return Ok(format!(
            "that is its limit (--max-log-kept). The run dropped the replication slot, so the copy \
             made so far is useless; {START_AGAIN}{meanwhile}"
        ));
    }
    Ok(format!(
        "it is near max_slot_wal_keep_size, where the server would invalidate the replication \
         slot {}. Raise it, and the same command continues from here; or run `altergeist cleanup` \
         to drop the copy{meanwhile}",
        change.names.slot
    ))
}
