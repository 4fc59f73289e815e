//! MariaDB's swap: a RENAME that waits in the queue behind the lock. [`crate::cutover::lock`] says
//! why that is safe.

use crate::cutover::best_effort::best_effort;
use crate::cutover::relation_sessions::AlterSessions;
use crate::cutover::table_lock::{MySqlLock, carry_row_number};
use crate::cutover::triggers::carry;
use crate::server::error::{Failure, LOCK_WAIT_TIMEOUT, NO_SUCH_TABLE};
use crate::server::names::TableName;
use crate::server::pool::{Lease, Slot};
use crate::server::session::{Done, Session, kill_query, text};
use crate::sql;
use altergeist_contract::{Error, Kind, Result, Swap};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Longest wait of the renamer in the queue; the run ends it before.
pub(crate) const RENAME_WITHIN: Duration = Duration::from_secs(60);

/// The session that will hold the new table while its triggers are created.
pub(crate) type TriggerLock =
    Pin<Box<dyn Future<Output = (Lease, std::result::Result<(), Failure>)> + Send>>;

/// The RENAME that was sent, until its answer.
type Rename = Pin<Box<dyn Future<Output = std::result::Result<Done, Failure>> + Send>>;

pub(crate) fn sorts_before(one: &TableName, other: &TableName) -> bool {
    one.name.as_bytes() < other.name.as_bytes()
}

impl MySqlLock {
    pub(crate) async fn swap_by_queued_rename(mut self) -> Swap {
        if let Err(error) = self.bind().await {
            return self.refuse(error).await;
        }
        let renamer = match self.prepare_rename().await {
            Ok(renamer) => renamer,
            Err(error) => return self.refuse(error).await,
        };
        let id = renamer.id();
        let mut sent = self.send_rename(renamer);
        let proven = tokio::select! {
            outcome = &mut sent => Err(self.ended_too_early(outcome)),
            proven = self.allow_rename(id) => proven,
        };
        let trigger_lock = match proven {
            Ok(trigger_lock) => trigger_lock,
            Err(error) => {
                drop(sent);
                return self.abort(error).await;
            }
        };
        let mut lock = self;
        // If this fails, the connection is gone, and the lock with it.
        best_effort(lock.unlock().await);
        let outcome = match tokio::time::timeout(lock.within, &mut sent).await {
            Ok(outcome) => outcome,
            Err(_) => tokio::join!(&mut sent, kill_query(&lock.pool.access, id)).0,
        };
        match outcome {
            Ok(_) => lock.complete_swap(trigger_lock).await,
            Err(failure) => lock.give_swap_up(failure, trigger_lock).await,
        }
    }

    /// Sends the RENAME. It queues behind the lock.
    fn send_rename(&self, mut renamer: Lease) -> Rename {
        let statement = sql::cutover::rename_both_on(
            &self.mapping.source,
            &self.names.old,
            &self.mapping.shadow,
            &self.names.sentry,
            &self.names.used_sentry,
        );
        Box::pin(async move {
            let outcome = renamer.session().execute(&statement).await;
            renamer.keep();
            outcome
        })
    }

    /// Says why the RENAME ended before it was allowed to. It cannot have succeeded: the sentry
    /// does not exist.
    fn ended_too_early(&self, outcome: std::result::Result<Done, Failure>) -> Error {
        match outcome {
            Ok(_) => self.error(Kind::Fatal, "the RENAME did not wait for the lock"),
            Err(failure) if failure.code() == Some(NO_SUCH_TABLE) => {
                let reason = "the lock was lost before the swap began; nothing happened";
                self.error(Kind::Disconnected, reason)
            }
            Err(failure) => self.failed(failure),
        }
    }

    /// Carries triggers and foreign keys. `finish` does what is left undone here. Until then the
    /// guards protect the table.
    async fn complete_swap(mut self, trigger_lock: Option<TriggerLock>) -> Swap {
        if let Some(trigger_lock) = trigger_lock {
            best_effort(self.carry_triggers(trigger_lock).await);
        }
        best_effort(self.restore_keys_in_time().await);
        self.relations.unlock().await;
        Swap::Done
    }

