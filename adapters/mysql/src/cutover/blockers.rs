//! Finds the sessions that hold locks on the table. The run names them, and ends them if the user
//! asks for that.

use crate::change::Change;
use crate::cutover::relation_sessions::NotLocked;
use crate::server::doing::Doing;
use crate::server::error::{Failure, NO_SUCH_THREAD};
use crate::server::names::TableName;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, execute_within, number, text};
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Describes a session in messages. The row is one of [`sql::session::metadata_locks`].
pub(crate) fn described(row: &crate::server::session::Cells) -> String {
    // A prepared transaction outlives its session.
    if number(&row[0]).unwrap_or_default() == 0 {
        return format!(
            "a prepared transaction (XA) of {} s, which XA RECOVER lists; end it with XA COMMIT or \
             XA ROLLBACK",
            text(&row[3])
        );
    }
    format!(
        "connection {} ({}@{}, for {} s)",
        text(&row[0]),
        text(&row[1]),
        text(&row[2]),
        text(&row[3])
    )
}

/// Names the sessions that may be in the way, as far as the server shows them. The text begins with
/// a semicolon, or is empty.
pub(crate) async fn describe_blockers(
    change: &Change,
    pool: &Arc<SessionPool>,
    table: &TableName,
) -> String {
    let Ok(mut session) = pool.reader().await else { return String::new() };
    let query = sql::session::metadata_locks(change.server.version, table);
    let mut rows = session.rows(&query).await.unwrap_or_default();
    if rows.is_empty() {
        rows = session.rows(sql::session::OPEN_TRANSACTIONS).await.unwrap_or_default();
    }
    match rows.is_empty() {
        true => String::new(),
        false => format!(
            "; these may hold it: {}",
            rows.iter().map(described).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Ends the sessions that hold locks on these tables, but none of ours. Returns what to say about
/// them: the text begins with a semicolon, or is empty.
pub(crate) async fn kill_blockers(
    change: &Change,
    pool: &Arc<SessionPool>,
    tables: &[TableName],
    own: &[u64],
) -> Result<String> {
    let attempted = || change.doing("end the sessions in the way of");
    let mut session = pool.reader().await?;
    let mut ended = Vec::new();
    for name in tables {
        let query = sql::session::metadata_locks(change.server.version, name);
        let rows = session.rows(&query).await.doing_in_catalogue(attempted)?;
        for row in rows {
            let Some(id) = number(&row[0]).filter(|id| !own.contains(id)) else { continue };
            let who = described(&row);
            match session.execute(&sql::session::kill(id)).await {
                Ok(_) => {
                    tracing::warn!("ended {who}, which blocked the cut-over of {}", change.title);
                    ended.push(who);
                }
                Err(failure) if failure.code() == Some(NO_SUCH_THREAD) => {}
                Err(failure) => return Err(failure.of_catalogue(format!("end {who}"))),
            }
        }
    }
    Ok(if ended.is_empty() {
        String::new()
    } else {
        format!("; the run ended {}", ended.join(", "))
    })
}

/// Refuses --kill-blockers if the server does not show who holds locks.
pub(crate) async fn refuse_killing(change: &Change, session: &mut Session) -> Option<Finding> {
    if !change.target.kill_blockers.is_on() {
        return None;
    }
    let query = sql::session::metadata_locks(change.server.version, &change.source);
    let failure = session.rows(&query).await.err()?;
    let remedy = match change.server.version.flavour {
        Flavour::MySql => {
            "run GRANT SELECT ON performance_schema.* to this user, or leave --kill-blockers out"
        }
        Flavour::MariaDb => "INSTALL SONAME 'metadata_lock_info', or leave --kill-blockers out",
    };
    let said = failure.of_catalogue("").reason;
    Some(Finding::error(
        Code::Option,
        "--kill-blockers",
        format!("who holds locks on the table cannot be seen: {said}"),
        remedy,
    ))
}

/// A free lock is acquired within this time.
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// Waits for one of our locks on these tables. Ends the sessions in the way if the user asks for
/// that.
pub(crate) async fn wait_for_lock(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
    lock: &str,
    tables: &[TableName],
    own: &[u64],
    until: Instant,
) -> Result<std::result::Result<(), NotLocked>> {
    let rest = || until.saturating_duration_since(Instant::now()).max(SHORTEST_WAIT);
    let first = if change.target.kill_blockers.is_on() { rest() / 2 } else { rest() };
    let mut outcome = execute_within(session, &pool.access, lock, first).await;
    let mut ended = String::new();
    if change.target.kill_blockers.is_on() && outcome.as_ref().is_err_and(Failure::is_lock_wait) {
        // The switch may have been turned on for a user who may not do it.
        ended = kill_blockers(change, pool, tables, own)
            .await
            .unwrap_or_else(|error| format!("; could not end it: {}", error.reason));
        outcome = execute_within(session, &pool.access, lock, rest()).await;
    }
    Ok(outcome.map(drop).map_err(|failure| NotLocked { failure, ended }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_transaction_is_not_named_as_a_connection() {
        let row = |cells: [&str; 4]| cells.map(|cell| Some(cell.as_bytes().to_vec())).to_vec();
        assert_eq!(described(&row(["7", "app", "web", "3"])), "connection 7 (app@web, for 3 s)");
        let prepared = described(&row(["0", "?", "?", "3"]));
        assert!(prepared.contains("XA ROLLBACK") && !prepared.contains("connection"), "{prepared}");
    }
}
