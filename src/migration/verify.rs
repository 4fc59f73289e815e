//! Proves that every difference between source and shadow is explained by the log (law 8). It never
//! repairs a row: a row that is compared again was refreshed because the log named it.

use crate::control::{Control, Failure};
use crate::migration::copy::Ahead;
use crate::migration::done::Done;
use crate::migration::marks::{self, Mark};
use crate::migration::state::Migration;
use crate::pace::cadence::Cadence;
use crate::pace::concurrency::{self, Full, Pace, Turn};
use crate::pace::throttle::is_throttled;
use altergeist_contract::{
    Chunk, ColumnCounts, Comparison, Engine, Key, Record, Result, Watermark,
};
use futures_util::future::{join, join_all};
use std::time::Duration;
use tokio::time::Instant;

/// How often a row that keeps changing is compared. Each time the log explained its difference.
const LOOKS_MAX: u32 = 20;

/// The pause before such a comparison.
const PAUSE: Duration = Duration::from_millis(20);

/// A pass over the whole key space, chunk by chunk, while the application writes.
pub struct Verification {
    pace: Pace,
    ahead: Ahead,
    after: Watermark,
    /// Keys whose rows differed in their last comparison. They are compared again when the log has
    /// explained them and they are refreshed.
    suspects: Vec<Key>,
    /// Put after the last difference was found. Its explanation lies before this mark in the log.
    mark: Option<Mark>,
    /// The time the pass has taken.
    walked: Duration,
    verified: u64,
    /// What was counted of columns whose values change.
    columns: Vec<ColumnCounts>,
}

impl Verification {
    /// Begins at the first key.
    pub fn begin() -> Verification {
        Verification {
            pace: Pace::default(),
            ahead: Ahead::default(),
            after: Watermark::Start,
            suspects: Vec::new(),
            mark: None,
            walked: Duration::ZERO,
            verified: 0,
            columns: Vec::new(),
        }
    }

    /// Compares beside the index builds, while nothing is pending and nothing differs. Otherwise,
    /// and in a gentle run, it only reads the log until the builds end.
    pub async fn beside_builds<E: Engine>(
        &mut self,
        run: &mut Migration<'_, E>,
        over: &Done,
        gently: bool,
    ) -> Result<(), Failure> {
        let is_welcome = !gently && run.engine.compares_beside_builds();
        while is_welcome
            && !over.is_set()
            && self.after != Watermark::End
            && run.listener.keys.is_empty()
        {
            if is_throttled(run.engine, run.control).await? {
                break;
            }
            let rest = self.turn(run).await?;
            if !self.suspects.is_empty() {
                break;
            }
            run.rest_for(rest).await?;
        }
        Ok(run.listener.run_while_streaming(over.wait()).await?)
    }

    /// Reports how far the pass has come.
    pub fn report_progress(&self, control: &Control, record: &Record) {
        control.update_walk(
            self.walked,
            self.verified,
            record.rows_copied.max(record.rows_estimated),
        );
    }

    /// Compares to the end. Then it compares the differing rows again until each was equal once.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if one difference is not explained; [`Failure::Behind`].
    pub async fn finish<E: Engine>(mut self, run: &mut Migration<'_, E>) -> Result<(), Failure> {
        let mut cadence = Cadence::begin();
        while self.after != Watermark::End {
            run.wait_while_throttled().await?;
            let rest = self.turn(run).await?;
            self.report_progress(run.control, &run.record);
            if cadence.is_due(run.engine, &run.control.settings(), run.listener.keys.len()) {
                self.compare_again(run).await?;
            }
            run.rest_for(rest).await?;
        }
        for _ in 0..LOOKS_MAX {
            self.compare_again(run).await?;
            self.stream_until_explained(run).await?;
            if self.suspects.is_empty() {
                break;
            }
            run.listener.pause(PAUSE).await?;
        }
        run.columns = self.columns;
        Ok(())
    }

    /// Compares the next chunks in parallel, and finds the chunks of the next turn meanwhile.
    /// Returns how long to rest.
    async fn turn<E: Engine>(&mut self, run: &mut Migration<'_, E>) -> Result<Duration, Failure> {
        run.engine.still_held().await?;
        let settings = run.control.settings();
        let (rows, workers) = (self.pace.rows(&settings), self.pace.workers(&settings));
        let turn_begun = Instant::now();
        let chunks = run
            .listener
            .run_while_streaming(self.ahead.next(run.engine, &self.after, rows, workers))
            .await??;
        let comparing = join_all(chunks.iter().map(|chunk| compare_chunk(run.engine, chunk)));
        let looking = self.ahead.prefetch(run.engine, &chunks, rows, workers);
        let (compared, ()) = run.listener.run_while_streaming(join(comparing, looking)).await?;
        let (mut comparisons, mut full) = (Vec::new(), Vec::new());
        for (chunk, compared) in chunks.iter().zip(compared) {
            let (comparison, took) = compared?;
            if comparison.rows > 0 && chunk.through != Watermark::End {
                full.push(Full { rows: comparison.rows, took });
            }
            ColumnCounts::add_all(&mut self.columns, &comparison.columns);
            comparisons.push(comparison);
        }
        let rows = comparisons.iter().map(|found| found.rows).sum::<u64>();
        self.verified += rows;
        let turn = Turn { rows, chunk: concurrency::mean(&full), took: turn_begun.elapsed() };
        self.walked += turn.took;
        let rest = self.pace.learn_turn(&settings, turn, run.engine.commit_latency());
        self.after = end_of(&chunks);
        run.control.update(|status| {
            status.rows_verified = self.verified;
            status.chunk_rows = self.pace.rows(&settings);
            status.workers = self.pace.workers(&settings);
        });
        let differing = comparisons.into_iter().flat_map(|found| found.differing).collect();
        self.record_differences(run, differing).await?;
        Ok(rest)
    }

