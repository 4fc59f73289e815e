//! Statements that update rows in place.

use crate::key::index::KeyIndex;
use crate::server::names::TableName;
use crate::sql::quote::{quote, sign, table};
use crate::sql::rows::{among, columns_of, in_order, range, spelled};
use altergeist_contract::{Chunk, Key, Result, RowUpdate, Watermark};

/// A session that writes the user's rows checks foreign keys, and hardly waits for a row.
pub(crate) const AS_THE_APPLICATION: &str =
    "SET SESSION foreign_key_checks = 1, innodb_lock_wait_timeout = 1";

/// The rows that match, and their key.
pub(crate) struct Rows<'a> {
    pub(crate) source: &'a TableName,
    pub(crate) key: &'a KeyIndex,
    pub(crate) update: &'a RowUpdate,
}

impl Rows<'_> {
    fn columns(&self) -> Vec<String> {
        columns_of(self.key, false, "")
    }

    fn indexed(&self) -> String {
        format!("{} FORCE INDEX ({})", table(self.source), quote(&self.key.index))
    }

    /// The user's condition, in brackets. A line of its own ends a comment.
    fn condition(&self) -> String {
        self.update.condition.as_ref().map_or("TRUE".to_owned(), |it| format!("(\n{it}\n)"))
    }

    fn assignments(&self) -> String {
        let assignment = |(column, expression): &(String, String)| match expression
            .trim()
            .eq_ignore_ascii_case("default")
        {
            true => format!("{column} = DEFAULT"),
            false => format!("{column} = (\n{expression}\n)"),
        };
        self.update.assignments.iter().map(assignment).collect::<Vec<_>>().join(", ")
    }

    fn matching(&self, chunk: &Chunk) -> Result<String> {
        Ok(format!("{} AND {}", range(self.key, &self.columns(), chunk)?, self.condition()))
    }

    fn matching_keys(&self, keys: &[Key]) -> Result<String> {
        Ok(format!("{} AND {}", among(self.key, &self.columns(), keys)?, self.condition()))
    }

    fn update_where(&self, condition: &str) -> String {
        format!(
            "{}UPDATE {} SET {} WHERE {condition}",
            sign(self.source),
            self.indexed(),
            self.assignments()
        )
    }

    fn count_where(&self, condition: &str) -> String {
        format!("{}SELECT COUNT(*) FROM {} WHERE {condition}", sign(self.source), self.indexed())
    }

    fn keys_where(&self, condition: &str) -> String {
        format!(
            "{}SELECT {} FROM {} WHERE {condition}{}",
            sign(self.source),
            spelled(self.key, &self.columns()),
            self.indexed(),
            in_order(self.key, &self.columns())
        )
    }

    /// The last key of the next so many rows.
    pub(crate) fn range_end(&self, after: &Watermark, rows: u64) -> Result<String> {
        let rest = Chunk { after: after.clone(), through: Watermark::End };
        let condition = range(self.key, &self.columns(), &rest)?;
        Ok(format!("{} LIMIT 1 OFFSET {}", self.keys_where(&condition), rows.max(1) - 1))
    }

    /// The update of no row.
    pub(crate) fn update_none(&self) -> String {
        self.update_where(&format!("FALSE AND {}", self.condition()))
    }

    pub(crate) fn update(&self, chunk: &Chunk) -> Result<String> {
        Ok(self.update_where(&self.matching(chunk)?))
    }

    pub(crate) fn update_keys(&self, keys: &[Key]) -> Result<String> {
        Ok(self.update_where(&self.matching_keys(keys)?))
    }

    pub(crate) fn count(&self, chunk: &Chunk) -> Result<String> {
        Ok(self.count_where(&self.matching(chunk)?))
    }

    pub(crate) fn count_keys(&self, keys: &[Key]) -> Result<String> {
        Ok(self.count_where(&self.matching_keys(keys)?))
    }

    /// How many of these keys exist.
    pub(crate) fn count_existing(&self, keys: &[Key]) -> Result<String> {
        Ok(self.count_where(&among(self.key, &self.columns(), keys)?))
    }

    /// One row of the range that matches.
    pub(crate) fn any(&self, chunk: &Chunk) -> Result<String> {
        Ok(format!("{} LIMIT 1", self.keys_where(&self.matching(chunk)?)))
    }

    /// The first keys of the range that match, locked.
    pub(crate) fn lock_keys(&self, chunk: &Chunk, most: usize) -> Result<String> {
        Ok(format!("{} LIMIT {most} FOR UPDATE", self.keys_where(&self.matching(chunk)?)))
    }
}
