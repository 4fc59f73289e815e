//! The sessions of a run, each in a slot of its own, and the proof that no other session works on
//! the table: the run lock says whose turn it is, and a second lock per slot, the fence, is held by
//! every session that may write.
//!
//! A session that ends, however it ends, first rolls back and then lets go of its fence (both
//! servers' order), so a fence that is free has no statement behind it. A session takes its fence
//! first and then looks whether the run lock is still ours; who takes the run lock then looks at
//! the fences. So either sees the other.

use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::reachability::{ALIVE_WITHIN, DEAD_AFTER, IDLE_LIMIT};
use crate::server::session::{Session, kill, number, text};
use crate::server::version::Version;
use crate::sql;
use altergeist_contract::{Error, Hold, Kind, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// The most sessions that copy and refresh at once.
const MOST_WORKERS: usize = 32;

/// Tables that foreign keys may bind to the source where each is locked by a session of its own.
pub(crate) const MOST_NEIGHBOURS: usize = 64;

/// How long a session that was ended may take to roll back.
const LONGEST_ROLLBACK: Duration = Duration::from_secs(120);

/// How long the run lock is waited for: the server may not yet have noticed that its last holder is
/// gone.
const GRACE_SECONDS: u64 = 1;

const PAUSE: Duration = Duration::from_millis(20);

/// A session's part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    /// DDL on the shadow, and the journal.
    Control,
    /// The heartbeats.
    Beat,
    /// The cut-over's lock.
    Lock,
    /// MariaDB's RENAME, which waits for that lock to go.
    Rename,
    /// Stands in line behind that, to hold the new table until its triggers stand.
    Triggers,
    Worker(usize),
    /// Locks a table at the other end of a foreign key while the tables are swapped.
    Neighbour(usize),
}

impl Slot {
    fn place(self) -> usize {
        match self {
            Slot::Control => 0,
            Slot::Beat => 1,
            Slot::Lock => 2,
            Slot::Rename => 3,
            Slot::Triggers => 4,
            Slot::Worker(number) => 5 + number,
            Slot::Neighbour(number) => 5 + MOST_WORKERS + number,
        }
    }
}

/// All sessions of a run; see the module.
pub(crate) struct Crew {
    pub access: Access,
    pub version: Version,
    pub lock_timeout: Duration,
    /// Named locks begin with this.
    lock: String,
    source: TableName,
    slots: Vec<Arc<AsyncMutex<Option<Session>>>>,
    workers: Arc<Semaphore>,
    run_lock: AsyncMutex<Option<Session>>,
    /// The connection that holds the run lock, or held it; 0 before any.
    run_lock_id: Mutex<u64>,
    /// Sessions whose last statement was not waited for, with their slots: they are ended before
    /// anything else is done.
    abandoned: Mutex<Vec<(u64, usize)>>,
    burying: AsyncMutex<()>,
    /// Whether sessions that move rows are to live in UTC; set before the first of them is opened.
    pub in_utc: AtomicBool,
    /// Whether workers put rows into the shadow only with their parents there and locked, and never
    /// wait for a row's lock: the shadow has foreign keys from its creation.
    pub checks_parents: AtomicBool,
}

impl Crew {
    pub(crate) fn new(
        access: Access,
        version: Version,
        lock_timeout: Duration,
        source: TableName,
        lock: String,
        workers: usize,
    ) -> Crew {
        Crew {
            access,
            version,
            lock_timeout,
            lock,
            source,
            slots: (0..Slot::Neighbour(MOST_NEIGHBOURS).place()).map(|_| Arc::default()).collect(),
            workers: Arc::new(Semaphore::new(workers.clamp(1, MOST_WORKERS))),
            run_lock: AsyncMutex::default(),
            run_lock_id: Mutex::default(),
            abandoned: Mutex::default(),
            burying: AsyncMutex::default(),
            in_utc: AtomicBool::default(),
            checks_parents: AtomicBool::default(),
        }
    }

    /// A session with the usual state, and no fence: for reading only.
    pub(crate) async fn reader(&self) -> Result<Session> {
        Session::open(&self.access, self.version, self.lock_timeout).await
    }

