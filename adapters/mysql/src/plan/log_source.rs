//! Checks the server whose log is read: the table's own, or a replica of it (`--stream-from`).
//!
//! Law 1 is about the primary: the stream delivers keys when reads there see the changes. A replica
//! writes its log when it applies what the primary has logged. So everything in its log before a
//! heartbeat is before it in the primary's log too, *if* the replica keeps the order of commits.
//! Then the heartbeat's COMMIT, which has returned on the primary, proves it visible there. A mark
//! in the replica's log shows that everything committed before it has arrived, again only in that
//! order. So the plan refuses a replica that may apply transactions in another order. It also
//! refuses one that may leave some out, or whose table differs.

use crate::change::Change;
use crate::log::source::{Filters, LogServer, leaves_out};
use crate::server::doing::Doing;
use crate::server::names::TableName;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, number, text};
use crate::server::version::{Flavour, Version};
use crate::sql;
use crate::state::LogState;
use altergeist_contract::{Code, Error, Finding, Kind, Marker, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait for a replica to show a heartbeat when the log is opened.
const LONGEST_LAG: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(50);

pub(crate) fn replica_filters(change: &Change, log: &LogServer) -> Filters {
    let replica = log.is_replica.then(|| (log.access.clone(), log.server.version));
    Filters { replica, source: change.source.clone() }
}

/// Runs [`Filters::check`], at most once a second.
pub(crate) async fn watch_filters(change: &Change, log_state: &LogState) -> Result<()> {
    let is_due = {
        let mut read = log_state.settings_read.lock().expect("not poisoned");
        let is_due = read.is_none_or(|at| at.elapsed() > Duration::from_secs(1));
        if is_due {
            *read = Some(Instant::now());
        }
        is_due
    };
    if is_due { replica_filters(change, &log_state.server).check().await } else { Ok(()) }
}

/// Returns why the replica's log is not usable. Nothing if the log is the table's own server's.
pub(crate) async fn refuse_stream_from(
    change: &Change,
    pool: &Arc<SessionPool>,
    log: &LogServer,
) -> Result<Vec<Finding>> {
    if !log.is_replica {
        return Ok(Vec::new());
    }
    let replica = format!("replica {}", log.access.address);
    let found = match log.server.version.flavour == change.server.version.flavour {
        false => vec![Reason::new(
            "it is another kind of server, and its log has another format",
            "name a replica of the same kind",
        )],
        true => {
            let mut session = Session::bare(&log.access).await?;
            let mut found = judge_settings(log, &mut session, &replica).await?;
            found.extend(judge_sources(log, &mut session, &replica).await?);
            if !is_table_alike(pool, &mut session, &change.source).await? {
                let reason = format!(
                    "{} is not there, or its columns differ from those on the primary",
                    change.title
                );
                found.push(Reason::new(reason, "name a replica with the same table"));
            }
            found
        }
    };
    let refusal =
        |it: Reason| Finding::error(Code::LogSource, replica.clone(), it.reason, it.remedy);
    Ok(found.into_iter().map(refusal).collect())
}

/// Why a replica's log is not usable, and what to do.
struct Reason {
    reason: String,
    remedy: String,
}

impl Reason {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Reason {
        Reason { reason: reason.into(), remedy: remedy.into() }
    }
}

/// Judges whether the replica logs everything, in the primary's order.
async fn judge_settings(
    log: &LogServer,
    session: &mut Session,
    replica: &str,
) -> Result<Vec<Reason>> {
    let version = log.server.version;
    let attempted = || format!("look at the settings of {replica}");
    let row = session
        .row(sql::log::replica_settings(version))
        .await
        .doing_in_catalogue(attempted)?
        .unwrap_or_default();
    let setting = |place: usize| row.get(place).and_then(number).unwrap_or_default();
    let mut found = Vec::new();
    if setting(0) == 0 || setting(1) == 0 {
        found.push(Reason::new(
            "it does not log what it applies",
            format!("set log_bin and {} and restart it", updates_setting(version)),
        ));
    }
    if setting(2) == 0 {
        found.push(Reason::new(
            "it may apply transactions in another order than the primary committed them",
            order_remedy(version),
        ));
    }
    let left_out = leaves_out(session, version).await.doing_in_catalogue(attempted)?;
    if let Some(what) = left_out {
        let reason = format!("it leaves out transactions (replication filters or skips: {what})");
        found.push(Reason::new(reason, "name a replica without filters"));
    } else if is_log_filtered(log, session, version).await? {
        found.push(Reason::new(
            "its log leaves out schemas (binlog_do_db, binlog_ignore_db)",
            "name a replica without filters",
        ));
    }
    Ok(found)
}

/// Judges where the replica gets its transactions from.
async fn judge_sources(
    log: &LogServer,
    session: &mut Session,
    replica: &str,
) -> Result<Option<Reason>> {
    let sources = session.rows(sql::log::replication_status(log.server.version)).await;
    let sources = sources.doing_in_catalogue(format!("look at the settings of {replica}"))?;
    Ok(match sources.len() {
        0 => Some(Reason::new("it is no replica", "name a replica of the table's server")),
        1 => None,
        _ => Some(Reason::new(
            "it replicates from several servers",
            "name a replica with one source",
        )),
    })
}

async fn is_log_filtered(log: &LogServer, session: &mut Session, version: Version) -> Result<bool> {
    let attempted = || format!("look at the log of replica {}", log.access.address);
    let row = session.row(sql::log::log_status(version)).await.doing_in_catalogue(attempted)?;
    let row = row.unwrap_or_default();
    Ok([2, 3].iter().any(|place| row.get(*place).map(text).is_some_and(|list| !list.is_empty())))
}

async fn is_table_alike(
    pool: &Arc<SessionPool>,
    on_replica: &mut Session,
    table: &TableName,
) -> Result<bool> {
    let attempted = || format!("compare the columns of {}", table.plain());
    let mut here = pool.reader().await?;
    let columns = sql::catalogue::columns(table);
    let primary = here.rows(&columns).await.doing_in_catalogue(attempted)?;
    let replica = on_replica.rows(&columns).await.doing_in_catalogue(attempted)?;
    Ok(!primary.is_empty() && primary == replica)
}

/// Repeats the checks of `plan`: settings may have changed since.
pub(crate) async fn check_stream_from(
    change: &Change,
    pool: &Arc<SessionPool>,
    log: &LogServer,
) -> Result<()> {
    match refuse_stream_from(change, pool, log).await?.into_iter().next() {
        Some(refusal) => Err(Error::refused(
            change.doing("read a replica's log for"),
            format!("{}: {}; {}", refusal.object, refusal.message, refusal.remedy),
        )),
        None => Ok(()),
    }
}

/// Waits until a heartbeat arrives in the log. That proves that the server is a replica of this
/// one, and that it applies.
pub(crate) async fn wait_for_arrival(change: &Change, log: &LogServer, beat: Marker) -> Result<()> {
    if !log.is_replica {
        return Ok(());
    }
    let attempted = || change.doing("open a replica's log for");
    let mut session = Session::bare(&log.access).await?;
    let begun = Instant::now();
    let statement = sql::journal::last_beat(&change.names.beat, &change.source.name);
    loop {
        // The replica reports no such table until it has created the heartbeats' table.
        let row = match session.row(&statement).await {
            Err(failure) if failure.ends_session() => {
                return Err(failure.of_catalogue(attempted()));
            }
            row => row.ok().flatten(),
        };
        if row.and_then(|row| number(&row[0])).is_some_and(|seen| seen >= beat.0) {
            return Ok(());
        }
        if begun.elapsed() > LONGEST_LAG {
            let reason = format!(
                "{} has not received a heartbeat within {} s: it is far behind, it is stopped, or \
                 it is no replica of this server",
                log.access.address,
                LONGEST_LAG.as_secs()
            );
            return Err(Error::new(Kind::Busy, attempted(), reason));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn updates_setting(version: Version) -> &'static str {
    if version.is_mysql_since((8, 0, 26)) { "log_replica_updates" } else { "log_slave_updates" }
}

fn order_remedy(version: Version) -> &'static str {
    match version.flavour {
        Flavour::MySql if version.is_mysql_since((8, 0, 26)) => {
            "run SET GLOBAL replica_preserve_commit_order = ON there"
        }
        Flavour::MySql => "run SET GLOBAL slave_preserve_commit_order = ON there",
        Flavour::MariaDb => "run SET GLOBAL slave_parallel_threads = 0 there",
    }
}
