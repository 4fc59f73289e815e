//! The turn on a server: one named lock for all its tables.

/// The lock's name.
pub(crate) const LOCK: &str = "altergeist_turn";

/// Shows the server that the session is in use.
pub(crate) const PING: &str = "DO 1";
