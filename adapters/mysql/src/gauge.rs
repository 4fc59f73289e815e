//! Replicas' lag, by our own heartbeats: which beat has arrived there, and how long ago the next one was sent. No clocks are
//! compared.

use crate::connect::Access;
use crate::engine::MySql;
use crate::session::{Session, number};
use crate::sql;
use altergeist_contract::{Gauge, ReplicaLag, Result};
use std::time::Duration;

/// A replica that does not answer in time counts as too far behind.
const PATIENCE: Duration = Duration::from_secs(3);

impl Gauge for MySql {
    async fn replica_lags(&self) -> Result<Vec<ReplicaLag>> {
        let mut sessions = self.replicas.lock().await;
        // The log cannot come faster than the replica it is read from.
        let streamed = self.target.stream_from.iter().filter(|_| self.log.is_replica);
        let replicas: Vec<&String> = self.target.replicas.iter().chain(streamed).collect();
        sessions.resize_with(replicas.len(), || None);
        let mut lags = Vec::new();
        for (url, session) in replicas.into_iter().zip(sessions.iter_mut()) {
            let access = Access::read(url)?;
            let beat = tokio::time::timeout(PATIENCE, self.last_beat(&access, session)).await.ok().flatten();
            if beat.is_none() {
                *session = None;
            }
            lags.push(ReplicaLag { replica: access.address.clone(), lag: beat.map(|beat| self.beats.age(beat)) });
        }
        Ok(lags)
    }

    fn commit_latency(&self) -> Option<Duration> {
        self.beats.commit_latency()
    }
}

impl MySql {
    async fn last_beat(&self, access: &Access, session: &mut Option<Session>) -> Option<u64> {
        if !session.as_ref().is_some_and(Session::is_alive) {
            *session = Some(Session::bare(access).await.ok()?);
        }
        let statement = sql::last_beat(&self.names.beat, &self.source.name);
        number(&session.as_mut()?.row(&statement).await.ok()??[0])
    }
}
