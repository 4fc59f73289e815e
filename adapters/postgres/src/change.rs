//! The change of one table: what was asked for, and of which table. It is read once, when the
//! engine connects, and stays the same for the whole run.

use crate::schema::alter_request::AlterRequest;
use crate::schema::set_columns::SetColumn;
use crate::server::names::Names;
use crate::server::version::Version;
use altergeist_contract::{Finding, Strategy, Target};

/// The change that was asked for, and its table. It stays the same for the life of the process.
pub(crate) struct Change {
    pub(crate) target: Target,
    /// The ALTER clauses, parsed.
    pub(crate) alter: AlterRequest,
    /// The columns that --set computes, or why they cannot be read.
    pub(crate) sets: Result<Vec<SetColumn>, Finding>,
    pub(crate) database: String,
    pub(crate) names: Names,
    pub(crate) version: Version,
    /// The search path of the user's own session.
    pub(crate) search_path: String,
    /// Distinguishes what this process makes from what an earlier process made.
    pub(crate) incarnation: String,
}

impl Change {
    /// Returns the longest wait for a lock that other sessions queue behind, in milliseconds.
    pub(crate) fn lock_timeout_ms(&self) -> u128 {
        self.target.lock_timeout.as_millis().max(1)
    }

    /// Whether only a copy does what the user asked for.
    pub(crate) fn asks_for_a_copy(&self) -> bool {
        self.target.strategy == Strategy::Copy
            || self.target.create.is_some()
            || self.target.order_by.is_some()
            || !self.target.sets.is_empty()
    }

    /// Returns the columns that --set computes. The plan refuses those that cannot be read.
    pub(crate) fn sets(&self) -> &[SetColumn] {
        self.sets.as_deref().unwrap_or_default()
    }

    /// Returns the schema for clones. No other process uses it, and it is always rolled back.
    pub(crate) fn trial_schema(&self) -> String {
        format!("ag_plan_{}", self.incarnation)
    }
}
