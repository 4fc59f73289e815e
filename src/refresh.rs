//! The refresh turn: makes the shadow's rows of changed keys what the source holds of them.

use crate::desk::{Desk, Orders};
use crate::listen::Listener;
use crate::pace::{self, Full};
use crate::run::look_at_log;
use crate::{Failure, behind, checkpoint, load};
use altergeist_contract::{ChangeStream, Engine, Error, Key, Record, Result, Watermark};
use futures_util::{StreamExt, stream};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;

/// A batch is not made smaller than one of this many parts of the greatest, so that there is one for each worker: fewer keys are not
/// worth a transaction of their own.
const BATCH_PARTS: usize = 10;
/// A batch may take as long as so many chunks should: it writes less in that time than they do, so that its commit is shorter.
const BATCH_CHUNKS: u32 = 3;
/// The most keys of a batch that are compared before they are refreshed.
const COMPARED_MAX: usize = 1000;
/// Of so many keys one must be spared, or else comparing them all costs more than it saves.
const PAYS_FROM: usize = 4;
/// After so many batches it is tried again.
const TRIED_AGAIN_AFTER: u32 = 16;
/// How many times it may be tried to come near enough before a table is said to change too fast.
const ROUNDS_MAX: u32 = 200;
/// How often a row in the way is waited out before the source is asked for duplicates.
const ATTEMPTS_MAX: u32 = 60;
/// The pause between two such attempts: long enough for a commit, short enough that little else changes.
const PAUSE: Duration = Duration::from_millis(10);

/// While a log that is far behind is caught up with, what was heard is refreshed and saved so often.
const SAVED_EVERY: Duration = Duration::from_secs(2);

/// Changed rows wait no longer than so many chunks should take, unless a full batch is pending before.
const CHUNKS_BETWEEN: u32 = 3;

/// When changed rows are refreshed while a walk goes on: many of them in one transaction cost less than a few in each of many.
pub struct Cadence {
    last: Instant,
}

impl Cadence {
    /// From now on, when nothing is pending.
    pub fn begin() -> Cadence {
        Cadence { last: Instant::now() }
    }

    /// Whether so many pending rows should be refreshed now; if so, the next time is counted from here.
    pub fn is_due<E: Engine>(&mut self, engine: &E, orders: &Orders, pending: usize) -> bool {
        let is_late = self.last.elapsed() >= orders.chunk_time * CHUNKS_BETWEEN;
        let is_due = is_late || pending >= orders.batch_keys || !engine.log_tells_all();
        if is_due {
            self.last = Instant::now();
        }
        is_due
    }
}

/// Whether rows are compared before they are refreshed, so that those that are the same already are not written again: a change
/// may have been of columns the shadow has not, or have changed nothing, or have been copied since.
#[derive(Debug, Default)]
pub struct Sparing {
    batches_to_wait: Cell<u32>,
}

impl Sparing {
    /// Whether the rows of the next batch are.
    fn is_due(&self) -> bool {
        let to_wait = self.batches_to_wait.get();
        self.batches_to_wait.set(to_wait.saturating_sub(1));
        to_wait == 0
    }

    /// So many of the compared keys were spared.
    fn learn(&self, spared: usize, of_keys: usize) {
        self.batches_to_wait.set(if spared * PAYS_FROM >= of_keys { 0 } else { TRIED_AGAIN_AFTER });
    }
}

/// Refreshes everything that was pending when the turn began. No key is in two batches, and nothing is in flight
/// when it ends (law 3).
pub async fn refresh_turn<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    watermark: &Watermark,
) -> Result<(), Failure> {
    if listener.keys.is_empty() {
        let (_, position) = listener.take();
        listener.settle(position);
        tell(desk, listener, 0);
        return Ok(());
    }
    engine.still_held().await?;
    let (pending, position) = listener.take();
    if pending.emptied {
        let cleared = listener.during(engine.clear()).await?;
        if let Err(error) = cleared {
            listener.keys.give_back(pending);
            return Err(error.into());
        }
    }
    let refreshed = pending.keys.len();
    let orders = desk.orders();
    let workers = orders.workers.max(1);
    let most = orders.batch_keys.min(listener.batch.rows(None) as usize);
    let size = refreshed.div_ceil(workers).clamp(most.div_ceil(BATCH_PARTS), most);
    let sparing = std::mem::take(&mut listener.sparing);
    let refreshing = refresh_batches(engine, pending.keys, watermark, size, workers, &sparing);
    let (full, mut failed) = listener.during(refreshing).await?;
    // What is quick because it is small says nothing about the greatest.
    let target = orders.chunk_time * BATCH_CHUNKS;
    if let Some(Full { rows, took }) = full.filter(|full| size == most || full.took > target) {
        listener.batch.learn(rows, took, target);
    }
    // What was in each other's way in batches side by side may go well in one.
    if let Some((keys, _)) = failed.take_if(|(_, error)| size < most && error.kind.is_passing()) {
        (_, failed) = listener.during(refresh_batches(engine, keys, watermark, most, 1, &sparing)).await?;
    }
    listener.sparing = sparing;
    match failed {
        None => listener.settle(position),
        Some((keys, error)) => {
            listener.keys.put_back(keys);
            wait_out(engine, listener, desk, watermark, error).await?;
        }
    }
    tell(desk, listener, refreshed);
    Ok(())
}

