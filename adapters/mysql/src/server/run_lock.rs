//! The run lock: whose turn it is. A run that takes it first kills the sessions that an earlier run
//! has left behind its fences.

use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::pool::{PAUSE, SessionPool};
use crate::server::reachability::{ALIVE_WITHIN, DEAD_AFTER, IDLE_LIMIT};
use crate::server::session::{Session, kill, number, text};
use crate::sql;
use altergeist_contract::{Error, Hold, Kind, Result};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long a run waits for the run lock. The server may not yet have noticed that its last holder
/// is gone.
const GRACE_SECONDS: u64 = 1;

impl SessionPool {
    /// Takes the run lock, then kills what earlier holders left and waits until it is gone.
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

    /// Returns whether a holder of the run lock still asks for it every few seconds, as a live one
    /// does. Waits until that is clear.
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

    /// Kills every session that still holds a fence. Closes our own idle ones first: the pool opens
    /// them again.
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

/// How often the run asks the server.
pub(crate) const PERIOD: Duration = Duration::from_secs(5);

/// A server that has not answered for so long is out of reach.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks as long as the pool exists, and ends its waiting statements when no answer comes.
pub(crate) fn watch_over(pool: &Arc<SessionPool>) {
    let pool: Weak<SessionPool> = Arc::downgrade(pool);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(PERIOD).await;
            let Some(pool) = pool.upgrade() else { return };
            // The run itself finds out that a lock was lost.
            if tokio::time::timeout(PATIENCE, pool.still_held()).await.is_err() {
                tracing::warn!("the server has not answered for {} s", PATIENCE.as_secs());
                pool.access.reachability.mark_unreachable();
                return;
            }
        }
    });
}
