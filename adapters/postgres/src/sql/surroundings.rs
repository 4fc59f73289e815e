//! Questions about the server at this moment: who is in the way, how much log there may be.

/// Lists transactions of others that are open.
pub(crate) const OPEN_TRANSACTIONS: &str = include_str!("open_transactions.sql");

/// How much log the server may keep for a slot, in megabytes, -1 for any amount; and sizes, for
/// people: that limit, and $1 bytes.
pub(crate) const LOG_LIMIT: &str = "
    SELECT s.setting::int8, pg_size_pretty(s.setting::int8 << 20), pg_size_pretty($1::int8)
    FROM pg_settings s WHERE s.name = 'max_slot_wal_keep_size'";
