//! Where a run is steered and watched: orders come in, status goes out. Both are states, not messages: who looks
//! late sees the latest, and nobody waits for anybody.

use crate::{Failure, Limits};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// What the operator wants, as it stands now.
#[derive(Clone, PartialEq, Debug)]
pub struct Orders {
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

impl Default for Orders {
    fn default() -> Orders {
        Orders {
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

/// The run's own side of the desk.
pub struct Desk {
    orders: watch::Receiver<Orders>,
    status: watch::Sender<Status>,
    opened: Instant,
}

impl Desk {
    /// A desk between whoever gives `orders` and whoever watches `status`.
    pub fn new(orders: watch::Receiver<Orders>, status: watch::Sender<Status>) -> Desk {
        Desk { orders, status, opened: Instant::now() }
    }

    /// The orders as they stand.
    pub fn orders(&self) -> Orders {
        self.orders.borrow().clone()
    }

    /// Asked between turns.
    ///
    /// # Errors
    /// [`Failure::Stopped`] if the run shall end.
    pub fn heed(&self) -> Result<(), Failure> {
        if self.orders.borrow().stop { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// Waits until the run shall end.
    pub async fn stopped(&self) {
        let mut orders = self.orders.clone();
        if orders.wait_for(|orders| orders.stop).await.is_err() {
            // Whoever gave orders is gone: none will come.
            std::future::pending::<()>().await;
        }
    }

    /// Changes what watchers see.
    pub fn tell(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            change(status);
            status.elapsed_seconds = self.opened.elapsed().as_secs();
        });
    }

    /// What watchers see.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }
}
