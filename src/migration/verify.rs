//! The proof: every difference between source and shadow is explained by the log (law 8). It never repairs; what it
//! looks at again was refreshed because the log said so.

use crate::control::{Control, Failure};
use crate::migration::copy::Ahead;
use crate::migration::done::Done;
use crate::migration::marks::{self, Mark};
use crate::migration::state::Migration;
use crate::pace::cadence::Cadence;
use crate::pace::concurrency::{self, Full, Pace, Turn};
use crate::pace::throttle::is_throttled;
use altergeist_contract::{Chunk, Comparison, Engine, Key, Record, Result, Watermark};
use futures_util::future::{join, join_all};
use std::time::Duration;
use tokio::time::Instant;

/// How often a row that keeps changing is looked at again. Each time its difference was explained by the log.
const LOOKS_MAX: u32 = 20;

/// The pause before that.
const PAUSE: Duration = Duration::from_millis(20);

/// A walk over the whole key space, chunk by chunk, while the table is written to.
pub struct Verification {
    pace: Pace,
    ahead: Ahead,
    after: Watermark,
    /// Keys whose rows differed when they were last compared: they are compared again once the log has told of them and they are
    /// refreshed.
    suspects: Vec<Key>,
    /// Put after the last difference was seen: what it is about lies before it in the log.
    mark: Option<Mark>,
    /// How long it has walked.
    walked: Duration,
    verified: u64,
}

impl Verification {
    /// At the first key.
    pub fn begin() -> Verification {
        Verification {
            pace: Pace::default(),
            ahead: Ahead::default(),
            after: Watermark::Start,
            suspects: Vec::new(),
            mark: None,
            walked: Duration::ZERO,
            verified: 0,
        }
    }

    /// Walks while nothing at all is pending and nothing differs, so that nothing need be refreshed, and listens on until the
    /// builds are over. Gently: it only listens.
    pub async fn beside_builds<E: Engine>(
        &mut self,
        run: &mut Migration<'_, E>,
        over: &Done,
        gently: bool,
    ) -> Result<(), Failure> {
        let is_welcome = !gently && run.engine.compares_beside_builds();
        while is_welcome && !over.is_set() && self.after != Watermark::End && run.listener.keys.is_empty() {
            if is_throttled(run.engine, run.control).await? {
                break;
            }
            let rest = self.turn(run).await?;
            if !self.suspects.is_empty() {
                break;
            }
            run.rest_for(rest).await?;
        }
        Ok(run.listener.during(over.wait()).await?)
    }

    /// Tells watchers how far it has come.
    pub fn tell(&self, control: &Control, record: &Record) {
        control.update_walk(self.walked, self.verified, record.rows_copied.max(record.rows_estimated));
    }

    /// Walks to the end, and looks at what differed until everything was equal once.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if one difference is not explained; [`Failure::Behind`].
    pub async fn finish<E: Engine>(mut self, run: &mut Migration<'_, E>) -> Result<(), Failure> {
        let mut cadence = Cadence::begin();
        while self.after != Watermark::End {
            run.wait_while_throttled().await?;
            let rest = self.turn(run).await?;
            self.tell(run.control, &run.record);
            if cadence.is_due(run.engine, &run.control.settings(), run.listener.keys.len()) {
                self.look_again(run).await?;
            }
            run.rest_for(rest).await?;
        }
        for _ in 0..LOOKS_MAX {
            self.look_again(run).await?;
            self.hear_out(run).await?;
            if self.suspects.is_empty() {
                break;
            }
            run.listener.pause(PAUSE).await?;
        }
        Ok(())
    }

