//! Decides how many rows may be written ahead of the slowest replica. Pure: moments and lags in,
//! rows out.
//!
//! Lag tells late that a replica is too slow: what is in the log by then must still be applied
//! there, and takes the longer the slower the replica is. A run that only stops at the limit
//! exceeds it by far. So the rows that are not applied yet have a limit of their own, the window.
//! It begins small. It doubles whenever a full window was applied quickly, and shrinks when that
//! took more than half of the allowed lag.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// The first window.
const ROWS_FIRST: u64 = 2_000;
/// The smallest window: a run always makes some progress.
const ROWS_MIN: u64 = 100;
/// The smallest share of written rows that counts.
const WRITTEN_MIN: f64 = 0.001;
/// The largest window.
const ROWS_MAX: u64 = 1 << 40;
/// The time between two heartbeats. A lag is that of the beat after the last one that arrived, so
/// rows written shortly before it may not be applied yet.
const BEAT: Duration = Duration::from_millis(100);
/// Heartbeats come and are read ten times a second. So a lag below this says nothing.
const NEARLY_NONE: Duration = Duration::from_millis(250);

/// The rows that may be written ahead of the replicas.
#[derive(Debug)]
pub struct ReplicaWindow {
    rows: u64,
    /// When each turn ended, and the rows written by then.
    written: VecDeque<(Instant, u64)>,
    total: u64,
    applied: u64,
    /// The rows written before the window got its size. What was written then does not show what
    /// this size does.
    sized_at: u64,
    /// The greatest lag since those rows are applied.
    worst: Duration,
    /// Whether the window held up the run since it was judged.
    was_full: bool,
    /// How many of the rows that a turn reads it writes.
    written_share: f64,
    /// Whether there is a replica with a known lag.
    is_watching: bool,
}

impl Default for ReplicaWindow {
    fn default() -> ReplicaWindow {
        ReplicaWindow {
            rows: ROWS_FIRST,
            written: VecDeque::new(),
            total: 0,
            applied: 0,
            sized_at: 0,
            worst: Duration::ZERO,
            was_full: false,
            written_share: 1.0,
            is_watching: false,
        }
    }
}

impl ReplicaWindow {
    /// Returns the most rows that one turn may read, so that it writes no more than half a window;
    /// None for any number.
    pub fn most_rows(&self) -> Option<u64> {
        let rows = (self.rows / 2) as f64 / self.written_share.max(WRITTEN_MIN);
        self.is_watching.then_some(rows as u64)
    }

    /// Learns that a turn read so many rows, and wrote so many.
    pub fn add(&mut self, now: Instant, read: u64, written: u64) {
        if !self.is_watching {
            return;
        }
        if read > 0 {
            let share = (written as f64 / read as f64).min(1.0);
            // It rises at once and falls slowly: too many rows are worse than too few.
            self.written_share = share.max(self.written_share * 0.8);
        }
        if written > 0 {
            self.total += written;
            self.written.push_back((now, self.total));
        }
    }

    /// Whether the next turn may begin. `lag` is the greatest lag of a replica; None without one.
    pub fn has_room(&mut self, now: Instant, lag: Option<Duration>, max_lag: Duration) -> bool {
        let Some(lag) = lag else {
            *self = ReplicaWindow::default();
            return true;
        };
        self.is_watching = true;
        while let Some((at, rows)) = self.written.front().copied()
            && now.saturating_duration_since(at) >= lag + BEAT
        {
            self.applied = rows;
            self.written.pop_front();
        }
        let pending = self.total - self.applied;
        self.was_full |= pending >= self.rows / 4;
        if self.applied >= self.sized_at {
            self.worst = self.worst.max(lag);
        }
        if self.applied >= self.sized_at + self.rows {
            self.judge(self.worst, max_lag / 2);
            self.sized_at = self.total;
            (self.worst, self.was_full) = (Duration::ZERO, false);
        }
        pending <= self.rows / 2
    }

