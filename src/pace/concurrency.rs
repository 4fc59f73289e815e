//! Decides rows per chunk, chunks in flight and the rest between turns. Pure: durations in, numbers
//! out.
//!
//! The useful number of workers is learned by trial. Now and then one more is tried, and kept if
//! the turns move clearly more rows. Or one fewer is tried, and kept if they move hardly less. The
//! [`LoadFactor`] says how much the server can bear. As it shrinks, first the chunks get shorter,
//! then the workers fewer, and then the run rests between turns.

use crate::control::Settings;
use crate::pace::chunk_size::ChunkSize;
use crate::pace::load_factor::LoadFactor;
use crate::pace::replica_window::ReplicaWindow;
use altergeist_contract::CommitLatency;
use std::time::Duration;

/// The first number of workers. Two keep even a small server's processors and disk both busy.
const WORKERS_FIRST: usize = 2;
/// Turns measured before two numbers of workers are compared.
const TRIAL_TURNS: u32 = 5;
/// Turns with the best number of workers before another one is tried.
const SETTLED_TURNS: u32 = 300;
/// A further worker is worth it if the turns move this many times the rows.
const WORTH: f64 = 1.08;
/// Below this load factor the run also rests.
const LOAD_FACTOR_RESTING: f64 = 0.5;
/// The shortest time of a chunk.
const CHUNK_TIME_MIN: Duration = Duration::from_millis(10);

/// The work of one turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Rows copied or compared.
    pub rows: u64,
    /// The average full chunk; None if there was none.
    pub chunk: Option<Full>,
    /// How long the turn took.
    pub took: Duration,
}

/// A chunk with the full number of rows, not cut short by the end of the table.
#[derive(Clone, Copy, Debug)]
pub struct Full {
    /// Its rows.
    pub rows: u64,
    /// How long it took.
    pub took: Duration,
}

/// Returns the average chunk of a turn; None if there are none.
pub fn mean(chunks: &[Full]) -> Option<Full> {
    let count = u32::try_from(chunks.len()).ok().filter(|count| *count > 0)?;
    let rows = chunks.iter().map(|chunk| chunk.rows).sum::<u64>() / u64::from(count);
    Some(Full { rows, took: chunks.iter().map(|chunk| chunk.took).sum::<Duration>() / count })
}

/// The pace of a pass over the table.
#[derive(Debug)]
pub struct Pace {
    size: ChunkSize,
    workers: usize,
    trial: Trial,
    load_factor: LoadFactor,
    /// How far the run may be ahead of the replicas.
    pub window: ReplicaWindow,
}

/// A number of workers on trial.
#[derive(Debug, Default)]
struct Trial {
    turns: u32,
    rows: u64,
    took: Duration,
    /// Rows per second with the number of workers to compare with.
    rival: Option<f64>,
    /// Whether fewer workers are on trial, not more.
    is_downward: bool,
    /// Turns until the next trial.
    settled: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            size: ChunkSize::default(),
            workers: WORKERS_FIRST,
            trial: Trial::default(),
            load_factor: LoadFactor::default(),
            window: ReplicaWindow::default(),
        }
    }
}

impl Pace {
    /// Returns the rows of the next chunk.
    pub fn rows(&self, settings: &Settings) -> u64 {
        let rows = self.size.rows(settings.chunk_rows);
        let most = self.window.most_rows().filter(|_| settings.chunk_rows.is_none());
        most.map_or(rows, |most| rows.min(most / self.workers(settings) as u64).max(1))
    }

    /// Returns how many chunks may be in flight.
    pub fn workers(&self, settings: &Settings) -> usize {
        let allowed = self.workers.min(settings.workers).max(1);
        ((allowed as f64 * self.load_factor.share()).round() as usize).max(1)
    }

    /// Returns the target time of a chunk.
    fn chunk_time(&self, settings: &Settings) -> Duration {
        settings
            .chunk_time
            .mul_f64(self.load_factor.share())
            .max(CHUNK_TIME_MIN.min(settings.chunk_time))
    }

    /// Learns from a turn. `commits` is the present latency of small commits, if known. Returns how
    /// long to rest before the next turn.
    pub fn learn_turn(
        &mut self,
        settings: &Settings,
        turn: Turn,
        commits: Option<CommitLatency>,
    ) -> Duration {
        let target = self.chunk_time(settings);
        if let Some(Full { rows, took }) = turn.chunk {
            self.size.learn(rows, took, target);
        }
        self.load_factor.learn(settings.max_commit_latency, turn.took, commits);
        // Chunks that are still growing say nothing about workers.
        let is_full_size = settings.chunk_rows.is_some() || turn.took >= target / 2;
        if self.load_factor.share() == 1.0 && is_full_size {
            self.try_workers(settings, turn);
        }
        let resting = (LOAD_FACTOR_RESTING / self.load_factor.share() - 1.0).max(0.0);
        let rest = turn.took.mul_f64(resting + settings.nice);
        self.load_factor.pass(rest);
        rest
    }

