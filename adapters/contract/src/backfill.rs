//! The role that updates rows in place, range by range of the key.

use crate::{Chunk, Error, Record, Result, Watermark};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a backfill does to the rows: the user's own SQL. An engine passes it to the server and
/// reads nothing out of it but names and brackets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowUpdate {
    /// Column and expression, in the order given.
    pub assignments: Vec<(String, String)>,
    /// Which rows; None for all of them.
    pub condition: Option<String>,
}

impl RowUpdate {
    /// The text that identifies the backfill in the journal.
    pub fn described(&self) -> String {
        let assignments: Vec<String> = self
            .assignments
            .iter()
            .map(|(column, expression)| format!("{column} = {expression}"))
            .collect();
        let rows =
            self.condition.as_ref().map_or("all rows".to_owned(), |it| format!("WHERE {it}"));
        format!("backfill SET {} {rows}", assignments.join(", "))
    }
}

/// What a trial on a few rows showed. The trial is rolled back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trial {
    /// The estimate of the table's rows.
    pub rows_estimated: u64,
    /// How many rows the trial changed.
    pub rows: u64,
    /// How many of them match the condition after the change too.
    pub still_matching: u64,
}

/// What the update of a range did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Updated {
    /// How many rows were changed.
    pub rows: u64,
    /// How far the range was done: to its end, or not so far.
    pub through: Watermark,
    /// Whether one of these rows matches the condition after the change too. Not said unless it was
    /// asked for.
    pub still_matches: bool,
}

/// What identifies the table, and the key whose order the ranges follow. Only an engine reads it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RowOrder {
    /// The table.
    pub table: String,
    /// The key.
    pub key: String,
}

/// How far a backfill has come. It is part of the [`Record`], so it moves with the rows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Backfills {
    /// The passes over the table, from 1; 0 without a backfill under way.
    pub pass: u32,
    /// Rows changed in this pass.
    pub pass_rows: u64,
    /// Rows of the table that this pass has read.
    pub rows_read: u64,
    /// Whether a row stopped to match as soon as it was changed, for every row so far. Only then
    /// another pass changes no row twice.
    pub ends_matching: bool,
    /// The table and the order of its rows.
    pub order: RowOrder,
    /// The backfills of this table that are done.
    pub done: Vec<DoneBackfill>,
}

/// A backfill that is done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DoneBackfill {
    /// Its text, as [`RowUpdate::described`] gives it.
    pub update: String,
    /// What identified the table.
    pub table: String,
    /// Who did it: user, host and process.
    pub by: String,
    /// When it was done, seconds since 1970.
    pub at_seconds: u64,
}

/// Updates rows of the table in place.
///
/// An update of a range and the record that says so are one transaction. So after any crash the
/// record says which rows are done.
pub trait Backfill {
    /// What identifies the table and the key whose order the ranges follow.
    ///
    /// # Errors
    /// `Refused` if no key gives every row one place in an order. It says why.
    async fn row_order(&self) -> Result<RowOrder> {
        Err(unable())
    }

    /// Whether two answers about the table may be about the same one, altered meanwhile.
    fn is_same_table(&self, then: &str, now: &str) -> bool {
        then == now
    }

    /// Tries the update on the server: on no row, then on a few. Rolls both back.
    ///
    /// # Errors
    /// `Refused` with the server's words if it does not accept the expressions, or by name if they
    /// change a column of the key.
    async fn try_update(&self, _update: &RowUpdate) -> Result<Trial> {
        Err(unable())
    }

    /// Starts what measures lags and commits. The journal has a record by then.
    async fn begin_backfill(&self) -> Result<()> {
        Err(unable())
    }

    /// Finds the next range of about `rows` rows after a watermark; see
    /// [`Shadow::next_chunk`](crate::Shadow::next_chunk).
    async fn next_range(&self, _after: &Watermark, _rows: u64) -> Result<Chunk> {
        Err(unable())
    }

    /// Counts the rows of a range that match the condition.
    async fn count_matching(&self, _update: &RowUpdate, _range: &Chunk) -> Result<u64> {
        Err(unable())
    }

    /// Updates the matching rows of a range and saves the record, in one transaction. `record`
    /// makes the record from what was done.
    ///
    /// # Errors
    /// `Transient` if another session held a row, or if it took longer than `pace.within`. `Fatal`
    /// if a row refuses the change; it names the column or the constraint, and no value.
    async fn update_range(
        &self,
        _update: &RowUpdate,
        _range: &Chunk,
        _pace: UpdatePace,
        _record: &dyn Fn(&Updated) -> Record,
    ) -> Result<Updated> {
        Err(unable())
    }
}

/// How an update of a range goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpdatePace {
    /// The longest wait for the lock of a row.
    pub lock_timeout: Duration,
    /// How long the statement may hold its rows.
    pub within: Duration,
    /// Whether to find out if a changed row still matches.
    pub asks_matching: bool,
}

fn unable() -> Error {
    Error::refused("update rows in place", "this engine does not do it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backfill_is_known_by_what_it_does() {
        let update = RowUpdate {
            assignments: vec![("n".into(), "n + 1".into()), ("b".into(), "a".into())],
            condition: Some("b IS NULL".into()),
        };
        assert_eq!(update.described(), "backfill SET n = n + 1, b = a WHERE b IS NULL");
        let all = RowUpdate { condition: None, ..update };
        assert_eq!(all.described(), "backfill SET n = n + 1, b = a all rows");
    }
}
