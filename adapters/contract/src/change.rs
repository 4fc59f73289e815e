//! What the user asks for.

use std::fmt;
use std::time::Duration;

/// How the change may be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Strategy {
    /// Natively where the server neither rewrites nor scans the table for it, else by a shadow copy.
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
    /// What follows `ALTER TABLE name`; empty where the command needs none, and for a plain rebuild.
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
}

/// Shows no URL: it may hold a password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("table", &self.table).field("alter", &self.alter).finish_non_exhaustive()
    }
}
