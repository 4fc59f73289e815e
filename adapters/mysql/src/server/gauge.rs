//! Replica lag by our own heartbeats: which one has arrived there, and how long ago the run sent
//! the next. No clocks are compared.

use crate::change::Change;
use crate::server::about::Replica;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::replicas::{forget_those_that_left, watched};
use crate::server::session::{Session, number, text};
use crate::server::version::Flavour;
use crate::sql;
use crate::state::{GaugeState, LogState, ShadowState};
use altergeist_contract::{Error, ReplicaLag, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many row versions readers hold up. MariaDB has a status variable for it; MySQL has it
/// elsewhere.
const HISTORY: &str = "Innodb_history_list_length";

/// A replica that does not answer in time counts as too far behind.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) async fn replica_lags(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    gauge: &GaugeState,
) -> Result<Vec<ReplicaLag>> {
    let mut replicas = gauge.replicas.lock().await;
    if replicas.is_none() {
        *replicas = Some(watched(change, pool, &log_state.server).await?);
    }
    let replicas = replicas.get_or_insert_default();
    let mut lags = Vec::new();
    for replica in replicas.iter_mut() {
        let beat = tokio::time::timeout(PATIENCE, last_beat(change, replica)).await.ok().flatten();
        if beat.is_none() {
            replica.session = None;
        }
        replica.is_certain |= beat.is_some();
        let lag = beat.map(|beat| log_state.heartbeat.age(beat));
        lags.push(ReplicaLag { replica: replica.access.address.clone(), lag });
    }
    forget_those_that_left(change, pool, replicas).await?;
    Ok(lags)
}

pub(crate) async fn read_loads(
    change: &Change,
    pool: &Arc<SessionPool>,
    gauge: &GaugeState,
    measures: &[&str],
) -> Result<Vec<f64>> {
    let of_server =
        |measure: &str| format!("look at the load {measure} of {}", pool.access.address);
    let mut watch = gauge.watch.lock().await;
    if !watch.as_ref().is_some_and(Session::is_fresh) {
        *watch = Some(Session::bare(&pool.access).await?);
    }
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

pub(crate) async fn last_beat(change: &Change, replica: &mut Replica) -> Option<u64> {
    if !replica.session.as_ref().is_some_and(Session::is_alive) {
        replica.session = Some(Session::bare(&replica.access).await.ok()?);
    }
    let statement = sql::journal::last_beat(&change.names.beat, &change.source.name);
    number(&replica.session.as_mut()?.row(&statement).await.ok()??[0])
}
