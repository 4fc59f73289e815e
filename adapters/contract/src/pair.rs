//! Two tables of one server, compared row by row. Nothing is written.

use crate::{Chunk, Comparison, Key, Result, Target, Watermark};
use std::convert::Infallible;

/// For an engine that compares any two tables.
pub trait Pairs {
    /// Two tables, and how their rows belong together.
    type Pair: TablePair;

    /// Finds the target's table and another one, and a key that both have.
    ///
    /// # Errors
    /// `Refused` if a table does not exist, if one has columns that the other lacks, or if they
    /// have no common key. It names the tables and columns.
    async fn pair(target: &Target, other: &str) -> Result<Self::Pair>;
}

/// Two tables of one server.
pub trait TablePair {
    /// Both tables, qualified.
    fn tables(&self) -> [&str; 2];

    /// The columns of the common key, for people.
    fn key(&self) -> String;

    /// Finds the next range of about `rows` rows of the first table.
    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk>;

    /// Compares the rows of a range in one snapshot of both tables.
    async fn compare(&self, chunk: &Chunk) -> Result<RangeComparison>;

    /// Compares the rows of these keys in one snapshot. Returns the keys that differ.
    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>>;
}

/// The comparison of a range.
pub struct RangeComparison {
    /// What was found.
    pub found: Comparison,
    /// Whether more rows differ than a comparison names.
    pub is_cut: bool,
}

/// For an engine that compares no tables.
impl TablePair for Infallible {
    fn tables(&self) -> [&str; 2] {
        match *self {}
    }

    fn key(&self) -> String {
        match *self {}
    }

    async fn next_chunk(&self, _after: &Watermark, _rows: u64) -> Result<Chunk> {
        match *self {}
    }

    async fn compare(&self, _chunk: &Chunk) -> Result<RangeComparison> {
        match *self {}
    }

    async fn compare_keys(&self, _keys: &[Key]) -> Result<Vec<Key>> {
        match *self {}
    }
}
