//! Resolves conflicts in a unique index: a row of the shadow is stale, or the source itself has
//! duplicates (law 4).

use crate::control::Failure;
use crate::migration::marks;
use crate::migration::state::Migration;
use altergeist_contract::{Engine, Error, Key, Result, Watermark};
use std::time::Duration;

/// Attempts to resolve a conflict before the source is checked for duplicates.
const ATTEMPTS_MAX: u32 = 60;

/// The pause between two attempts: long enough for a commit, short enough that little else changes.
const PAUSE: Duration = Duration::from_millis(10);

impl<E: Engine> Migration<'_, E> {
    /// Resolves a conflict with a stale row (law 4). The change of that row is in the log already.
    /// So it reads the log up to now and refreshes everything pending together, until no row
    /// conflicts. Or it finds that the source has duplicates.
    ///
    /// # Errors
    /// The error it was called with, unless that is transient. `Fatal`, with the index, if the rows
    /// really conflict, or still conflict after all attempts. [`Failure::Behind`].
    pub async fn resolve_conflicts(&mut self, mut error: Error) -> Result<(), Failure> {
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

    /// Deletes the shadow's rows of everything pending, and then inserts them. So only rows that
    /// changed since the log was read can conflict. Conflicting rows are pending again afterwards:
    /// a row that keeps changing delays only itself. Returns the last error, None if there was
    /// none.
    async fn refresh_together(&mut self) -> Result<Option<Error>> {
        let (pending, position) = self.listener.drain();
        if pending.emptied {
            self.engine.clear().await?;
        }
        let size = self.control.settings().batch_keys;
        for batch in pending.keys.chunks(size) {
            self.listener
                .run_while_streaming(self.engine.refresh(batch, &Watermark::Start))
                .await??;
        }
        let mut failed = None;
        let mut batches: Vec<&[Key]> = pending.keys.chunks(size).collect();
        while let Some(batch) = batches.pop() {
            let Err(error) = self
                .listener
                .run_while_streaming(self.engine.refresh(batch, &self.record.watermark))
                .await?
            else {
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
            self.listener.confirm(position);
        }
        Ok(failed)
    }
}

/// Checks whether a conflict can never be resolved.
///
/// # Errors
/// `Fatal`, with the index, if the source has rows that conflict in the shadow.
pub async fn refuse_duplicates<E: Engine>(engine: &E) -> Result<()> {
    match engine.duplicates().await?.first() {
        None => Ok(()),
        Some(found) => Err(Error::fatal(
            format!("fill the shadow of {}", engine.table()),
            format!(
                "{} values occur more than once in the source, and unique index {} allows each \
                 only once. Remove the duplicates, or leave the index out",
                found.values, found.index
            ),
        )),
    }
}
