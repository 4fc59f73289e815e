//! How far behind the writers the log is read, and whether it can ever be caught up with.

use crate::Failure;
use crate::desk::Desk;
use crate::listen::Listener;
use crate::run::look_at_log;
use altergeist_contract::{ChangeStream, Engine, Marker};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Nearer than this to the writers, nobody minds whether it becomes more or less.
const NEAR: Duration = Duration::from_secs(60);
/// As many marks in a row, each on its way for longer than the one before, and the log will not be caught up with:
/// each was put when the one before had passed, so that all the time between them was not enough.
const GROWING_MAX: u32 = 3;
/// How often watchers are told, and the operator's orders heeded, while a mark is on its way.
const LOOK: Duration = Duration::from_millis(500);

/// How long the latest marks were on their way.
#[derive(Debug, Default)]
pub struct Behind {
    last: Duration,
    growing: u32,
}

impl Behind {
    /// A mark has passed this long after it was put. Says whether the log falls further and further behind.
    fn learn(&mut self, took: Duration) -> bool {
        self.growing = if took >= NEAR && took > self.last { self.growing + 1 } else { 0 };
        self.last = took;
        self.growing >= GROWING_MAX
    }
}

/// A mark that was put into the log.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    marker: Marker,
    put: Instant,
}

impl Mark {
    /// What the log is asked for.
    pub fn marker(&self) -> Marker {
        self.marker
    }
}

/// Puts a mark into the log, behind everything that is committed by now.
///
/// # Errors
/// The engine's.
pub async fn put<E: Engine>(engine: &E) -> Result<Mark, Failure> {
    Ok(Mark { marker: engine.mark().await?, put: Instant::now() })
}

/// [`reach`], for no longer than a while.
///
/// # Errors
/// Likewise.
pub async fn reach_within<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    mark: Mark,
    time: Duration,
) -> Result<bool, Failure> {
    match timeout(time, reach(engine, listener, desk, mark)).await {
        Ok(reached) => reached,
        Err(_) => Ok(false),
    }
}

/// Listens until a mark has passed, or too much is pending to go on; says whether the mark has passed. Cancel-safe.
///
/// # Errors
/// [`Failure::Behind`] if the log is written faster than it can be read; [`Failure::Stopped`]; [`Failure::LogFull`].
pub async fn reach<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    mark: Mark,
) -> Result<bool, Failure> {
    listener.listen(engine).await?;
    let has_passed = loop {
        match timeout(LOOK, listener.until(mark.marker)).await {
            Ok(has_passed) => break has_passed?,
            Err(_) => {
                tell(desk, listener, mark.put.elapsed());
                desk.heed()?;
                look_at_log(engine, desk).await?;
            }
        }
    };
    let took = mark.put.elapsed();
    tell(desk, listener, took);
    if has_passed && listener.behind.learn(took) {
        return Err(Failure::Behind { seconds: took.as_secs() });
    }
    Ok(has_passed)
}

fn tell<S: ChangeStream>(desk: &Desk, listener: &Listener<S>, behind: Duration) {
    desk.tell(|status| {
        status.log_behind_seconds = Some(behind.as_secs_f64());
        status.pending_keys = listener.keys.len() as u64;
        status.stream_position = listener.delivered().to_string();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Whether a log is given up in which marks take so long, one after the other.
    fn is_given_up(behind: &mut Behind, minutes: impl IntoIterator<Item = f64>) -> bool {
        minutes.into_iter().any(|minutes| behind.learn(MINUTE.mul_f64(minutes)))
    }

    #[test]
    fn a_log_that_is_written_faster_than_it_is_read_is_given_up() {
        for reads_of_writes in [0.5, 0.9, 0.99] {
            let marks = (0..2000).map(|nth| 0.001 * f64::powi(1.0 / reads_of_writes, nth));
            assert!(is_given_up(&mut Behind::default(), marks), "{reads_of_writes}");
        }
    }

    #[test]
    fn a_log_that_comes_nearer_is_followed_however_far_away_it_is() {
        let marks = (0..100).map(|nth| 600.0 * f64::powi(0.9, nth));
        assert!(!is_given_up(&mut Behind::default(), marks));
    }

    #[test]
    fn one_commit_that_stalls_for_long_is_waited_for() {
        let mut behind = Behind::default();
        for _ in 0..10 {
            assert!(!is_given_up(&mut behind, [0.001, 90.0, 0.002]));
        }
    }

    #[test]
    fn nobody_minds_a_log_that_is_nearly_caught_up_with() {
        assert!(!is_given_up(&mut Behind::default(), (0..1000).map(|nth| 0.0009 * f64::from(nth))));
    }
}
