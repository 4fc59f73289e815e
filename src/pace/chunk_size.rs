//! Decides the rows of a chunk. Pure: durations in, rows out.

use std::time::Duration;

/// The fewest rows of a chunk.
const ROWS_MIN: u64 = 50;
/// The most rows of a chunk: it bounds what one statement locks, logs and retries.
const ROWS_MAX: u64 = 100_000;
/// The first size.
const ROWS_FIRST: u64 = 1_000;

/// The rows of the next chunk, learned from the time of the last ones.
#[derive(Debug)]
pub struct ChunkSize {
    rows: u64,
}

impl Default for ChunkSize {
    fn default() -> ChunkSize {
        ChunkSize { rows: ROWS_FIRST }
    }
}

impl ChunkSize {
    /// Returns the rows of the next chunk: the operator's number, or the learned one.
    pub fn rows(&self, ordered: Option<u64>) -> u64 {
        ordered.unwrap_or(self.rows).max(1)
    }

    /// Learns from a chunk of `rows` that took `took` and should have taken `target`. The next one
    /// has between a quarter and three times its rows: one stall of the server says little. The
    /// measured size counts, not the present one. Chunks are found a turn ahead, and one lesson
    /// must not be learned twice.
    pub fn learn(&mut self, rows: u64, took: Duration, target: Duration) {
        let ratio = target.as_secs_f64() / took.as_secs_f64().max(0.001);
        let next = rows as f64 * ratio.clamp(0.25, 3.0);
        self.rows = (next as u64).clamp(ROWS_MIN, ROWS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(500);

    #[test]
    fn chunks_grow_until_they_take_as_long_as_they_should() {
        let mut size = ChunkSize::default();
        for _ in 0..50 {
            let rows = size.rows(None);
            size.learn(rows, Duration::from_micros(rows * 50), TARGET);
        }
        assert_eq!(size.rows(None), 10_000);
    }

    #[test]
    fn chunks_found_a_turn_ahead_grow_no_further_than_they_should() {
        let mut size = ChunkSize::default();
        let mut ahead = size.rows(None);
        for _ in 0..50 {
            let rows = std::mem::replace(&mut ahead, size.rows(None));
            size.learn(rows, Duration::from_micros(rows * 50), TARGET);
            assert!(ahead <= 10_000, "{ahead}");
        }
        assert_eq!(ahead, 10_000);
    }

    #[test]
    fn a_slow_chunk_shrinks_the_next_one_at_once_but_not_to_nothing() {
        let mut size = ChunkSize::default();
        size.learn(size.rows(None), Duration::from_secs(2), TARGET);
        assert_eq!(size.rows(None), 250);
        for _ in 0..3 {
            size.learn(size.rows(None), Duration::from_secs(600), TARGET);
        }
        assert_eq!(size.rows(None), ROWS_MIN);
    }

    #[test]
    fn the_operator_has_the_last_word() {
        assert_eq!(ChunkSize::default().rows(Some(7)), 7);
    }
}
