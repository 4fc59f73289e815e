//! Sessions with a known state, lent out one at a time; the run lock; and the fence that tells a session of
//! this run from what a killed process or a dropped future left running.

use crate::connect::Server;
use crate::error;
use crate::names::Names;
use crate::sql;
use altergeist_contract::{Error, Hold, Kind, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a session that must end may take to do so.
const BURIAL: Duration = Duration::from_secs(20);
/// How long a process that has ended may still hold the run lock: the server has to see that its connection is gone.
const GRACE: Duration = Duration::from_secs(2);
/// How soon the run lock is asked for again meanwhile.
const GRACE_LOOK: Duration = Duration::from_millis(50);

/// The longest list of notices kept for whoever asked for them.
const NOTICES: usize = 256;

/// One connection. Statements are prepared once each.
pub(crate) struct Session {
    client: Client,
    /// The server process behind it.
    pub(crate) pid: i32,
    statements: Mutex<HashMap<String, Statement>>,
    notices: Arc<Mutex<Vec<Notice>>>,
}

/// What the server remarked: the routine that did, and its words.
#[derive(Clone)]
pub(crate) struct Notice {
    pub(crate) routine: String,
    pub(crate) message: String,
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Connects and sends the settings.
    pub(crate) async fn begin(
        config: &Config,
        tls: MakeRustlsConnect,
        settings: &str,
    ) -> std::result::Result<Session, tokio_postgres::Error> {
        let (client, mut connection) = config.connect(tls).await?;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let kept = notices.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message {
                    keep(&kept, &notice);
                }
            }
        });
        client.batch_execute(settings).await?;
        let pid = client.query_one(sql::OWN_PID, &[]).await?.get(0);
        Ok(Session { client, pid, statements: Mutex::default(), notices })
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs one or more statements that give nothing back.
    pub(crate) async fn run(&self, statements: &str) -> std::result::Result<(), tokio_postgres::Error> {
        self.client.batch_execute(statements).await
    }

    /// Runs statements for the rows of all of them, as text; in one transaction, the session's if it has one.
    pub(crate) async fn script(
        &self,
        statements: &str,
    ) -> std::result::Result<Vec<tokio_postgres::SimpleQueryMessage>, tokio_postgres::Error> {
        self.client.simple_query(statements).await
    }

    /// Runs exactly one statement, whatever the text pretends to be; says how many rows it touched.
    pub(crate) async fn execute(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<u64, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.execute(&prepared, parameters).await
    }

    /// Runs one statement for its rows.
    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.query(&prepared, parameters).await
    }

    /// Runs one statement for its rows, as they come.
    pub(crate) async fn stream(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<tokio_postgres::RowStream, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.query_raw(&prepared, parameters.iter().copied()).await
    }

    /// Runs one statement that always gives one row.
    pub(crate) async fn one(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> std::result::Result<Row, tokio_postgres::Error> {
        let prepared = self.prepared(statement).await?;
        self.client.query_one(&prepared, parameters).await
    }

    /// Prepares statements ahead, so that they cost one round trip when it matters.
    pub(crate) async fn prepare(&self, statement: &str) -> std::result::Result<(), tokio_postgres::Error> {
        self.prepared(statement).await.map(drop)
    }

    /// What the server has remarked since this was last asked.
    pub(crate) fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut *locked(&self.notices))
    }

    async fn prepared(&self, statement: &str) -> std::result::Result<Statement, tokio_postgres::Error> {
        let known = locked(&self.statements).get(statement).cloned();
        if let Some(prepared) = known {
            return Ok(prepared);
        }
        let prepared = self.client.prepare(statement).await?;
        locked(&self.statements).insert(statement.to_owned(), prepared.clone());
        Ok(prepared)
    }
}

impl Server {
    /// Opens a session and gives it its settings, as one piece of SQL.
    pub(crate) async fn open(&self, application: &str, settings: &str) -> Result<Session> {
        let attempted = || format!("connect to {}", self.name());
        let config = self.driver_config(application);
        let opening = Session::begin(&config, self.connector(), settings);
        match tokio::time::timeout(self.patience, opening).await {
            Err(_) => Err(error::silent(attempted(), self.patience)),
            Ok(Err(error)) => Err(refused_or_lost(attempted(), &error)),
            Ok(Ok(session)) => Ok(session),
        }
    }
}

