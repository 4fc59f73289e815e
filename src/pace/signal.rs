//! The signals that can throttle a run: their names, how often each is read, how long that may
//! take, and what was read. docs/reference/throttle.md has a heading for each.

use std::time::Duration;

/// A signal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Signal {
    /// The operator's order.
    Order,
    /// A file of the operator.
    ThrottleFile,
    /// How far replicas are behind.
    ReplicaLag,
    /// The server's load metrics, with `--max-load` and `--critical-load`.
    Load,
    /// Sessions that wait for a lock.
    LockWaiters,
    /// Old row versions, or transactions since the oldest snapshot.
    HistoryList,
    /// Free bytes on the server's disk.
    FreeDisk,
    /// A query of the operator.
    ThrottleQuery,
    /// An HTTP service of the operator.
    ThrottleHttp,
    /// The log that the server retains for the run.
    RetainedLog,
}

impl Signal {
    /// Every signal. If several throttle, the first one is the reason shown.
    pub const ALL: [Signal; 10] = [
        Signal::Order,
        Signal::ThrottleFile,
        Signal::ReplicaLag,
        Signal::Load,
        Signal::LockWaiters,
        Signal::HistoryList,
        Signal::FreeDisk,
        Signal::ThrottleQuery,
        Signal::ThrottleHttp,
        Signal::RetainedLog,
    ];

    /// The name, as in reasons and in `status --json`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Order => "order",
            Signal::ThrottleFile => "throttle-file",
            Signal::ReplicaLag => "replica-lag",
            Signal::Load => "load",
            Signal::LockWaiters => "lock-waiters",
            Signal::HistoryList => "history-list",
            Signal::FreeDisk => "free-disk",
            Signal::ThrottleQuery => "throttle-query",
            Signal::ThrottleHttp => "throttle-http",
            Signal::RetainedLog => "retained-log",
        }
    }

    /// How long an answer counts. Zero: the signal is read before each turn.
    pub fn interval(self) -> Duration {
        match self {
            Signal::Order | Signal::ThrottleFile | Signal::RetainedLog => Duration::ZERO,
            // Heartbeats come as often.
            Signal::ReplicaLag => Duration::from_millis(100),
            Signal::Load | Signal::LockWaiters | Signal::ThrottleQuery | Signal::ThrottleHttp => {
                Duration::from_secs(1)
            }
            Signal::HistoryList => Duration::from_secs(5),
            Signal::FreeDisk => Duration::from_secs(10),
        }
    }

    /// How long an answer may take. The run copies nothing meanwhile, and no answer means: wait.
    pub fn time_limit(self) -> Duration {
        match self {
            Signal::Order | Signal::ThrottleFile => Duration::ZERO,
            Signal::ThrottleHttp => Duration::from_secs(2),
            // Each replica has less.
            Signal::ReplicaLag | Signal::FreeDisk => Duration::from_secs(10),
            Signal::Load
            | Signal::LockWaiters
            | Signal::HistoryList
            | Signal::ThrottleQuery
            | Signal::RetainedLog => Duration::from_secs(5),
        }
    }
}

/// What was read of a signal.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Observation {
    /// The value, with its unit; None if it is unknown.
    pub observed: Option<String>,
    /// Why the run must wait; None if it need not.
    pub reason: Option<String>,
}

impl Observation {
    /// A value that lets the run go on.
    pub fn fine(observed: impl Into<String>) -> Observation {
        Observation { observed: Some(observed.into()), reason: None }
    }

    /// A signal that could not be read.
    pub fn unknown(signal: &str, why: &str) -> Observation {
        Observation { observed: None, reason: Some(format!("{signal} unknown ({why})")) }
    }

    /// A value that must not be greater than the limit.
    pub fn at_most(signal: Signal, observed: u64, limit: u64) -> Observation {
        let reason = (observed > limit).then(|| format!("{} {observed} > {limit}", signal.name()));
        Observation { observed: Some(observed.to_string()), reason }
    }
}
