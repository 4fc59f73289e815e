//! Statements that update rows in place.

use crate::schema::columns::Layout;
use crate::sql::quote::quoted;
use crate::sql::rows::{bounds, list};
use altergeist_contract::{RowUpdate, Watermark};
use std::time::Duration;

/// The kind of the table, whether others inherit from it, whether a rule rewrites its updates, and
/// an estimate of its rows.
pub(crate) const TABLE_TO_UPDATE: &str = "
    SELECT c.relkind = 'p', EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid),
           EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid AND ev_type = '2'),
           CASE WHEN c.relkind = 'p' THEN
               (SELECT coalesce(sum(greatest(p.reltuples, 0)), 0)::int8 FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid)
           WHEN c.reltuples < 0 THEN pg_relation_size(c.oid) / 100 ELSE c.reltuples::int8 END
    FROM pg_class c WHERE c.oid = $1";

/// Begins a transaction that neither waits for rows nor holds them for long.
pub(crate) fn begin_update(lock_timeout: Duration, within: Duration) -> String {
    format!(
        "BEGIN; SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}",
        lock_timeout.min(within).as_millis().max(1),
        within.as_millis().max(1)
    )
}

/// The rows of a range that match, by the parameters of the range.
pub(crate) struct Rows<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) update: &'a RowUpdate,
}

impl Rows<'_> {
    fn table(&self) -> String {
        let only = if self.layout.is_partitioned { "" } else { "ONLY " };
        format!("{only}{} AS {}", self.layout.source, self.layout.alias)
    }

    fn keys(&self) -> Vec<String> {
        let alias = &self.layout.alias;
        self.layout.keys.iter().map(|key| format!("{alias}.{}", quoted(&key.source))).collect()
    }

    /// The user's condition, in brackets. A line of its own ends a comment.
    fn condition(&self) -> String {
        self.update.condition.as_ref().map_or("true".to_owned(), |it| format!("(\n{it}\n)"))
    }

    fn assignments(&self) -> String {
        list(self.update.assignments.iter().map(|(column, expression)| {
            match expression.trim().eq_ignore_ascii_case("default") {
                true => format!("{column} = DEFAULT"),
                false => format!("{column} = (\n{expression}\n)"),
            }
        }))
    }

    fn matching(&self, after: &Watermark, through: &Watermark) -> String {
        let range = bounds(&self.keys(), self.layout, after, through, 1);
        format!("{range} AND {}", self.condition())
    }

    /// The last key of the next so many rows.
    pub(crate) fn range_end(&self, after: &Watermark) -> String {
        let keys = self.keys();
        let columns = list(keys.iter().cloned());
        let range = bounds(&keys, self.layout, after, &Watermark::End, 2);
        format!(
            "SELECT {columns} FROM {} WHERE {range} ORDER BY {columns} OFFSET $1 LIMIT 1",
            self.table()
        )
    }

    pub(crate) fn count(&self, after: &Watermark, through: &Watermark) -> String {
        format!("SELECT count(*) FROM {} WHERE {}", self.table(), self.matching(after, through))
    }

    /// Updates the rows.
    pub(crate) fn update(&self, after: &Watermark, through: &Watermark) -> String {
        format!(
            "UPDATE {} SET {} WHERE {}",
            self.table(),
            self.assignments(),
            self.matching(after, through)
        )
    }

    /// Updates the rows, and counts them and those that still match.
    pub(crate) fn update_and_ask(&self, after: &Watermark, through: &Watermark) -> String {
        format!(
            "WITH changed AS ({} RETURNING {} AS still)
            SELECT count(*), count(*) FILTER (WHERE still) FROM changed",
            self.update(after, through),
            self.condition()
        )
    }

    /// The same for a few of the rows, whose locks nobody else holds.
    pub(crate) fn update_some(&self, after: &Watermark, through: &Watermark) -> String {
        const SAMPLE: u64 = 100;
        let table = self.table();
        format!(
            "WITH changed AS (
                UPDATE {table} SET {} WHERE {alias}.ctid = ANY (ARRAY(
                    SELECT {alias}.ctid FROM {table} WHERE {} LIMIT {SAMPLE} FOR UPDATE SKIP LOCKED))
                AND {condition} RETURNING {condition} AS still)
            SELECT count(*), count(*) FILTER (WHERE still) FROM changed",
            self.assignments(),
            self.matching(after, through),
            alias = self.layout.alias,
            condition = self.condition()
        )
    }

    /// The update of no row.
    pub(crate) fn update_none(&self) -> String {
        format!(
            "UPDATE {} SET {} WHERE false AND {}",
            self.table(),
            self.assignments(),
            self.condition()
        )
    }

    /// Statements in which the user's texts stand without brackets. A text that closes a bracket of
    /// ours and opens another one is none of these.
    pub(crate) fn bare(&self) -> Vec<String> {
        let table = self.table();
        let expressions = self.update.assignments.iter().map(|(_, expression)| expression);
        let expressions =
            expressions.filter(|expression| !expression.trim().eq_ignore_ascii_case("default"));
        let selected = expressions.map(|it| format!("SELECT\n{it}\nFROM {table} WHERE false"));
        let condition = self.update.condition.iter();
        let filtered = condition.map(|it| format!("SELECT FROM {table} WHERE false AND\n{it}"));
        selected.chain(filtered).collect()
    }
}