/// A server that answers and will not let us in is not one to try again.
fn refused_or_lost(attempted: String, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(server) if server.code().code().starts_with("28") || server.code().code() == "3D000" => {
            Error::fatal(attempted, server.message())
        }
        Some(_) => {
            let answer = error::of(attempted, error);
            Error::new(Kind::Disconnected, answer.attempted, answer.reason)
        }
        None => error::lost(attempted, error),
    }
}

fn keep(notices: &Mutex<Vec<Notice>>, notice: &tokio_postgres::error::DbError) {
    let mut notices = locked(notices);
    if notices.len() < NOTICES {
        let routine = notice.routine().unwrap_or_default().to_owned();
        notices.push(Notice { routine, message: notice.message().to_owned() });
    }
}

/// A mutex no code panics under.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The run lock, on a connection of its own, and the sessions that were given up and may still be at work.
pub(crate) struct RunLock {
    server: Arc<Server>,
    names: Names,
    holder: Mutex<Option<Arc<Session>>>,
    given_up: Mutex<Vec<i32>>,
}

impl RunLock {
    pub(crate) fn new(server: Arc<Server>, names: Names) -> RunLock {
        RunLock { server, names, holder: Mutex::new(None), given_up: Mutex::default() }
    }

    /// Takes the lock, ends every session of earlier holders, and proves by the fence that none is left.
    pub(crate) async fn take(&self) -> Result<Hold> {
        if self.verify().await.is_ok() {
            return Ok(Hold::Taken);
        }
        let attempted = || format!("take the run lock of {}", self.names.display);
        let session = self.server.open(&self.names.application, &sql::holder_settings(BURIAL)).await?;
        let until = Instant::now() + GRACE;
        loop {
            let taken = session.one(sql::TRY_LOCK, &[&self.names.run_lock]).await;
            if taken.map_err(|error| error::of(attempted(), &error))?.get(0) {
                break;
            }
            if Instant::now() > until {
                return self.held_by(&session).await;
            }
            tokio::time::sleep(GRACE_LOOK).await;
        }
        self.clear_the_field(&session).await?;
        *locked(&self.holder) = Some(Arc::new(session));
        Ok(Hold::Taken)
    }

    /// Proves that the lock is ours: it lives as long as its session, and the same process must answer.
    pub(crate) async fn verify(&self) -> Result<()> {
        let attempted = || format!("prove the run lock of {}", self.names.display);
        let lost = |why| Error::new(Kind::Disconnected, attempted(), why);
        let session = self.session().ok_or_else(|| lost("it is not held"))?;
        let asking = session.one(sql::OWN_PID, &[]);
        let answer = tokio::time::timeout(BURIAL, asking).await.map_err(|_| error::silent(attempted(), BURIAL))?;
        let pid: i32 = answer.map_err(|error| error::of(attempted(), &error))?.get(0);
        if pid == session.pid { Ok(()) } else { Err(lost("another server process answers for its session")) }
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.session().is_some()
    }

    /// Remembers a session that may still be at work on the server.
    fn give_up(&self, pid: i32) {
        locked(&self.given_up).push(pid);
    }

    /// Ends the sessions that were given up, and waits until they are gone.
    async fn bury(&self) -> Result<()> {
        let pids = locked(&self.given_up).clone();
        if pids.is_empty() {
            return Ok(());
        }
        if let Some(session) = self.session() {
            self.end(&session, &pids).await?;
        }
        locked(&self.given_up).retain(|pid| !pids.contains(pid));
        Ok(())
    }

    /// Ends one session of ours, and waits until it is gone.
    pub(crate) async fn end_one(&self, pid: i32) -> Result<()> {
        let session = self.session();
        let Some(session) = session else { return self.verify().await };
        self.end(&session, &[pid]).await
    }

