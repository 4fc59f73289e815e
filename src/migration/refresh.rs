//! Makes the shadow's rows of changed keys equal to the source's.

use crate::control::{Control, Failure};
use crate::migration::listen::Listener;
use crate::migration::state::{Direction, Migration};
use crate::pace::concurrency::{self, Full};
use crate::pace::skip_unchanged::SkipUnchanged;
use altergeist_contract::{ChangeStream, Engine, Error, Key, Kind, Result, Watermark};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

/// A batch has at least this fraction of the upper limit, so that each worker gets one. Fewer keys
/// are not worth a transaction.
const BATCH_PARTS: usize = 10;

/// A batch may take as long as this many chunks. It writes less in that time than they do, so its
/// commit is shorter.
const BATCH_CHUNKS: u32 = 3;

/// Upper limit of the keys of a batch that are compared before the refresh.
const COMPARED_MAX: usize = 1000;

impl<E: Engine> Migration<'_, E> {
    /// Refreshes everything that was pending when the turn began. No key is in two batches, and
    /// nothing is in flight when the turn ends (law 3).
    pub async fn refresh_turn(&mut self) -> Result<(), Failure> {
        if self.listener.keys.is_empty() {
            let (_, position) = self.listener.drain();
            self.listener.confirm(position);
            report_progress(self.control, &self.listener, 0);
            return Ok(());
        }
        self.engine.still_held().await?;
        let (pending, position) = self.listener.drain();
        if pending.emptied {
            let cleared = self.listener.run_while_streaming(self.engine.clear()).await?;
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
        // On the way back a comparison leaves misfits out. Only its refresh finds out that one of
        // them fits by now.
        let skip_unchanged = match self.direction {
            Direction::Back => SkipUnchanged::never(),
            Direction::Forward => std::mem::take(&mut self.listener.skip_unchanged),
        };
        let refreshing = refresh_batches(
            self.engine,
            pending.keys,
            &self.record.watermark,
            size,
            workers,
            &skip_unchanged,
        );
        let (full, mut failed) = self.listener.run_while_streaming(refreshing).await?;
        // A small batch is quick and says nothing about the upper limit.
        let target = settings.chunk_time * BATCH_CHUNKS;
        if let Some(Full { rows, took }) = full.filter(|full| size == most || full.took > target) {
            self.listener.batch.learn(rows, took, target);
        }
        // Rows that blocked each other in parallel batches may succeed in one batch.
        if let Some((keys, _)) = failed.take_if(|(_, error)| size < most && error.kind.is_passing())
        {
            (_, failed) = self
                .listener
                .run_while_streaming(refresh_batches(
                    self.engine,
                    keys,
                    &self.record.watermark,
                    most,
                    1,
                    &skip_unchanged,
                ))
                .await?;
        }
        self.listener.skip_unchanged = skip_unchanged;
        match failed {
            None => self.listener.confirm(position),
            Some((keys, error)) if self.direction == Direction::Back && is_of_rows(&error) => {
                self.set_misfits_aside(keys).await?;
                self.listener.confirm(position);
            }
            Some((keys, error)) => {
                self.listener.keys.put_back(keys);
                self.resolve_conflicts(error).await?;
            }
        }
        report_progress(self.control, &self.listener, refreshed);
        Ok(())
    }
}

/// Whether rows may be the reason: they do not fit, are in each other's way, or are locked.
fn is_of_rows(error: &Error) -> bool {
    !matches!(error.kind, Kind::Disconnected | Kind::Missed)
}

fn report_progress<S: ChangeStream>(control: &Control, listener: &Listener<S>, refreshed: usize) {
    control.update(|status| {
        status.keys_refreshed += refreshed as u64;
        status.pending_keys = listener.keys.len() as u64;
        status.stream_position = listener.delivered().to_string();
    });
}

/// Refreshes batches of this size in parallel. Returns the average time of a full batch that was
/// not compared, and the keys of the failed batches with the most severe error. All batches have
/// ended when it returns.
async fn refresh_batches<E: Engine>(
    engine: &E,
    keys: Vec<Key>,
    watermark: &Watermark,
    size: usize,
    workers: usize,
    skip_unchanged: &SkipUnchanged,
) -> (Option<Full>, Option<(Vec<Key>, Error)>) {
    let batches: Vec<Vec<Key>> = keys.chunks(size).map(<[Key]>::to_vec).collect();
    let results: Vec<_> = stream::iter(batches)
        .map(|batch| async move {
            let begun = Instant::now();
            let compares =
                batch.len() <= COMPARED_MAX && engine.log_tells_all() && skip_unchanged.is_due();
            let result = match compares {
                true => refresh_differing(engine, &batch, watermark, skip_unchanged).await,
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
                        (batch, earlier.most_severe(error))
                    }
                });
            }
        }
    }
    (concurrency::mean(&full), failed)
}

/// Refreshes the rows of a batch that differ. The other rows were equal after their changes were
/// delivered. The log delivers later changes later.
async fn refresh_differing<E: Engine>(
    engine: &E,
    batch: &[Key],
    watermark: &Watermark,
    skip_unchanged: &SkipUnchanged,
) -> Result<()> {
    let differing = engine.compare_keys(batch).await?;
    skip_unchanged.learn(batch.len().saturating_sub(differing.len()), batch.len());
    match differing.is_empty() {
        true => Ok(()),
        false => engine.refresh(&differing, watermark).await,
    }
}