    /// Compares the next chunks side by side, and finds those of the next turn meanwhile. Gives how long to rest.
    async fn turn<E: Engine>(&mut self, run: &mut Migration<'_, E>) -> Result<Duration, Failure> {
        run.engine.still_held().await?;
        let settings = run.control.settings();
        let (rows, workers) = (self.pace.rows(&settings), self.pace.workers(&settings));
        let turn_begun = Instant::now();
        let chunks = run.listener.during(self.ahead.take(run.engine, &self.after, rows, workers)).await??;
        let comparing = join_all(chunks.iter().map(|chunk| compare_chunk(run.engine, chunk)));
        let looking = self.ahead.look(run.engine, &chunks, rows, workers);
        let (compared, ()) = run.listener.during(join(comparing, looking)).await?;
        let (mut comparisons, mut full) = (Vec::new(), Vec::new());
        for (chunk, compared) in chunks.iter().zip(compared) {
            let (comparison, took) = compared?;
            if comparison.rows > 0 && chunk.through != Watermark::End {
                full.push(Full { rows: comparison.rows, took });
            }
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
        self.seek(run, differing).await?;
        Ok(rest)
    }

    /// Refreshes, and compares once more what the log has told of; what differs still, or again, it must tell of in turn.
    async fn look_again<E: Engine>(&mut self, run: &mut Migration<'_, E>) -> Result<(), Failure> {
        self.account(run).await?;
        run.refresh_turn().await?;
        let told: Vec<Key> = self.suspects.extract_if(.., |key| !run.listener.keys.is_sought(key)).collect();
        if told.is_empty() {
            return Ok(());
        }
        let differing = run.listener.during(run.engine.compare_keys(&told)).await??;
        self.seek(run, differing).await
    }

    /// These rows were seen to differ just now. Whatever the comparison saw is in the log before a mark put there afterwards: each of
    /// the keys is pending, or the log tells of it before it passes the mark. Nobody waits for that, unless the log does not tell of
    /// every row: what is refreshed meanwhile would explain nothing any more.
    async fn seek<E: Engine>(&mut self, run: &mut Migration<'_, E>, differing: Vec<Key>) -> Result<(), Failure> {
        if differing.is_empty() {
            return Ok(());
        }
        let mark = marks::put(run.engine).await?;
        run.listener.keys.seek(&differing, mark.marker());
        self.mark = Some(mark);
        self.suspects.extend(differing);
        match run.engine.log_tells_all() {
            true => Ok(()),
            false => self.hear_out(run).await,
        }
    }

    /// Listens until the log must have told of everything that differed. If more is pending than fits into memory on the way, it is
    /// refreshed: what was told by then stays told.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if it did not; [`Failure::Behind`].
    async fn hear_out<E: Engine>(&mut self, run: &mut Migration<'_, E>) -> Result<(), Failure> {
        let Some(mark) = self.mark.take() else { return Ok(()) };
        while !run.reach(mark).await? {
            let sought = run.listener.keys.sought();
            let unexplained = without_causes(run, sought.clone()).await?;
            sought.iter().filter(|key| !unexplained.contains(key)).for_each(|key| run.listener.keys.told(key));
            run.refresh_turn().await?;
        }
        self.account(run).await
    }

    /// Asks after the rows that differed and that the log has not told of, though it should have by now.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if nothing explains one of them.
    async fn account<E: Engine>(&self, run: &mut Migration<'_, E>) -> Result<(), Failure> {
        let missed = run.listener.keys.missed(run.listener.passed());
        let mut unexplained = without_causes(run, missed).await?;
        if !unexplained.is_empty() && !run.engine.log_tells_all() {
            // A row that has gone on to another key is not found any more, and that is delivered instead. Nothing was refreshed that
            // could have made these equal.
            unexplained = run.listener.during(run.engine.compare_keys(&unexplained)).await??;
        }
        match unexplained.len() {
            0 => Ok(()),
            rows => Err(Failure::Unequal { rows }),
        }
    }
}

/// Those of the keys of which no cause is pending either.
async fn without_causes<E: Engine>(run: &mut Migration<'_, E>, keys: Vec<Key>) -> Result<Vec<Key>, Failure> {
    let mut left = Vec::new();
    for key in keys {
        let causes = run.listener.during(run.engine.causes(&key)).await??;
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
