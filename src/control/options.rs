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
    /// How long the change shall be reversible.
    pub reversible: Option<Duration>,
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
    /// How long the old table is kept current after the swap, so that it can be put back.
    pub reversible: Option<Duration>,
    /// What the run is for.
    pub goal: Goal,
    /// Reconnects in a row, without any progress in between, before the run fails.
    pub reconnects: u32,
}

impl Outcome {
    /// The exit code scripts depend on.
    pub fn exit_code(&self) -> u8 {
        match self {
            Outcome::Reverted { .. } => 10,
            Outcome::Altered
            | Outcome::Swapped
            | Outcome::Finished
            | Outcome::AlreadyDone { .. }
            | Outcome::AlreadyReverted { .. } => 0,
        }
    }
}

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Goal {
    /// The change.
    #[default]
    Change,
    /// To undo a change that is reversible. Nothing else is looked at.
    Revert {
        /// Whether rows that the old table cannot hold may be lost.
        discards_misfits: bool,
    },
}

/// The ways a run can succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server changed the table itself.
    Altered,
    /// The run copied the table, proved the copy equal and swapped it in.
    Swapped,
    /// The old table has its name again, with every row that was written since.
    Reverted {
        /// Rows that the old table could not hold, and that were given up by order.
        rows_discarded: u64,
    },
    /// The last change of the table was reverted before, and nothing was to do.
    AlreadyReverted {
        /// Who reverted it: user, host and process.
        by: String,
        /// When, in seconds since 1970.
        at_seconds: u64,
    },
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
