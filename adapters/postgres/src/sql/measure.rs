//! Statements that measure, and that mark a point of the log.

use std::time::Duration;

/// Bytes of the rows, bytes of the indexes, and bytes of log in a second since the server counts.
pub(crate) const SIZES: &str = "
    SELECT pg_table_size($1::oid), pg_indexes_size($1::oid),
           (SELECT (wal_bytes / greatest(extract(epoch FROM now() - stats_reset), 1))::int8
            FROM pg_stat_wal)";

/// The end of the log, and whether the user may mark it.
pub(crate) const RESTORE_POINT: &str = "
    SELECT pg_current_wal_lsn()::text,
           has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE')";

pub(crate) const MARK_RESTORE_POINT: &str = "SELECT pg_create_restore_point($1)::text";

/// Bounds the statements of the transaction.
pub(crate) fn time_limit(most: Duration) -> String {
    format!("SET LOCAL statement_timeout = '{}ms'", most.as_millis().max(1))
}
