//! Decides how much of its full speed a run uses, so that commits stay as quick as the operator
//! wants: from nothing to one. Pure: durations in, a number out.
//!
//! Each small commit above the limit shrinks the load factor. The load factor grows back far more
//! slowly, so that about one commit in a hundred is slow. Commits that stay slow at the lowest load
//! factor are not slow because of the run. So one and a half times their best usual latency is
//! always allowed. As many may be slow as are slow at hardly any load factor.

use altergeist_contract::CommitLatency;
use std::time::Duration;

/// The first load factor if commits must stay quick.
const FIRST: f64 = 0.3;
/// The lowest load factor. A slow server never stops the run altogether.
const MIN: f64 = 0.02;
/// The lowest load factor while only single commits are slow. Most servers have such hiccups by
/// themselves.
const MIN_WITH_HICCUPS: f64 = 0.1;
/// Up to this load factor, slow commits are not the run's fault.
const HARDLY_ANY: f64 = 2.0 * MIN_WITH_HICCUPS;
/// The factor of the load factor after a slow commit.
const SHRINKS: f64 = 0.7;
/// The factor of its growth while no commit was slow yet.
const GROWS: f64 = 1.1;
/// The share of periods that may have a slow commit. Each measures three commits, so this is one
/// commit in a hundred.
const TOLERATED: f64 = 0.035;
/// The upper limit of the share that counts as unavoidable.
const UNAVOIDABLE_MAX: f64 = 0.9;
/// The weight of one period in the unavoidable share: some seconds of hardly any load factor
/// suffice.
const LEARNS: f64 = 0.05;
/// The unavoidable share after each other period: it is forgotten in a quarter of an hour.
const KEEPS: f64 = 0.9997;
/// The shortest time between two changes. Commits need that time to show the effect of a change.
const PERIOD: Duration = Duration::from_millis(300);
/// Commits may always be this many times slower than at the best of times.
const BEARABLE: f64 = 1.5;
/// How fast the best latency is forgotten: a server may become slower by itself.
const FORGOTTEN: f64 = 1.02;

/// The load factor of a run.
#[derive(Debug)]
pub struct LoadFactor {
    share: f64,
    /// The time since the last change.
    unchanged: Duration,
    /// The best usual latency of small commits.
    best: Option<Duration>,
    /// Whether a commit was slow since the run began to spare the server.
    is_wary: bool,
    /// The share of periods with a slow commit even at hardly any load factor.
    unavoidable: f64,
}

impl Default for LoadFactor {
    fn default() -> LoadFactor {
        LoadFactor {
            share: 1.0,
            unchanged: Duration::ZERO,
            best: None,
            is_wary: false,
            unavoidable: 0.0,
        }
    }
}

impl LoadFactor {
    /// Returns the load factor, from a fiftieth to 1.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Lets time pass in which nothing was learned.
    pub fn pass(&mut self, time: Duration) {
        self.unchanged += time;
    }

    /// Learns after work of `took`. `most` is the limit of a small commit, `commits` the present
    /// latency, if known.
    pub fn learn(
        &mut self,
        most: Option<Duration>,
        took: Duration,
        commits: Option<CommitLatency>,
    ) {
        self.unchanged += took;
        let Some(most) = most else {
            *self = LoadFactor::default();
            return;
        };
        if self.best.is_some() && self.unchanged < PERIOD {
            return;
        }
        // An unknown latency does not count as quick.
        let Some(now) = commits else { return };
        self.unchanged = Duration::ZERO;
        let best = self.best.map_or(now.usual, |best| best.mul_f64(FORGOTTEN).min(now.usual));
        if self.best.replace(best).is_none() {
            self.share = FIRST;
        }
        let limit = most.max(best.mul_f64(BEARABLE));
        let is_slow = now.worst > limit;
        self.unavoidable = match self.share <= HARDLY_ANY {
            true => self.unavoidable + LEARNS * (f64::from(u8::from(is_slow)) - self.unavoidable),
            false => self.unavoidable * KEEPS,
        };
        if is_slow {
            let least = if now.usual > limit { MIN } else { MIN_WITH_HICCUPS };
            self.share = (self.share * SHRINKS).max(least.min(self.share));
            self.is_wary = true;
        } else {
            let grows = if self.is_wary { self.grows_warily() } else { GROWS };
            self.share = (self.share * grows).min(1.0);
        }
    }

