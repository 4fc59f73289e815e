//! The session pool: sessions with known settings, lent one at a time.

use crate::server::connect::Server;
use crate::server::doing::Doing;
use crate::server::run_lock::RunLock;
use crate::server::session::{self, Session};
use crate::sql;
use altergeist_contract::{Kind, Result};
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A few sessions of one kind.
pub(crate) struct SessionPool {
    pub(crate) server: Arc<Server>,
    pub(crate) run: Arc<RunLock>,
    pub(crate) settings: String,
    pub(crate) free: Mutex<Vec<Session>>,
    pub(crate) permits: Arc<Semaphore>,
}

impl SessionPool {
    pub(crate) fn new(
        server: Arc<Server>,
        run: Arc<RunLock>,
        settings: String,
        size: usize,
    ) -> Arc<SessionPool> {
        Arc::new(SessionPool {
            server,
            run,
            settings,
            free: Mutex::default(),
            permits: Arc::new(Semaphore::new(size.max(1))),
        })
    }

    /// Lends a session. Abandoned sessions have ended when this returns.
    pub(crate) async fn take(self: &Arc<SessionPool>) -> Result<Lease> {
        let permit =
            self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        self.run.kill_abandoned().await?;
        let idle = self.idle();
        let session = match idle {
            Some(session) => session,
            None => self.open().await?,
        };
        Ok(Lease { pool: self.clone(), session: Some(session), _permit: permit })
    }

    /// Forgets the idle sessions, with all they have prepared.
    pub(crate) fn refresh(&self) {
        session::locked(&self.free).clear();
    }

    /// How many sessions wait to be lent.
    pub(crate) fn idle_sessions(&self) -> usize {
        session::locked(&self.free).len()
    }

    pub(crate) fn idle(&self) -> Option<Session> {
        let mut free = session::locked(&self.free);
        while let Some(session) = free.pop() {
            if !session.is_closed() {
                return Some(session);
            }
        }
        None
    }

    /// Opens a session. Under the run lock it goes behind the fence first, and only then checks
    /// that the lock is still ours. So a run that took the lock over either ends this session, or
    /// this check fails.
    pub(crate) async fn open(&self) -> Result<Session> {
        let session = self.server.open(&self.run.names.application, &self.settings).await?;
        if self.run.is_taken() {
            let fenced = session.query(sql::SHARE_LOCK, &[&self.run.names.fence]).await;
            fenced.doing("go behind the fence of the run")?;
            self.run.verify().await?;
        }
        Ok(session)
    }
}

/// A session on loan. If it is dropped before it is settled, its statement is ended before the next
/// loan.
pub(crate) struct Lease {
    pub(crate) pool: Arc<SessionPool>,
    pub(crate) session: Option<Session>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Gives the session back clean, whatever its result.
    pub(crate) async fn settle<T>(mut self, result: Result<T>) -> Result<T> {
        let clean = match &result {
            Ok(_) => true,
            Err(error) => error.kind != Kind::Disconnected && self.run(sql::ROLLBACK).await.is_ok(),
        };
        if clean && !self.is_closed() {
            let session = self.session.take().expect("a lease has its session until it is settled");
            session::locked(&self.pool.free).push(session);
        }
        result
    }
}

impl Lease {
    /// Releases what the session holds. If that fails, the end of the session does it.
    pub(crate) async fn roll_back(self) {
        let _ = self.run(sql::ROLLBACK).await;
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
            self.pool.run.abandon(session.pid);
        }
    }
}