    /// Sizes the window by the time that the replica took for the last one.
    fn judge(&mut self, lag: Duration, target: Duration) {
        if lag <= NEARLY_NONE.max(target / 2) {
            if self.was_full {
                self.rows = (self.rows * 2).min(ROWS_MAX);
            }
        } else if lag > target {
            let share = target.as_secs_f64() / lag.as_secs_f64();
            self.rows = ((self.rows as f64 * share) as u64).max(ROWS_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies for a minute. Rows per second of the server and of its replica in, the greatest lag
    /// and the rows per second on the replica out.
    fn copy(server: f64, replica: f64, max_lag: Duration) -> (f64, f64) {
        const TICK: f64 = 0.01;
        let begun = Instant::now();
        let mut window = ReplicaWindow::default();
        // Rows written by each tick, and the tick that the replica has applied.
        let (mut log, mut applied, mut written) = (vec![0.0_f64], 0.0_f64, 0.0_f64);
        let (mut turn, mut turn_rows, mut worst) = (0.0, 0.0, 0.0_f64);
        let mut lag = 0.0;
        for tick in 1..6_000_usize {
            let now = begun + Duration::from_secs_f64(tick as f64 * TICK);
            let seconds = tick as f64 * TICK;
            applied = (applied + replica * TICK).min(written);
            let reached = log.partition_point(|rows| *rows <= applied);
            let behind = (tick - reached) as f64 * TICK;
            worst = worst.max(behind);
            if tick % 10 == 0 {
                // A heartbeat is up to a tenth of a second old.
                lag = behind + 0.05;
            }
            if seconds >= turn {
                if turn_rows > 0.0 {
                    window.add(now, turn_rows as u64, turn_rows as u64);
                    turn_rows = 0.0;
                }
                let lag = Duration::from_secs_f64(lag);
                if lag <= max_lag && window.has_room(now, Some(lag), max_lag) {
                    turn_rows = (server * 0.1).min(window.most_rows().unwrap_or(u64::MAX) as f64);
                    turn = seconds + turn_rows / server;
                    written += turn_rows;
                }
            }
            log.push(written);
        }
        (worst, applied / 60.0)
    }

    #[test]
    fn no_replica_falls_behind_by_more_than_the_limit_however_slow_it_is() {
        for share in [2.0, 1.0, 0.7, 0.4, 0.2, 0.1, 0.03, 0.01] {
            for max_lag in [Duration::from_millis(1500), Duration::from_secs(5)] {
                let (worst, _) = copy(200_000.0, 200_000.0 * share, max_lag);
                assert!(worst <= max_lag.as_secs_f64(), "{share} of {max_lag:?}: {worst} s");
            }
        }
    }

    #[test]
    fn a_slow_replica_is_kept_busy_and_a_quick_one_does_not_hold_up_the_run() {
        for share in [4.0, 1.1, 0.7, 0.4, 0.2, 0.1, 0.03] {
            let (_, rows) = copy(200_000.0, 200_000.0 * share, Duration::from_millis(1500));
            let could = 200_000.0 * f64::min(share, 1.0);
            assert!(rows > 0.8 * could, "{share}: {rows} of {could} rows a second");
        }
    }

    #[test]
    fn a_backfill_that_changes_few_rows_reads_many() {
        let mut window = ReplicaWindow::default();
        assert!(window.has_room(Instant::now(), Some(Duration::ZERO), Duration::from_secs(1)));
        let first = window.most_rows().unwrap();
        for _ in 0..50 {
            window.add(Instant::now(), 1_000, 1);
        }
        assert!(window.most_rows().unwrap() > 100 * first);
        window.add(Instant::now(), 1_000, 1_000);
        assert_eq!(window.most_rows(), Some(first));
    }

    #[test]
    fn without_a_replica_nothing_is_limited() {
        let mut window = ReplicaWindow::default();
        for _ in 0..100 {
            assert!(window.has_room(Instant::now(), None, Duration::from_secs(1)));
            window.add(Instant::now(), 1_000_000, 1_000_000);
            assert_eq!(window.most_rows(), None);
        }
    }
}