    /// Refreshes, and compares again the rows whose differences the log has explained. The log must
    /// explain each new difference, too.
    async fn compare_again<E: Engine>(
        &mut self,
        run: &mut Migration<'_, E>,
    ) -> Result<(), Failure> {
        self.check_overdue(run).await?;
        run.refresh_turn().await?;
        let explained: Vec<Key> =
            self.suspects.extract_if(.., |key| !run.listener.keys.is_unexplained(key)).collect();
        if explained.is_empty() {
            return Ok(());
        }
        let differing =
            run.listener.run_while_streaming(run.engine.compare_keys(&explained)).await??;
        self.record_differences(run, differing).await
    }

    /// Records rows that differ. Every change that the comparison saw is in the log before a mark
    /// put after it. So each key is either pending, or the log delivers it before the mark. The run
    /// does not wait for the mark here, unless the log does not name every row: then a refresh
    /// meanwhile would destroy the explanation.
    async fn record_differences<E: Engine>(
        &mut self,
        run: &mut Migration<'_, E>,
        differing: Vec<Key>,
    ) -> Result<(), Failure> {
        if differing.is_empty() {
            return Ok(());
        }
        let mark = marks::put(run.engine).await?;
        run.listener.keys.expect_explanation(&differing, mark.marker());
        self.mark = Some(mark);
        self.suspects.extend(differing);
        match run.engine.log_tells_all() {
            true => Ok(()),
            false => self.stream_until_explained(run).await,
        }
    }

    /// Reads the log until it must have explained every difference. If too much becomes pending on
    /// the way, it is refreshed: an explained key stays explained.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if it did not; [`Failure::Behind`].
    async fn stream_until_explained<E: Engine>(
        &mut self,
        run: &mut Migration<'_, E>,
    ) -> Result<(), Failure> {
        let Some(mark) = self.mark.take() else { return Ok(()) };
        while !run.reach(mark).await? {
            let sought = run.listener.keys.unexplained();
            let unexplained = without_causes(run, sought.clone()).await?;
            sought
                .iter()
                .filter(|key| !unexplained.contains(key))
                .for_each(|key| run.listener.keys.explained(key));
            run.refresh_turn().await?;
        }
        self.check_overdue(run).await
    }

    /// Checks the rows that differ and that the log has not explained, although it has passed their
    /// mark.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if nothing explains one of them.
    async fn check_overdue<E: Engine>(&self, run: &mut Migration<'_, E>) -> Result<(), Failure> {
        let overdue = run.listener.keys.overdue(run.listener.passed());
        let mut unexplained = without_causes(run, overdue).await?;
        if !unexplained.is_empty() && !run.engine.log_tells_all() {
            // A row that moved to another key is not found any more; the log delivers the new key.
            // No refresh happened that could have made these rows equal.
            unexplained =
                run.listener.run_while_streaming(run.engine.compare_keys(&unexplained)).await??;
        }
        match unexplained.len() {
            0 => Ok(()),
            rows => Err(Failure::Unequal { rows }),
        }
    }
}

/// Returns the keys for which no cause is pending either.
async fn without_causes<E: Engine>(
    run: &mut Migration<'_, E>,
    keys: Vec<Key>,
) -> Result<Vec<Key>, Failure> {
    let mut left = Vec::new();
    for key in keys {
        let causes = run.listener.run_while_streaming(run.engine.causes(&key)).await??;
        if !causes.iter().any(|cause| run.listener.keys.explains(cause)) {
            left.push(key);
        }
    }
    Ok(left)
}

async fn compare_chunk<E: Engine>(engine: &E, chunk: &Chunk) -> Result<(Comparison, Duration)> {
    let begun = Instant::now();
    Ok((engine.compare(chunk).await?, begun.elapsed()))
}

fn end_of(chunks: &[Chunk]) -> Watermark {
    chunks.last().map_or(Watermark::End, |chunk| chunk.through.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_without_chunks_is_at_its_end() {
        assert_eq!(end_of(&[]), Watermark::End);
    }
}
