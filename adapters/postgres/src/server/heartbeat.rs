//! The heartbeat: a row that is written again and again. Its commits show how long a commit takes.

use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::session::{Session, locked};
use crate::sql;
use altergeist_contract::{CommitLatency, Heartbeats, Result};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_millis(100);

/// Every so many beats, a mark moves the slot of an idle table on.
const BEATS_PER_MARK: i64 = 10;

/// How long one beat, or one question to a replica, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A heartbeat that has stopped for so long says nothing about replicas.
const STALE: Duration = Duration::from_secs(3);

/// A row written again and again, in a task of its own.
pub(crate) struct Heartbeat {
    pub(crate) beats: Arc<Mutex<Heartbeats>>,
    pub(crate) task: JoinHandle<()>,
}

/// The table whose replica identity is watched.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) source: u32,
    /// Its replica identity when the log was opened.
    pub(crate) identity: String,
}

impl Heartbeat {
    /// Starts the task.
    pub(crate) fn start(
        server: Arc<Server>,
        names: Names,
        incarnation: String,
        guarded: Guarded,
    ) -> Heartbeat {
        let beats = Arc::<Mutex<Heartbeats>>::default();
        let task = tokio::spawn(beat(server, names, incarnation, guarded, beats.clone()));
        Heartbeat { beats, task }
    }

    /// How long ago the beat after this one was written; None if the heartbeat has stopped.
    pub(crate) fn age_after(&self, seen: i64) -> Option<Duration> {
        let beats = locked(&self.beats);
        let is_alive = beats.last_sent()?.elapsed() <= STALE;
        is_alive.then(|| beats.age_after(seen.cast_unsigned()))
    }

    /// How long commits take now. One that is overdue counts with its time so far.
    pub(crate) fn commit_latency(&self) -> Option<CommitLatency> {
        let beats = locked(&self.beats);
        let overdue = beats.last_sent()?.elapsed().saturating_sub(2 * BEAT);
        beats.commit_latency(Some(overdue))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Beats for ever, and opens a lost connection again. It reports no failure: an old beat shows it.
async fn beat(
    server: Arc<Server>,
    names: Names,
    incarnation: String,
    guarded: Guarded,
    beats: Arc<Mutex<Heartbeats>>,
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
            let mut beats = locked(&beats);
            beats.note_sent(number.cast_unsigned(), written);
            beats.note_committed(written.elapsed());
        }
        if number % BEATS_PER_MARK == 0 {
            // The next try is a second later; the run itself reports what it means.
            let _ = tokio::time::timeout(PATIENCE, guard(open, &names, &guarded)).await;
        }
    }
}

/// A publication that does not cover the table's replica identity makes the server refuse the
/// application's updates and deletes. So this drops it as soon as the identity changes. The run
/// notices that, and starts again.
async fn guard(
    session: &Session,
    names: &Names,
    guarded: &Guarded,
) -> std::result::Result<(), tokio_postgres::Error> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&guarded.source, &guarded.identity, &names.old_schema];
    let rows = session.query(sql::IDENTITY_CHANGED, &parameters).await?;
    if rows.first().is_some_and(|row| row.get(0)) {
        tracing::warn!(
            "{}: its replica identity was changed; the publication of this run is dropped",
            names.display
        );
        session.run(&sql::drop_publication(&names.publication)).await?;
    }
    Ok(())
}

/// Opens a session for the heartbeat, and finds its table, if that is ours.
async fn open(server: &Server, names: &Names) -> Result<Option<(Session, u32)>> {
    let session = server.open(&names.application, &sql::mark_settings()).await?;
    own_objects::require(&session, "beat").await?;
    let table = session.one(sql::HEARTBEAT, &[]).await.doing("look for the heartbeat")?;
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
