//! Rows in each other's way in a unique index: they are stale, or the source itself holds duplicates (law 4).

use crate::control::Failure;
use crate::migration::marks;
use crate::migration::state::Migration;
use altergeist_contract::{Engine, Error, Key, Result, Watermark};
use std::time::Duration;

/// How often a row in the way is waited out before the source is asked for duplicates.
const ATTEMPTS_MAX: u32 = 60;

/// The pause between two such attempts: long enough for a commit, short enough that little else changes.
const PAUSE: Duration = Duration::from_millis(10);

impl<E: Engine> Migration<'_, E> {
    /// A row in the way is stale (law 4): its own change is in the log already. Reads the log up to now, and refreshes
    /// everything pending together, until nothing is in the way any more; or finds that the source itself holds duplicates.
    ///
    /// # Errors
    /// The error it was called with, unless it is one that passes; `Fatal` naming the index if the rows really cannot
    /// stand together, or if they did not part within the attempts; [`Failure::Behind`].
    pub async fn wait_out(&mut self, mut error: Error) -> Result<(), Failure> {
        for attempt in 1..=ATTEMPTS_MAX {
            if !error.kind.is_passing() {
                return Err(error.into());
            }
            if attempt % (ATTEMPTS_MAX / 4) == 0 {
                refuse_duplicates(self.engine).await?;
            }
            let mark = marks::put(self.engine).await?;
            self.reach(mark).await?;
            match self.refresh_together().await? {
                None => return Ok(()),
                Some(still) => error = still,
            }
            self.listener.pause(PAUSE).await?;
        }
        Err(error.into())
    }

    /// Deletes the shadow's rows of everything pending, and then inserts them, so that only rows that changed since the
    /// log was read can be in the way of others. What is in somebody's way or has somebody in its own is pending again
    /// afterwards: rows that keep changing hold up themselves and nobody else. Gives the last error, None if all is well.
    async fn refresh_together(&mut self) -> Result<Option<Error>> {
        let (pending, position) = self.listener.take();
        if pending.emptied {
            self.engine.clear().await?;
        }
        let size = self.control.settings().batch_keys;
        for batch in pending.keys.chunks(size) {
            self.listener.during(self.engine.refresh(batch, &Watermark::Start)).await??;
        }
        let mut failed = None;
        let mut batches: Vec<&[Key]> = pending.keys.chunks(size).collect();
        while let Some(batch) = batches.pop() {
            let Err(error) = self.listener.during(self.engine.refresh(batch, &self.record.watermark)).await? else {
                continue;
            };
            if !error.kind.is_passing() {
                return Err(error);
            }
            match batch.split_at(batch.len() / 2) {
                ([], alone) => {
                    self.listener.keys.put_back(alone.iter().cloned());
                    failed = Some(error);
                }
                (first, second) => batches.extend([second, first]),
            }
        }
        if failed.is_none() {
            self.listener.settle(position);
        }
        Ok(failed)
    }
}

/// Asks whether a row in the way will never go.
///
/// # Errors
/// `Fatal`, naming the index, if the source holds rows that cannot stand together in the shadow.
pub async fn refuse_duplicates<E: Engine>(engine: &E) -> Result<()> {
    match engine.duplicates().await?.first() {
        None => Ok(()),
        Some(found) => Err(Error::fatal(
            format!("fill the shadow of {}", engine.table()),
            format!(
                "{} values occur more than once in the source, and unique index {} allows each only once. \
                 Remove the duplicates, or leave the index out",
                found.values, found.index
            ),
        )),
    }
}