    /// Returns the growth in a period without a slow commit. It keeps the load factor constant in
    /// the long run if the allowed share of periods has a slow commit.
    fn grows_warily(&self) -> f64 {
        let slow = (self.unavoidable + TOLERATED).min(UNAVOIDABLE_MAX);
        SHRINKS.powf(-slow / (1.0 - slow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    const SECOND: Duration = Duration::from_secs(1);
    const MOST: Option<Duration> = Some(Duration::from_millis(20));
    const QUICK: Option<CommitLatency> = commits(2, 2);
    const SLOW: Option<CommitLatency> = commits(80, 80);
    /// Most are quick, and one was not.
    const HICCUP: Option<CommitLatency> = commits(2, 80);

    const fn commits(usual: u64, worst: u64) -> Option<CommitLatency> {
        Some(CommitLatency {
            usual: Duration::from_millis(usual),
            worst: Duration::from_millis(worst),
        })
    }

    #[test]
    fn one_slow_commit_in_a_hundred_is_what_the_effort_settles_at() {
        // A server on which commits are slow in proportion to the load factor, each turn showing
        // the worst of three.
        let mut load_factor = LoadFactor::default();
        let (mut due, mut slow) = (0.0, 0);
        for turn in 0..5_000 {
            due += 3.0 * 0.05 * load_factor.share;
            let hiccups = due >= 1.0;
            due -= f64::from(hiccups);
            slow += usize::from(hiccups && turn >= 1_000);
            load_factor.learn(MOST, SECOND, if hiccups { HICCUP } else { QUICK });
        }
        let part = slow as f64 / (3.0 * 4_000.0);
        assert!((0.005..0.02).contains(&part), "{part}");
    }

    #[test]
    fn hiccups_that_a_server_has_by_itself_do_not_hold_up_the_run() {
        // One period in five has one, whatever the load factor.
        let mut rng = SmallRng::seed_from_u64(1);
        let mut load_factor = LoadFactor::default();
        let (mut periods, mut sum) = (0, 0.0);
        for turn in 0..2_000 {
            load_factor.learn(MOST, SECOND, if rng.random_bool(0.2) { HICCUP } else { QUICK });
            if turn >= 500 {
                (periods, sum) = (periods + 1, sum + load_factor.share);
            }
        }
        let mean = sum / f64::from(periods);
        assert!(mean > 0.4, "{mean}");
    }

    #[test]
    fn single_slow_commits_leave_the_run_a_tenth_of_its_effort() {
        let mut load_factor = LoadFactor::default();
        for _ in 0..100 {
            load_factor.learn(MOST, SECOND, HICCUP);
        }
        assert_eq!(load_factor.share, MIN_WITH_HICCUPS);
    }

    #[test]
    fn the_effort_waits_to_see_what_it_did() {
        let mut load_factor = LoadFactor::default();
        for _ in 0..50 {
            load_factor.learn(MOST, SECOND, QUICK);
        }
        for _ in 0..10 {
            load_factor.learn(MOST, PERIOD / 10, SLOW);
        }
        assert_eq!(load_factor.share, SHRINKS);
    }

    #[test]
    fn latency_that_cannot_be_told_is_not_taken_for_quick() {
        let mut load_factor = LoadFactor::default();
        load_factor.learn(MOST, SECOND, QUICK);
        load_factor.learn(MOST, SECOND, SLOW);
        let share = load_factor.share;
        load_factor.learn(MOST, SECOND, None);
        assert_eq!(load_factor.share, share);
    }
}
