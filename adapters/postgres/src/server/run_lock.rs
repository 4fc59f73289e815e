//! The run lock, and the fence. The fence tells a session of this run from one that a killed
//! process left running.

use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::{self, Session};
use crate::sql;
use altergeist_contract::{Error, Hold, Kind, Result};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longest wait for a killed session to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a dead process may still hold the run lock. The server must notice first that its
/// connection is gone.
const GRACE: Duration = Duration::from_secs(2);

/// Pause between two attempts to take the run lock.
const GRACE_LOOK: Duration = Duration::from_millis(50);

/// The run lock, on a connection of its own, and the abandoned sessions, which may still be at
/// work.
pub(crate) struct RunLock {
    pub(crate) server: Arc<Server>,
    pub(crate) names: Names,
    pub(crate) holder: Mutex<Option<Arc<Session>>>,
    pub(crate) abandoned: Mutex<Vec<i32>>,
}

impl RunLock {
    pub(crate) fn new(server: Arc<Server>, names: Names) -> RunLock {
        RunLock { server, names, holder: Mutex::new(None), abandoned: Mutex::default() }
    }

    /// Takes the lock, kills every session of earlier holders, and proves by the fence that none is
    /// left.
    pub(crate) async fn take(&self) -> Result<Hold> {
        if self.verify().await.is_ok() {
            return Ok(Hold::Taken);
        }
        let attempted = || format!("take the run lock of {}", self.names.display);
        let session =
            self.server.open(&self.names.application, &sql::holder_settings(KILL_TIMEOUT)).await?;
        let until = Instant::now() + GRACE;
        loop {
            let taken = session.one(sql::TRY_LOCK, &[&self.names.run_lock]).await;
            if taken.doing(attempted)?.get(0) {
                break;
            }
            if Instant::now() > until {
                return self.held_by(&session).await;
            }
            tokio::time::sleep(GRACE_LOOK).await;
        }
        self.kill_earlier(&session).await?;
        *session::locked(&self.holder) = Some(Arc::new(session));
        Ok(Hold::Taken)
    }

    /// Proves that the lock is ours. It lives as long as its session, and the same process must
    /// answer.
    pub(crate) async fn verify(&self) -> Result<()> {
        let attempted = || format!("prove the run lock of {}", self.names.display);
        let lost = |why| Error::new(Kind::Disconnected, attempted(), why);
        let session = self.session().ok_or_else(|| lost("it is not held"))?;
        let asking = session.one(sql::OWN_PID, &[]);
        let answer = tokio::time::timeout(KILL_TIMEOUT, asking)
            .await
            .map_err(|_| error::silent(attempted(), KILL_TIMEOUT))?;
        let pid: i32 = answer.doing(attempted)?.get(0);
        if pid == session.pid {
            Ok(())
        } else {
            Err(lost("another server process answers for its session"))
        }
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.session().is_some()
    }

    /// Remembers a session that may still be at work on the server.
    pub(crate) fn abandon(&self, pid: i32) {
        session::locked(&self.abandoned).push(pid);
    }

    /// Kills the abandoned sessions, and waits until they are gone.
    pub(crate) async fn kill_abandoned(&self) -> Result<()> {
        let pids = session::locked(&self.abandoned).clone();
        if pids.is_empty() {
            return Ok(());
        }
        if let Some(session) = self.session() {
            self.end(&session, &pids).await?;
        }
        session::locked(&self.abandoned).retain(|pid| !pids.contains(pid));
        Ok(())
    }

    /// Kills one session of ours, and waits until it is gone.
    pub(crate) async fn end_one(&self, pid: i32) -> Result<()> {
        let session = self.session();
        let Some(session) = session else { return self.verify().await };
        self.end(&session, &[pid]).await
    }

    pub(crate) async fn end(&self, session: &Session, pids: &[i32]) -> Result<()> {
        let attempted = || format!("end sessions of {} that were given up", self.names.display);
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            let ended = session.one(sql::END_FENCED, &[&self.names.fence, &pids]).await;
            let left: i64 = ended.doing(attempted)?.get(0);
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(error::silent(attempted(), KILL_TIMEOUT));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        session::locked(&self.holder).clone()
    }

    pub(crate) async fn held_by(&self, session: &Session) -> Result<Hold> {
        let who = self.holder(session).await?;
        Ok(Hold::HeldBy(who.unwrap_or_else(|| "a session that has just let go".to_owned())))
    }

    /// Who holds the run lock now, for people.
    pub(crate) async fn holder(&self, session: &Session) -> Result<Option<String>> {
        let who = session.query(sql::WHO_HOLDS, &[&self.names.run_lock]).await;
        let who = who.doing("ask who holds the run lock")?;
        Ok(who.first().map(|row| row.get(0)))
    }

    /// Kills what earlier runs left, and takes the fence for a moment. Then no other session can be
    /// behind it.
    pub(crate) async fn kill_earlier(&self, session: &Session) -> Result<()> {
        let attempted =
            || format!("end what an earlier run of {} left running", self.names.display);
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            let left =
                session.query(sql::END_ALL_FENCED, &[&self.names.fence]).await.doing(attempted)?;
            if session.one(sql::TRY_LOCK, &[&self.names.fence]).await.doing(attempted)?.get(0) {
                return session
                    .query(sql::UNLOCK, &[&self.names.fence])
                    .await
                    .map(drop)
                    .doing(attempted);
            }
            if Instant::now() > deadline {
                let sessions: Vec<String> = left.iter().map(|row| row.get(0)).collect();
                let reason =
                    format!("still at work after {KILL_TIMEOUT:?}: {}", sessions.join(", "));
                return Err(Error::new(Kind::Busy, attempted(), reason));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
