//! Replica lag by our own heartbeats: which one has arrived there, and how long ago the run sent
//! the next. No clocks are compared. Or by the operator's own query.

use crate::change::Change;
use crate::server::about::Replica;
use crate::server::ask;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::replicas::{forget_those_that_left, watched as find};
use crate::server::session::{Session, number};
use crate::sql;
use crate::state::{GaugeState, LogState, WatchedNow};
use altergeist_contract::{Error, ReplicaLag, Result, WatchedReplicas, seconds_of_lag};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// A replica that does not answer in time counts as too far behind.
const PATIENCE: Duration = Duration::from_secs(3);

/// The lag of each replica that counts.
pub(crate) async fn replica_lags(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    gauge: &GaugeState,
    watched: WatchedReplicas<'_>,
) -> Result<Vec<ReplicaLag>> {
    if let (Some(query), []) = (watched.query, watched.named) {
        let asked = tokio::time::timeout(PATIENCE, ask::ask(change, pool, query)).await;
        return Ok(vec![by_query(&pool.access.address, asked.ok())]);
    }
    let mut now = gauge.replicas.lock().await;
    if now.as_ref().is_none_or(|now| now.named != watched.named) {
        let replicas = find(change, pool, &log_state.server, watched.named).await?;
        *now = Some(WatchedNow { named: watched.named.to_vec(), replicas });
    }
    let now = now.as_mut().expect("it was just found");
    let asking = now.replicas.iter_mut().map(|replica| lag_of(change, log_state, replica, watched));
    let lags = join_all(asking).await;
    forget_those_that_left(change, pool, &mut now.replicas).await?;
    Ok(lags)
}

async fn lag_of(
    change: &Change,
    log_state: &LogState,
    replica: &mut Replica,
    watched: WatchedReplicas<'_>,
) -> ReplicaLag {
    let lag = match watched.query {
        Some(query) => {
            let asked = tokio::time::timeout(PATIENCE, ask_there(change, replica, query)).await;
            by_query(&replica.access.address, asked.ok())
        }
        None => {
            let beat = tokio::time::timeout(PATIENCE, last_beat(change, replica)).await;
            let lag = beat.ok().flatten().map(|beat| log_state.heartbeat.age(beat));
            ReplicaLag { replica: replica.access.address.clone(), lag, reason: None }
        }
    };
    if lag.lag.is_none() {
        replica.session = None;
    }
    replica.is_certain |= lag.lag.is_some();
    lag
}

/// The lag that the operator's query tells. Whatever is no number of seconds counts as unknown.
fn by_query(address: &str, asked: Option<Result<Option<String>>>) -> ReplicaLag {
    let lag = match asked {
        None => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Some(Err(Error { reason, .. })) => Err(reason),
        Some(Ok(answer)) => seconds_of_lag(answer.as_deref()).map_err(str::to_owned),
    };
    ReplicaLag { replica: address.to_owned(), reason: lag.clone().err(), lag: lag.ok() }
}

async fn ask_there(change: &Change, replica: &mut Replica, query: &str) -> Result<Option<String>> {
    ask::ask_in(session(replica).await?, change, query).await
}

async fn last_beat(change: &Change, replica: &mut Replica) -> Option<u64> {
    let statement = sql::journal::last_beat(&change.names.beat, &change.source.name);
    number(&session(replica).await.ok()?.row(&statement).await.ok()??[0])
}

/// The session with a replica. Opens it if there is none.
async fn session(replica: &mut Replica) -> Result<&mut Session> {
    if !replica.session.as_ref().is_some_and(Session::is_alive) {
        let mut session = Session::bare(&replica.access).await?;
        let attempted = "begin a session with a replica";
        session.execute(sql::session::AUTOCOMMIT).await.doing_in_catalogue(attempted)?;
        replica.session = Some(session);
    }
    Ok(replica.session.as_mut().expect("it was just opened"))
}
