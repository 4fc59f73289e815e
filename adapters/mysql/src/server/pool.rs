//! The session pool of a run. Each session has a slot of its own. The pool proves that no other run
//! works on the table: the run lock says whose turn it is. Every session that may write holds a
//! second lock, the fence of its slot.
//!
//! A session that ends first rolls back and then releases its fence. Both servers do it in this
//! order, so a free fence has no statement behind it. A session takes its fence first and then
//! checks that the run lock is still ours. A new run takes the run lock first and then checks the
//! fences. So one of the two sees the other.

use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::reachability::IDLE_LIMIT;
use crate::server::session::{Session, kill, number};
use crate::server::version::Version;
use crate::sql;
use altergeist_contract::{Error, Kind, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// The most sessions that copy and refresh at once.
const MOST_WORKERS: usize = 32;

/// Most tables bound by foreign keys, where a session of its own locks each of them.
pub(crate) const MOST_RELATIONS: usize = 64;

/// Longest wait for a killed session to roll back.
const LONGEST_ROLLBACK: Duration = Duration::from_secs(120);

pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    /// DDL on the shadow, and the journal.
    Control,
    /// The heartbeats.
    Heartbeat,
    /// The cut-over's lock.
    Lock,
    /// MariaDB's RENAME, which waits for that lock to go.
    Rename,
    /// Queues behind that, to hold the new table until its triggers exist.
    Triggers,
    Worker(usize),
    /// Locks a table at the other end of a foreign key while the tables are swapped.
    Relation(usize),
}

impl Slot {
    fn place(self) -> usize {
        match self {
            Slot::Control => 0,
            Slot::Heartbeat => 1,
            Slot::Lock => 2,
            Slot::Rename => 3,
            Slot::Triggers => 4,
            Slot::Worker(number) => 5 + number,
            Slot::Relation(number) => 5 + MOST_WORKERS + number,
        }
    }
}

/// All sessions of a run; see the module.
pub(crate) struct SessionPool {
    pub access: Access,
    pub version: Version,
    pub lock_timeout: Duration,
    /// Named locks begin with this.
    pub(crate) lock: String,
    pub(crate) source: TableName,
    pub(crate) slots: Vec<Arc<AsyncMutex<Option<Session>>>>,
    workers: Arc<Semaphore>,
    pub(crate) run_lock: AsyncMutex<Option<Session>>,
    /// The connection that holds the run lock, or held it; 0 before any.
    pub(crate) run_lock_id: Mutex<u64>,
    /// Sessions whose last statement got no answer yet, with their slots. The pool kills them
    /// before it lends another session.
    pub(crate) abandoned: Mutex<Vec<(u64, usize)>>,
    killing: AsyncMutex<()>,
    /// Whether sessions that move rows use UTC; set before the first of them is opened.
    pub in_utc: AtomicBool,
    /// Whether workers check and lock the parents of the rows they write, and never wait for a
    /// row's lock. So it is where the shadow has foreign keys from its creation.
    pub checks_parents: AtomicBool,
}

impl SessionPool {
    pub(crate) fn new(
        access: Access,
        version: Version,
        lock_timeout: Duration,
        source: TableName,
        lock: String,
        workers: usize,
    ) -> SessionPool {
        SessionPool {
            access,
            version,
            lock_timeout,
            lock,
            source,
            slots: (0..Slot::Relation(MOST_RELATIONS).place()).map(|_| Arc::default()).collect(),
            workers: Arc::new(Semaphore::new(workers.clamp(1, MOST_WORKERS))),
            run_lock: AsyncMutex::default(),
            run_lock_id: Mutex::default(),
            abandoned: Mutex::default(),
            killing: AsyncMutex::default(),
            in_utc: AtomicBool::default(),
            checks_parents: AtomicBool::default(),
        }
    }

    /// Opens a session without a fence, for reading only.
    pub(crate) async fn reader(&self) -> Result<Session> {
        Session::open(&self.access, self.version, self.lock_timeout).await
    }

    /// Lends the session of a slot.
    pub(crate) async fn lease(self: &Arc<Self>, slot: Slot) -> Result<Lease> {
        let place = slot.place();
        let guard = self.slots[place].clone().lock_owned().await;
        self.fill(guard, place, None).await
    }

    /// Lends any free worker's session.
    pub(crate) async fn worker(self: &Arc<Self>) -> Result<Lease> {
        let permit =
            self.workers.clone().acquire_owned().await.expect("the semaphore is never closed");
        let free = (0..MOST_WORKERS).map(|number| Slot::Worker(number).place());
        let (place, guard) = free
            .filter_map(|place| Some((place, self.slots[place].clone().try_lock_owned().ok()?)))
            .next()
            .expect("there are as many slots as permits");
        self.fill(guard, place, Some(permit)).await
    }

