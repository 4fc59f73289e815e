//! How hard to work: how many rows a chunk has, how many chunks are in flight, and how long to rest between turns.
//! Pure: durations in, numbers out.
//!
//! Two things are learnt. How many workers help: now and then one more is tried, and kept if the turns move clearly more
//! rows, or one fewer, and kept if they move hardly less. And how much the server can bear: each small commit that takes
//! longer than the operator allows shrinks the effort (shorter chunks, then fewer workers, then rests), and it grows
//! back, far more slowly, so that about one commit in a hundred is slow. Commits that stay slow whatever we leave undone
//! are not slow because of us: what they usually take at the best of times, and half as long again, is always allowed, and
//! as many of them may be slow as are with hardly any effort.

use crate::chunk_size::ChunkSize;
use crate::desk::Orders;
use altergeist_contract::CommitLatency;
use std::time::Duration;

/// Where the number of workers begins: two keep even a small server's processors and its disk both busy.
const WORKERS_FIRST: usize = 2;
/// Turns measured before one number of workers is compared with another.
const TRIAL_TURNS: u32 = 5;
/// Turns with a number of workers that proved best before another is tried again.
const SETTLED_TURNS: u32 = 300;
/// How many times the rows one more worker must move to be worth it.
const WORTH: f64 = 1.08;
/// Where the effort begins if commits shall stay quick.
const EFFORT_FIRST: f64 = 0.3;
/// The least effort: the run never stands still because the server is slow.
const EFFORT_MIN: f64 = 0.02;
/// The least effort while only single commits are slow: most servers have such hiccups by themselves.
const EFFORT_MIN_HICCUPS: f64 = 0.1;
/// Up to this effort, what is slow is slow by itself.
const EFFORT_LEAST: f64 = 2.0 * EFFORT_MIN_HICCUPS;
/// By how much the effort shrinks when a commit was slow.
const SHRINKS: f64 = 0.7;
/// By how much it grows while none was slow yet.
const GROWS: f64 = 1.1;
/// The part of the periods that may have a slow commit: as three commits are measured in each, one commit in a hundred.
const TOLERATED: f64 = 0.035;
/// No more than this part of them is taken for unavoidable.
const UNAVOIDABLE_MAX: f64 = 0.9;
/// The weight of one period in what is unavoidable: some seconds with hardly any effort tell.
const LEARNS: f64 = 0.05;
/// What is left of it after each other period: it is forgotten in a quarter of an hour.
const KEEPS: f64 = 0.9997;
/// Below this effort the share of the time that is worked at all shrinks, too.
const EFFORT_RESTING: f64 = 0.5;
/// The effort changes no more often: commits must have had the time to show what the last change did.
const EFFORT_PERIOD: Duration = Duration::from_millis(300);
/// How much slower than at the best of times commits may always be.
const BEARABLE: f64 = 1.5;
/// By how much the best of times is forgotten each time the effort may change: a server may become slower by itself.
const FORGOTTEN: f64 = 1.02;
/// No chunk is made shorter than this to spare the server.
const CHUNK_TIME_MIN: Duration = Duration::from_millis(10);

/// What one turn did.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Rows copied or compared.
    pub rows: u64,
    /// How long a chunk of the present size took, on average; None if none was of that size.
    pub chunk: Option<Duration>,
    /// How long it took in all.
    pub took: Duration,
}

/// How long the chunks of a turn took, on average; None if there are none.
pub fn mean(times: &[Duration]) -> Option<Duration> {
    let count = u32::try_from(times.len()).ok().filter(|count| *count > 0)?;
    Some(times.iter().sum::<Duration>() / count)
}

/// The pace of a walk over the table.
#[derive(Debug)]
pub struct Pace {
    size: ChunkSize,
    workers: usize,
    trial: Trial,
    effort: f64,
    /// Since the effort last changed.
    unchanged: Duration,
    /// What small commits usually took at the best of times.
    best: Option<Duration>,
    /// Whether a commit was slow since the run began to spare the server.
    is_wary: bool,
    /// The part of the periods that have a slow commit even with hardly any effort.
    unavoidable: f64,
}

/// A number of workers on trial.
#[derive(Debug, Default)]
struct Trial {
    turns: u32,
    rows: u64,
    took: Duration,
    /// Rows a second with the number of workers this one is compared with.
    rival: Option<f64>,
    /// Whether fewer are on trial, and not more.
    is_downward: bool,
    /// Turns still to go before anything is tried.
    settled: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            size: ChunkSize::default(),
            workers: WORKERS_FIRST,
            trial: Trial::default(),
            effort: 1.0,
            unchanged: Duration::ZERO,
            best: None,
            is_wary: false,
            unavoidable: 0.0,
        }
    }
}

