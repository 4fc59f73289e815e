//! What watchers see of a run.

use serde::{Deserialize, Serialize};

/// What a run is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Finding out what must be done.
    #[default]
    Planning,
    /// Filling the shadow.
    Copying,
    /// Building the indexes left out while copying.
    Indexing,
    /// Following what was written meanwhile.
    CatchingUp,
    /// Proving source and shadow equal.
    Verifying,
    /// Ready, and waiting for the order to swap.
    Postponed,
    /// Swapping.
    CuttingOver,
    /// All is done.
    Done,
    /// The run has ended without having done its work.
    Failed,
}

/// How a run stands. The names are a contract: scripts read them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// The table, qualified.
    pub table: String,
    /// The clauses asked for.
    pub alter: String,
    /// What the run is doing.
    pub phase: Phase,
    /// Rows copied into the shadow.
    pub rows_copied: u64,
    /// Rows the table was thought to have when the run began.
    pub rows_estimated: u64,
    /// How much of the present phase's walk over the table is done, or of its builds.
    pub percent: f64,
    /// Rows copied, or compared, in a second, lately.
    pub rows_per_second: u64,
    /// When the present phase's walk over the table should end; None if it cannot be told.
    pub eta_seconds: Option<u64>,
    /// Changed keys still to be refreshed.
    pub pending_keys: u64,
    /// Changed keys refreshed so far.
    pub keys_refreshed: u64,
    /// How far the log was read.
    pub stream_position: String,
    /// How far behind the writers the log is read; None if that was not needed yet.
    pub log_behind_seconds: Option<f64>,
    /// The greatest lag of a replica.
    pub replica_lag_seconds: Option<f64>,
    /// What the server keeps of its log for this run, in bytes; None if it keeps nothing for single readers.
    pub log_kept_bytes: Option<u64>,
    /// Why nothing is being copied; None if nothing stands in the way.
    pub throttle_reason: Option<String>,
    /// Rows of the present chunk.
    pub chunk_rows: u64,
    /// How many chunks are in flight.
    pub workers: usize,
    /// How long a small commit takes the server; None if it is not measured.
    pub commit_latency_ms: Option<f64>,
    /// How often the lock of the cut-over was asked for.
    pub lock_attempts: u32,
    /// How long the table was locked for the swap.
    pub lock_held_ms: Option<f64>,
    /// What of that went into hearing the last of the log,
    pub lock_drain_ms: Option<f64>,
    /// into bringing it into the shadow,
    pub lock_refresh_ms: Option<f64>,
    /// and into the swap itself.
    pub lock_swap_ms: Option<f64>,
    /// Rows compared by the verification.
    pub rows_verified: u64,
    /// The last error the run went on from, or ended with.
    pub last_error: Option<String>,
    /// Seconds since this process took the run up.
    pub elapsed_seconds: u64,
}
