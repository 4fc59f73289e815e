//! Says of a failed statement what it was for: the one way from a server's answer to an error.

use crate::server::error;
use altergeist_contract::{Attempted, Error, Result};

/// Turns a failure into an error that names what was attempted. The method says what the statement
/// touches, and with that which of the server's words may be shown.
pub(crate) trait Doing<T> {
    /// A statement that may touch rows: shows nothing that can hold a value.
    fn doing(self, attempted: impl Attempted) -> Result<T>;

    /// A statement that waits for a lock on the source.
    fn locking(self, attempted: impl Attempted) -> Result<T>;

    /// A definition, the user's or ours, on an empty table.
    fn trying_clauses(self, attempted: impl Attempted) -> Result<T>;

    /// The user's clauses on the table itself, which has rows.
    fn altering(self, attempted: impl Attempted) -> Result<T>;
}

impl<T> Doing<T> for std::result::Result<T, tokio_postgres::Error> {
    fn doing(self, attempted: impl Attempted) -> Result<T> {
        named(self, attempted, error::of)
    }

    fn locking(self, attempted: impl Attempted) -> Result<T> {
        named(self, attempted, error::of_lock)
    }

    fn trying_clauses(self, attempted: impl Attempted) -> Result<T> {
        named(self, attempted, error::of_clauses)
    }

    fn altering(self, attempted: impl Attempted) -> Result<T> {
        named(self, attempted, error::of_native)
    }
}

fn named<T>(
    outcome: std::result::Result<T, tokio_postgres::Error>,
    attempted: impl Attempted,
    sort: fn(String, &tokio_postgres::Error) -> Error,
) -> Result<T> {
    outcome.map_err(|error| sort(attempted.words(), &error))
}
