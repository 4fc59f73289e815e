//! Copies an idle table without reading the log meanwhile. Otherwise the server would decode every
//! copied row, only to find that no reader wants it. The server retains the log from before the
//! first chunk. If the source is written to, the run reads the log from there, and nothing was
//! risked. If the server counts no write until the copy is done, the run skips that log. Then the
//! log cannot explain a difference, and the first difference in the verification discards the
//! shadow.

use crate::migration::checkpoint;
use crate::migration::state::Migration;
use altergeist_contract::{Engine, Result, Writes};
use tokio::time::Instant;

/// Upper limit of unread log in bytes. The server retains it, and it may have to be read after all.
const UNREAD_MAX: u64 = 4 << 30;

/// Watches whether the application writes to the source.
pub struct IdleTable {
    since: Instant,
    writes: Option<Writes>,
}

impl IdleTable {
    /// Starts watching.
    pub async fn watch<E: Engine>(engine: &E) -> Result<IdleTable> {
        Ok(IdleTable { since: Instant::now(), writes: engine.writes().await? })
    }

    /// Returns the state of a table that counts as written to.
    pub fn never() -> IdleTable {
        IdleTable { since: Instant::now(), writes: None }
    }

    /// Whether the log may stay unread, of which the server retains `kept` bytes: the server has
    /// counted no write.
    pub async fn holds<E: Engine>(&self, engine: &E, kept: Option<u64>) -> Result<bool> {
        let is_little = kept.is_none_or(|bytes| bytes <= UNREAD_MAX);
        Ok(is_little && self.writes.is_some() && engine.writes().await? == self.writes)
    }

    /// Skips the unread log, if the table was watched long enough and is still idle. Everything
    /// copied is in the shadow, and the server counted no write since.
    pub async fn pass_log<E: Engine>(&self, run: &mut Migration<'_, E>) -> Result<()> {
        // A shorter watch proves nothing: the server's counters are late.
        let is_watched = self.writes.is_some_and(|writes| self.since.elapsed() >= writes.late);
        if run.listener.is_listening() || !is_watched || !self.holds(run.engine, None).await? {
            return Ok(());
        }
        let Some(position) = run.engine.log_now().await? else { return Ok(()) };
        run.record.position = Some(position.clone());
        run.record.passed_log = true;
        checkpoint::save(run.engine, &mut run.record).await?;
        run.listener.begin_at(position);
        Ok(())
    }
}
