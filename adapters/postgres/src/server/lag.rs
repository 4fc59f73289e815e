//! Replica lag: of the replicas that the operator has named, and of the standbys that the server
//! lists. No clocks are compared.

use crate::change::Change;
use crate::server::ask::ask;
use crate::server::connect::{Address, Server};
use crate::server::doing::Doing;
use crate::server::heartbeat::PATIENCE;
use crate::server::pool::SessionPool;
use crate::server::replicas::{Replica, Replicas};
use crate::server::session::Session;
use crate::sql;
use crate::state::HeartbeatSwitch;
use altergeist_contract::{
    Error, NamedReplica, ReplicaLag, Result, WatchedReplicas, seconds_of_lag,
};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// The port of a replica that is named without one.
const PORT: u16 = 5432;

/// The lag of each replica that counts.
pub(crate) async fn replica_lags(
    change: &Change,
    heartbeat: &HeartbeatSwitch,
    control: &Arc<SessionPool>,
    replicas: &Replicas,
    watched: WatchedReplicas<'_>,
) -> Result<Vec<ReplicaLag>> {
    let mut replicas = replicas.0.lock().await;
    replicas.retain(|replica| watched.named.contains(&replica.named));
    for named in watched.named {
        if replicas.iter().all(|replica| replica.named != *named) {
            replicas.push(Replica { named: named.clone(), session: None });
        }
    }
    let asking =
        replicas.iter_mut().map(|replica| lag_of(change, heartbeat, replica, watched.query));
    let mut lags = join_all(asking).await;
    match watched.query {
        None => lags.extend(standbys(control).await?),
        Some(query) if lags.is_empty() => lags.push(of_server(change, heartbeat, query).await),
        Some(_) => {}
    }
    Ok(lags)
}

/// The lag of one replica. A session that did not answer is thrown away.
async fn lag_of(
    change: &Change,
    heartbeat: &HeartbeatSwitch,
    replica: &mut Replica,
    query: Option<&str>,
) -> ReplicaLag {
    let asking = async {
        match query {
            Some(query) => {
                let session = session(change, heartbeat, replica, true).await?;
                Ok(seconds_of_lag(ask(session, change, query).await?.as_deref())
                    .map_err(str::to_owned))
            }
            None => {
                let session = session(change, heartbeat, replica, false).await?;
                let seen = last_beat(session, heartbeat).await?;
                let age = |seen| heartbeat.running()?.age_after(seen);
                Ok(seen.and_then(age).ok_or_else(|| "no heartbeat of this run has arrived".into()))
            }
        }
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    let lag = settled(replica.named.address.clone(), asked.ok());
    if lag.lag.is_none() {
        replica.session = None;
    }
    lag
}

/// What the server itself answers to the operator's query.
async fn of_server(change: &Change, heartbeat: &HeartbeatSwitch, query: &str) -> ReplicaLag {
    let asking = async {
        let settings = sql::inquiry_settings(&change.search_path);
        let session = heartbeat.server.open(&change.names.application, &settings).await?;
        let answer = ask(&session, change, query).await?;
        Ok(seconds_of_lag(answer.as_deref()).map_err(str::to_owned))
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    settled(heartbeat.server.name(), asked.ok())
}

fn settled(address: String, asked: Option<Result<Result<Duration, String>>>) -> ReplicaLag {
    let lag = match asked {
        None => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Some(Err(Error { reason, .. })) => Err(reason),
        Some(Ok(lag)) => lag,
    };
    ReplicaLag { replica: address, reason: lag.clone().err(), lag: lag.ok() }
}

/// The session with a replica. It is opened anew if it is for another kind of question.
async fn session<'a>(
    change: &Change,
    heartbeat: &HeartbeatSwitch,
    replica: &'a mut Replica,
    is_inquiry: bool,
) -> Result<&'a Session> {
    let is_good = |(kind, session): &(bool, Session)| *kind == is_inquiry && !session.is_closed();
    if !replica.session.as_ref().is_some_and(is_good) {
        let settings = match is_inquiry {
            true => sql::inquiry_settings(&change.search_path),
            false => sql::probe_settings(),
        };
        let server = reach(&heartbeat.server, &replica.named).await?;
        let session = server.open(&heartbeat.names.application, &settings).await?;
        replica.session = Some((is_inquiry, session));
    }
    Ok(&replica.session.as_ref().expect("it was just opened").1)
}

/// The replica's server: by its own URL, or with the login of the server.
async fn reach(like: &Server, named: &NamedReplica) -> Result<Server> {
    if let Some(url) = &named.url {
        return Server::reach(url, &like.passwords).await;
    }
    let (host, port) = named.host_and_port();
    Ok(like.at(Address::Tcp(host.to_owned(), port.unwrap_or(PORT))))
}

async fn last_beat(session: &Session, heartbeat: &HeartbeatSwitch) -> Result<Option<i64>> {
    let rows =
        session.query(sql::LAST_BEAT, &[&heartbeat.names.display, &heartbeat.incarnation]).await;
    Ok(rows.doing("ask a replica")?.first().map(|row| row.get(0)))
}

/// The lag of the standbys that the server itself lists.
async fn standbys(control: &Arc<SessionPool>) -> Result<Vec<ReplicaLag>> {
    let lease = control.take().await?;
    let rows = lease.query(sql::STANDBYS, &[]).await;
    let rows = lease.settle(rows.doing("ask how far the standbys are")).await?;
    let standby = |row: &tokio_postgres::Row| ReplicaLag {
        replica: row.get(0),
        lag: row
            .get::<_, Option<f64>>(1)
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        reason: None,
    };
    Ok(rows.iter().map(standby).collect())
}
