//! How heavily the server is used, and other numbers that signals read.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::grants;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, number, text};
use crate::server::version::Flavour;
use crate::sql;
use crate::state::{GaugeState, ShadowState};
use altergeist_contract::{Error, Reading, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::MutexGuard;

/// How many row versions readers hold up. MariaDB has a status variable for it; MySQL has it
/// elsewhere.
const HISTORY: &str = "Innodb_history_list_length";

pub(crate) async fn read_loads(
    change: &Change,
    pool: &Arc<SessionPool>,
    gauge: &GaugeState,
    measures: &[&str],
) -> Result<Vec<f64>> {
    let of_server =
        |measure: &str| format!("look at the load {measure} of {}", pool.access.address);
    let mut watch = watch(pool, gauge).await?;
    let session = watch.as_mut().expect("it was just opened");
    let mut loads = Vec::new();
    for measure in measures {
        let is_history = measure.eq_ignore_ascii_case(HISTORY)
            && change.server.version.flavour == Flavour::MySql;
        let statement = if is_history {
            sql::session::HISTORY.to_owned()
        } else {
            sql::session::status_variable(measure)
        };
        let row = session.row(&statement).await.doing_in_catalogue(of_server(measure))?;
        let load = row.as_ref().and_then(|row| row.last()).and_then(|cell| text(cell).parse().ok());
        loads.push(load.ok_or_else(|| {
            Error::refused(
                of_server(measure),
                "the server's SHOW GLOBAL STATUS knows no number of this name".to_owned(),
            )
        })?);
    }
    Ok(loads)
}

/// Reads a number that a signal needs.
pub(crate) async fn read(
    change: &Change,
    pool: &Arc<SessionPool>,
    gauge: &GaugeState,
    reading: Reading,
) -> Result<u64> {
    let mut watch = watch(pool, gauge).await?;
    let session = watch.as_mut().expect("it was just opened");
    let of = |what: &str| format!("read {what} of {}", pool.access.address);
    match reading {
        Reading::LockWaiters => lock_waiters(session, of("the sessions that wait for locks")).await,
        Reading::HistoryList => {
            let statement = match change.server.version.flavour {
                Flavour::MySql => sql::session::HISTORY.to_owned(),
                Flavour::MariaDb => sql::session::status_variable(HISTORY),
            };
            let attempted = of("the history list");
            let row = session.row(&statement).await.doing_in_catalogue(&*attempted)?;
            row.as_ref().and_then(|row| number(row.last()?)).ok_or_else(|| {
                Error::refused(
                    attempted,
                    "the server does not count it; SET GLOBAL innodb_monitor_enable = \
                     'trx_rseg_history_len'",
                )
            })
        }
        Reading::FreeDisk => {
            // A server without the plugin has no such table.
            let row = session.row(sql::catalogue::FREE_DISK).await;
            let free = row.ok().flatten().and_then(|row| number(row.get(1)?));
            free.ok_or_else(|| {
                let helps = match change.server.version.flavour {
                    Flavour::MySql => "name a query or a command with --free-disk",
                    Flavour::MariaDb => {
                        "INSTALL SONAME 'disks' and GRANT FILE, or name a query or a command with \
                         --free-disk"
                    }
                };
                Error::refused(of("the free disk"), format!("the server does not tell it; {helps}"))
            })
        }
    }
}

/// Counts the sessions that wait for a row, a table or a definition. MariaDB shows an empty list to
/// whoever lacks PROCESS, so the privilege itself is asked for.
async fn lock_waiters(session: &mut Session, attempted: String) -> Result<u64> {
    let grants = grants::grants(session).await.doing_in_catalogue(&*attempted)?;
    if !grants::has(&grants, "PROCESS", None) {
        return Err(Error::refused(attempted, "run GRANT PROCESS ON *.* to this user"));
    }
    let row = session.row(sql::session::LOCK_WAITERS).await.doing_in_catalogue(&*attempted)?;
    row.as_ref()
        .and_then(|row| number(row.first()?))
        .ok_or_else(|| Error::refused(attempted, "the answer is no number"))
}

/// The session that reads numbers, which no statement of the run holds up.
async fn watch<'a>(
    pool: &Arc<SessionPool>,
    gauge: &'a GaugeState,
) -> Result<MutexGuard<'a, Option<Session>>> {
    let mut watch = gauge.watch.lock().await;
    if !watch.as_ref().is_some_and(Session::is_fresh) {
        *watch = Some(Session::bare(&pool.access).await?);
    }
    Ok(watch)
}

pub(crate) async fn built_fraction(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Option<f64> {
    let builder = shadow_state.builder.load(Ordering::Relaxed);
    if builder == 0 || change.server.version.flavour == Flavour::MariaDb {
        return None;
    }
    let mut session = pool.reader().await.ok()?;
    let work = session.row(&sql::session::work_of(builder)).await.ok()??;
    let (done, of) = (number(&work[0])?, number(&work[1])?);
    Some((done as f64 / of.max(1) as f64).min(1.0))
}
