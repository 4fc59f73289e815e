//! The refresh turn: makes the shadow's rows of changed keys what the source holds of them.

use crate::control::{Control, Failure};
use crate::migration::listen::Listener;
use crate::migration::state::Migration;
use crate::pace::concurrency::{self, Full};
use crate::pace::skip_unchanged::SkipUnchanged;
use altergeist_contract::{ChangeStream, Engine, Error, Key, Result, Watermark};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

/// A batch is not made smaller than one of this many parts of the greatest, so that there is one for each worker: fewer keys are not
/// worth a transaction of their own.
const BATCH_PARTS: usize = 10;

/// A batch may take as long as so many chunks should: it writes less in that time than they do, so that its commit is shorter.
const BATCH_CHUNKS: u32 = 3;

/// The most keys of a batch that are compared before they are refreshed.
const COMPARED_MAX: usize = 1000;

impl<E: Engine> Migration<'_, E> {
    /// Refreshes everything that was pending when the turn began. No key is in two batches, and nothing is in flight
    /// when it ends (law 3).
    pub async fn refresh_turn(&mut self) -> Result<(), Failure> {
        if self.listener.keys.is_empty() {
            let (_, position) = self.listener.take();
            self.listener.settle(position);
            tell(self.control, &self.listener, 0);
            return Ok(());
        }
        self.engine.still_held().await?;
        let (pending, position) = self.listener.take();
        if pending.emptied {
            let cleared = self.listener.during(self.engine.clear()).await?;
            if let Err(error) = cleared {
                self.listener.keys.give_back(pending);
                return Err(error.into());
            }
        }
        let refreshed = pending.keys.len();
        let settings = self.control.settings();
        let workers = settings.workers.max(1);
        let most = settings.batch_keys.min(self.listener.batch.rows(None) as usize);
        let size = refreshed.div_ceil(workers).clamp(most.div_ceil(BATCH_PARTS), most);
        let sparing = std::mem::take(&mut self.listener.sparing);
        let refreshing = refresh_batches(self.engine, pending.keys, &self.record.watermark, size, workers, &sparing);
        let (full, mut failed) = self.listener.during(refreshing).await?;
        // What is quick because it is small says nothing about the greatest.
        let target = settings.chunk_time * BATCH_CHUNKS;
        if let Some(Full { rows, took }) = full.filter(|full| size == most || full.took > target) {
            self.listener.batch.learn(rows, took, target);
        }
        // What was in each other's way in batches side by side may go well in one.
        if let Some((keys, _)) = failed.take_if(|(_, error)| size < most && error.kind.is_passing()) {
            (_, failed) = self
                .listener
                .during(refresh_batches(self.engine, keys, &self.record.watermark, most, 1, &sparing))
                .await?;
        }
        self.listener.sparing = sparing;
        match failed {
            None => self.listener.settle(position),
            Some((keys, error)) => {
                self.listener.keys.put_back(keys);
                self.wait_out(error).await?;
            }
        }
        tell(self.control, &self.listener, refreshed);
        Ok(())
    }
}

fn tell<S: ChangeStream>(control: &Control, listener: &Listener<S>, refreshed: usize) {
    control.update(|status| {
        status.keys_refreshed += refreshed as u64;
        status.pending_keys = listener.keys.len() as u64;
        status.stream_position = listener.delivered().to_string();
    });
}

/// Refreshes batches of such a size, so many of them side by side. Gives what one of that size took, on average, if it was not compared,
/// and the keys of those that failed with the gravest reason. All batches have ended when it returns, whatever became of them.
async fn refresh_batches<E: Engine>(
    engine: &E,
    keys: Vec<Key>,
    watermark: &Watermark,
    size: usize,
    workers: usize,
    sparing: &SkipUnchanged,
) -> (Option<Full>, Option<(Vec<Key>, Error)>) {
    let batches: Vec<Vec<Key>> = keys.chunks(size).map(<[Key]>::to_vec).collect();
    let results: Vec<_> = stream::iter(batches)
        .map(|batch| async move {
            let begun = Instant::now();
            let compares = batch.len() <= COMPARED_MAX && engine.log_tells_all() && sparing.is_due();
            let result = match compares {
                true => refresh_differing(engine, &batch, watermark, sparing).await,
                false => engine.refresh(&batch, watermark).await,
            };
            let is_full = batch.len() == size && !compares;
            (result, is_full.then_some(Full { rows: size as u64, took: begun.elapsed() }), batch)
        })
        .buffer_unordered(workers)
        .collect()
        .await;
    let mut failed: Option<(Vec<Key>, Error)> = None;
    let mut full = Vec::new();
    for (result, measured, mut batch) in results {
        match result {
            Ok(()) => full.extend(measured),
            Err(error) => {
                failed = Some(match failed {
                    None => (batch, error),
                    Some((keys, earlier)) => {
                        batch.extend(keys);
                        (batch, earlier.graver(error))
                    }
                });
            }
        }
    }
    (concurrency::mean(&full), failed)
}

/// Refreshes what of a batch differs. The other rows were seen to be the same after their changes were delivered, and whatever changes
/// them later is delivered later.
async fn refresh_differing<E: Engine>(
    engine: &E,
    batch: &[Key],
    watermark: &Watermark,
    sparing: &SkipUnchanged,
) -> Result<()> {
    let differing = engine.compare_keys(batch).await?;
    sparing.learn(batch.len().saturating_sub(differing.len()), batch.len());
    match differing.is_empty() {
        true => Ok(()),
        false => engine.refresh(&differing, watermark).await,
    }
}
