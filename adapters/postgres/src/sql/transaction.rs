//! Transactions and savepoints.

/// Begins a transaction.
pub(crate) const BEGIN: &str = "BEGIN";

/// Commits a transaction.
pub(crate) const COMMIT: &str = "COMMIT";

/// Rolls a transaction back.
pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// Begins a transaction for a question that may take 10 s.
pub(crate) const BEGIN_LONG_QUESTION: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '10s'";

/// Begins a transaction for a question that may take 2 s and hardly waits for a lock.
pub(crate) const BEGIN_QUESTION: &str =
    "BEGIN READ ONLY; SET LOCAL statement_timeout = '2s'; SET LOCAL lock_timeout = '200ms'";

/// Begins a transaction that reads only, with settings.
pub(crate) fn begin_read_only(settings: &str) -> String {
    format!("BEGIN READ ONLY; {settings}")
}

/// Sets a savepoint.
pub(crate) fn savepoint(name: &str) -> String {
    format!("SAVEPOINT {name}")
}

/// Rolls back to a savepoint.
pub(crate) fn roll_back_to(name: &str) -> String {
    format!("ROLLBACK TO SAVEPOINT {name}")
}

/// Releases a savepoint.
pub(crate) fn release(name: &str) -> String {
    format!("RELEASE SAVEPOINT {name}")
}
