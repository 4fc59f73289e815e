//! Fills the shadow, turn by turn. A turn copies some chunks in parallel and moves the watermark
//! when all have ended.

use crate::control::{Event, Failure, Phase};
use crate::migration::conflicts::refuse_duplicates;
use crate::migration::idle_table::IdleTable;
use crate::migration::state::Migration;
use crate::pace::cadence::Cadence;
use crate::pace::concurrency::{self, Full, Pace, Turn};
use altergeist_contract::{Chunk, Engine, Error, Kind, Record, Result, Shadow, Watermark};
use futures_util::future::{join, join_all};
use std::time::Duration;
use tokio::time::Instant;

/// How often the replicas are looked at while the run is far enough ahead of them.
const ROOM_LOOK: Duration = Duration::from_millis(50);

/// Transient failures of a turn in a row before the run fails.
const FAILURES_MAX: u32 = 30;

impl<E: Engine> Migration<'_, E> {
    /// Copies and refreshes, turn by turn, until the shadow holds the whole key space. An idle
    /// table's log is not read until the copy is done.
    pub async fn copy_all(&mut self, idle_table: IdleTable) -> Result<(), Failure> {
        let (mut pace, mut ahead, mut cadence) =
            (Pace::default(), Ahead::default(), Cadence::begin());
        let (begun, resumed_at) = (Instant::now(), self.record.rows_copied);
        self.control.update(|status| {
            status.phase = Phase::Copying;
            status.rows_estimated = self.record.rows_estimated;
            status.rows_copied = self.record.rows_copied;
        });
        if self.record.watermark != Watermark::End {
            self.ask_once(Event::CopyBegin).await?;
        }
        while self.record.watermark != Watermark::End {
            self.wait_for_room(&mut pace, &mut cadence).await?;
            if !self.listener.is_listening()
                && !idle_table.holds(self.engine, self.control.status().log_kept_bytes).await?
            {
                self.listener.listen(self.engine).await?;
            }
            let rest = self.copy_turn(&mut pace, &mut ahead).await?;
            let settings = self.control.settings();
            if cadence.is_due(self.engine, &settings, self.listener.keys.len())
                || self.record.watermark == Watermark::End
            {
                self.refresh_turn().await?;
                self.save_progress().await?;
            }
            self.control.update_walk(
                begun.elapsed(),
                self.record.rows_copied - resumed_at,
                self.record.rows_estimated.saturating_sub(resumed_at),
            );
            self.control.update(|status| {
                status.rows_copied = self.record.rows_copied;
                status.chunk_rows = pace.rows(&settings);
                status.workers = pace.workers(&settings);
            });
            self.rest_for(rest).await?;
        }
        Ok(idle_table.pass_log(self).await?)
    }

    /// Waits until no signal throttles the copy, and until the replicas have applied enough of it.
    async fn wait_for_room(
        &mut self,
        pace: &mut Pace,
        cadence: &mut Cadence,
    ) -> Result<(), Failure> {
        loop {
            self.wait_until_copying_is_welcome().await?;
            let (lag, max_lag) = (self.control.replica_lag(), self.control.settings().max_lag);
            if pace.window.has_room(Instant::now(), lag, max_lag) {
                return Ok(());
            }
            self.rest_for(ROOM_LOOK).await?;
            if cadence.is_due(self.engine, &self.control.settings(), self.listener.keys.len()) {
                self.refresh_turn().await?;
                self.save_progress().await?;
            }
        }
    }

    /// Copies the next chunks, and finds the chunks of the next turn meanwhile. The watermark moves
    /// to the end of the last chunk before the first failure. Rows beyond it are deleted again, so
    /// that the next turn meets no row of its own. Returns how long to rest.
    pub async fn copy_turn(
        &mut self,
        pace: &mut Pace,
        ahead: &mut Ahead,
    ) -> Result<Duration, Failure> {
        let settings = self.control.settings();
        let (mut rows, mut workers) = (pace.rows(&settings), pace.workers(&settings));
        let mut last = String::new();
        for failures in 1..=FAILURES_MAX {
            self.engine.still_held().await?;
            let (begun, rows_before) = (Instant::now(), self.record.rows_copied);
            let chunks = self
                .listener
                .run_while_streaming(ahead.next(self.engine, &self.record.watermark, rows, workers))
                .await??;
            let copies = join_all(chunks.iter().map(|chunk| copy_chunk(self.engine, chunk)));
            let (results, ()) = self
                .listener
                .run_while_streaming(join(
                    copies,
                    ahead.prefetch(self.engine, &chunks, rows, workers),
                ))
                .await?;
            let mut full = Vec::new();
            let failure = advance(&mut self.record, &chunks, results, |chunk| full.push(chunk));
            let Some(error) = failure else {
                let turn = Turn {
                    rows: self.record.rows_copied - rows_before,
                    chunk: concurrency::mean(&full),
                    took: begun.elapsed(),
                };
                pace.window.add(Instant::now(), turn.rows, turn.rows);
                return Ok(pace.learn_turn(&settings, turn, self.engine.commit_latency()));
            };
            if error.kind == Kind::Transient {
                self.control.update(|status| status.last_error = Some(error.to_string()));
            }
            last = match &error.kind {
                Kind::Stale { index } => format!(
                    "unique index {index} still refuses rows. Look for rows that are equal under \
                     it, or leave it out"
                ),
                _ => error.reason.clone(),
            };
            self.listener
                .run_while_streaming(self.engine.clear_beyond(&self.record.watermark))
                .await??;
            self.resolve_conflicts(error).await?;
            if failures % (FAILURES_MAX / 5) == 0 {
                refuse_duplicates(self.engine).await?;
            }
            // Fewer rows take less time, and are less likely to be in another row's way.
            (rows, workers) = ((rows / 2).max(1), (workers / 2).max(1));
            *ahead = Ahead::default();
        }
        Err(Error::fatal(
            format!("copy the next chunk of {}", self.engine.table()),
            format!("it failed {FAILURES_MAX} times in a row. The last error: {last}"),
        )
        .into())
    }
}

/// The ranges of the next turn, found while the present turn runs. A range is two bounds, so
/// finding it early reads no row too early. The last range has no upper bound, so it includes rows
/// inserted since.
#[derive(Debug, Default)]
pub struct Ahead(Vec<Chunk>);

impl Ahead {
    /// Returns the ranges after a watermark: the prefetched ones if they begin there and are no
    /// more than `count`.
    pub async fn next<E: Shadow>(
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

    /// Finds the ranges after these. A failure does not matter: `next` finds them when they are
    /// needed.
    pub async fn prefetch<E: Shadow>(
        &mut self,
        engine: &E,
        chunks: &[Chunk],
        rows: u64,
        count: usize,
    ) {
        if let Some(last) = chunks.last() {
            self.0 = next_chunks(engine, &last.through, rows, count).await.unwrap_or_default();
        }
    }
}

/// Returns the ranges of one turn. Each begins where the one before ends.
async fn next_chunks<E: Shadow>(
    engine: &E,
    after: &Watermark,
    rows: u64,
    count: usize,
) -> Result<Vec<Chunk>> {
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

/// Moves the watermark over the completed chunks, in order, up to the first failed one. Returns the
/// most severe failure.
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
                    Some(earlier) => earlier.most_severe(error),
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