impl Pace {
    /// Rows of the next chunk.
    pub fn rows(&self, orders: &Orders) -> u64 {
        self.size.rows(orders.chunk_rows)
    }

    /// How many chunks may be in flight.
    pub fn workers(&self, orders: &Orders) -> usize {
        let allowed = self.workers.min(orders.workers).max(1);
        ((allowed as f64 * self.effort).round() as usize).max(1)
    }

    /// How long a chunk should take.
    fn chunk_time(&self, orders: &Orders) -> Duration {
        orders.chunk_time.mul_f64(self.effort).max(CHUNK_TIME_MIN.min(orders.chunk_time))
    }

    /// A turn has ended; small commits take as long as `commits` now, if that is known. Gives how long to rest
    /// before the next turn.
    pub fn learn_turn(&mut self, orders: &Orders, turn: Turn, commits: Option<CommitLatency>) -> Duration {
        let target = self.chunk_time(orders);
        if let Some(took) = turn.chunk {
            self.size.learn(took, target);
        }
        self.spare(orders, turn.took, commits);
        // Chunks that are still growing say nothing about workers.
        let is_full_size = orders.chunk_rows.is_some() || turn.took >= target / 2;
        if self.effort == 1.0 && is_full_size {
            self.try_workers(orders, turn);
        }
        let resting = (EFFORT_RESTING / self.effort - 1.0).max(0.0);
        let rest = turn.took.mul_f64(resting + orders.nice);
        self.unchanged += rest;
        rest
    }

    fn spare(&mut self, orders: &Orders, took: Duration, commits: Option<CommitLatency>) {
        self.unchanged += took;
        let Some(most) = orders.max_commit_latency else {
            (self.effort, self.best, self.is_wary) = (1.0, None, false);
            return;
        };
        if self.best.is_some() && self.unchanged < EFFORT_PERIOD {
            return;
        }
        // What cannot be measured must not be taken for quick.
        let Some(now) = commits else { return };
        self.unchanged = Duration::ZERO;
        let best = self.best.map_or(now.usual, |best| best.mul_f64(FORGOTTEN).min(now.usual));
        if self.best.replace(best).is_none() {
            self.effort = EFFORT_FIRST;
        }
        let limit = most.max(best.mul_f64(BEARABLE));
        let is_slow = now.worst > limit;
        self.unavoidable = match self.effort <= EFFORT_LEAST {
            true => self.unavoidable + LEARNS * (f64::from(u8::from(is_slow)) - self.unavoidable),
            false => self.unavoidable * KEEPS,
        };
        if is_slow {
            let least = if now.usual > limit { EFFORT_MIN } else { EFFORT_MIN_HICCUPS };
            self.effort = (self.effort * SHRINKS).max(least.min(self.effort));
            self.is_wary = true;
        } else {
            let grows = if self.is_wary { self.grows_warily() } else { GROWS };
            self.effort = (self.effort * grows).min(1.0);
        }
    }

    /// By how much the effort grows in a period without a slow commit, so that it neither grows nor shrinks in the long run
    /// while as many periods have one as may.
    fn grows_warily(&self) -> f64 {
        let slow = (self.unavoidable + TOLERATED).min(UNAVOIDABLE_MAX);
        SHRINKS.powf(-slow / (1.0 - slow))
    }

