//! The proof: every difference between source and shadow is explained by the log (law 8). It never repairs; what it
//! looks at again was refreshed because the log said so.

use crate::copy::Ahead;
use crate::desk::Desk;
use crate::listen::Listener;
use crate::pace::{self, Pace, Turn};
use crate::refresh::{Cadence, refresh_turn};
use crate::{Failure, behind, run};
use altergeist_contract::{Chunk, Comparison, Engine, Key, Record, Result, Watermark};
use futures_util::future::{join, join_all};
use std::cell::Cell;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How often a row that keeps changing is looked at again. Each time its difference was explained by the log.
const LOOKS_MAX: u32 = 20;

/// A walk over the whole key space, chunk by chunk, while the table is written to.
pub struct Verification {
    pace: Pace,
    ahead: Ahead,
    after: Watermark,
    /// Keys whose rows differ, as far as they were not looked for in the log yet.
    found: Vec<Key>,
    /// Keys whose rows differed when they were last compared, which the log explained then.
    suspects: Vec<Key>,
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
            found: Vec::new(),
            suspects: Vec::new(),
            walked: Duration::ZERO,
            verified: 0,
        }
    }

    /// Walks while nothing at all is pending and nothing differs, so that nothing need be refreshed, and listens on until the
    /// builds are over. What differs must be explained with [`Verification::explain`] before anything is refreshed: a key that
    /// is pending explains it, one that was refreshed does not any more. Gently: it only listens.
    pub async fn beside_builds<E: Engine>(
        &mut self,
        engine: &E,
        listener: &mut Listener<E::Stream>,
        desk: &Desk,
        over: &Over,
        gently: bool,
    ) -> Result<(), Failure> {
        let is_welcome = !gently && engine.compares_beside_builds();
        while is_welcome && !over.is_set() && self.after != Watermark::End && listener.keys.is_empty() {
            if run::is_throttled(engine, desk).await? {
                break;
            }
            let rest = self.turn(engine, listener, desk).await?;
            if !self.found.is_empty() {
                break;
            }
            run::rest_for(listener, desk, rest).await?;
        }
        Ok(listener.during(over.wait()).await?)
    }

    /// Finds the rows that differ in the log, up to now.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if one of them is not there; [`Failure::Behind`].
    pub async fn explain<E: Engine>(
        &mut self,
        engine: &E,
        listener: &mut Listener<E::Stream>,
        desk: &Desk,
    ) -> Result<(), Failure> {
        explain(engine, listener, desk, &self.found).await?;
        self.suspects.append(&mut self.found);
        Ok(())
    }

    /// Walks to the end, and looks at what differed until everything was equal once.
    ///
    /// # Errors
    /// [`Failure::Unequal`] if one difference is not explained; [`Failure::Behind`].
    pub async fn finish<E: Engine>(
        mut self,
        engine: &E,
        listener: &mut Listener<E::Stream>,
        desk: &Desk,
        record: &mut Record,
    ) -> Result<(), Failure> {
        let of_rows = record.rows_copied.max(record.rows_estimated);
        run::tell_walk(desk, self.walked, self.verified, of_rows);
        let mut cadence = Cadence::begin();
        while self.after != Watermark::End {
            if run::is_throttled(engine, desk).await? {
                // Whoever waits stays current, and what was refreshed explains nothing any more.
                self.look_again(engine, listener, desk).await?;
                run::wait_while_throttled(engine, listener, desk, record).await?;
            }
            let rest = self.turn(engine, listener, desk).await?;
            run::tell_walk(desk, self.walked, self.verified, of_rows);
            if cadence.is_due(engine, &desk.orders(), listener.keys.len()) {
                self.look_again(engine, listener, desk).await?;
            }
            run::rest_for(listener, desk, rest).await?;
        }
        self.look_again(engine, listener, desk).await?;
        for _ in 0..LOOKS_MAX {
            if self.suspects.is_empty() {
                break;
            }
            listener.pause(Duration::from_millis(20)).await?;
            self.look_again(engine, listener, desk).await?;
        }
        Ok(())
    }

    /// Compares the next chunks side by side, and finds those of the next turn meanwhile. Gives how long to rest.
    async fn turn<E: Engine>(
        &mut self,
        engine: &E,
        listener: &mut Listener<E::Stream>,
        desk: &Desk,
    ) -> Result<Duration, Failure> {
        engine.still_held().await?;
        let orders = desk.orders();
        let (rows, workers) = (self.pace.rows(&orders), self.pace.workers(&orders));
        let turn_begun = Instant::now();
        let chunks = listener.during(self.ahead.take(engine, &self.after, rows, workers)).await??;
        let comparing = join_all(chunks.iter().map(|chunk| compare_chunk(engine, chunk)));
        let looking = self.ahead.look(engine, &chunks, rows, workers);
        let (compared, ()) = listener.during(join(comparing, looking)).await?;
        let (mut comparisons, mut full) = (Vec::new(), Vec::new());
        for (chunk, compared) in chunks.iter().zip(compared) {
            let (comparison, took) = compared?;
            if chunk.through != Watermark::End {
                full.push(took);
            }
            comparisons.push(comparison);
        }
        let rows = comparisons.iter().map(|found| found.rows).sum::<u64>();
        self.verified += rows;
        let turn = Turn { rows, chunk: pace::mean(&full), took: turn_begun.elapsed() };
        self.walked += turn.took;
        let rest = self.pace.learn_turn(&orders, turn, engine.commit_latency());
        self.found.extend(comparisons.into_iter().flat_map(|found| found.differing));
        self.after = end_of(&chunks);
        desk.tell(|status| {
            status.rows_verified = self.verified;
            status.chunk_rows = self.pace.rows(&orders);
            status.workers = self.pace.workers(&orders);
        });
        Ok(rest)
    }

    /// Explains what was found, refreshes, and compares what differed once more; what differs still, or again, must be explained
    /// in turn before the verification ends.
    async fn look_again<E: Engine>(
        &mut self,
        engine: &E,
        listener: &mut Listener<E::Stream>,
        desk: &Desk,
    ) -> Result<(), Failure> {
        self.explain(engine, listener, desk).await?;
        refresh_turn(engine, listener, desk, &Watermark::End).await?;
        if !self.suspects.is_empty() {
            self.found = listener.during(engine.compare_keys(&self.suspects)).await??;
            self.suspects.clear();
            self.explain(engine, listener, desk).await?;
        }
        Ok(())
    }
}

