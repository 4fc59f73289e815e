//! One dial for how hard a run works: the table behind `effort=1..10`.

use crate::control::Settings;
use std::time::Duration;

/// What one position of the dial sets.
struct Effort {
    workers: usize,
    chunk_millis: u64,
    nice: f64,
}

/// The positions, from 1 on. Each works at least as hard as the one before in everything it sets.
/// 7 is what a run does without any flag.
const EFFORTS: [Effort; 10] = [
    Effort { workers: 1, chunk_millis: 10, nice: 10.0 },
    Effort { workers: 1, chunk_millis: 20, nice: 5.0 },
    Effort { workers: 1, chunk_millis: 30, nice: 2.0 },
    Effort { workers: 1, chunk_millis: 50, nice: 1.0 },
    Effort { workers: 2, chunk_millis: 50, nice: 0.5 },
    Effort { workers: 2, chunk_millis: 100, nice: 0.2 },
    Effort { workers: 4, chunk_millis: 100, nice: 0.0 },
    Effort { workers: 6, chunk_millis: 150, nice: 0.0 },
    Effort { workers: 8, chunk_millis: 200, nice: 0.0 },
    Effort { workers: 16, chunk_millis: 500, nice: 0.0 },
];

/// The greatest position.
pub const EFFORT_MAX: u64 = EFFORTS.len() as u64;

const fn is_monotone() -> bool {
    let mut nth = 1;
    while nth < EFFORTS.len() {
        let (less, more) = (&EFFORTS[nth - 1], &EFFORTS[nth]);
        if more.workers < less.workers
            || more.chunk_millis < less.chunk_millis
            || more.nice > less.nice
        {
            return false;
        }
        nth += 1;
    }
    true
}

// A table that is not monotone does not compile.
const _: () = assert!(is_monotone());

/// Turns the dial. Chunks are sized by time from then on.
pub fn turn(settings: &mut Settings, position: u64) {
    let nth = position.clamp(1, EFFORT_MAX) as usize - 1;
    settings.workers = EFFORTS[nth].workers;
    settings.chunk_time = Duration::from_millis(EFFORTS[nth].chunk_millis);
    settings.nice = EFFORTS[nth].nice;
    settings.chunk_rows = None;
}

/// Returns the position of the dial; None if the settings are at none.
pub fn position(settings: &Settings) -> Option<u64> {
    (1..=EFFORT_MAX).find(|position| {
        let mut turned = settings.clone();
        turn(&mut turned, *position);
        turned == *settings
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_can_be_read_and_the_default_is_one() {
        let mut settings = Settings::default();
        assert_eq!(position(&settings), Some(7));
        for nth in 1..=EFFORT_MAX {
            turn(&mut settings, nth);
            assert_eq!(position(&settings), Some(nth));
        }
        settings.nice = 0.7;
        assert_eq!(position(&settings), None);
    }
}