    fn try_workers(&mut self, settings: &Settings, turn: Turn) {
        if self.workers > settings.workers {
            self.workers = settings.workers.max(1);
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
        let is_better = rival.is_none_or(|rival| {
            if is_downward { speed * WORTH > rival } else { speed > rival * WORTH }
        });
        let next = match is_downward {
            true => self.workers - 1,
            false => self.workers + 1,
        };
        if is_better && (1..=settings.workers).contains(&next) {
            self.workers = next;
            self.trial = Trial { rival: Some(speed), is_downward, ..Trial::default() };
            return;
        }
        if !is_better {
            self.workers = if is_downward { self.workers + 1 } else { self.workers - 1 };
        }
        self.trial =
            Trial { is_downward: !is_downward, settled: SETTLED_TURNS, ..Trial::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TURN: Turn = Turn { rows: 1000, chunk: None, took: SECOND };
    const QUICK: Option<CommitLatency> = commits(2, 2);
    const SLOW: Option<CommitLatency> = commits(80, 80);

    const fn commits(usual: u64, worst: u64) -> Option<CommitLatency> {
        Some(CommitLatency {
            usual: Duration::from_millis(usual),
            worst: Duration::from_millis(worst),
        })
    }

    fn gentle() -> Settings {
        Settings {
            workers: 4,
            max_commit_latency: Some(Duration::from_millis(20)),
            ..Settings::default()
        }
    }

    /// Turns on a server that moves 1,000 rows a second for each of its first `cores` workers.
    fn walk(pace: &mut Pace, settings: &Settings, cores: usize, turns: u32) {
        for _ in 0..turns {
            let rows = 1000 * pace.workers(settings).min(cores) as u64;
            pace.learn_turn(settings, Turn { rows, ..TURN }, QUICK);
        }
    }

    #[test]
    fn as_many_workers_are_used_as_help() {
        for cores in 1..=4 {
            let mut pace = Pace::default();
            let settings = Settings { workers: 4, ..Settings::default() };
            walk(&mut pace, &settings, cores, 2 * SETTLED_TURNS);
            assert_eq!(pace.workers(&settings), cores);
        }
    }

    #[test]
    fn the_first_turns_find_more_workers_if_they_help() {
        let mut pace = Pace::default();
        let settings = Settings { workers: 4, ..Settings::default() };
        walk(&mut pace, &settings, 4, 4 * TRIAL_TURNS);
        assert_eq!(pace.workers(&settings), 4);
    }

    #[test]
    fn another_number_of_workers_is_tried_again_when_the_server_has_changed() {
        let mut pace = Pace::default();
        let settings = Settings { workers: 4, ..Settings::default() };
        walk(&mut pace, &settings, 1, 2 * SETTLED_TURNS);
        assert_eq!(pace.workers(&settings), 1);
        walk(&mut pace, &settings, 3, 2 * SETTLED_TURNS + 20);
        assert_eq!(pace.workers(&settings), 3);
    }

    #[test]
    fn chunks_that_are_still_growing_say_nothing_about_workers() {
        let mut pace = Pace::default();
        let settings = Settings { workers: 4, ..Settings::default() };
        for _ in 0..20 {
            pace.learn_turn(&settings, Turn { took: settings.chunk_time / 4, ..TURN }, QUICK);
        }
        assert_eq!(pace.workers(&settings), WORKERS_FIRST);
    }

    #[test]
    fn the_operator_can_take_workers_away_at_any_time() {
        let mut pace = Pace::default();
        walk(&mut pace, &Settings { workers: 4, ..Settings::default() }, 4, 50);
        let fewer = Settings { workers: 2, ..Settings::default() };
        assert_eq!(pace.workers(&fewer), 2);
        walk(&mut pace, &fewer, 4, 50);
        assert_eq!(pace.workers(&fewer), 2);
        assert_eq!(pace.workers(&Settings { workers: 1, ..Settings::default() }), 1);
    }

    #[test]
    fn slow_commits_shrink_the_load_factor_step_by_step_and_quick_ones_let_it_grow_back() {
        let settings = gentle();
        let mut pace = Pace::default();
        walk(&mut pace, &settings, 4, 50);
        assert_eq!(pace.workers(&settings), 4, "nothing is slow, so all is given");
        assert_eq!(
            pace.learn_turn(&settings, TURN, SLOW),
            Duration::ZERO,
            "shorter chunks come before rests"
        );
        assert!(pace.chunk_time(&settings) < settings.chunk_time);
        let mut rest = Duration::ZERO;
        for _ in 0..30 {
            rest = pace.learn_turn(&settings, TURN, SLOW);
        }
        assert_eq!(pace.workers(&settings), 1);
        assert_eq!(pace.chunk_time(&settings), CHUNK_TIME_MIN);
        assert!(rest > 5 * SECOND && rest < 30 * SECOND, "{rest:?}");
        walk(&mut pace, &settings, 4, 400);
        rest = pace.learn_turn(&settings, TURN, QUICK);
        assert_eq!((rest, pace.workers(&settings)), (Duration::ZERO, 4));
    }

    #[test]
    fn a_run_that_shall_spare_the_server_begins_gently() {
        let settings = gentle();
        let mut pace = Pace::default();
        pace.learn_turn(&settings, TURN, QUICK);
        assert!(pace.chunk_time(&settings) < settings.chunk_time / 2);
        let begun_late = Settings { max_commit_latency: None, ..settings.clone() };
        pace.learn_turn(&begun_late, TURN, QUICK);
        assert_eq!(pace.chunk_time(&settings), settings.chunk_time, "it need not any more");
    }

    #[test]
    fn commits_that_are_slow_by_themselves_do_not_hold_up_the_run() {
        let settings = gentle();
        let mut pace = Pace::default();
        pace.learn_turn(&settings, TURN, QUICK);
        for _ in 0..20 {
            pace.learn_turn(&settings, TURN, SLOW);
        }
        assert_eq!(pace.chunk_time(&settings), CHUNK_TIME_MIN, "that may be because of us");
        for _ in 0..600 {
            pace.learn_turn(&settings, TURN, SLOW);
        }
        assert_eq!(pace.chunk_time(&settings), settings.chunk_time, "and it is not");
    }

    #[test]
    fn a_nice_run_rests_in_proportion() {
        let settings = Settings { nice: 0.5, ..Settings::default() };
        assert_eq!(Pace::default().learn_turn(&settings, TURN, None), SECOND / 2);
    }
}
