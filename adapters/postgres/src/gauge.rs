//! The heartbeat, and how far replicas are behind by it: no two clocks are ever compared.

use crate::connect::Server;
use crate::engine::Postgres;
use crate::log;
use crate::names::Names;
use crate::ours;
use crate::preflight;
use crate::session::{Session, locked};
use crate::{error, sql};
use altergeist_contract::{CommitLatency, Error, Gauge, LogKept, ReplicaLag, Result, Writes};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How often the heart beats.
const BEAT: Duration = Duration::from_millis(100);

/// Every so many beats a mark nobody waits for moves the slot on where the table is quiet.
const BEATS_PER_MARK: i64 = 10;

/// How long one beat, or one question to a replica, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Beats remembered: an hour's worth.
const REMEMBERED: usize = 10 * 3600;

/// A session at work tells once a second what it has written.
const COUNTED_LATE: Duration = Duration::from_millis(1500);

/// A heartbeat without a beat for this long says nothing about replicas.
const STALE: Duration = Duration::from_secs(3);

/// A row written again and again, in a task of its own.
pub(crate) struct Pulse {
    beats: Arc<Mutex<VecDeque<Beat>>>,
    task: JoinHandle<()>,
}

/// The table whose replica identity is watched.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) source: u32,
    /// Its replica identity when the log was opened.
    pub(crate) identity: String,
}

/// A beat whose commit has returned.
struct Beat {
    number: i64,
    written: Instant,
    took: Duration,
}

impl Pulse {
    /// Begins to beat.
    pub(crate) fn start(server: Arc<Server>, names: Names, incarnation: String, guarded: Guarded) -> Pulse {
        let beats = Arc::new(Mutex::new(VecDeque::new()));
        let task = tokio::spawn(beat(server, names, incarnation, guarded, beats.clone()));
        Pulse { beats, task }
    }

    /// How long ago the first beat after this one was written; None if the heart has stopped.
    fn age_after(&self, seen: i64) -> Option<Duration> {
        let beats = locked(&self.beats);
        if beats.back()?.written.elapsed() > STALE {
            return None;
        }
        let unseen = beats.iter().find(|beat| beat.number > seen);
        Some(unseen.map_or(Duration::ZERO, |beat| beat.written.elapsed()))
    }

    /// How long commits take now; what is overdue counts as it stands.
    fn commit_latency(&self) -> Option<CommitLatency> {
        let beats = locked(&self.beats);
        let overdue = beats.back()?.written.elapsed().saturating_sub(2 * BEAT);
        CommitLatency::of(beats.iter().rev().map(|beat| beat.took), Some(overdue))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Beats for ever; a lost connection is opened again. Nobody is told of a failure: an old beat says it all.
async fn beat(
    server: Arc<Server>,
    names: Names,
    incarnation: String,
    guarded: Guarded,
    beats: Arc<Mutex<VecDeque<Beat>>>,
) {
    let mut session: Option<(Session, u32)> = None;
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 1.. {
        ticks.tick().await;
        if session.as_ref().is_none_or(|(session, _)| session.is_closed()) {
            session = open(&server, &names).await.ok().flatten();
        }
        let Some((open, heartbeat)) = &session else { continue };
        let written = Instant::now();
        let writing = write(open, *heartbeat, &names, &incarnation, number);
        if matches!(tokio::time::timeout(PATIENCE, writing).await, Ok(Ok(()))) {
            remember(&beats, Beat { number, written, took: written.elapsed() });
        }
        if number % BEATS_PER_MARK == 0 {
            // Tried again a second later; the run itself says what it means.
            let _ = tokio::time::timeout(PATIENCE, guard(open, &names, &guarded)).await;
        }
    }
}

/// A publication that does not cover the table's replica identity makes the server refuse the application's updates and
/// deletes. So it goes as soon as the identity is another one; the run finds it gone, and begins anew.
async fn guard(session: &Session, names: &Names, guarded: &Guarded) -> std::result::Result<(), tokio_postgres::Error> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&guarded.source, &guarded.identity, &names.old_schema];
    let rows = session.query(sql::IDENTITY_CHANGED, &parameters).await?;
    if rows.first().is_some_and(|row| row.get(0)) {
        tracing::warn!("{}: its replica identity was changed; the publication of this run is dropped", names.display);
        session.run(&sql::drop_publication(&names.publication)).await?;
    }
    Ok(())
}

/// A session to beat with, and the table for it, if that is ours.
async fn open(server: &Server, names: &Names) -> Result<Option<(Session, u32)>> {
    let session = server.open(&names.application, &sql::mark_settings()).await?;
    ours::require(&session, "beat").await?;
    let table = session.one(sql::HEARTBEAT, &[]).await.map_err(|error| error::of("look for the heartbeat", &error))?;
    Ok(table.get::<_, Option<u32>>(0).map(|table| (session, table)))
}

async fn write(
    session: &Session,
    heartbeat: u32,
    names: &Names,
    incarnation: &str,
    number: i64,
) -> std::result::Result<(), tokio_postgres::Error> {
    session.run(&sql::beat(heartbeat, &names.display, incarnation, number)).await?;
    if number % BEATS_PER_MARK == 0 {
        session.query(sql::MARK, &[&format!("{incarnation}:beat")]).await?;
    }
    Ok(())
}

fn remember(beats: &Mutex<VecDeque<Beat>>, beat: Beat) {
    let mut beats = locked(beats);
    if beats.len() == REMEMBERED {
        beats.pop_front();
    }
    beats.push_back(beat);
}

