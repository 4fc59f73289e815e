//! The settings that an operator may change during a run.

use crate::control::Limits;
use crate::gate::{CheckLimits, Tolerance, Window};
use altergeist_contract::NamedReplica;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The approval of one plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Approval {
    /// The fingerprint of the plan.
    pub fingerprint: String,
    /// The server's account that approved it.
    pub by: String,
}

/// The operator's present wishes.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Stop as soon as nothing is in flight. The run can be resumed.
    pub stop: bool,
    /// Stop at once, as a kill would. The run can be resumed.
    pub panic: bool,
    /// Copy nothing. The run still follows the log.
    pub throttle: bool,
    /// Get ready, but do not swap.
    pub postpone_cut_over: bool,
    /// What the operator ordered last: to postpone the swap, or to do it. None without an order;
    /// then the order to an earlier process of this run counts.
    pub postpone_ordered: Option<bool>,
    /// Whether orders may wait on the server that this process has not read yet. It does not swap
    /// before it knows them.
    pub awaits_orders: bool,
    /// How often it was ordered to swap. An order ends the pause between two attempts.
    pub cut_overs: u32,
    /// Copy nothing while the answer of this query is greater than 0.
    pub throttle_query: Option<String>,
    /// Copy nothing unless HEAD of this URL is answered by 200.
    pub throttle_http: Option<String>,
    /// Copy nothing while this file exists.
    pub throttle_file: Option<PathBuf>,
    /// Do not swap while this file exists.
    pub postpone_file: Option<PathBuf>,
    /// Longest wait for the cut-over's lock, and longest time to hold it.
    pub lock_timeout: Duration,
    /// Attempts to get the lock.
    pub lock_attempts: u32,
    /// Kill sessions that block the cut-over's lock.
    pub kill_blockers: bool,
    /// The hours in which the tables may be swapped; None for any.
    pub window: Option<Window>,
    /// When to stop, as if ordered; None for never.
    pub deadline: Option<Instant>,
    /// The replicas whose lag counts. Without any, those that the engine finds.
    pub replicas: Vec<NamedReplica>,
    /// The replicas named when the run began. Only their logins are known.
    pub replicas_at_start: Vec<NamedReplica>,
    /// Asks for a replica's lag in seconds, in place of the heartbeats.
    pub replication_lag_query: Option<String>,
    /// Copy nothing while more sessions wait for locks.
    pub max_lock_waiters: Option<u64>,
    /// Copy nothing while the server's history list is longer.
    pub max_history_list: Option<u64>,
    /// Copy nothing while fewer bytes are free on the server's disk.
    pub min_free_disk: Option<u64>,
    /// A query or a command that tells the free bytes. Fixed for the run.
    pub free_disk: Option<String>,
    /// How often it was ordered to put the old table back.
    pub reverts: u32,
    /// Whether the last of these orders gives up rows that the old table cannot hold.
    pub discards_misfits: bool,
    /// End the reversible phase now.
    pub finish: bool,
    /// How much longer than it was planned the change shall be reversible.
    pub extended: Duration,
    /// How much a column may change until the swap.
    pub tolerance: Tolerance,
    /// The numbers that checks compare with.
    pub check_limits: CheckLimits,
    /// Gates that count as open, by name.
    pub overruled: Vec<String>,
    /// The approval of the plan, once somebody has given it.
    pub approval: Option<Approval>,
    /// Rows of a chunk; None sizes chunks by `chunk_time`.
    pub chunk_rows: Option<u64>,
    /// How long the copy of a chunk should take.
    pub chunk_time: Duration,
    /// Upper limit of chunks or refreshes in flight at once.
    pub workers: usize,
    /// Upper limit of keys refreshed in one transaction.
    pub batch_keys: usize,
    /// After each turn, rest this many times as long as the turn took.
    pub nice: f64,
    /// Slow down while small commits take longer than this; None never slows down.
    pub max_commit_latency: Option<Duration>,
    /// Pause the copy and the cut-over while a replica lags more than this.
    pub max_lag: Duration,
    /// Pause the copy and the cut-over while a load metric exceeds its limit.
    pub max_load: Limits,
    /// Stop the run when a load metric exceeds its limit.
    pub critical_load: Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            stop: false,
            panic: false,
            throttle: false,
            postpone_cut_over: false,
            postpone_ordered: None,
            awaits_orders: false,
            cut_overs: 0,
            throttle_query: None,
            throttle_http: None,
            throttle_file: None,
            postpone_file: None,
            lock_timeout: Duration::from_secs(1),
            lock_attempts: 30,
            kill_blockers: false,
            window: None,
            deadline: None,
            replicas: Vec::new(),
            replicas_at_start: Vec::new(),
            replication_lag_query: None,
            max_lock_waiters: None,
            max_history_list: None,
            min_free_disk: None,
            free_disk: None,
            reverts: 0,
            discards_misfits: false,
            finish: false,
            extended: Duration::ZERO,
            tolerance: Tolerance::default(),
            check_limits: CheckLimits::default(),
            overruled: Vec::new(),
            approval: None,
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
    /// Whether the server's other work comes first. A statement that cannot be slowed down is then
    /// started gently.
    pub fn is_gentle(&self) -> bool {
        self.max_commit_latency.is_some() || self.nice > 0.0
    }
}
