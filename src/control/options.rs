//! The options that are fixed for a run, and the ways it can succeed.

use crate::gate::Gate;
use altergeist_contract::Strategy;
use std::time::Duration;

/// What of the user's wishes the plan depends on.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// How long the server's own way may block the application, to be preferred to a copy.
    pub max_downtime: Option<Duration>,
    /// Longest wait for a lock, and longest time to hold the cut-over's.
    pub lock_timeout: Duration,
}

/// The options that are fixed for a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ALTER clauses.
    pub alter: String,
    /// The options that decide about the rows: [`Target::terms`](altergeist_contract::Target).
    pub terms: String,
    /// How the change may be done.
    pub strategy: Strategy,
    /// Who runs this: user, host and process. Other runs report it.
    pub holder: String,
    /// The gates of the swap, beyond the operator's order to postpone it.
    pub gates: Vec<Gate>,
    /// Do the change although the journal says that it is done.
    pub again: bool,
    /// What the plan depends on, beyond the change itself.
    pub wishes: Wishes,
    /// Reconnects in a row, without any progress in between, before the run fails.
    pub reconnects: u32,
}

/// The ways a run can succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server changed the table itself.
    Altered,
    /// The run copied the table, proved the copy equal and swapped it in.
    Swapped,
    /// An earlier run had swapped the tables; this one did the steps after the swap.
    Finished,
    /// An earlier run had done it already.
    AlreadyDone {
        /// Who ran it: user, host and process.
        by: String,
        /// When it was done, in seconds since 1970.
        at_seconds: u64,
    },
}
