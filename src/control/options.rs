//! What does not change while a run goes on, and how it may end well.

use altergeist_contract::Strategy;
use std::time::Duration;

/// What does not change while a run goes on.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clauses asked for.
    pub alter: String,
    /// How the change may be done.
    pub strategy: Strategy,
    /// Who runs this, for the others: user, host and process.
    pub holder: String,
    /// How long the lock of the cut-over may be waited for, and how long it may be held.
    pub lock_timeout: Duration,
    /// How often the lock may be tried for.
    pub lock_attempts: u32,
    /// How often in a row a lost connection, or another passing failure, is resumed from without any progress between.
    pub reconnects: u32,
}

/// How a run ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The table is changed, by the server itself.
    Altered,
    /// The table is changed: copied, proven equal, swapped.
    Swapped,
    /// An earlier run had done it already; nothing was done.
    AlreadyDone,
}
