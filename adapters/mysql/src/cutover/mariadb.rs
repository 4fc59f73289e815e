//! MariaDB's swap: a RENAME that waits in line behind the lock; the module [`crate::cutover::lock`]
//! says why that is safe.

use crate::cutover::best_effort::best_effort;
use crate::cutover::hands::Hands;
use crate::cutover::lock::{MySqlLock, carry_row_number};
use crate::cutover::triggers::carry;
use crate::server::error::{Failure, LOCK_WAIT_TIMEOUT, NO_SUCH_TABLE};
use crate::server::names::TableName;
use crate::server::pool::{Lease, Slot};
use crate::server::session::{Session, kill_query, text};
use crate::sql;
use altergeist_contract::{Error, Kind, Result, Swap};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// How long the renamer would wait in line; it is ended before.
pub(crate) const RENAME_WITHIN: Duration = Duration::from_secs(60);

/// Whoever will hold the new table once it bears the name.
pub(crate) type Guardian =
    Pin<Box<dyn Future<Output = (Lease, std::result::Result<(), Failure>)> + Send>>;

pub(crate) fn sorts_before(one: &TableName, other: &TableName) -> bool {
    one.name.as_bytes() < other.name.as_bytes()
}

impl MySqlLock {
    pub(crate) async fn swap_in_line(mut self) -> Swap {
        if let Err(error) = self.bind().await {
            return self.refuse(error).await;
        }
        let mut renamer = match self.prepare_rename().await {
            Ok(renamer) => renamer,
            Err(error) => return self.refuse(error).await,
        };
        let id = renamer.id();
        let statement = sql::cutover::rename_both_on(
            &self.shape.source,
            &self.names.old,
            &self.shape.shadow,
            &self.names.go,
            &self.names.went,
        );
        let mut sent = Box::pin(async move {
            let outcome = renamer.session().execute(&statement).await;
            renamer.keep();
            outcome
        });
        let proven = tokio::select! {
            // It cannot have succeeded: the go-ahead does not exist.
            outcome = &mut sent => Err(match outcome {
                Ok(_) => self.error(Kind::Fatal, "the RENAME did not wait for the lock"),
                Err(failure) if failure.code() == Some(NO_SUCH_TABLE) => {
                    self.error(Kind::Disconnected, "the lock was lost before the go-ahead; \
                                                    nothing happened")
                }
                Err(failure) => self.failed(failure),
            }),
            proven = self.give_go_ahead(id) => proven,
        };
        let guardian = match proven {
            Ok(guardian) => guardian,
            Err(error) => {
                drop(sent);
                return self.abort(error).await;
            }
        };
        let mut lock = self;
        // If this fails the connection is gone, and the lock with it.
        best_effort(lock.unlock().await);
        let outcome = match tokio::time::timeout(lock.within, &mut sent).await {
            Ok(outcome) => outcome,
            Err(_) => tokio::join!(&mut sent, kill_query(&lock.crew.access, id)).0,
        };
        match outcome {
            Ok(_) => {
                // What is left of this is done again by `finish`, with the guards standing.
                if let Some(guardian) = guardian {
                    best_effort(lock.carry_behind(guardian).await);
                }
                best_effort(lock.settle_behind().await);
                lock.neighbours.unlock().await;
                Swap::Done
            }
            Err(failure) => {
                // It has, or is about to have, a lock on whatever bears the name.
                drop(guardian);
                let buried = lock.crew.bury().await;
                if failure.ends_session() || buried.is_err() {
                    return Swap::Unknown(lock.failed(failure));
                }
                // If this fails, the next attempt does it.
                best_effort(lock.revoke_go_ahead().await);
                let error = lock.failed(failure);
                lock.refuse(error).await
            }
        }
    }

    /// Everything the RENAME needs, and a proof that it has no go-ahead from an earlier attempt.
    pub(crate) async fn prepare_rename(&self) -> Result<Lease> {
        let mut worker = self.crew.worker().await?;
        carry_row_number(worker.session(), &self.shape)
            .await
            .map_err(|failure| self.failed(failure))?;
        for name in [&self.names.go, &self.names.went] {
            let facts = worker
                .session()
                .row(&sql::catalogue::table_facts(name))
                .await
                .map_err(|failure| self.failed(failure))?;
            let Some(facts) = facts else { continue };
            if text(&facts[5]) != sql::cutover::GO_AHEAD {
                return Err(self.error(Kind::Fatal, format!("{} is not ours", name.plain())));
            }
            let drop = sql::ddl::drop_table(&self.shape.source, name);
            worker.session().execute(&drop).await.map_err(|failure| self.failed(failure))?;
        }
        worker.keep();
        let mut renamer = self.crew.lease(Slot::Rename).await?;
        renamer
            .session()
            .execute(&sql::session::lock_waits(RENAME_WITHIN))
            .await
            .map_err(|failure| self.failed(failure))?;
        Ok(renamer)
    }

    /// Where there are triggers, also puts a session in line behind the renamer, for the new table.
    pub(crate) async fn give_go_ahead(&mut self, renamer: u64) -> Result<Option<Guardian>> {
        let mut worker = self.crew.worker().await?;
        let session = worker.session();
        session
            .execute("SET SESSION lock_wait_timeout = 0")
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
        let guardian = match self.triggers.list.is_empty() {
            true => None,
            false => {
                // To lock a table is to open its children.
                self.neighbours.unlock_children().await;
                Some(self.queue_guardian(session).await?)
            }
        };
        let create = sql::cutover::create_go_ahead(&self.shape.source, &self.names.go);
        session
            .execute("SET SESSION lock_wait_timeout = 1")
            .await
            .map_err(|failure| self.failed(failure))?;
        session.execute(&create).await.map_err(|failure| self.failed(failure))?;
        Ok(guardian)
    }