    async fn give_swap_up(self, failure: Failure, trigger_lock: Option<TriggerLock>) -> Swap {
        // It holds a lock on the table with this name, or is about to.
        drop(trigger_lock);
        let killed = self.pool.kill_abandoned().await;
        if failure.ends_session() || killed.is_err() {
            return Swap::Unknown(self.failed(failure));
        }
        // If this fails, the next attempt does it.
        best_effort(self.drop_sentry().await);
        let error = self.failed(failure);
        self.refuse(error).await
    }

    /// Prepares all that the RENAME needs, and proves that no sentry is left from an earlier
    /// attempt.
    pub(crate) async fn prepare_rename(&self) -> Result<Lease> {
        let mut worker = self.pool.worker().await?;
        carry_row_number(worker.session(), &self.mapping)
            .await
            .map_err(|failure| self.failed(failure))?;
        for name in [&self.names.sentry, &self.names.used_sentry] {
            let facts = worker
                .session()
                .row(&sql::catalogue::table_facts(name))
                .await
                .map_err(|failure| self.failed(failure))?;
            let Some(facts) = facts else { continue };
            if text(&facts[5]) != sql::cutover::SENTRY {
                return Err(self.error(Kind::Fatal, format!("{} is not ours", name.plain())));
            }
            let drop = sql::ddl::drop_table(&self.mapping.source, name);
            worker.session().execute(&drop).await.map_err(|failure| self.failed(failure))?;
        }
        worker.keep();
        let mut renamer = self.pool.lease(Slot::Rename).await?;
        renamer
            .session()
            .execute(&sql::session::lock_waits(RENAME_WITHIN))
            .await
            .map_err(|failure| self.failed(failure))?;
        Ok(renamer)
    }

