//! The parts of an engine that several rooms use. Each function takes the parts it needs; only
//! `engine` knows them all.

use crate::facts::Facts;
use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::server::heartbeat::{Guarded, Heartbeat};
use crate::server::names::Names;
use crate::server::pool::SessionPool;
use crate::server::run_lock::RunLock;
use crate::server::session::{Session, locked};
use crate::sql;
use altergeist_contract::{Error, Kind, Marker, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The sessions of this process.
pub(crate) struct Sessions {
    pub(crate) server: Arc<Server>,
    pub(crate) run: Arc<RunLock>,
    /// The session that reads and changes definitions and writes the journal.
    pub(crate) control: Arc<SessionPool>,
    /// The sessions that move rows.
    pub(crate) workers: Arc<SessionPool>,
    /// The server process of the session that last asked for the cut-over lock.
    pub(crate) cutover_pid: Mutex<Option<i32>>,
}

impl Sessions {
    /// Returns how many sessions this process has opened already.
    pub(crate) fn open_count(&self) -> usize {
        usize::from(self.run.is_taken())
            + self.control.idle_sessions()
            + self.workers.idle_sessions()
    }

    /// Fails unless this process holds the run lock.
    pub(crate) fn require_hold(&self, attempted: &str) -> Result<()> {
        if self.run.is_taken() {
            Ok(())
        } else {
            Err(Error::new(Kind::Disconnected, attempted, "the run lock is not held"))
        }
    }
}

/// The marks of this process. A mark that nobody waits for does no harm, so all share one session.
pub(crate) struct Marks {
    pub(crate) server: Arc<Server>,
    pub(crate) application: String,
    /// Distinguishes our marks from those of an earlier process.
    pub(crate) incarnation: String,
    pub(crate) last: AtomicU64,
    pub(crate) session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

impl Marks {
    /// Writes a mark into the log, on the session of the marks.
    pub(crate) async fn put(&self) -> Result<Marker> {
        let attempted = "put a mark into the log";
        let session = self.session().await?;
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let text = format!("{}:{number}", self.incarnation);
        session.query(sql::MARK, &[&text]).await.doing(attempted)?;
        Ok(Marker(number))
    }

    /// Returns the session of the marks. Opens it if it is closed.
    pub(crate) async fn session(&self) -> Result<Arc<Session>> {
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        let session = Arc::new(self.server.open(&self.application, &sql::mark_settings()).await?);
        *slot = Some(session.clone());
        Ok(session)
    }
}

/// The heartbeat of this process. It runs while the log is read.
pub(crate) struct HeartbeatSwitch {
    pub(crate) server: Arc<Server>,
    pub(crate) names: Names,
    pub(crate) incarnation: String,
    pub(crate) running: Mutex<Option<Arc<Heartbeat>>>,
}

impl HeartbeatSwitch {
    /// Starts the heartbeat, unless it runs already.
    pub(crate) fn start(&self, facts: &Facts) {
        let conditions = facts.stream_conditions.as_ref();
        let identity = conditions.and_then(|conditions| conditions.identity.clone());
        self.start_guarding(Guarded {
            source: facts.source,
            identity: identity.unwrap_or_default(),
        });
    }

    /// Starts the heartbeat of a run that follows no log, unless it runs already.
    pub(crate) fn start_alone(&self) {
        self.start_guarding(Guarded { source: 0, identity: String::new() });
    }

    fn start_guarding(&self, guarded: Guarded) {
        let mut running = locked(&self.running);
        if running.is_none() {
            *running = Some(Arc::new(Heartbeat::start(
                self.server.clone(),
                self.names.clone(),
                self.incarnation.clone(),
                guarded,
            )));
        }
    }

    /// Returns the heartbeat, if it runs.
    pub(crate) fn running(&self) -> Option<Arc<Heartbeat>> {
        locked(&self.running).clone()
    }

    /// Stops the heartbeat.
    pub(crate) fn stop(&self) {
        *locked(&self.running) = None;
    }
}
