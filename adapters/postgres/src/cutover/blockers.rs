//! Sessions that block the cut-over. The run names them, and ends them only with --kill-blockers.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Kind, Result};
use std::time::{Duration, Instant};
use tokio_postgres::Row;

/// The pause between two checks whether sessions have ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A session or a prepared transaction.
pub(crate) struct Blocker {
    /// The session, described for people.
    pub(crate) who: String,
    /// Its server process, if it is an application's session. The run ends no other.
    pid: Option<i32>,
}

impl Blocker {
    fn of_row(row: &Row) -> Blocker {
        Blocker { who: row.get(0), pid: row.get(1) }
    }
}

/// Returns the sessions that have held a lock on one of the relations for longer than we would
/// wait.
pub(crate) async fn holders(
    session: &Session,
    relations: &[u32],
    patience: Duration,
) -> Result<Vec<Blocker>> {
    let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
    let rows = session.query(sql::BLOCKERS, &[&relations, &patience]).await;
    let rows = rows.doing("ask who is in the way")?;
    Ok(rows.iter().map(Blocker::of_row).collect())
}

/// Returns the sessions with a temporary object over a table. Only they can drop it.
pub(crate) async fn temporary(session: &Session, table: u32) -> Result<Vec<Blocker>> {
    let rows = session.query(sql::TEMPORARY, &[&table]).await;
    let rows = rows.doing("look for temporary views of other sessions")?;
    Ok(rows.iter().map(Blocker::of_row).collect())
}

/// Returns the sessions that a session waits for.
pub(crate) async fn before(session: &Session, pid: i32) -> Result<Vec<Blocker>> {
    let rows = session.query(sql::WHO_BLOCKS, &[&pid]).await;
    let rows = rows.doing("ask who is in the way")?;
    Ok(rows.iter().map(Blocker::of_row).collect())
}

/// Describes them in a sentence.
pub(crate) fn names(blockers: &[Blocker]) -> String {
    blockers.iter().map(|blocker| blocker.who.as_str()).collect::<Vec<_>>().join("; ")
}

/// Ends the sessions that may be ended, with --kill-blockers only, and logs each. Returns the
/// others.
pub(crate) async fn end(
    session: &Session,
    change: &Change,
    blockers: Vec<Blocker>,
) -> Result<Vec<Blocker>> {
    if !change.target.kill_blockers.is_on() {
        return Ok(blockers);
    }
    let mut left = Vec::new();
    for blocker in blockers {
        let Some(pid) = blocker.pid else {
            left.push(blocker);
            continue;
        };
        let ended = session.query(sql::END_BLOCKER, &[&pid]).await;
        match ended.doing(format!("end {}", blocker.who)) {
            // The switch may have been turned on for a user who may not do it.
            Err(error) if error.kind == Kind::Refused => {
                tracing::warn!("{error}");
                left.push(blocker);
                continue;
            }
            ended => drop(ended?),
        }
        tracing::warn!(
            "ended {}, which was in the way of the cut-over of {}",
            blocker.who,
            change.names.display
        );
    }
    Ok(left)
}

/// Waits for transactions of this database that have a snapshot now, up to a limit. After the swap
/// they would read the table as it was before.
pub(crate) async fn wait_for_old_snapshots(
    session: &Session,
    bound: Option<Duration>,
) -> Result<()> {
    let Some(bound) = bound else { return Ok(()) };
    let attempted = "wait for readers that began before the swap";
    let now: String = session.one(sql::NOW, &[]).await.doing(attempted)?.get(0);
    let deadline = Instant::now() + bound;
    loop {
        let rows = session.query(sql::OLD_SNAPSHOTS, &[&now]).await.doing(attempted)?;
        if rows.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let who: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            tracing::warn!(
                "readers that began before the swap did not end within {bound:?}: {}",
                who.join("; ")
            );
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
