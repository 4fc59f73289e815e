//! What the user asks for.

use crate::{ColumnSet, Look, Passwords, Switch};
use std::fmt;
use std::time::Duration;

/// How the change may be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// Natively where the server neither rewrites nor scans the table for it, else by a shadow
    /// copy.
    #[default]
    Auto,
    /// Natively, or not at all.
    Native,
    /// By a shadow copy, whatever the server could do itself.
    Copy,
}

/// One table on one server, and the wanted change: all that an engine gets.
#[derive(Clone, Default)]
pub struct Target {
    /// Where the server is; the scheme names the engine. May hold a password, so it is never shown.
    pub url: String,
    /// Where passwords come from that are not in a URL.
    pub passwords: Passwords,
    /// The table, with its schema before a dot if it is not in the connection's own.
    pub table: String,
    /// What follows `ALTER TABLE name`; empty where the command needs none, and for a plain
    /// rebuild.
    pub alter: String,
    /// Renamed columns, old name first, where the server cannot tell.
    pub renames: Vec<(String, String)>,
    /// Columns of the altered table that are computed from each row of the source.
    pub sets: Vec<ColumnSet>,
    /// Columns that the clauses drop and that stay for now, as the user wrote their names.
    pub holds: Vec<String>,
    /// How much of the rows the plan reads.
    pub look: Look,
    /// How the change may be done.
    pub strategy: Strategy,
    /// The greatest number of copies or refreshes in flight at once; at least 1.
    pub workers: usize,
    /// Replicas whose lag counts, as URLs.
    pub replicas: Vec<String>,
    /// Longest wait for a single lock.
    pub lock_timeout: Duration,
    /// How long the server's own way may block the application, if it is to be preferred then.
    pub max_downtime: Option<Duration>,
    /// What becomes of foreign keys, from the table and to it.
    pub foreign_keys: ForeignKeys,
    /// Whether zero dates, and dates with a zero in them, are copied as they are.
    pub allow_zero_dates: bool,
    /// Whether values are rounded where the server's own ALTER would round them silently.
    pub allow_rounding: bool,
    /// Whether the run kills sessions in the way of the cut-over's lock, now.
    pub kill_blockers: Switch,
    /// Whether the server may be a replica of another one.
    pub allow_replica: bool,
    /// The URL of a replica to read the log from.
    pub stream_from: Option<String>,
    /// Whether the run polls the log by SQL instead of streaming it.
    pub poll_log: bool,
    /// Whether the shadow has its secondary indexes from the beginning, instead of after the copy.
    pub keep_indexes: bool,
    /// The shadow's own CREATE TABLE, for changes beyond ALTER TABLE.
    pub create: Option<String>,
    /// The physical order of the copied rows: an index, or columns.
    pub order_by: Option<String>,
    /// How much log the server may retain for this run before the run stops, in bytes.
    pub log_limit_bytes: Option<u64>,
    /// How long the run waits for readers that began before the swap.
    pub wait_old_snapshots: Option<Duration>,
    /// Whether the old table is kept current after the swap, so that it can be put back.
    pub reversible: bool,
    /// Columns of the old table that the altered one lacks, each with the expression over the
    /// altered table's columns that gives its value in new rows. Only with `reversible`.
    pub reverse_sets: Vec<(String, String)>,
}

impl Target {
    /// Whether `--hold` would leave nothing to do if it empties the clauses.
    pub fn leaves_nothing(&self) -> bool {
        !self.holds.is_empty() && self.sets.is_empty() && self.renames.is_empty()
    }

    /// The options beside the clauses that decide what becomes of the table and its rows, as text.
    /// An approval is bound to them, and a run that is resumed must have the same.
    pub fn terms(&self) -> String {
        let mut terms = Vec::new();
        let renames = self.renames.iter().map(|(old, new)| format!("rename {old}={new}"));
        terms.extend(renames);
        let sets = self.sets.iter().map(|set| format!("set {} = {}", set.column, set.expression));
        terms.extend(sets);
        terms.extend(self.holds.iter().map(|column| format!("hold {column}")));
        match self.foreign_keys {
            ForeignKeys::Carry => {}
            ForeignKeys::Discard => terms.push("foreign-keys discard".into()),
            ForeignKeys::Refuse => terms.push("foreign-keys refuse".into()),
        }
        let flags =
            [(self.allow_zero_dates, "allow-zero-dates"), (self.allow_rounding, "allow-rounding")];
        terms.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| (*flag).into()));
        terms.extend(self.create.iter().map(|definition| format!("create {definition}")));
        terms.extend(self.order_by.iter().map(|order| format!("order-by {order}")));
        let reverse_sets = self.reverse_sets.iter();
        terms.extend(reverse_sets.map(|(column, value)| format!("reverse-set {column} = {value}")));
        terms.join(", ")
    }
}

/// What becomes of foreign keys.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum ForeignKeys {
    /// The altered table has them, and those that point to it, as before.
    #[default]
    Carry,
    /// The altered table has none.
    Discard,
    /// A table with foreign keys is not changed.
    Refuse,
}

/// Shows no URL: it may hold a password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("table", &self.table)
            .field("alter", &self.alter)
            .finish_non_exhaustive()
    }
}
