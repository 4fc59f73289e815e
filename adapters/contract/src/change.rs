//! What the user asks for.

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

/// One table on one server, and what is wished of it: all an engine is told.
#[derive(Clone, Default)]
pub struct Target {
    /// Where the server is; the scheme names the engine. May hold a password, so it is never shown.
    pub url: String,
    /// The table, with its schema before a dot if it is not in the connection's own.
    pub table: String,
    /// What follows `ALTER TABLE name`; empty where the command needs none, and for a plain
    /// rebuild.
    pub alter: String,
    /// Renamed columns, old name first, where the server cannot tell.
    pub renames: Vec<(String, String)>,
    /// How the change may be done.
    pub strategy: Strategy,
    /// The greatest number of copies or refreshes in flight at once; at least 1.
    pub workers: usize,
    /// Replicas whose lag counts, as URLs.
    pub replicas: Vec<String>,
    /// How long a single lock may be waited for.
    pub lock_timeout: Duration,
    /// What becomes of foreign keys, from the table and to it.
    pub foreign_keys: ForeignKeys,
    /// Whether zero dates, and dates with a zero in them, are carried as they are.
    pub allow_zero_dates: bool,
    /// Whether values are rounded where the server's own ALTER would round them without an error.
    pub allow_rounding: bool,
    /// Whether sessions in the way of the cut-over's lock are ended.
    pub kill_blockers: bool,
    /// Whether a server that takes its rows from another one may be changed.
    pub allow_replica: bool,
    /// Another server, as a URL, that the log is read from: a replica of this one.
    pub stream_from: Option<String>,
    /// Whether the log is only looked at now and then instead of being streamed.
    pub poll_log: bool,
    /// Whether secondary indexes are there from the beginning instead of being built after the
    /// copy.
    pub keep_indexes: bool,
    /// The shadow's own CREATE TABLE, for what no ALTER can say.
    pub create: Option<String>,
    /// What the copied rows are laid down in the order of: an index, or columns.
    pub order_by: Option<String>,
    /// How much log the server may have to keep for this run before the run ends itself, in bytes.
    pub log_limit_bytes: Option<u64>,
    /// How long readers that began before the swap are waited for.
    pub wait_old_snapshots: Option<Duration>,
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