    /// The session of a slot, alone.
    pub(crate) async fn lease(self: &Arc<Self>, slot: Slot) -> Result<Lease> {
        let place = slot.place();
        let guard = self.slots[place].clone().lock_owned().await;
        self.fill(guard, place, None).await
    }

    /// Any free worker's session, alone.
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
        self.bury().await?;
        let session = match guard.take().filter(Session::is_fresh) {
            Some(session) => session,
            None => self.fenced(place).await?,
        };
        Ok(Lease {
            crew: self.clone(),
            guard,
            place,
            session: Some(session),
            is_clean: false,
            _permit: permit,
        })
    }

    fn fence(&self, place: usize) -> String {
        format!("{}_{place}", self.lock)
    }

    fn run_lock_name(&self) -> String {
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
        let is_worker = (Slot::Worker(0).place()..Slot::Neighbour(0).place()).contains(&place);
        if self.checks_parents.load(Ordering::SeqCst) && is_worker {
            session.execute(sql::session::CHECK_PARENTS).await.doing_in_catalogue(attempted)?;
        }
        let fence = self.fence(place);
        let held =
            session.text(&sql::session::get_lock(&fence, 5)).await.doing_in_catalogue(attempted)?;
        if held != "1" {
            let holder = session.text(&sql::session::lock_holder(&fence)).await.unwrap_or_default();
            let reason = format!(
                "connection {holder}, left by an earlier run or another one, has not ended"
            );
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

    /// Ends the sessions that were abandoned, and waits until they have rolled back.
    pub(crate) async fn bury(&self) -> Result<()> {
        if self.abandoned.lock().expect("not poisoned").is_empty() {
            return Ok(());
        }
        let _alone = self.burying.lock().await;
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

    async fn wait_for_end(
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
                    "connection {first} was killed and still rolls back; try again when it is gone"
                );
                return Err(Error::new(Kind::Busy, attempted(), reason));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes the run lock, then ends what earlier holders left and waits for it.
    pub(crate) async fn hold(&self) -> Result<Hold> {
        let attempted = || format!("take the run lock of {}", self.source.plain());
        let mut held = self.run_lock.lock().await;
        if self.is_held(&mut held).await.is_ok() {
            return Ok(Hold::Taken);
        }
        *held = None;
        let mut session = Session::open(&self.access, self.version, self.lock_timeout).await?;
        session
            .execute(&sql::session::idle_sessions_end(IDLE_LIMIT))
            .await
            .doing_in_catalogue(attempted)?;
        let name = self.run_lock_name();
        if session
            .text(&sql::session::get_lock(&name, GRACE_SECONDS))
            .await
            .doing_in_catalogue(attempted)?
            != "1"
        {
            let holder = session
                .text(&sql::session::lock_holder(&name))
                .await
                .doing_in_catalogue(attempted)?;
            let before = *self.run_lock_id.lock().expect("not poisoned");
            let is_ours = before != 0 && holder == before.to_string();
            if !is_ours && self.is_heard_of(&mut session, &holder).await? {
                return Ok(Hold::HeldBy(self.describe(&mut session, &holder).await));
            }
            // A connection that the server has not yet noticed to be gone.
            if let Ok(dead) = holder.parse() {
                kill(&mut session, dead).await?;
            }
            if session
                .text(&sql::session::get_lock(&name, 5))
                .await
                .doing_in_catalogue(attempted)?
                != "1"
            {
                return Err(Error::new(
                    Kind::Disconnected,
                    attempted(),
                    "a lost connection still holds it",
                ));
            }
        }
        *self.run_lock_id.lock().expect("not poisoned") = session.id;
        self.clear(&mut session).await?;
        *held = Some(session);
        Ok(Hold::Taken)
    }

    /// Whether a holder of the run lock still asks for it, as every holder does; waits until that
    /// is clear.
    async fn is_heard_of(&self, session: &mut Session, holder: &str) -> Result<bool> {
        let attempted = || format!("look at who holds the run lock of {}", self.source.plain());
        let Ok(id) = holder.parse() else { return Ok(false) };
        loop {
            let row = session.row(&sql::session::who_is(id)).await.doing_in_catalogue(attempted)?;
            let Some(silent_for) = row.and_then(|row| number(&row[2])) else { return Ok(false) };
            if silent_for <= ALIVE_WITHIN.as_secs() {
                return Ok(true);
            }
            if silent_for >= DEAD_AFTER.as_secs() {
                return Ok(false);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends every session that still holds a fence. Our own idle ones are let go first: they are
    /// opened again.
    pub(crate) async fn clear(&self, session: &mut Session) -> Result<()> {
        for slot in &self.slots {
            if let Ok(mut session) = slot.try_lock() {
                *session = None;
            }
        }
        let attempted =
            || format!("look for sessions left by an earlier run of {}", self.source.plain());
        let names: Vec<String> = (0..self.slots.len()).map(|place| self.fence(place)).collect();
        let row =
            session.row(&sql::session::lock_holders(&names)).await.doing_in_catalogue(attempted)?;
        for id in row.unwrap_or_default().iter().filter_map(number) {
            tracing::info!(connection = id, "ending a session left by an earlier run");
            kill(session, id).await?;
        }
        self.wait_for_end(session, &names, |_| true).await?;
        self.abandoned.lock().expect("not poisoned").clear();
        Ok(())
    }

    /// Who holds the run lock now, for people.
    pub(crate) async fn holder(&self) -> Result<Option<String>> {
        let mut session = self.reader().await?;
        let holder = session.text(&sql::session::lock_holder(&self.run_lock_name())).await;
        let holder = holder
            .doing_in_catalogue(format!("ask who holds the run lock of {}", self.source.plain()))?;
        Ok(if holder.is_empty() { None } else { Some(self.describe(&mut session, &holder).await) })
    }

    pub(crate) async fn describe(&self, session: &mut Session, holder: &str) -> String {
        let Ok(id) = holder.parse() else { return "a session that has just ended".into() };
        match session.row(&sql::session::who_is(id)).await {
            Ok(Some(row)) => {
                format!(
                    "{}@{} (connection {id}, last heard of {} s ago)",
                    text(&row[0]),
                    text(&row[1]),
                    text(&row[2])
                )
            }
            _ => format!("connection {id}"),
        }
    }

    /// Proves that the run lock is still ours.
    pub(crate) async fn still_held(&self) -> Result<()> {
        let mut held = self.run_lock.lock().await;
        self.is_held(&mut held).await.map_err(|reason| {
            Error::new(
                Kind::Disconnected,
                format!("prove that the run lock of {} is ours", self.source.plain()),
                reason,
            )
        })
    }

    async fn is_held(&self, held: &mut Option<Session>) -> std::result::Result<(), String> {
        let session = held.as_mut().ok_or("it was never taken")?;
        let id = session.id.to_string();
        match session.text(&sql::session::lock_holder(&self.run_lock_name())).await {
            Ok(holder) if holder == id => Ok(()),
            Ok(_) => Err("it was lost".into()),
            Err(Failure::Lost(reason)) => Err(format!("its connection was lost: {reason}")),
            Err(Failure::Server { code, .. }) => {
                Err(format!("its connection answers with error {code}"))
            }
        }
    }
}

/// A session for one task. Unless [`Lease::keep`] says that nothing of it is under way, it is
/// abandoned when dropped.
pub(crate) struct Lease {
    crew: Arc<Crew>,
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

    /// The session may be used by the next task: it has no transaction open, and holds no table.
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
            self.crew.abandon(session.id, self.place);
        }
    }
}

/// How often the server is asked.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);

/// A server that has not answered for so long is out of reach.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks, as long as there is a crew, and tells its sessions when no answer comes.
pub(crate) fn watch_over(crew: &Arc<Crew>) {
    let crew: Weak<Crew> = Arc::downgrade(crew);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            let Some(crew) = crew.upgrade() else { return };
            // A lock that was lost is told of when the run itself asks.
            if tokio::time::timeout(PATIENCE, crew.still_held()).await.is_err() {
                tracing::warn!("the server has not answered for {} s", PATIENCE.as_secs());
                crew.access.reach.lose();
                return;
            }
        }
    });
}
