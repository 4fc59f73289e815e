//! What must be true before the swap, beyond equal rows: each gate has a name, a state and a
//! reason. Every gate is looked at again before each attempt at the lock.

pub mod backup;
pub mod check;
pub mod check_limits;
pub mod columns;
pub mod command;
pub mod comparison;
pub mod fingerprint;
pub mod look;
pub mod window;

pub use backup::Backup;
pub use check::Check;
pub use check_limits::CheckLimits;
pub use columns::{ColumnVerdict, Share, Tolerance};
pub use comparison::Comparison;
pub use fingerprint::fingerprint;
pub use look::{BEFORE_THE_LOCK, Gates, WHILE_WAITING};
pub use window::Window;

use serde::{Deserialize, Serialize};

/// A condition of the swap.
#[derive(Clone, Debug)]
pub enum Gate {
    /// A question to the server, or a command, whose answer must compare as given.
    Check(Check),
    /// The age of the last backup.
    Backup(Backup),
    /// The approval of the plan by another account than the run's.
    Approval,
}

impl Gate {
    /// The name by which the operator overrules it, and status shows it.
    pub fn name(&self) -> &str {
        match self {
            Gate::Check(check) => &check.name,
            Gate::Backup(_) => "backup",
            Gate::Approval => "approval",
        }
    }
}

/// The name of the gate that the time of day opens.
pub const WINDOW: &str = "window";

/// The name of the gate that opens when every replica has caught up.
pub const REPLICAS: &str = "replicas";

/// The name of the gate that the operator opens with `cut-over`.
pub const POSTPONED: &str = "postponed";

/// What status shows of a gate. The names are a contract: scripts read them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GateState {
    /// The gate's name.
    pub name: String,
    /// Whether it lets the swap happen.
    pub open: bool,
    /// Why it is closed, as `signal observed > limit (where)`; or who overruled it.
    pub reason: Option<String>,
}
