//! How hard to work: how many rows a chunk has, how many chunks are in flight, and how long to rest between turns.
//! Pure: durations in, numbers out.
//!
//! Two things are learnt. How many workers help: one more is tried now and then, and kept if the turns move clearly more
//! rows. And how much the server can bear: while small commits take longer than the operator allows, the effort
//! shrinks (shorter chunks, then fewer workers, then rests), and it grows back when they are quick again.

use crate::chunk_size::ChunkSize;
use crate::desk::Orders;
use std::time::Duration;

/// Turns measured before one number of workers is compared with another.
const TRIAL_TURNS: u32 = 4;
/// Turns with a number of workers that proved best before another is tried again.
const SETTLED_TURNS: u32 = 100;
/// How many times the rows one more worker must move to be worth it.
const WORTH: f64 = 1.08;
/// The least effort: the run never stands still because the server is slow.
const EFFORT_MIN: f64 = 0.02;
/// Below this effort nothing is left to shrink but the share of the time that is worked at all.
const EFFORT_RESTING: f64 = 0.25;
/// No chunk is made shorter than this to spare the server.
const CHUNK_TIME_MIN: Duration = Duration::from_millis(30);

/// What one turn did.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Rows copied or compared.
    pub rows: u64,
    /// How long it took in all.
    pub took: Duration,
}

/// The pace of a walk over the table.
#[derive(Debug)]
pub struct Pace {
    size: ChunkSize,
    workers: usize,
    trial: Trial,
    effort: f64,
}

/// A number of workers on trial.
#[derive(Debug, Default)]
struct Trial {
    turns: u32,
    rows: u64,
    took: Duration,
    /// Rows a second with one worker fewer, if that is what this trial is compared with.
    fewer: Option<f64>,
    /// Turns still to go before anything is tried.
    settled: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { size: ChunkSize::default(), workers: 1, trial: Trial::default(), effort: 1.0 }
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

    /// A chunk of the present size took so long.
    pub fn learn_chunk(&mut self, orders: &Orders, took: Duration) {
        self.size.learn(took, self.chunk_time(orders));
    }

    /// A turn has ended; small commits take as long as `commits` now, if that is known. Gives how long to rest
    /// before the next turn.
    pub fn learn_turn(&mut self, orders: &Orders, turn: Turn, commits: Option<Duration>) -> Duration {
        self.spare(orders, commits);
        if self.effort == 1.0 {
            self.try_workers(orders, turn);
        }
        let resting = (EFFORT_RESTING / self.effort - 1.0).max(0.0);
        turn.took.mul_f64(resting + orders.nice)
    }

    fn spare(&mut self, orders: &Orders, commits: Option<Duration>) {
        self.effort = match (orders.max_commit_latency, commits) {
            (Some(most), Some(now)) if now > most => (self.effort * 0.7).max(EFFORT_MIN),
            (Some(_), Some(_)) => (self.effort * 1.15).min(1.0),
            // What cannot be measured must not be taken for quick.
            (Some(_), None) => self.effort,
            (None, _) => 1.0,
        };
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
        let speed = self.trial.rows as f64 / self.trial.took.as_secs_f64().max(0.001);
        let helped = self.trial.fewer.is_none_or(|fewer| speed > fewer * WORTH);
        self.trial = Trial::default();
        if !helped {
            self.workers = (self.workers - 1).max(1);
            self.trial.settled = SETTLED_TURNS;
        } else if self.workers < orders.workers {
            self.workers += 1;
            self.trial.fewer = Some(speed);
        } else {
            self.trial.settled = SETTLED_TURNS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const QUICK: Option<Duration> = Some(Duration::from_millis(2));
    const SLOW: Option<Duration> = Some(Duration::from_millis(80));

    /// Turns on a server that moves 1,000 rows a second for each of its first `cores` workers.
    fn walk(pace: &mut Pace, orders: &Orders, cores: usize, turns: u32) {
        for _ in 0..turns {
            let rows = 1000 * pace.workers(orders).min(cores) as u64;
            pace.learn_turn(orders, Turn { rows, took: SECOND }, QUICK);
        }
    }

    #[test]
    fn as_many_workers_are_used_as_help() {
        for cores in 1..=4 {
            let mut pace = Pace::default();
            let orders = Orders { workers: 4, ..Orders::default() };
            walk(&mut pace, &orders, cores, 5 * TRIAL_TURNS);
            assert_eq!(pace.workers(&orders), cores);
        }
    }

    #[test]
    fn more_workers_are_tried_again_when_the_server_has_room_again() {
        let mut pace = Pace::default();
        let orders = Orders { workers: 4, ..Orders::default() };
        walk(&mut pace, &orders, 1, 20);
        walk(&mut pace, &orders, 3, 2 * SETTLED_TURNS);
        assert_eq!(pace.workers(&orders), 3);
    }

    #[test]
    fn the_operator_can_take_workers_away_at_any_time() {
        let mut pace = Pace::default();
        walk(&mut pace, &Orders { workers: 4, ..Orders::default() }, 4, 50);
        let fewer = Orders { workers: 2, ..Orders::default() };
        assert_eq!(pace.workers(&fewer), 2);
        walk(&mut pace, &fewer, 4, 50);
        assert_eq!(pace.workers(&fewer), 2);
    }

    #[test]
    fn slow_commits_shrink_the_effort_step_by_step_and_quick_ones_let_it_grow_back() {
        let orders = Orders { workers: 4, max_commit_latency: Some(Duration::from_millis(20)), ..Orders::default() };
        let turn = Turn { rows: 1000, took: SECOND };
        let mut pace = Pace::default();
        walk(&mut pace, &orders, 4, 50);
        assert_eq!(pace.workers(&orders), 4);
        assert_eq!(pace.learn_turn(&orders, turn, SLOW), Duration::ZERO, "shorter chunks come before rests");
        assert!(pace.chunk_time(&orders) < orders.chunk_time);
        let mut rest = Duration::ZERO;
        for _ in 0..30 {
            rest = pace.learn_turn(&orders, turn, SLOW);
        }
        assert_eq!(pace.workers(&orders), 1);
        assert_eq!(pace.chunk_time(&orders), CHUNK_TIME_MIN);
        assert!(rest > 5 * SECOND && rest < 30 * SECOND, "{rest:?}");
        for _ in 0..40 {
            rest = pace.learn_turn(&orders, turn, QUICK);
        }
        assert_eq!((rest, pace.workers(&orders)), (Duration::ZERO, 4));
    }

    #[test]
    fn latency_that_cannot_be_told_is_not_taken_for_quick() {
        let orders = Orders { max_commit_latency: Some(Duration::from_millis(20)), ..Orders::default() };
        let turn = Turn { rows: 1000, took: SECOND };
        let mut pace = Pace::default();
        pace.learn_turn(&orders, turn, SLOW);
        let chunk_time = pace.chunk_time(&orders);
        pace.learn_turn(&orders, turn, None);
        assert_eq!(pace.chunk_time(&orders), chunk_time);
    }

    #[test]
    fn a_nice_run_rests_in_proportion() {
        let orders = Orders { nice: 0.5, ..Orders::default() };
        let rest = Pace::default().learn_turn(&orders, Turn { rows: 10, took: SECOND }, None);
        assert_eq!(rest, SECOND / 2);
    }
}