    async fn end(&self, session: &Session, pids: &[i32]) -> Result<()> {
        let attempted = || format!("end sessions of {} that were given up", self.names.display);
        let deadline = Instant::now() + BURIAL;
        loop {
            let ended = session.one(sql::END_FENCED, &[&self.names.fence, &pids]).await;
            let left: i64 = ended.map_err(|error| error::of(attempted(), &error))?.get(0);
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(error::silent(attempted(), BURIAL));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn session(&self) -> Option<Arc<Session>> {
        locked(&self.holder).clone()
    }

    async fn held_by(&self, session: &Session) -> Result<Hold> {
        let who = self.holder(session).await?;
        Ok(Hold::HeldBy(who.unwrap_or_else(|| "a session that has just let go".to_owned())))
    }

    /// Who holds the run lock now, for people.
    pub(crate) async fn holder(&self, session: &Session) -> Result<Option<String>> {
        let who = session.query(sql::WHO_HOLDS, &[&self.names.run_lock]).await;
        let who = who.map_err(|error| error::of("ask who holds the run lock", &error))?;
        Ok(who.first().map(|row| row.get(0)))
    }

    /// Ends what earlier runs left, and takes the fence for a moment: nobody else can then be behind it.
    async fn clear_the_field(&self, session: &Session) -> Result<()> {
        let attempted = || format!("end what an earlier run of {} left running", self.names.display);
        let failed = |error: tokio_postgres::Error| error::of(attempted(), &error);
        let deadline = Instant::now() + BURIAL;
        loop {
            let left = session.query(sql::END_ALL_FENCED, &[&self.names.fence]).await.map_err(failed)?;
            if session.one(sql::TRY_LOCK, &[&self.names.fence]).await.map_err(failed)?.get(0) {
                return session.query(sql::UNLOCK, &[&self.names.fence]).await.map(drop).map_err(failed);
            }
            if Instant::now() > deadline {
                let sessions: Vec<String> = left.iter().map(|row| row.get(0)).collect();
                let reason = format!("still at work after {BURIAL:?}: {}", sessions.join(", "));
                return Err(Error::new(Kind::Busy, attempted(), reason));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A few sessions of one kind.
pub(crate) struct Pool {
    server: Arc<Server>,
    run: Arc<RunLock>,
    settings: String,
    free: Mutex<Vec<Session>>,
    permits: Arc<Semaphore>,
}

impl Pool {
    pub(crate) fn new(server: Arc<Server>, run: Arc<RunLock>, settings: String, size: usize) -> Arc<Pool> {
        Arc::new(Pool { server, run, settings, free: Mutex::default(), permits: Arc::new(Semaphore::new(size.max(1))) })
    }

    /// Lends a session. Whatever was given up before has ended when this returns.
    pub(crate) async fn take(self: &Arc<Pool>) -> Result<Lease> {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        self.run.bury().await?;
        let idle = self.idle();
        let session = match idle {
            Some(session) => session,
            None => self.open().await?,
        };
        Ok(Lease { pool: self.clone(), session: Some(session), _permit: permit })
    }

    /// Forgets the idle sessions, with all they have prepared.
    pub(crate) fn refresh(&self) {
        locked(&self.free).clear();
    }

    /// How many sessions wait to be lent.
    pub(crate) fn idle_sessions(&self) -> usize {
        locked(&self.free).len()
    }

    fn idle(&self) -> Option<Session> {
        let mut free = locked(&self.free);
        while let Some(session) = free.pop() {
            if !session.is_closed() {
                return Some(session);
            }
        }
        None
    }

    /// Opens a session. Under the run lock it goes behind the fence first, and only then asks whether the lock
    /// is still ours: who took it over has either ended this session or finds it gone.
    async fn open(&self) -> Result<Session> {
        let session = self.server.open(&self.run.names.application, &self.settings).await?;
        if self.run.is_taken() {
            let fenced = session.query(sql::SHARE_LOCK, &[&self.run.names.fence]).await;
            fenced.map_err(|error| error::of("go behind the fence of the run", &error))?;
            self.run.verify().await?;
        }
        Ok(session)
    }
}

/// A session on loan. If it is dropped before it is settled, what it was doing is ended before the next loan.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    session: Option<Session>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Gives the session back clean, whatever came of its work.
    pub(crate) async fn settle<T>(mut self, result: Result<T>) -> Result<T> {
        let clean = match &result {
            Ok(_) => true,
            Err(error) => error.kind != Kind::Disconnected && self.run("ROLLBACK").await.is_ok(),
        };
        if clean && !self.is_closed() {
            let session = self.session.take().expect("a lease has its session until it is settled");
            locked(&self.pool.free).push(session);
        }
        result
    }
}

impl Lease {
    /// Lets go of whatever the session holds; if that cannot be done, its end does it.
    pub(crate) async fn roll_back(self) {
        let _ = self.run("ROLLBACK").await;
    }
}

impl std::ops::Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("a lease has its session until it is settled")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.pool.run.give_up(session.pid);
        }
    }
}