    fn try_workers(&mut self, orders: &Orders, turn: Turn) {
        if self.workers > orders.workers {
            self.workers = orders.workers.max(1);
            self.trial = Trial::default();
        }
        if self.trial.settled > 0 {
            self.trial.settled -= 1;
            return;
        }
        self.trial.turns += 1;
        self.trial.rows += turn.rows;
        self.trial.took += turn.took;
        if self.trial.turns < TRIAL_TURNS {
            return;
        }
        let Trial { rows, took, rival, is_downward, .. } = std::mem::take(&mut self.trial);
        let speed = rows as f64 / took.as_secs_f64().max(0.001);
        let is_better =
            rival.is_none_or(|rival| if is_downward { speed * WORTH > rival } else { speed > rival * WORTH });
        let next = match is_downward {
            true => self.workers - 1,
            false => self.workers + 1,
        };
        if is_better && (1..=orders.workers).contains(&next) {
            self.workers = next;
            self.trial = Trial { rival: Some(speed), is_downward, ..Trial::default() };
            return;
        }
        if !is_better {
            self.workers = if is_downward { self.workers + 1 } else { self.workers - 1 };
        }
        self.trial = Trial { is_downward: !is_downward, settled: SETTLED_TURNS, ..Trial::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    const SECOND: Duration = Duration::from_secs(1);
    const TURN: Turn = Turn { rows: 1000, chunk: None, took: SECOND };
    const QUICK: Option<CommitLatency> = commits(2, 2);
    const SLOW: Option<CommitLatency> = commits(80, 80);
    /// Most are quick, and one was not.
    const HICCUP: Option<CommitLatency> = commits(2, 80);

    const fn commits(usual: u64, worst: u64) -> Option<CommitLatency> {
        Some(CommitLatency { usual: Duration::from_millis(usual), worst: Duration::from_millis(worst) })
    }

    fn sparing() -> Orders {
        Orders { workers: 4, max_commit_latency: Some(Duration::from_millis(20)), ..Orders::default() }
    }

    /// Turns on a server that moves 1,000 rows a second for each of its first `cores` workers.
    fn walk(pace: &mut Pace, orders: &Orders, cores: usize, turns: u32) {
        for _ in 0..turns {
            let rows = 1000 * pace.workers(orders).min(cores) as u64;
            pace.learn_turn(orders, Turn { rows, ..TURN }, QUICK);
        }
    }

    #[test]
    fn as_many_workers_are_used_as_help() {
        for cores in 1..=4 {
            let mut pace = Pace::default();
            let orders = Orders { workers: 4, ..Orders::default() };
            walk(&mut pace, &orders, cores, 2 * SETTLED_TURNS);
            assert_eq!(pace.workers(&orders), cores);
        }
    }

    #[test]
    fn the_first_turns_find_more_workers_if_they_help() {
        let mut pace = Pace::default();
        let orders = Orders { workers: 4, ..Orders::default() };
        walk(&mut pace, &orders, 4, 4 * TRIAL_TURNS);
        assert_eq!(pace.workers(&orders), 4);
    }

    #[test]
    fn another_number_of_workers_is_tried_again_when_the_server_has_changed() {
        let mut pace = Pace::default();
        let orders = Orders { workers: 4, ..Orders::default() };
        walk(&mut pace, &orders, 1, 2 * SETTLED_TURNS);
        assert_eq!(pace.workers(&orders), 1);
        walk(&mut pace, &orders, 3, 2 * SETTLED_TURNS + 20);
        assert_eq!(pace.workers(&orders), 3);
    }

    #[test]
    fn chunks_that_are_still_growing_say_nothing_about_workers() {
        let mut pace = Pace::default();
        let orders = Orders { workers: 4, ..Orders::default() };
        for _ in 0..20 {
            pace.learn_turn(&orders, Turn { took: orders.chunk_time / 4, ..TURN }, QUICK);
        }
        assert_eq!(pace.workers(&orders), WORKERS_FIRST);
    }

    #[test]
    fn the_operator_can_take_workers_away_at_any_time() {
        let mut pace = Pace::default();
        walk(&mut pace, &Orders { workers: 4, ..Orders::default() }, 4, 50);
        let fewer = Orders { workers: 2, ..Orders::default() };
        assert_eq!(pace.workers(&fewer), 2);
        walk(&mut pace, &fewer, 4, 50);
        assert_eq!(pace.workers(&fewer), 2);
        assert_eq!(pace.workers(&Orders { workers: 1, ..Orders::default() }), 1);
    }

    #[test]
    fn slow_commits_shrink_the_effort_step_by_step_and_quick_ones_let_it_grow_back() {
        let orders = sparing();
        let mut pace = Pace::default();
        walk(&mut pace, &orders, 4, 50);
        assert_eq!(pace.workers(&orders), 4, "nothing is slow, so all is given");
        assert_eq!(pace.learn_turn(&orders, TURN, SLOW), Duration::ZERO, "shorter chunks come before rests");
        assert!(pace.chunk_time(&orders) < orders.chunk_time);
        let mut rest = Duration::ZERO;
        for _ in 0..30 {
            rest = pace.learn_turn(&orders, TURN, SLOW);
        }
        assert_eq!(pace.workers(&orders), 1);
        assert_eq!(pace.chunk_time(&orders), CHUNK_TIME_MIN);
        assert!(rest > 5 * SECOND && rest < 30 * SECOND, "{rest:?}");
        walk(&mut pace, &orders, 4, 400);
        rest = pace.learn_turn(&orders, TURN, QUICK);
        assert_eq!((rest, pace.workers(&orders)), (Duration::ZERO, 4));
    }

    #[test]
    fn a_run_that_shall_spare_the_server_begins_gently() {
        let orders = sparing();
        let mut pace = Pace::default();
        pace.learn_turn(&orders, TURN, QUICK);
        assert!(pace.chunk_time(&orders) < orders.chunk_time / 2);
        let begun_late = Orders { max_commit_latency: None, ..orders.clone() };
        pace.learn_turn(&begun_late, TURN, QUICK);
        assert_eq!(pace.chunk_time(&orders), orders.chunk_time, "it need not any more");
    }

    #[test]
    fn one_slow_commit_in_a_hundred_is_what_the_effort_settles_at() {
        // A server on which commits are slow in proportion to the effort, each turn showing the worst of three.
        let orders = sparing();
        let mut pace = Pace::default();
        let (mut due, mut slow) = (0.0, 0);
        for turn in 0..5_000 {
            due += 3.0 * 0.05 * pace.effort;
            let hiccups = due >= 1.0;
            due -= f64::from(hiccups);
            slow += usize::from(hiccups && turn >= 1_000);
            pace.learn_turn(&orders, TURN, if hiccups { HICCUP } else { QUICK });
        }
        let part = slow as f64 / (3.0 * 4_000.0);
        assert!((0.005..0.02).contains(&part), "{part}");
    }

    #[test]
    fn hiccups_that_a_server_has_by_itself_do_not_hold_up_the_run() {
        // One period in five has one, whatever the effort.
        let mut rng = SmallRng::seed_from_u64(1);
        let orders = sparing();
        let mut pace = Pace::default();
        let (mut turns, mut effort) = (0, 0.0);
        for turn in 0..2_000 {
            pace.learn_turn(&orders, TURN, if rng.random_bool(0.2) { HICCUP } else { QUICK });
            if turn >= 500 {
                (turns, effort) = (turns + 1, effort + pace.effort);
            }
        }
        let mean = effort / f64::from(turns);
        assert!(mean > 0.4, "{mean}");
    }

    #[test]
    fn single_slow_commits_leave_the_run_a_tenth_of_its_effort() {
        let orders = sparing();
        let mut pace = Pace::default();
        for _ in 0..100 {
            pace.learn_turn(&orders, TURN, HICCUP);
        }
        assert_eq!(pace.effort, EFFORT_MIN_HICCUPS);
    }

    #[test]
    fn the_effort_waits_to_see_what_it_did() {
        let orders = sparing();
        let short = Turn { took: EFFORT_PERIOD / 10, ..TURN };
        let mut pace = Pace::default();
        walk(&mut pace, &orders, 4, 50);
        for _ in 0..10 {
            pace.learn_turn(&orders, short, SLOW);
        }
        assert_eq!(pace.effort, SHRINKS);
    }

    #[test]
    fn latency_that_cannot_be_told_is_not_taken_for_quick() {
        let orders = sparing();
        let mut pace = Pace::default();
        pace.learn_turn(&orders, TURN, QUICK);
        pace.learn_turn(&orders, TURN, SLOW);
        let effort = pace.effort;
        pace.learn_turn(&orders, TURN, None);
        assert_eq!(pace.effort, effort);
    }

    #[test]
    fn commits_that_are_slow_by_themselves_do_not_hold_up_the_run() {
        let orders = sparing();
        let mut pace = Pace::default();
        pace.learn_turn(&orders, TURN, QUICK);
        for _ in 0..20 {
            pace.learn_turn(&orders, TURN, SLOW);
        }
        assert_eq!(pace.chunk_time(&orders), CHUNK_TIME_MIN, "that may be because of us");
        for _ in 0..600 {
            pace.learn_turn(&orders, TURN, SLOW);
        }
        assert_eq!(pace.chunk_time(&orders), orders.chunk_time, "and it is not");
    }

    #[test]
    fn a_nice_run_rests_in_proportion() {
        let orders = Orders { nice: 0.5, ..Orders::default() };
        assert_eq!(Pace::default().learn_turn(&orders, TURN, None), SECOND / 2);
    }
}