/// The replicas asked about, each with a session that is kept.
pub(crate) struct Replicas(Vec<Replica>);

struct Replica {
    url: String,
    session: tokio::sync::Mutex<Option<Session>>,
}

impl Replicas {
    pub(crate) fn new(urls: &[String]) -> Replicas {
        let replica = |url: &String| Replica { url: url.clone(), session: tokio::sync::Mutex::new(None) };
        Replicas(urls.iter().map(replica).collect())
    }
}

impl Gauge for Postgres {
    async fn replica_lags(&self) -> Result<Vec<ReplicaLag>> {
        let given =
            futures_util::future::try_join_all(self.replicas.0.iter().map(|replica| lag_of(self, replica))).await?;
        Ok(given.into_iter().chain(standbys(self).await?).collect())
    }

    fn commit_latency(&self) -> Option<CommitLatency> {
        self.pulse()?.commit_latency()
    }

    async fn loads(&self, measures: &[&str]) -> Result<Vec<f64>> {
        let lease = self.control.take().await?;
        let row = lease.one(sql::LOADS, &[&self.names.application]).await;
        let row = lease.settle(row.map_err(|error| error::of("ask how heavily the server is used", &error))).await?;
        measures.iter().map(|measure| load(&row, measure)).collect()
    }

    async fn built(&self) -> Option<f64> {
        let shadow = self.shadow().await.ok()?;
        let names: Vec<&str> = shadow.lookup.iter().chain(&shadow.deferred).map(|index| index.name.as_str()).collect();
        let lease = self.control.take().await.ok()?;
        let rows = lease.query(sql::BUILT, &[&shadow.oid, &names]).await;
        let rows = rows.map_err(|error| error::of("ask how far the indexes are", &error));
        let built: f64 = lease.settle(rows).await.ok()?.first()?.get(0);
        (!names.is_empty()).then(|| built / names.len() as f64)
    }

    async fn writes(&self) -> Result<Option<Writes>> {
        // A standby's log cannot be passed over, so it is read from the first row on.
        if self.standby.is_some() {
            return Ok(None);
        }
        let lease = self.control.take().await?;
        let counted = count_writes(&lease, self).await;
        lease.settle(counted).await
    }

    async fn log_kept(&self) -> Result<Option<LogKept>> {
        let lease = self.control.take().await?;
        let kept = log::kept(&lease, self).await;
        lease.settle(kept).await
    }

    async fn give_up_log(&self) -> Result<String> {
        let lease = self.control.take().await?;
        let outlook = log::give_up(&lease, self).await;
        lease.settle(outlook).await
    }
}

async fn count_writes(session: &Session, engine: &Postgres) -> Result<Option<Writes>> {
    let source = preflight::source(session, &engine.names).await?;
    let row = session.one(sql::WRITES, &[&source]).await;
    let row =
        row.map_err(|error| error::of(format!("ask how often {} is written to", engine.names.display), &error))?;
    let count = row.get::<_, Option<i64>>(0).and_then(|count| u64::try_from(count).ok());
    Ok(count.map(|count| Writes { count, late: COUNTED_LATE }))
}

/// What [`sql::LOADS`] tells, in its order.
const LOADS: [&str; 4] = ["active_sessions", "connections", "lock_waiters", "oldest_transaction_seconds"];

fn load(row: &tokio_postgres::Row, measure: &str) -> Result<f64> {
    let refused = |reason: String| Error::refused(format!("look at the load {measure}"), reason);
    let Some(nth) = LOADS.iter().position(|name| *name == measure) else {
        return Err(refused(format!("there is none of this name; there are {}", LOADS.join(", "))));
    };
    row.get::<_, Option<f64>>(nth).ok_or_else(|| {
        refused("the server tells it only to members of pg_read_all_stats or pg_monitor: grant one of them".into())
    })
}

async fn lag_of(engine: &Postgres, replica: &Replica) -> Result<ReplicaLag> {
    let server = Server::parse(&replica.url)?;
    let seen = tokio::time::timeout(PATIENCE, last_beat(engine, replica)).await;
    let seen = seen.unwrap_or_else(|_| Err(error::silent("ask a replica", PATIENCE)));
    let lag = seen.ok().flatten().and_then(|seen| engine.pulse()?.age_after(seen));
    Ok(ReplicaLag { replica: server.name(), lag })
}

/// The standbys the server itself knows of, by what it says of them.
async fn standbys(engine: &Postgres) -> Result<Vec<ReplicaLag>> {
    let lease = engine.control.take().await?;
    let rows = lease.query(sql::STANDBYS, &[]).await;
    let rows = lease.settle(rows.map_err(|error| error::of("ask how far the standbys are", &error))).await?;
    let standby = |row: &tokio_postgres::Row| ReplicaLag {
        replica: row.get(0),
        lag: row.get::<_, Option<f64>>(1).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    };
    Ok(rows.iter().map(standby).collect())
}

async fn last_beat(engine: &Postgres, replica: &Replica) -> Result<Option<i64>> {
    let mut slot = replica.session.lock().await;
    if slot.as_ref().is_none_or(Session::is_closed) {
        let server = Server::reach(&replica.url).await?;
        *slot = Some(server.open(&engine.names.application, &sql::probe_settings()).await?);
    }
    let session = slot.as_ref().expect("it was just opened");
    let rows = session.query(sql::LAST_BEAT, &[&engine.names.display, &engine.marks.incarnation]).await;
    let rows = rows.map_err(|error| error::of("ask a replica", &error))?;
    Ok(rows.first().map(|row| row.get(0)))
}