    /// Waits until the renamer is next in the queue, then creates the sentry. If there are
    /// triggers, a second session queues behind the renamer first, for the new table.
    pub(crate) async fn allow_rename(&mut self, renamer: u64) -> Result<Option<TriggerLock>> {
        let mut worker = self.pool.worker().await?;
        let session = worker.session();
        session
            .execute(sql::cutover::WAIT_FOR_NO_TABLE)
            .await
            .map_err(|failure| self.failed(failure))?;
        let begun = Instant::now();
        while !self.is_next_in_line(session, renamer).await? {
            if begun.elapsed() > self.within {
                return Err(self.error(
                    Kind::Busy,
                    "the RENAME did not queue for the table lock: another session uses the shadow",
                ));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let trigger_lock = match self.triggers.list.is_empty() {
            true => None,
            false => {
                // Locking a table opens its children.
                self.relations.unlock_children().await;
                Some(self.queue_trigger_lock(session).await?)
            }
        };
        let create = sql::cutover::create_sentry(&self.mapping.source, &self.names.sentry);
        session
            .execute(sql::cutover::WAIT_A_SECOND)
            .await
            .map_err(|failure| self.failed(failure))?;
        session.execute(&create).await.map_err(|failure| self.failed(failure))?;
        Ok(trigger_lock)
    }

    /// Queues a session for an exclusive lock on the source's name. The RENAME goes before it, and
    /// it goes before every writer.
    pub(crate) async fn queue_trigger_lock(&self, watcher: &mut Session) -> Result<TriggerLock> {
        let mut lease = self.pool.lease(Slot::Triggers).await?;
        let id = lease.id();
        for statement in
            [sql::session::lock_waits(3 * self.within), sql::session::idle_limit(self.within)]
        {
            lease.session().execute(&statement).await.map_err(|failure| self.failed(failure))?;
        }
        let lock = sql::cutover::lock_against_all(&self.mapping.source);
        let mut trigger_lock: TriggerLock = Box::pin(async move {
            let outcome = lease.session().execute(&lock).await;
            (lease, outcome.map(|_| ()))
        });
        let lost = |outcome| match outcome {
            Ok(()) => self.error(
                Kind::Disconnected,
                "the lock was lost before the swap began; nothing happened",
            ),
            Err(failure) => self.failed(failure),
        };
        let begun = Instant::now();
        loop {
            tokio::select! {
                biased;
                (_, outcome) = &mut trigger_lock => {
                    return Err(lost(outcome));
                }
                waits = self.waits_for_a_table(watcher, id) => if waits? {
                    return Ok(trigger_lock);
                },
            }
            if begun.elapsed() > self.within {
                return Err(self.error(
                    Kind::Busy,
                    "the session that carries the triggers did not queue for the table lock in \
                     time",
                ));
            }
            tokio::select! {
                _ = tokio::time::sleep(Duration::from_millis(1)) => {}
                (_, outcome) = &mut trigger_lock => {
                    return Err(lost(outcome));
                }
            }
        }
    }

    pub(crate) async fn carry_triggers(
        &mut self,
        trigger_lock: TriggerLock,
    ) -> std::result::Result<(), Failure> {
        let (mut maker, outcome) = trigger_lock.await;
        outcome?;
        let session = maker.session();
        let dropper = self.holder.session();
        carry(session, Some(dropper), &self.mapping.source, &self.names, &self.triggers.list)
            .await?;
        session.execute(sql::cutover::UNLOCK).await.map(|_| ())
    }

    /// Restores the foreign keys while their other ends are still locked, as far as the time
    /// allows. A writer may hold the new table already and wait for a child. So the run unlocks the
    /// children before it alters the new table.
    pub(crate) async fn restore_keys_in_time(&mut self) -> std::result::Result<(), Failure> {
        let Some(key_swap) = &self.key_swap else { return Ok(()) };
        let lease = self.pool.lease(Slot::Control).await;
        let mut control = lease.map_err(|error| Failure::Lost(error.to_string()))?;
        let spent = |_| Err(Failure::Lost("the time for it is over".into()));
        let mut relation_sessions =
            AlterSessions { control: control.session(), relations: Some(&mut self.relations) };
        let restoring =
            tokio::time::timeout(self.within, key_swap.restore_others(&mut relation_sessions));
        restoring.await.unwrap_or_else(spent)?;
        self.relations.unlock_children().await;
        let mut relation_sessions =
            AlterSessions { control: control.session(), relations: Some(&mut self.relations) };
        let restoring =
            tokio::time::timeout(self.within, key_swap.restore_source(&mut relation_sessions));
        restoring.await.unwrap_or_else(spent)?;
        control.keep();
        Ok(())
    }

    /// Returns whether the renamer waits for the source itself; the module says how that shows.
    pub(crate) async fn is_next_in_line(
        &self,
        session: &mut Session,
        renamer: u64,
    ) -> Result<bool> {
        if !sorts_before(&self.mapping.source, &self.mapping.shadow)
            && !self.is_locked(session).await?
        {
            return Ok(false);
        }
        // This check comes last: the renamer acquired what it was seen to hold before it began to
        // wait.
        self.waits_for_a_table(session, renamer).await
    }

    pub(crate) async fn waits_for_a_table(&self, session: &mut Session, id: u64) -> Result<bool> {
        let row = session
            .row(&sql::cutover::doing(id))
            .await
            .map_err(|failure| self.failed(failure))?
            .unwrap_or_default();
        let [state, statement] = &row[..] else { return Ok(false) };
        Ok(text(state) == "Waiting for table metadata lock"
            && sql::is_signed(&text(statement), &self.mapping.source))
    }

    /// Returns whether another session holds the shadow exclusively. It can only be the renamer.
    pub(crate) async fn is_locked(&self, session: &mut Session) -> Result<bool> {
        match session.rows(&sql::cutover::look_at(&self.mapping.shadow)).await {
            Ok(_) => Ok(false),
            Err(Failure::Server { code: LOCK_WAIT_TIMEOUT, .. }) => Ok(true),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Ends the renamer before the run releases its lock. Without a sentry the renamer could do
    /// nothing, but it would block the application.
    pub(crate) async fn abort(self, error: Error) -> Swap {
        let ended = self.pool.kill_abandoned().await;
        let revoked = match ended {
            Ok(()) => self.drop_sentry().await,
            Err(error) => Err(error),
        };
        match revoked {
            Ok(()) => self.refuse(error).await,
            Err(error) => Swap::Unknown(error),
        }
    }

    pub(crate) async fn drop_sentry(&self) -> Result<()> {
        let mut worker = self.pool.worker().await?;
        let drop = sql::ddl::drop_table(&self.mapping.source, &self.names.sentry);
        worker.session().execute(&drop).await.map_err(|failure| self.failed(failure))?;
        worker.keep();
        Ok(())
    }
}