    /// A session that waits for the source's name exclusively. The RENAME goes before it, and it
    /// goes before every writer.
    pub(crate) async fn queue_guardian(&self, watcher: &mut Session) -> Result<Guardian> {
        let mut lease = self.crew.lease(Slot::Triggers).await?;
        let id = lease.id();
        for statement in
            [sql::session::lock_waits(3 * self.within), sql::session::idle_limit(self.within)]
        {
            lease.session().execute(&statement).await.map_err(|failure| self.failed(failure))?;
        }
        let lock = sql::cutover::lock_against_all(&self.shape.source);
        let mut guardian: Guardian = Box::pin(async move {
            let outcome = lease.session().execute(&lock).await;
            (lease, outcome.map(|_| ()))
        });
        let lost = |outcome| match outcome {
            Ok(()) => self.error(
                Kind::Disconnected,
                "the lock was lost before the go-ahead; nothing happened",
            ),
            Err(failure) => self.failed(failure),
        };
        let begun = Instant::now();
        loop {
            tokio::select! {
                biased;
                (_, outcome) = &mut guardian => {
                    return Err(lost(outcome));
                }
                waits = self.waits_for_a_table(watcher, id) => if waits? { return Ok(guardian) },
            }
            if begun.elapsed() > self.within {
                return Err(self.error(
                    Kind::Busy,
                    "the session that carries the triggers did not get into line",
                ));
            }
            tokio::select! {
                _ = tokio::time::sleep(Duration::from_millis(1)) => {}
                (_, outcome) = &mut guardian => {
                    return Err(lost(outcome));
                }
            }
        }
    }

    pub(crate) async fn carry_behind(
        &mut self,
        guardian: Guardian,
    ) -> std::result::Result<(), Failure> {
        let (mut maker, outcome) = guardian.await;
        outcome?;
        let session = maker.session();
        let dropper = self.holder.session();
        carry(session, Some(dropper), &self.shape.source, &self.names, &self.triggers.list).await?;
        session.execute("UNLOCK TABLES").await.map(|_| ())
    }

    /// Gives the foreign keys their own names while their other ends are still locked, as far as
    /// that goes in time. A writer may hold the new table already and wait for a child, so children
    /// are let go before it is altered.
    pub(crate) async fn settle_behind(&mut self) -> std::result::Result<(), Failure> {
        let Some(bonds) = &self.bonds else { return Ok(()) };
        let lease = self.crew.lease(Slot::Control).await;
        let mut control = lease.map_err(|error| Failure::Lost(error.to_string()))?;
        let spent = |_| Err(Failure::Lost("the time for it was spent".into()));
        let mut hands =
            Hands { control: control.session(), neighbours: Some(&mut self.neighbours) };
        let settling = tokio::time::timeout(self.within, bonds.settle_others(&mut hands));
        settling.await.unwrap_or_else(spent)?;
        self.neighbours.unlock_children().await;
        let mut hands =
            Hands { control: control.session(), neighbours: Some(&mut self.neighbours) };
        let settling = tokio::time::timeout(self.within, bonds.settle_source(&mut hands));
        settling.await.unwrap_or_else(spent)?;
        control.keep();
        Ok(())
    }

    /// Whether the renamer waits for the source itself; the module says why that is so.
    pub(crate) async fn is_next_in_line(
        &self,
        session: &mut Session,
        renamer: u64,
    ) -> Result<bool> {
        if !sorts_before(&self.shape.source, &self.shape.shadow) && !self.is_locked(session).await?
        {
            return Ok(false);
        }
        // Asked last: what it waits for now comes behind what it was just seen to hold.
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
            && sql::is_signed(&text(statement), &self.shape.source))
    }

    /// Whether somebody, which can only be the renamer, holds the shadow exclusively.
    pub(crate) async fn is_locked(&self, session: &mut Session) -> Result<bool> {
        match session.rows(&sql::cutover::look_at(&self.shape.shadow)).await {
            Ok(_) => Ok(false),
            Err(Failure::Server { code: LOCK_WAIT_TIMEOUT, .. }) => Ok(true),
            Err(failure) => Err(self.failed(failure)),
        }
    }

    /// Ends the renamer before the lock is let go; without a go-ahead it could do nothing, but it
    /// would hold up the application.
    pub(crate) async fn abort(self, error: Error) -> Swap {
        let ended = self.crew.bury().await;
        let revoked = match ended {
            Ok(()) => self.revoke_go_ahead().await,
            Err(error) => Err(error),
        };
        match revoked {
            Ok(()) => self.refuse(error).await,
            Err(error) => Swap::Unknown(error),
        }
    }

    pub(crate) async fn revoke_go_ahead(&self) -> Result<()> {
        let mut worker = self.crew.worker().await?;
        let drop = sql::ddl::drop_table(&self.shape.source, &self.names.go);
        worker.session().execute(&drop).await.map_err(|failure| self.failed(failure))?;
        worker.keep();
        Ok(())
    }
}
