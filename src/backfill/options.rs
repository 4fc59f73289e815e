//! The options that are fixed for a backfill, and the ways it can succeed.

use crate::backfill::expected_rows::ExpectedRows;
use altergeist_contract::RowUpdate;

/// The options that are fixed for a backfill.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it does to which rows.
    pub update: RowUpdate,
    /// Who runs this: user, host and process.
    pub holder: String,
    /// Count the rows, and change nothing.
    pub dry_run: bool,
    /// How many rows must match before it begins.
    pub expected: Option<ExpectedRows>,
    /// The most rows to change in a second, on average.
    pub max_rows_per_second: Option<u64>,
    /// Do it although the journal says that it is done.
    pub again: bool,
    /// Reconnects in a row, without any progress in between, before it fails.
    pub reconnects: u32,
}

/// The ways a backfill can succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The rows were counted.
    Counted(u64),
    /// The rows are changed.
    Done {
        /// How many.
        rows: u64,
        /// The passes over the table.
        passes: u32,
        /// The rows that the last pass still found. The application goes on to write such rows.
        last_pass_rows: u64,
        /// Whether rows that were inserted meanwhile are changed too.
        takes_inserted: bool,
    },
    /// An earlier run had done it already.
    AlreadyDone {
        /// Who ran it: user, host and process.
        by: String,
        /// When it was done, in seconds since 1970.
        at_seconds: u64,
    },
}