/// Tells one part of a run that another has ended.
#[derive(Default)]
pub struct Over {
    is_set: Cell<bool>,
    news: Notify,
}

impl Over {
    /// It has ended.
    pub fn set(&self) {
        self.is_set.set(true);
        self.news.notify_one();
    }

    /// Whether it has ended.
    pub fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// Waits for its end.
    pub async fn wait(&self) {
        while !self.is_set() {
            self.news.notified().await;
        }
    }
}

async fn compare_chunk<E: Engine>(engine: &E, chunk: &Chunk) -> Result<(Comparison, Duration)> {
    let begun = Instant::now();
    Ok((engine.compare(chunk).await?, begun.elapsed()))
}

/// Whatever a comparison saw is in the log before a mark put there afterwards; so by the time the mark has passed, each
/// differing key must have been pending, or what caused it where the server does not log that. If more is pending than fits
/// into memory on the way, it is refreshed: what was explained by then stays explained.
async fn explain<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    differing: &[Key],
) -> Result<(), Failure> {
    let mut unexplained: Vec<&Key> = differing.iter().collect();
    if unexplained.is_empty() {
        return Ok(());
    }
    let mark = behind::put(engine).await?;
    loop {
        let has_passed = behind::reach(engine, listener, desk, mark).await?;
        unexplained.retain(|key| !listener.keys.explains(key));
        let mut left = Vec::new();
        for key in unexplained {
            let causes = listener.during(engine.causes(key)).await??;
            if !causes.iter().any(|cause| listener.keys.explains(cause)) {
                left.push(key);
            }
        }
        unexplained = left;
        match unexplained.len() {
            0 => return Ok(()),
            rows if has_passed => return Err(Failure::Unequal { rows }),
            _ => refresh_turn(engine, listener, desk, &Watermark::End).await?,
        }
    }
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
