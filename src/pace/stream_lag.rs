//! Measures how far the log reader is behind the writers, and whether it can ever catch up.

use std::time::Duration;

/// Below this lag it does not matter whether the lag grows.
const NEAR: Duration = Duration::from_secs(60);

/// The run gives up after this many marks in a row of which each took longer than the one before.
/// Each was put when the one before had passed, so all the time between them did not suffice.
const GROWING_MAX: u32 = 3;

/// How long the latest marks took to arrive.
#[derive(Debug, Default)]
pub struct StreamLag {
    last: Duration,
    growing: u32,
}

impl StreamLag {
    /// Learns that a mark arrived after `took`. Returns whether the reader falls further and
    /// further behind.
    pub fn learn(&mut self, took: Duration) -> bool {
        self.growing = if took >= NEAR && took > self.last { self.growing + 1 } else { 0 };
        self.last = took;
        self.growing >= GROWING_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Whether a log is given up in which marks take so long, one after the other.
    fn is_given_up(behind: &mut StreamLag, minutes: impl IntoIterator<Item = f64>) -> bool {
        minutes.into_iter().any(|minutes| behind.learn(MINUTE.mul_f64(minutes)))
    }

    #[test]
    fn a_log_that_is_written_faster_than_it_is_read_is_given_up() {
        for reads_of_writes in [0.5, 0.9, 0.99] {
            let marks = (0..2000).map(|nth| 0.001 * f64::powi(1.0 / reads_of_writes, nth));
            assert!(is_given_up(&mut StreamLag::default(), marks), "{reads_of_writes}");
        }
    }

    #[test]
    fn a_log_that_comes_nearer_is_followed_however_far_away_it_is() {
        let marks = (0..100).map(|nth| 600.0 * f64::powi(0.9, nth));
        assert!(!is_given_up(&mut StreamLag::default(), marks));
    }

    #[test]
    fn one_commit_that_stalls_for_long_is_waited_for() {
        let mut behind = StreamLag::default();
        for _ in 0..10 {
            assert!(!is_given_up(&mut behind, [0.001, 90.0, 0.002]));
        }
    }

    #[test]
    fn nobody_minds_a_log_that_is_nearly_caught_up_with() {
        assert!(!is_given_up(
            &mut StreamLag::default(),
            (0..1000).map(|nth| 0.0009 * f64::from(nth))
        ));
    }
}
