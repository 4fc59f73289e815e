//! The engine's state: one process's sessions, names and knowledge of one table of one PostgreSQL
//! server.

use crate::facts::{Facts, ShadowFacts};
use crate::schema::change::Change;
use crate::server::connect::Server;
use crate::server::error;
use crate::server::heartbeat::{Guarded, Pulse};
use crate::server::names::Names;
use crate::server::pool::Pool;
use crate::server::replicas::Replicas;
use crate::server::run_lock::RunLock;
use crate::server::session::{Session, locked};
use crate::server::version::Version;
use crate::sql;
use altergeist_contract::{Error, Kind, Marker, Result, Target};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::OnceCell;

/// One table on one PostgreSQL server.
pub struct Postgres {
    pub(crate) target: Target,
    pub(crate) change: Change,
    pub(crate) server: Arc<Server>,
    /// The standby the log is read from, if it is not read where the table is.
    pub(crate) standby: Option<Arc<Server>>,
    pub(crate) database: String,
    pub(crate) names: Names,
    pub(crate) version: Version,
    /// The search path of the user's own session.
    pub(crate) search_path: String,
    pub(crate) run: Arc<RunLock>,
    /// The session that reads and changes definitions and writes the journal.
    pub(crate) control: Arc<Pool>,
    /// The sessions that move rows.
    pub(crate) workers: Arc<Pool>,
    /// The session for marks. Shared: a mark that nobody waits for any more does no harm.
    pub(crate) marks: Arc<Marks>,
    /// What is known of the shadow.
    pub(crate) shadow: Mutex<Option<Arc<ShadowFacts>>>,
    /// Set when the shadow has the index its rows are found by.
    pub(crate) has_lookup: Mutex<Arc<OnceCell<()>>>,
    /// The heartbeat, once the log is read.
    pub(crate) pulse: Mutex<Option<Arc<Pulse>>>,
    pub(crate) replicas: Replicas,
    /// The session that last held the lock of the cut-over.
    pub(crate) cutover_pid: Arc<Mutex<Option<i32>>>,
    /// When this process began to read the log.
    pub(crate) following_since: Mutex<Option<Instant>>,
    /// When the change stream was last seen to be whole.
    pub(crate) stream_was_good: Mutex<Option<Instant>>,
    /// The steps the last plan found.
    pub(crate) recipe: Mutex<Option<crate::facts::Recipe>>,
}

/// Marks of this process.
pub(crate) struct Marks {
    pub(crate) server: Arc<Server>,
    pub(crate) application: String,
    /// Tells our marks from those of an earlier process.
    pub(crate) incarnation: String,
    pub(crate) last: AtomicU64,
    pub(crate) session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

impl Marks {
    /// Puts a mark into the log, by a session of its own.
    pub(crate) async fn put(&self) -> Result<Marker> {
        let attempted = "put a mark into the log";
        let session = self.session().await?;
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        let text = format!("{}:{number}", self.incarnation);
        session.query(sql::MARK, &[&text]).await.map_err(|error| error::of(attempted, &error))?;
        Ok(Marker(number))
    }

    /// The session of the marks.
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

impl Postgres {
    /// Takes note of a new shadow, or that there is none; sessions forget the statements they knew.
    pub(crate) fn set_shadow(&self, shadow: Option<ShadowFacts>) {
        *locked(&self.shadow) = shadow.map(Arc::new);
        *locked(&self.has_lookup) = Arc::default();
        self.workers.refresh();
    }

    /// Whether this process knows that the shadow has the index its rows are found by.
    pub(crate) fn has_lookup(&self) -> Arc<OnceCell<()>> {
        locked(&self.has_lookup).clone()
    }

    /// Begins the heartbeat, if it does not beat yet.
    pub(crate) fn start_pulse(&self, facts: &Facts) {
        let mut pulse = locked(&self.pulse);
        if pulse.is_none() {
            let identity = facts.witness.as_ref().and_then(|witness| witness.identity.clone());
            let guarded = Guarded { source: facts.source, identity: identity.unwrap_or_default() };
            let incarnation = self.marks.incarnation.clone();
            *pulse = Some(Arc::new(Pulse::start(
                self.server.clone(),
                self.names.clone(),
                incarnation,
                guarded,
            )));
        }
    }

    pub(crate) fn pulse(&self) -> Option<Arc<Pulse>> {
        locked(&self.pulse).clone()
    }

    /// Ends the heartbeat.
    pub(crate) fn stop_pulse(&self) {
        *locked(&self.pulse) = None;
    }

    /// How long a statement may wait for a lock others queue behind, as the server is told it.
    pub(crate) fn lock_timeout_ms(&self) -> u128 {
        self.target.lock_timeout.as_millis().max(1)
    }

    /// Under the run lock only.
    pub(crate) fn require_hold(&self, attempted: &str) -> Result<()> {
        if self.run.is_taken() {
            Ok(())
        } else {
            Err(Error::new(Kind::Disconnected, attempted, "the run lock is not held"))
        }
    }
}
