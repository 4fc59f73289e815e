//! Questions that a pooler may answer: nothing that outlives a transaction is set, and every name
//! is given in full.

/// The server process of a session that may be a pooler's. The settings end with the transaction of
/// the statements.
pub(crate) const POOLED_PID: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL jit = off; SELECT pg_catalog.pg_backend_pid()";

/// Whether the server takes no writes: as a standby, or by its own setting.
pub(crate) const IS_READ_ONLY: &str = "SELECT pg_catalog.pg_is_in_recovery() OR \
                            pg_catalog.current_setting('default_transaction_read_only') \
                            OPERATOR(pg_catalog.=) 'on'";

/// Whether the server is a standby.
pub(crate) const IS_STANDBY: &str = "SELECT pg_catalog.pg_is_in_recovery()";

/// Begins a transaction that reads only.
pub(crate) const BEGIN_READ_ONLY: &str = "BEGIN READ ONLY";
