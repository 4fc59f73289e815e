//! How long a change will take: what an engine measures for it, and what the core makes of that.

use crate::{Plan, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A sample of a large table has taken long enough after this time.
const SAMPLE_ENOUGH: Duration = Duration::from_millis(400);
/// The same for a small table.
const SAMPLE_ENOUGH_SMALL: Duration = Duration::from_millis(15);
/// A table with fewer rows is small.
const SMALL_ROWS: u64 = 10_000;
/// How many rows the first statement of a sample copies.
const SAMPLE_ROWS_FIRST: u64 = 200;
/// How many times more rows the next statement may copy than all before.
const SAMPLE_GROWTH: u64 = 6;

/// Longest time that one statement of a sample may take.
pub const SAMPLE_STATEMENT: Duration = Duration::from_millis(800);

/// Measures what the duration of a change depends on.
pub trait Measure {
    /// Copies some rows into an empty clone, times it, and undoes it. Asks the server for sizes.
    /// Changes nothing that outlives the call, and takes no lock that a SELECT would not take.
    async fn measure(&self, plan: &Plan) -> Result<Measured>;

    /// Returns the point to which a backup can be restored to have the state before the swap. It is
    /// cheap, and takes no lock. A server that cannot name the point marks nothing.
    async fn restore_point(&self, name: &str) -> Result<RestorePoint>;
}

/// What an engine measured.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Measured {
    /// The sample; it has no rows if there was none.
    pub sample: Sample,
    /// Bytes of the table's rows.
    pub row_bytes: u64,
    /// Bytes of the table's indexes.
    pub index_bytes: u64,
    /// Bytes of log that the server writes in a second, by its own count; None if it does not tell.
    pub log_bytes_per_second: Option<u64>,
    /// The server's own way, which rewrites or scans the table; None if it has none, or if nobody
    /// asked.
    pub in_place: Option<InPlace>,
}

/// The server's own way to make a change that it cannot make in an instant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InPlace {
    /// The statement.
    pub statement: String,
    /// What it blocks until it ends.
    pub blocks: Blocks,
}

/// What a statement blocks while it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blocks {
    /// Neither reads nor writes, except for an instant.
    Nothing,
    /// Every write to the table.
    Writes,
    /// Every read and every write of the table.
    ReadsAndWrites,
}

/// A sample copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// Rows that were copied.
    pub rows: u64,
    /// How long the statements took.
    pub time: Duration,
}

impl Sample {
    /// Returns how many rows the next statement of the sample should copy. None when enough is
    /// known.
    pub fn next_rows(&self, rows_of_table: u64) -> Option<u64> {
        let is_small = rows_of_table < SMALL_ROWS;
        let enough = if is_small { SAMPLE_ENOUGH_SMALL } else { SAMPLE_ENOUGH };
        if self.time >= enough {
            return None;
        }
        let rest = (enough - self.time).as_secs_f64() / self.time.as_secs_f64().max(0.001);
        let fits = (self.rows as f64 * rest) as u64;
        Some(fits.min(self.rows * SAMPLE_GROWTH).max(SAMPLE_ROWS_FIRST))
    }

    /// Adds a statement.
    pub fn add(&mut self, rows: u64, time: Duration) {
        self.rows += rows;
        self.time += time;
    }
}

/// A point to which a backup can be restored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RestorePoint {
    /// The position in the server's log, as its tools for a restore take it.
    pub position: String,
    /// The name that the server's log has for it; None if it has none.
    #[serde(default)]
    pub name: Option<String>,
    /// When it was read, seconds since 1970.
    pub at_seconds: u64,
}

/// A time that is only about known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Span {
    /// Hardly less.
    pub low_seconds: u64,
    /// The best guess.
    pub likely_seconds: u64,
    /// Hardly more.
    pub high_seconds: u64,
}

/// How long a change will take, and what may be felt of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Estimate {
    /// Rows of the sample copy; 0 if there was none, and the times are guesses by size alone.
    pub sample_rows: u64,
    /// Milliseconds of the sample copy.
    pub sample_ms: u64,
    /// Rows that one session copies in a second.
    pub rows_per_second: u64,
    /// The copy.
    pub copy: Span,
    /// The indexes that are built after it.
    pub indexes: Span,
    /// The verification.
    pub verification: Span,
    /// All of it, up to the gates of the swap.
    pub total: Span,
    /// Bytes of log that the server writes meanwhile, for this change and for others.
    pub log_bytes: u64,
    /// The longest that a query of the application may have to wait, in milliseconds.
    pub longest_wait_ms: u64,
    /// The server's own way, if it has one.
    pub in_place: Option<InPlaceEstimate>,
}

/// How long the server's own way would take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InPlaceEstimate {
    /// The statement, and what it blocks.
    #[serde(flatten)]
    pub way: InPlace,
    /// How long it blocks that.
    pub time: Span,
    /// Whether the plan chose it, because `--max-downtime` allows that long.
    pub is_chosen: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies at a pace of so many rows in a second, until enough is known.
    fn sampled(rows_of_table: u64, rows_per_second: f64) -> Sample {
        let mut sample = Sample::default();
        while let Some(rows) = sample.next_rows(rows_of_table) {
            sample.add(rows, Duration::from_secs_f64(rows as f64 / rows_per_second));
        }
        sample
    }

    #[test]
    fn a_sample_ends_soon_whatever_the_pace() {
        for pace in [300.0, 10_000.0, 300_000.0, 5_000_000.0] {
            let took = sampled(1_000_000_000, pace).time;
            assert!((0.39..1.2).contains(&took.as_secs_f64()), "{pace}: {took:?}");
        }
    }

    #[test]
    fn a_small_table_costs_milliseconds() {
        let took = sampled(9_000, 50_000.0).time;
        assert!(took < Duration::from_millis(25), "{took:?}");
    }
}
