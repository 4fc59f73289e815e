//! Questions about the server at this moment: who is in the way, how much log there may be.

/// Lists transactions of others that are open.
pub(crate) const OPEN_TRANSACTIONS: &str = include_str!("open_transactions.sql");

/// How much log the server may keep for a slot, in megabytes; -1 for any amount.
pub(crate) const LOG_LIMIT: &str =
    "SELECT s.setting::int8 FROM pg_settings s WHERE s.name = 'max_slot_wal_keep_size'";

/// Whether this role sees what other sessions do.
pub(crate) const SEES_SESSIONS: &str = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')";
