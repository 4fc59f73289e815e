//! How a run can end without having done its work.

use crate::control::Limit;
use altergeist_contract::{Error, Kind, Plan};
use std::fmt;

/// Why a run ended. Whatever it was, the same command may be given again.
#[derive(Debug)]
pub enum Failure {
    /// The plan refuses the change; its refusals say why.
    Refused(Box<Plan>),
    /// Another run holds the table.
    Held {
        /// The table, qualified.
        table: String,
        /// Who holds it: user, host, process, since when.
        holder: String,
    },
    /// Source and shadow differ in rows whose change is not in the log.
    Unequal {
        /// How many rows differ without an explanation.
        rows: usize,
    },
    /// Somebody asked it to stop.
    Stopped,
    /// The server is used so heavily that the run must end.
    CriticalLoad {
        /// What the operator will have.
        limit: Limit,
        /// What it is.
        load: f64,
    },
    /// The server keeps as much of its log for the run as it may.
    LogFull {
        /// How much that is, in bytes.
        bytes: u64,
        /// Whether the run can go on later, and what must be done.
        outlook: String,
    },
    /// The lock of the cut-over could not be had, or held long enough; what was in the way.
    NoLock(String),
    /// Transactions that were under way when the log was to be opened did not end; which they are.
    LogHeldUp(String),
    /// The table changes faster than it can be followed.
    TooFast {
        /// How long it was tried to catch up.
        seconds: u64,
        /// Changed keys the log delivered meanwhile.
        changed: u64,
        /// Keys refreshed meanwhile.
        refreshed: u64,
    },
    /// The log is written faster than it can be read.
    Behind {
        /// How far behind the writers it is read.
        seconds: u64,
    },
    /// The swap was sent, no answer came, and what is found proves nothing; a person must look.
    SwapUnknown(String),
    /// The tables are swapped, but a step after the swap failed.
    Unfinished(Error),
    /// The engine failed.
    Error(Error),
}

impl Failure {
    /// Whether the rows of source or shadow may be the reason, rather than the server, the network or somebody's order.
    pub fn speaks_of_rows(&self) -> bool {
        match self {
            Failure::Unequal { .. } => true,
            Failure::Error(error) => matches!(error.kind, Kind::Fatal | Kind::Refused | Kind::Stale { .. }),
            _ => false,
        }
    }

    /// The exit code scripts depend on.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Error(error) if error.kind == Kind::Refused => 3,
            Failure::Error(error) if error.kind == Kind::Usage => 2,
            Failure::Error(_) => 1,
            Failure::Refused(_) => 3,
            Failure::Unequal { .. } => 4,
            Failure::Stopped | Failure::CriticalLoad { .. } | Failure::LogFull { .. } => 5,
            Failure::Held { .. } => 6,
            Failure::NoLock(_) | Failure::LogHeldUp(_) | Failure::TooFast { .. } | Failure::Behind { .. } => 7,
            Failure::SwapUnknown(_) => 8,
            Failure::Unfinished(_) => 9,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(plan) => {
                write!(f, "{} cannot be changed safely as asked", plan.table)?;
                plan.refusals.iter().try_for_each(|it| write!(f, "\n  {}: {}; {}", it.object, it.reason, it.remedy))
            }
            Failure::Held { table, holder } => write!(f, "another run holds {table}: {holder}; nothing was done"),
            Failure::Unequal { rows } => write!(
                f,
                "{rows} rows of the shadow differ from the source and no change in the log explains it; \
                 the source is untouched, the shadow is kept for you to look at"
            ),
            Failure::Stopped => f.write_str("stopped on request; the same command goes on from here"),
            Failure::CriticalLoad { limit, load } => write!(
                f,
                "stopped, for {} is {load}, and {} is critical; the same command goes on from here",
                limit.measure, limit.most
            ),
            Failure::LogFull { bytes, outlook } => {
                write!(f, "stopped, for the server keeps {} MB of its log for this run: {outlook}", bytes >> 20)
            }
            Failure::NoLock(reason) => {
                write!(f, "the table could not be locked for the swap: {reason}; the same command goes on from here")
            }
            Failure::LogHeldUp(reason) => {
                write!(f, "{reason}; nothing was copied yet, and the same command begins anew")
            }
            Failure::TooFast { seconds, changed, refreshed } => write!(
                f,
                "the table changes faster than it can be followed: in {seconds} s its log told of {changed} changed keys and \
                 {refreshed} could be refreshed; in a quieter hour, or with more --workers, the same command goes on from here"
            ),
            Failure::Behind { seconds } => write!(
                f,
                "the log is written faster than it can be read: it is {seconds} s behind the writers, and falls further \
                 behind; in a quieter hour the same command goes on from here"
            ),
            Failure::SwapUnknown(found) => write!(
                f,
                "the swap was sent and no answer came, and it cannot be told whether it happened: {found}; \
                 look before anything else is done to this table"
            ),
            Failure::Unfinished(error) => write!(
                f,
                "the tables are swapped, but the run is not finished: {error}. Run the same command again; it does what is left"
            ),
            Failure::Error(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}
