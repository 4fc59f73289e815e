//! What watchers see of a run.

use crate::gate::GateState;
use altergeist_contract::{Misfits, RestorePoint, Span};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a run is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Reading the table and deciding what to do.
    #[default]
    Planning,
    /// Filling the shadow.
    Copying,
    /// Building the indexes left out while copying.
    Indexing,
    /// Following the writes that arrived meanwhile.
    CatchingUp,
    /// Proving source and shadow equal.
    Verifying,
    /// The rows are proven equal. The server still collects statistics of the new table.
    Analyzing,
    /// Ready to swap, and waiting for leave to do so; `waiting_for` says what is missing.
    Waiting,
    /// Swapping.
    CuttingOver,
    /// Swapped. The old table is kept current, so that it can be put back.
    Reversible,
    /// Putting the old table back.
    Reverting,
    /// Updating rows in place.
    Backfilling,
    /// The change is complete.
    Done,
    /// The run ended before the change was complete.
    Failed,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 13] = [
        Phase::Planning,
        Phase::Copying,
        Phase::Indexing,
        Phase::CatchingUp,
        Phase::Verifying,
        Phase::Analyzing,
        Phase::Waiting,
        Phase::CuttingOver,
        Phase::Reversible,
        Phase::Reverting,
        Phase::Backfilling,
        Phase::Done,
        Phase::Failed,
    ];
}

/// As scripts read it.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Planning => "planning",
            Phase::Copying => "copying",
            Phase::Indexing => "indexing",
            Phase::CatchingUp => "catching-up",
            Phase::Verifying => "verifying",
            Phase::Analyzing => "analyzing",
            Phase::Waiting => "waiting",
            Phase::CuttingOver => "cutting-over",
            Phase::Reversible => "reversible",
            Phase::Reverting => "reverting",
            Phase::Backfilling => "backfilling",
            Phase::Done => "done",
            Phase::Failed => "failed",
        })
    }
}

/// A throttle signal in force. The names are a contract: scripts read them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SignalState {
    /// The signal.
    pub signal: String,
    /// Its last value, with the unit; None if it could not be read.
    pub observed: Option<String>,
    /// Its limit, or what decides it.
    pub limit: String,
    /// Why it throttles, as `signal observed > limit (where)`; None if it does not.
    pub reason: Option<String>,
    /// When it was read, as 2026-11-30T02:00:00Z.
    pub read_at: String,
}

/// The state of a run. The names are a contract: scripts read them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The table, qualified.
    pub table: String,
    /// The clauses asked for.
    pub alter: String,
    /// The run's name, by which orders and the history know it; empty until it is known.
    #[serde(default)]
    pub run_id: String,
    /// The fingerprint of the run's plan.
    #[serde(default)]
    pub fingerprint: String,
    /// The server, as host and port.
    #[serde(default)]
    pub server: String,
    /// Who answers for the change, as given with `--owner`.
    #[serde(default)]
    pub owner: Option<String>,
    /// Who decides whether to go back, as given with `--decider`.
    #[serde(default)]
    pub decider: Option<String>,
    /// The change's ticket, as given with `--ticket`.
    #[serde(default)]
    pub ticket: Option<String>,
    /// What the run is doing.
    pub phase: Phase,
    /// Rows copied into the shadow.
    pub rows_copied: u64,
    /// The estimated number of rows when the run began.
    pub rows_estimated: u64,
    /// How much of the present phase is done: of its pass over the table, or of its index builds.
    pub percent: f64,
    /// Rows copied or compared per second, lately.
    pub rows_per_second: u64,
    /// Seconds until the present pass over the table should end; None if unknown.
    pub eta_seconds: Option<u64>,
    /// Changed keys that wait for their refresh.
    pub pending_keys: u64,
    /// Changed keys refreshed so far.
    pub keys_refreshed: u64,
    /// How far the log was read.
    pub stream_position: String,
    /// How far the log reader is behind the writers; None if not measured yet.
    pub log_behind_seconds: Option<f64>,
    /// The greatest lag of a replica.
    pub replica_lag_seconds: Option<f64>,
    /// Bytes of log that the server retains for this run; None if it retains none for one reader.
    pub log_kept_bytes: Option<u64>,
    /// Why the run copies nothing now; None if nothing throttles it.
    pub throttle_reason: Option<String>,
    /// The signals in force, each with what was read of it last.
    #[serde(default)]
    pub signals: Vec<SignalState>,
    /// What the run waits for before it swaps; None outside of phase `waiting`.
    #[serde(default)]
    pub waiting_for: Option<String>,
    /// Why the run takes no orders by SQL and writes no history; None if it does.
    #[serde(default)]
    pub orders_by_sql_refused: Option<String>,
    /// The gates of the swap, once the run has looked at them.
    #[serde(default)]
    pub gates: Vec<GateState>,
    /// Rows of the present chunk.
    pub chunk_rows: u64,
    /// Chunks in flight at once.
    pub workers: usize,
    /// How long the server takes for a small commit; None if not measured.
    pub commit_latency_ms: Option<f64>,
    /// Attempts to get the cut-over's lock.
    pub lock_attempts: u32,
    /// When the next attempt follows, as 2026-11-30T02:00:00Z; None outside of a pause.
    #[serde(default)]
    pub next_attempt_at: Option<String>,
    /// How long the table was locked for the swap.
    pub lock_held_ms: Option<f64>,
    /// The part of `lock_held_ms` that read the rest of the log.
    pub lock_drain_ms: Option<f64>,
    /// The part of `lock_held_ms` that refreshed the last changed rows.
    pub lock_refresh_ms: Option<f64>,
    /// The part of `lock_held_ms` that swapped the tables.
    pub lock_swap_ms: Option<f64>,
    /// Rows compared by the verification.
    pub rows_verified: u64,
    /// The last error that the run continued after, or ended with.
    pub last_error: Option<String>,
    /// How long the plan expected the run to take.
    #[serde(default)]
    pub expected: Option<Span>,
    /// Seconds that earlier processes of this run took.
    #[serde(default)]
    pub earlier_seconds: u64,
    /// The point before the swap, to which a backup can be restored.
    #[serde(default)]
    pub restore_point: Option<RestorePoint>,
    /// The statements that `--hold` left for later: they drop what nothing reads any more.
    #[serde(default)]
    pub later_statements: Vec<String>,
    /// Seconds until the old table is no longer kept current; None outside of phase `reversible`.
    #[serde(default)]
    pub reversible_seconds_left: Option<u64>,
    /// Rows of the altered table that the old one cannot hold, by what they do not fit.
    #[serde(default)]
    pub not_revertible: Vec<Misfits>,
    /// Seconds since this process began or resumed the run.
    pub elapsed_seconds: u64,
}
