//! How many rows a chunk should have. Pure: durations in, rows out.

use std::time::Duration;

/// The fewest rows of a chunk.
const ROWS_MIN: u64 = 50;
/// The most rows of a chunk: an upper bound on what one statement locks, logs and repeats.
const ROWS_MAX: u64 = 100_000;
/// Where sizing begins.
const ROWS_FIRST: u64 = 1_000;

/// Rows of the next chunk, learnt from how long the last ones took.
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
    /// Rows of the next chunk: what the operator says, or what was learnt.
    pub fn rows(&self, ordered: Option<u64>) -> u64 {
        ordered.unwrap_or(self.rows).max(1)
    }

    /// Chunks of this size took so long, and should have taken `target`. Grows at most threefold, and shrinks at most to
    /// a quarter: one stall of the server says little about the next chunk.
    pub fn learn(&mut self, took: Duration, target: Duration) {
        let ratio = target.as_secs_f64() / took.as_secs_f64().max(0.001);
        let next = self.rows as f64 * ratio.clamp(0.25, 3.0);
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
            let took = Duration::from_micros(size.rows(None) * 50);
            size.learn(took, TARGET);
        }
        assert_eq!(size.rows(None), 10_000);
    }

    #[test]
    fn a_slow_chunk_shrinks_the_next_one_at_once_but_not_to_nothing() {
        let mut size = ChunkSize::default();
        size.learn(Duration::from_secs(2), TARGET);
        assert_eq!(size.rows(None), 250);
        for _ in 0..3 {
            size.learn(Duration::from_secs(600), TARGET);
        }
        assert_eq!(size.rows(None), ROWS_MIN);
    }

    #[test]
    fn the_operator_has_the_last_word() {
        assert_eq!(ChunkSize::default().rows(Some(7)), 7);
    }
}
