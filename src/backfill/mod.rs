//! Updates rows of a table in place, range by range of its key. No shadow, no log, no swap.
//!
//! A range and the record that says so are one transaction. So a row is changed once, whatever dies
//! in between.

pub mod begin;
pub mod expected_rows;
pub mod options;
pub mod run;
pub mod walk;

pub use expected_rows::ExpectedRows;
pub use options::{Ended, Options};
pub use run::backfill;
