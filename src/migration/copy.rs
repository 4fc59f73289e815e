//! The copy: fills the shadow turn by turn. A turn copies some chunks side by side, and moves the watermark when all have
//! ended.

use crate::control::{Control, Failure, Phase};
use crate::migration::checkpoint;
use crate::migration::conflicts::{refuse_duplicates, wait_out};
use crate::migration::idle_table::IdleTable;
use crate::migration::listen::Listener;
use crate::migration::refresh::refresh_turn;
use crate::migration::wait::{rest_for, wait_until_copying_is_welcome};
use crate::pace::cadence::Cadence;
use crate::pace::concurrency::{self, Full, Pace, Turn};
use altergeist_contract::{Chunk, Engine, Error, Kind, Record, Result, Shadow, Watermark};
use futures_util::future::{join, join_all};
use std::time::Duration;
use tokio::time::Instant;

/// How often in a row a turn may fail for a passing reason before it is taken for more than that.
const FAILURES_MAX: u32 = 30;

/// Copies and refreshes, turn by turn, until the shadow holds the whole key space. Of a table that is quiet the log is not read
/// before.
pub async fn fill<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
    quiet: IdleTable,
) -> Result<(), Failure> {
    let (mut pace, mut ahead, mut cadence) = (Pace::default(), Ahead::default(), Cadence::begin());
    let (begun, resumed_at) = (Instant::now(), record.rows_copied);
    control.update(|status| {
        status.phase = Phase::Copying;
        status.rows_estimated = record.rows_estimated;
        status.rows_copied = record.rows_copied;
    });
    while record.watermark != Watermark::End {
        wait_until_copying_is_welcome(engine, listener, control, record).await?;
        if !listener.is_listening() && !quiet.holds(engine, control.status().log_kept_bytes).await? {
            listener.listen(engine).await?;
        }
        let rest = copy_turn(engine, listener, control, &mut pace, &mut ahead, record).await?;
        let settings = control.settings();
        if cadence.is_due(engine, &settings, listener.keys.len()) || record.watermark == Watermark::End {
            refresh_turn(engine, listener, control, &record.watermark).await?;
            checkpoint::save_progress(engine, listener, record).await?;
        }
        control.update_walk(
            begun.elapsed(),
            record.rows_copied - resumed_at,
            record.rows_estimated.saturating_sub(resumed_at),
        );
        control.update(|status| {
            status.rows_copied = record.rows_copied;
            status.chunk_rows = pace.rows(&settings);
            status.workers = pace.workers(&settings);
        });
        rest_for(listener, control, rest).await?;
    }
    Ok(quiet.pass_log(engine, listener, record).await?)
}

/// Copies the next chunks, and finds those of the next turn meanwhile. The watermark moves to the end of the last chunk
/// before which none failed; what lies beyond it is cleared again, so that the next turn meets no row of its own. Gives
/// how long to rest.
pub async fn copy_turn<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    pace: &mut Pace,
    ahead: &mut Ahead,
    record: &mut Record,
) -> Result<Duration, Failure> {
    let settings = control.settings();
    let (rows, workers) = (pace.rows(&settings), pace.workers(&settings));
    let mut last = String::new();
    for failures in 1..=FAILURES_MAX {
        engine.still_held().await?;
        let (begun, rows_before) = (Instant::now(), record.rows_copied);
        let chunks = listener.during(ahead.take(engine, &record.watermark, rows, workers)).await??;
        let copies = join_all(chunks.iter().map(|chunk| copy_chunk(engine, chunk)));
        let (results, ()) = listener.during(join(copies, ahead.look(engine, &chunks, rows, workers))).await?;
        let mut full = Vec::new();
        let failure = advance(record, &chunks, results, |chunk| full.push(chunk));
        let Some(error) = failure else {
            let turn =
                Turn { rows: record.rows_copied - rows_before, chunk: concurrency::mean(&full), took: begun.elapsed() };
            return Ok(pace.learn_turn(&settings, turn, engine.commit_latency()));
        };
        if error.kind == Kind::Transient {
            control.update(|status| status.last_error = Some(error.to_string()));
        }
        last = match &error.kind {
            Kind::Stale { index } => format!(
                "unique index {index} refuses rows again and again; look for rows that it would hold as equal, or leave it out"
            ),
            _ => error.reason.clone(),
        };
        listener.during(engine.clear_beyond(&record.watermark)).await??;
        wait_out(engine, listener, control, &record.watermark, error).await?;
        if failures % (FAILURES_MAX / 5) == 0 {
            refuse_duplicates(engine).await?;
        }
    }
    Err(Error::fatal(
        format!("copy the next chunk of {}", engine.table()),
        format!("it failed {FAILURES_MAX} times in a row, at last: {last}"),
    )
    .into())
}

/// The ranges of the next turn, found while the present one works. A range is nothing but two bounds, so finding it early
/// sees no row too early; the last one has no upper bound, whatever was inserted since.
#[derive(Debug, Default)]
pub struct Ahead(Vec<Chunk>);

impl Ahead {
    /// The ranges after a mark: those found ahead if they begin there and are no more than `count`.
    pub async fn take<E: Shadow>(
        &mut self,
        engine: &E,
        after: &Watermark,
        rows: u64,
        count: usize,
    ) -> Result<Vec<Chunk>> {
        let found = std::mem::take(&mut self.0);
        match found.first() {
            Some(first) if first.after == *after && found.len() <= count => Ok(found),
            _ => next_chunks(engine, after, rows, count).await,
        }
    }

    /// Finds the ranges behind these. What cannot be found now is asked for again when it is needed.
    pub async fn look<E: Shadow>(&mut self, engine: &E, chunks: &[Chunk], rows: u64, count: usize) {
        if let Some(last) = chunks.last() {
            self.0 = next_chunks(engine, &last.through, rows, count).await.unwrap_or_default();
        }
    }
}

/// The ranges of one turn, each beginning where the one before ends.
async fn next_chunks<E: Shadow>(engine: &E, after: &Watermark, rows: u64, count: usize) -> Result<Vec<Chunk>> {
    let mut chunks: Vec<Chunk> = Vec::new();
    while chunks.len() < count.max(1) {
        let after = chunks.last().map_or(after, |chunk| &chunk.through);
        if *after == Watermark::End {
            break;
        }
        let chunk = engine.next_chunk(after, rows).await?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

async fn copy_chunk<E: Engine>(engine: &E, chunk: &Chunk) -> Result<Full> {
    let begun = Instant::now();
    let rows = engine.copy(chunk).await?;
    Ok(Full { rows, took: begun.elapsed() })
}

/// Moves the watermark over the chunks that arrived, in order, up to the first that did not; gives the gravest failure.
fn advance(
    record: &mut Record,
    chunks: &[Chunk],
    results: Vec<Result<Full>>,
    mut learn: impl FnMut(Full),
) -> Option<Error> {
    let mut failure: Option<Error> = None;
    for (chunk, result) in chunks.iter().zip(results) {
        match result {
            Err(error) => {
                failure = Some(match failure {
                    None => error,
                    Some(earlier) => earlier.graver(error),
                });
            }
            Ok(copied) if failure.is_none() => {
                record.rows_copied += copied.rows;
                record.watermark = chunk.through.clone();
                if copied.rows > 0 && chunk.through != Watermark::End {
                    learn(copied);
                }
            }
            Ok(_) => {}
        }
    }
    failure
}
