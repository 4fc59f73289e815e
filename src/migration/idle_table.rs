//! A table that nobody writes to is copied without reading the log meanwhile: the server would decode every copied row, only to
//! find that nobody asked for it. The log is kept from before the first chunk. If rows of the source are written after all, it is
//! read from there, and nothing was risked. If the server counts none until the copy is done, the log is passed over; then nothing
//! in it can explain a difference, and the first one that the verification finds throws the shadow away.

use crate::migration::checkpoint;
use crate::migration::state::Migration;
use altergeist_contract::{Engine, Result, Writes};
use tokio::time::Instant;

/// No more of the log, in bytes, is left unread: the server keeps it, and it would have to be read after all.
const UNREAD_MAX: u64 = 4 << 30;

/// Watches whether the source is written to.
pub struct IdleTable {
    since: Instant,
    writes: Option<Writes>,
}

impl IdleTable {
    /// From now on.
    pub async fn watch<E: Engine>(engine: &E) -> Result<IdleTable> {
        Ok(IdleTable { since: Instant::now(), writes: engine.writes().await? })
    }

    /// A table that counts as written to.
    pub fn never() -> IdleTable {
        IdleTable { since: Instant::now(), writes: None }
    }

    /// Whether the log may stay unread, of which the server keeps so many bytes: it has counted no write.
    pub async fn holds<E: Engine>(&self, engine: &E, kept: Option<u64>) -> Result<bool> {
        let is_little = kept.is_none_or(|bytes| bytes <= UNREAD_MAX);
        Ok(is_little && self.writes.is_some() && engine.writes().await? == self.writes)
    }

    /// Passes over what nobody has listened to so far, if the table was watched long enough and is quiet still. Everything copied
    /// is in the shadow, and none of it was changed since, as far as anybody knows.
    pub async fn pass_log<E: Engine>(&self, run: &mut Migration<'_, E>) -> Result<()> {
        // Watched for less, it may have been written to all the time.
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
