//! What an operator may change while a run goes on.

use crate::control::Limits;
use std::time::Duration;

/// What the operator wants, as it stands now.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// End as soon as nothing is in flight; the run can be resumed.
    pub stop: bool,
    /// Do not copy until told otherwise; changes are still followed.
    pub throttle: bool,
    /// Be ready, and do not swap until told.
    pub postpone_cut_over: bool,
    /// Rows of a chunk; None sizes chunks by `chunk_time`.
    pub chunk_rows: Option<u64>,
    /// How long the copy of a chunk should take.
    pub chunk_time: Duration,
    /// The most chunks or refreshes in flight at once.
    pub workers: usize,
    /// The most keys refreshed in one transaction.
    pub batch_keys: usize,
    /// Rest this many times as long as was worked, after each turn.
    pub nice: f64,
    /// Small commits that take longer than this make the run go easier on the server; None to ask for all it gives.
    pub max_commit_latency: Option<Duration>,
    /// A replica further behind than this stops the copy, and holds up the cut-over.
    pub max_lag: Duration,
    /// A server that is used more than this stops the copy, and holds up the cut-over.
    pub max_load: Limits,
    /// A server that is used more than this ends the run.
    pub critical_load: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            stop: false,
            throttle: false,
            postpone_cut_over: false,
            chunk_rows: None,
            chunk_time: Duration::from_millis(100),
            workers: 4,
            batch_keys: 1000,
            nice: 0.0,
            max_commit_latency: None,
            max_lag: Duration::from_millis(1500),
            max_load: Limits::default(),
            critical_load: Limits::default(),
        }
    }
}

impl Settings {
    /// What cannot be slowed down once it runs is begun gently if the server's other work counts for more.
    pub fn is_gentle(&self) -> bool {
        self.max_commit_latency.is_some() || self.nice > 0.0
    }
}
