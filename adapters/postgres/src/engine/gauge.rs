//! Replica lag, load, and other measures of the server.

use crate::engine::Postgres;
use crate::log::{retained, slot};
use crate::schema::catalogue;
use crate::server::doing::Doing;
use crate::server::lag;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{
    CommitLatency, Error, Gauge, LogKept, Position, Reading, ReplicaLag, Result, RetainedLog,
    SkippableLog, WatchedReplicas, Writes,
};
use std::time::Duration;

/// A working session reports once a second what it has written.
const COUNTED_LATE: Duration = Duration::from_millis(1500);

impl Gauge for Postgres {
    async fn replica_lags(&self, watched: WatchedReplicas<'_>) -> Result<Vec<ReplicaLag>> {
        let control = &self.sessions.control;
        lag::replica_lags(&self.change, &self.heartbeat, control, &self.replicas, watched).await
    }

    fn commit_latency(&self) -> Option<CommitLatency> {
        self.heartbeat.running()?.commit_latency()
    }

    async fn loads(&self, measures: &[&str]) -> Result<Vec<f64>> {
        let lease = self.sessions.control.take().await?;
        let row = lease.one(sql::LOADS, &[&self.change.names.application]).await;
        let row = lease.settle(row.doing("ask how heavily the server is used")).await?;
        measures.iter().map(|measure| load(&row, measure)).collect()
    }

    async fn read(&self, reading: Reading) -> Result<u64> {
        let statement = match reading {
            Reading::LockWaiters => sql::LOCK_WAITERS,
            Reading::HistoryList => sql::OLDEST_SNAPSHOT,
            Reading::FreeDisk => {
                return Err(Error::refused(
                    "read the free disk",
                    "the server does not tell it; name a query or a command with --free-disk",
                ));
            }
        };
        let attempted = "ask who waits, and who reads old rows";
        let lease = self.sessions.control.take().await?;
        let row = lease.one(statement, &[&self.change.names.application]).await;
        let number: i64 = lease.settle(row.doing(attempted)).await?.get(0);
        u64::try_from(number).map_err(|_| Error::refused(attempted, "the number is negative"))
    }

    async fn built(&self) -> Option<f64> {
        let shadow = self.shadow.facts().await.ok()?;
        let names: Vec<&str> =
            shadow.lookup.iter().chain(&shadow.deferred).map(|index| index.name.as_str()).collect();
        let lease = self.sessions.control.take().await.ok()?;
        let rows = lease.query(sql::BUILT, &[&shadow.oid, &names]).await;
        let rows = rows.doing("ask how far the indexes are");
        let built: f64 = lease.settle(rows).await.ok()?.first()?.get(0);
        (!names.is_empty()).then(|| built / names.len() as f64)
    }
}

impl RetainedLog for Postgres {
    async fn log_kept(&self) -> Result<Option<LogKept>> {
        let lease = self.sessions.control.take().await?;
        let kept = retained::kept(&lease, &self.change, &self.log).await;
        lease.settle(kept).await
    }

    async fn give_up_log(&self) -> Result<String> {
        let lease = self.sessions.control.take().await?;
        let outlook = retained::give_up(&lease, &self.change, &self.log).await;
        lease.settle(outlook).await
    }
}

impl SkippableLog for Postgres {
    async fn writes(&self) -> Result<Option<Writes>> {
        // The run cannot skip a standby's log, so it reads it from the first row on.
        if self.log.standby.is_some() {
            return Ok(None);
        }
        let lease = self.sessions.control.take().await?;
        let counted = count_writes(&lease, &self.change.names).await;
        lease.settle(counted).await
    }

    async fn log_now(&self) -> Result<Option<Position>> {
        let lease = self.sessions.control.take().await?;
        let now = slot::now(&lease, &self.change.names, &self.log).await;
        lease.settle(now).await
    }

    async fn pass_log(&self, before: &Position) -> Result<()> {
        // The server reads all of that log, which may take long. So this uses a session of its own.
        let (server, names) = (&self.sessions.server, &self.change.names);
        let session = server.open(&names.application, &sql::mark_settings()).await?;
        slot::pass(&session, names, before).await
    }
}

async fn count_writes(session: &Session, names: &Names) -> Result<Option<Writes>> {
    let source = catalogue::source(session, names).await?;
    let row = session.one(sql::WRITES, &[&source]).await;
    let row = row.doing(format!("ask how often {} is written to", names.display))?;
    let count = row.get::<_, Option<i64>>(0).and_then(|count| u64::try_from(count).ok());
    Ok(count.map(|count| Writes { count, late: COUNTED_LATE }))
}

/// The measures of [`sql::LOADS`], in its order.
const LOADS: [&str; 4] =
    ["active_sessions", "connections", "lock_waiters", "oldest_transaction_seconds"];

fn load(row: &tokio_postgres::Row, measure: &str) -> Result<f64> {
    let refused = |reason: String| Error::refused(format!("look at the load {measure}"), reason);
    let Some(nth) = LOADS.iter().position(|name| *name == measure) else {
        return Err(refused(format!(
            "there is no such metric; the metrics are {}",
            LOADS.join(", ")
        )));
    };
    row.get::<_, Option<f64>>(nth).ok_or_else(|| {
        refused(
            "the server tells it only to members of pg_read_all_stats or pg_monitor: grant \
                 one of them"
                .into(),
        )
    })
}
