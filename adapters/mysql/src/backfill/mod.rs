//! Updates rows in place, range by range of the key, each range in one transaction with the record
//! of it.

mod row_key;
mod trial;

pub(crate) use row_key::{RowKey, is_same_table};

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, execute_within};
use crate::server::settings;
use crate::sql;
use crate::sql::backfill::Rows;
use altergeist_contract::{
    Chunk, Error, Key, Kind, Record, Result, RowUpdate, UpdatePace, Updated, Watermark,
    journal_json,
};
use std::sync::Arc;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};

/// The most rows whose keys are locked one by one, to find out if they still match.
const LOCKED_KEYS: usize = 500;

/// What a backfill needs of a process.
#[derive(Default)]
pub(crate) struct BackfillState {
    /// The key that it follows, once it is known.
    pub(crate) key: OnceCell<RowKey>,
    /// The session that finds ranges and counts rows.
    pub(crate) reader: AsyncMutex<Option<Session>>,
}

/// A backfill's table and texts.
pub(crate) struct Work<'a> {
    pub(crate) change: &'a Change,
    pub(crate) pool: &'a Arc<SessionPool>,
    pub(crate) key: &'a RowKey,
    pub(crate) update: &'a RowUpdate,
}

impl Work<'_> {
    fn rows(&self) -> Rows<'_> {
        Rows { source: &self.change.source, key: &self.key.key, update: self.update }
    }

    fn attempted(&self) -> String {
        self.change.doing("update rows of")
    }

    fn failed(&self, failure: Failure) -> Error {
        failure.of_update(self.attempted())
    }

    /// Sets the session up for the user's expressions.
    async fn prepare(&self, session: &mut Session) -> Result<()> {
        let modes = settings::modes_of_clauses(&self.change.server.modes, false);
        let schema = sql::session::use_schema(&self.change.source.schema);
        for statement in [sql::backfill::AS_THE_APPLICATION, &modes, &schema] {
            session.execute(statement).await.doing_in_catalogue(|| self.attempted())?;
        }
        Ok(())
    }

    /// Returns the session that reads, set up.
    async fn reading<'s>(&self, slot: &'s mut Option<Session>) -> Result<&'s mut Session> {
        if !slot.as_ref().is_some_and(Session::is_fresh) {
            let mut session = self.pool.reader().await?;
            self.prepare(&mut session).await?;
            *slot = Some(session);
        }
        Ok(slot.as_mut().expect("it was just opened"))
    }

    async fn range_end(
        &self,
        session: &mut Session,
        after: &Watermark,
        rows: u64,
    ) -> Result<Watermark> {
        let attempted = || self.change.doing("find the end of a range of");
        let row = session.row(&self.rows().range_end(after, rows)?).await.doing(attempted)?;
        let Some(row) = row else { return Ok(Watermark::End) };
        let key = self.key.key.of_query(&row);
        key.map(Watermark::At).ok_or_else(|| Error::fatal(attempted(), "its key cannot be read"))
    }

    /// Finds the next range.
    pub(crate) async fn next_range(
        &self,
        reader: &AsyncMutex<Option<Session>>,
        after: &Watermark,
        rows: u64,
    ) -> Result<Chunk> {
        let mut slot = reader.lock().await;
        let session = self.reading(&mut slot).await?;
        let through = self.range_end(session, after, rows).await?;
        Ok(Chunk { after: after.clone(), through })
    }

    /// Counts the rows of a range that match.
    pub(crate) async fn count_matching(
        &self,
        reader: &AsyncMutex<Option<Session>>,
        range: &Chunk,
    ) -> Result<u64> {
        let mut slot = reader.lock().await;
        let session = self.reading(&mut slot).await?;
        let counted = session.text(&self.rows().count(range)?).await;
        let counted = counted.doing(|| self.change.doing("count rows of"))?;
        Ok(counted.parse().unwrap_or_default())
    }

    /// Updates the rows of a range and saves the record, in one transaction.
    pub(crate) async fn update_range(
        &self,
        range: &Chunk,
        pace: UpdatePace,
        record: &dyn Fn(&Updated) -> Record,
    ) -> Result<Updated> {
        let mut lease = self.pool.worker().await?;
        let session = lease.session();
        self.prepare(session).await?;
        let mut outcome = self.try_range(session, range, pace, record, false).await;
        if let Ok(None) = outcome {
            outcome = self.try_range(session, range, pace, record, true).await;
        }
        // A session that may be in a transaction is not used again.
        if !outcome.as_ref().is_err_and(|error| error.kind == Kind::Disconnected) {
            lease.keep();
        }
        outcome?.ok_or_else(|| Error::fatal(self.attempted(), "the range was not updated"))
    }

    /// One transaction. None if it was rolled back, because rows of the range match that may be
    /// ours or others'.
    async fn try_range(
        &self,
        session: &mut Session,
        range: &Chunk,
        pace: UpdatePace,
        record: &dyn Fn(&Updated) -> Record,
        locks_keys: bool,
    ) -> Result<Option<Updated>> {
        session.execute(sql::session::BEGIN).await.map_err(|failure| self.failed(failure))?;
        let outcome = match locks_keys {
            true => self.update_locked(session, range, pace).await.map(Some),
            false => self.update_all(session, range, pace).await,
        };
        let outcome = match outcome {
            Ok(Some(updated)) => {
                let saved = self.save(session, &record(&updated)).await;
                saved.map(|()| Some(updated))
            }
            other => other,
        };
        if let Ok(Some(_)) = outcome {
            self.end(session, sql::session::COMMIT).await?;
        } else if session.is_alive() {
            self.end(session, sql::session::ROLLBACK).await?;
        }
        outcome
    }

    /// Ends the transaction. If that fails, nobody knows how it ended: the record says it.
    async fn end(&self, session: &mut Session, sql: &str) -> Result<()> {
        let ended = session.execute(sql).await.map(drop);
        ended.map_err(|failure| {
            let error = self.failed(failure);
            Error::new(Kind::Disconnected, error.attempted, error.reason)
        })
    }

    async fn update_all(
        &self,
        session: &mut Session,
        range: &Chunk,
        pace: UpdatePace,
    ) -> Result<Option<Updated>> {
        let statement = self.rows().update(range)?;
        let rows = self.update(session, &statement, pace).await?;
        if pace.asks_matching {
            let any = session.row(&self.rows().any(range)?).await;
            if any.map_err(|failure| self.failed(failure))?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(Updated { rows, through: range.through.clone(), still_matches: false }))
    }

    /// Locks the matching rows first. So those that match afterwards are known to be ours.
    async fn update_locked(
        &self,
        session: &mut Session,
        range: &Chunk,
        pace: UpdatePace,
    ) -> Result<Updated> {
        let rows = self.rows();
        let keys = self.keys(session, &rows.lock_keys(range, LOCKED_KEYS)?).await?;
        let Some(last) = keys.last() else {
            let through = range.through.clone();
            return Ok(Updated { rows: 0, through, still_matches: false });
        };
        let through = match keys.len() < LOCKED_KEYS {
            true => range.through.clone(),
            false => Watermark::At(last.clone()),
        };
        let changed = self.update(session, &rows.update_keys(&keys)?, pace).await?;
        let still = session.text(&rows.count_keys(&keys)?).await;
        let still = still.map_err(|failure| self.failed(failure))?;
        Ok(Updated { rows: changed, through, still_matches: still != "0" })
    }

    async fn update(&self, session: &mut Session, sql: &str, pace: UpdatePace) -> Result<u64> {
        let done = execute_within(session, &self.pool.access, sql, pace.within).await;
        let done = done.map_err(|failure| match failure.is_busy() {
            true => {
                let reason = "another session did not unlock a row in time";
                Error::new(Kind::Transient, self.attempted(), reason)
            }
            false => self.failed(failure),
        });
        Ok(done?.rows)
    }

    async fn keys(&self, session: &mut Session, statement: &str) -> Result<Vec<Key>> {
        let found = session.rows(statement).await.map_err(|failure| self.failed(failure))?;
        let unread = || Error::fatal(self.attempted(), "its key cannot be read");
        found.iter().map(|row| self.key.key.of_query(row).ok_or_else(unread)).collect()
    }

    /// Writes the record within the session's transaction.
    async fn save(&self, session: &mut Session, record: &Record) -> Result<()> {
        let entry = sql::journal::Entry {
            alter: &record.alter,
            stage: record.stage.name(),
            holder: &record.holder,
            record: &journal_json::write(record),
        };
        let (journal, source) = (&self.change.names.journal, &self.change.source.name);
        let saved = session.execute(&sql::journal::save_entry(journal, source, &entry)).await;
        saved.map(drop).doing_in_catalogue(self.change.doing("write the journal of"))
    }
}