fn tell<S: ChangeStream>(desk: &Desk, listener: &Listener<S>, refreshed: usize) {
    desk.tell(|status| {
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
    sparing: &Sparing,
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
    (pace::mean(&full), failed)
}

/// Refreshes what of a batch differs. The other rows were seen to be the same after their changes were delivered, and whatever changes
/// them later is delivered later.
async fn refresh_differing<E: Engine>(
    engine: &E,
    batch: &[Key],
    watermark: &Watermark,
    sparing: &Sparing,
) -> Result<()> {
    let differing = engine.compare_keys(batch).await?;
    sparing.learn(batch.len().saturating_sub(differing.len()), batch.len());
    match differing.is_empty() {
        true => Ok(()),
        false => engine.refresh(&differing, watermark).await,
    }
}

/// A row in the way is stale (law 4): its own change is in the log already. Reads the log up to now, and refreshes
/// everything pending together, until nothing is in the way any more; or finds that the source itself holds duplicates.
///
/// # Errors
/// The error it was called with, unless it is one that passes; `Fatal` naming the index if the rows really cannot
/// stand together, or if they did not part within the attempts; [`Failure::Behind`].
pub async fn wait_out<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    watermark: &Watermark,
    mut error: Error,
) -> Result<(), Failure> {
    for attempt in 1..=ATTEMPTS_MAX {
        if !error.kind.is_passing() {
            return Err(error.into());
        }
        if attempt % (ATTEMPTS_MAX / 4) == 0 {
            refuse_duplicates(engine).await?;
        }
        let mark = behind::put(engine).await?;
        behind::reach(engine, listener, desk, mark).await?;
        match refresh_together(engine, listener, desk, watermark).await? {
            None => return Ok(()),
            Some(still) => error = still,
        }
        listener.pause(PAUSE).await?;
    }
    Err(error.into())
}

/// Deletes the shadow's rows of everything pending, and then inserts them, so that only rows that changed since the
/// log was read can be in the way of others. What is in somebody's way or has somebody in its own is pending again
/// afterwards: rows that keep changing hold up themselves and nobody else. Gives the last error, None if all is well.
async fn refresh_together<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    watermark: &Watermark,
) -> Result<Option<Error>> {
    let (pending, position) = listener.take();
    if pending.emptied {
        engine.clear().await?;
    }
    let size = desk.orders().batch_keys;
    for batch in pending.keys.chunks(size) {
        listener.during(engine.refresh(batch, &Watermark::Start)).await??;
    }
    let mut failed = None;
    let mut batches: Vec<&[Key]> = pending.keys.chunks(size).collect();
    while let Some(batch) = batches.pop() {
        let Err(error) = listener.during(engine.refresh(batch, watermark)).await? else { continue };
        if !error.kind.is_passing() {
            return Err(error);
        }
        match batch.split_at(batch.len() / 2) {
            ([], alone) => {
                listener.keys.put_back(alone.iter().cloned());
                failed = Some(error);
            }
            (first, second) => batches.extend([second, first]),
        }
    }
    if failed.is_none() {
        listener.settle(position);
    }
    Ok(failed)
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
                "the source holds {} values more than once that the unique index {} must hold once; \
                 remove the duplicates, or leave the index out",
                found.values, found.index
            ),
        )),
    }
}

/// Follows the log until nearly everything committed by now is in the shadow. What was refreshed is saved on the way, but for the last
/// of it: a connection that breaks again and again must not make it begin from the same place when the log is far behind.
///
/// # Errors
/// [`Failure::TooFast`], with the numbers, if that was not reached within the rounds: a table can change faster than it
/// can be followed, and then no patience helps; [`Failure::Behind`] if its log cannot even be read as fast; [`Failure::CriticalLoad`].
pub async fn catch_up<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    const NEARLY_KEYS: usize = 1000;
    let (begun, heard, refreshed) = (Instant::now(), listener.heard(), desk.status().keys_refreshed);
    for _ in 0..ROUNDS_MAX {
        engine.still_held().await?;
        look_at_log(engine, desk).await?;
        load::look(engine, &desk.orders()).await?;
        let mark = behind::put(engine).await?;
        while !behind::reach_within(engine, listener, desk, mark, SAVED_EVERY).await? && !listener.is_full() {
            refresh_turn(engine, listener, desk, &record.watermark).await?;
            checkpoint::save_progress(engine, listener, record).await?;
            load::look(engine, &desk.orders()).await?;
        }
        let has_passed = listener.passed() >= mark.marker();
        let pending = listener.keys.len();
        refresh_turn(engine, listener, desk, &record.watermark).await?;
        if has_passed && pending <= NEARLY_KEYS {
            return Ok(());
        }
        checkpoint::save_progress(engine, listener, record).await?;
        desk.heed()?;
    }
    Err(Failure::TooFast {
        seconds: begun.elapsed().as_secs(),
        changed: listener.heard() - heard,
        refreshed: desk.status().keys_refreshed - refreshed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_while_that_spares_enough_and_else_now_and_then() {
        let sparing = Sparing::default();
        let compared = |spared| {
            let is_due = sparing.is_due();
            if is_due {
                sparing.learn(spared, 100);
            }
            is_due
        };
        assert!((0..5).all(|_| compared(30)));
        assert_eq!((0..34).filter(|_| compared(10)).count(), 2);
    }
}