    pub(crate) async fn fill(
        self: &Arc<Self>,
        mut guard: OwnedMutexGuard<Option<Session>>,
        place: usize,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Lease> {
        self.kill_abandoned().await?;
        let session = match guard.take().filter(Session::is_fresh) {
            Some(session) => session,
            None => self.fenced(place).await?,
        };
        Ok(Lease {
            pool: self.clone(),
            guard,
            place,
            session: Some(session),
            is_clean: false,
            _permit: permit,
        })
    }

    pub(crate) fn fence(&self, place: usize) -> String {
        format!("{}_{place}", self.lock)
    }

    pub(crate) fn run_lock_name(&self) -> String {
        format!("{}_run", self.lock)
    }

    async fn fenced(&self, place: usize) -> Result<Session> {
        let attempted = || format!("open a session for {}", self.source.plain());
        let mut session = self.reader().await?;
        session
            .execute(&sql::session::idle_sessions_end(IDLE_LIMIT))
            .await
            .doing_in_catalogue(attempted)?;
        if self.in_utc.load(Ordering::SeqCst) && place != Slot::Control.place() {
            session.execute(sql::session::IN_UTC).await.doing_in_catalogue(attempted)?;
        }
        let is_worker = (Slot::Worker(0).place()..Slot::Relation(0).place()).contains(&place);
        if self.checks_parents.load(Ordering::SeqCst) && is_worker {
            session.execute(sql::session::CHECK_PARENTS).await.doing_in_catalogue(attempted)?;
        }
        let fence = self.fence(place);
        let held =
            session.text(&sql::session::get_lock(&fence, 5)).await.doing_in_catalogue(attempted)?;
        if held != "1" {
            let holder = session.text(&sql::session::lock_holder(&fence)).await.unwrap_or_default();
            let reason = format!("connection {holder} of an earlier or another run has not ended");
            return Err(Error::new(Kind::Disconnected, attempted(), reason));
        }
        let holder = session
            .text(&sql::session::lock_holder(&self.run_lock_name()))
            .await
            .doing_in_catalogue(attempted)?;
        let ours = *self.run_lock_id.lock().expect("not poisoned");
        if ours == 0 || holder != ours.to_string() {
            return Err(Error::new(
                Kind::Disconnected,
                attempted(),
                "the run lock is not held, or was lost",
            ));
        }
        Ok(session)
    }

    fn abandon(&self, id: u64, place: usize) {
        self.abandoned.lock().expect("not poisoned").push((id, place));
    }

    /// Kills the abandoned sessions, and waits until they have rolled back.
    pub(crate) async fn kill_abandoned(&self) -> Result<()> {
        if self.abandoned.lock().expect("not poisoned").is_empty() {
            return Ok(());
        }
        let _alone = self.killing.lock().await;
        let dead = self.abandoned.lock().expect("not poisoned").clone();
        if dead.is_empty() {
            return Ok(());
        }
        let mut killer = Session::bare(&self.access).await?;
        for (id, _) in &dead {
            kill(&mut killer, *id).await?;
        }
        let names: Vec<String> = dead.iter().map(|(_, place)| self.fence(*place)).collect();
        let ids: Vec<u64> = dead.iter().map(|(id, _)| *id).collect();
        self.wait_for_end(&mut killer, &names, |holder| ids.contains(&holder)).await?;
        self.abandoned.lock().expect("not poisoned").retain(|one| !dead.contains(one));
        Ok(())
    }

    pub(crate) async fn wait_for_end(
        &self,
        watcher: &mut Session,
        locks: &[String],
        concerns: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let attempted =
            || format!("wait for sessions of an earlier run of {} to end", self.source.plain());
        let begun = Instant::now();
        loop {
            let row = watcher
                .row(&sql::session::lock_holders(locks))
                .await
                .doing_in_catalogue(attempted)?;
            let left: Vec<u64> = row
                .unwrap_or_default()
                .iter()
                .filter_map(number)
                .filter(|id| concerns(*id))
                .collect();
            let Some(first) = left.first() else { return Ok(()) };
            if begun.elapsed() > LONGEST_ROLLBACK {
                let reason = format!(
                    "the server still rolls back connection {first}, which was killed. Run the \
                     same command when it is gone"
                );
                return Err(Error::new(Kind::Busy, attempted(), reason));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A session for one task. Dropping the lease abandons the session, unless [`Lease::keep`] said
/// that it is clean.
pub(crate) struct Lease {
    pool: Arc<SessionPool>,
    guard: OwnedMutexGuard<Option<Session>>,
    place: usize,
    session: Option<Session>,
    is_clean: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    pub(crate) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a lease has its session until it is dropped")
    }

    pub(crate) fn id(&self) -> u64 {
        self.session.as_ref().expect("a lease has its session until it is dropped").id
    }

    /// Gives the session back: it has no open transaction and holds no table.
    pub(crate) fn keep(mut self) {
        self.is_clean = true;
    }

    /// Runs one statement and gives the session back.
    pub(crate) async fn execute(
        mut self,
        statement: &str,
    ) -> std::result::Result<crate::server::session::Done, Failure> {
        let outcome = self.session().execute(statement).await;
        self.keep();
        outcome
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let session = self.session.take().expect("a lease has its session until it is dropped");
        if self.is_clean && session.is_alive() {
            *self.guard = Some(session);
        } else {
            self.pool.abandon(session.id, self.place);
        }
    }
}
