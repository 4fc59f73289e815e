//! The ways a run can fail, with their exit codes and messages.

use crate::control::{Event, Limit};
use altergeist_contract::{Error, Kind, Plan};
use std::fmt;

/// Why a run ended. After each of them the same command may be repeated.
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
    /// The operator asked it to stop.
    Stopped,
    /// A hook that may stop the run failed.
    Hook {
        /// The event it was called for.
        event: Event,
        /// How it failed.
        reason: String,
    },
    /// A load metric exceeds its critical limit.
    CriticalLoad {
        /// The operator's limit.
        limit: Limit,
        /// The observed load.
        load: f64,
    },
    /// The server retains as much log for the run as the limit allows.
    LogFull {
        /// The retained bytes.
        bytes: u64,
        /// Whether the run can continue later, and what must be done.
        outlook: String,
    },
    /// The run could not get the cut-over's lock, or hold it long enough; what was in the way.
    NoLock(String),
    /// Other sessions kept rows locked that the run had to change; why the last attempt failed.
    RowsLocked(String),
    /// Open transactions kept the run from opening the log; which they are.
    LogHeldUp(String),
    /// The table changes faster than it can be followed.
    TooFast {
        /// How long the run tried to catch up.
        seconds: u64,
        /// Changed keys that the log delivered meanwhile.
        changed: u64,
        /// Keys refreshed meanwhile.
        refreshed: u64,
    },
    /// The server writes its log faster than the run can read it.
    Behind {
        /// How far the reader is behind the writers.
        seconds: u64,
    },
    /// The swap was sent, no answer came, and the server's state proves nothing: a person must
    /// look.
    SwapUnknown(String),
    /// Stopped after the swap, while the old table was kept current.
    LeftReversible {
        /// Why.
        why: Box<Failure>,
        /// Seconds until the change can no longer be undone.
        seconds_left: u64,
    },
    /// The old table cannot be kept current any more, and cannot be put back; why. The change
    /// itself is done.
    Irreversible(String),
    /// The change cannot be undone as asked; why. Nothing was changed.
    NotReverted(String),
    /// The tables are swapped, but a step after the swap failed.
    Unfinished(Error),
    /// The engine failed.
    Error(Error),
}

/// What to do after a failure that the run can continue from.
const RESUME: &str = "The same command continues from here";

impl Failure {
    /// Whether rows may be the reason, rather than the server, the network or an order.
    pub fn is_data_error(&self) -> bool {
        match self {
            Failure::Unequal { .. } => true,
            Failure::Error(error) => {
                matches!(error.kind, Kind::Fatal | Kind::Refused | Kind::Stale { .. })
            }
            _ => false,
        }
    }

    /// The exit code scripts depend on.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Error(error) if error.kind == Kind::Refused => 3,
            Failure::Error(error) if error.kind == Kind::Usage => 2,
            Failure::Error(_) => 1,
            Failure::Refused(_) | Failure::NotReverted(_) => 3,
            Failure::Unequal { .. } => 4,
            Failure::Stopped
            | Failure::Hook { .. }
            | Failure::CriticalLoad { .. }
            | Failure::LogFull { .. } => 5,
            Failure::Held { .. } => 6,
            Failure::NoLock(_)
            | Failure::RowsLocked(_)
            | Failure::LogHeldUp(_)
            | Failure::TooFast { .. }
            | Failure::Behind { .. } => 7,
            Failure::SwapUnknown(_) => 8,
            Failure::LeftReversible { .. } | Failure::Irreversible(_) | Failure::Unfinished(_) => 9,
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
                write!(f, "the plan refuses this change of {}", plan.table)?;
                plan.errors().try_for_each(|it| write!(f, "\n  {it}; {}", it.remedy))
            }
            Failure::Held { table, holder } => {
                write!(f, "another run holds {table}: {holder}. Nothing was done")
            }
            Failure::Unequal { rows } => write!(
                f,
                "{rows} rows of the shadow differ from the source, and no change in the log \
                 explains it. The source is untouched; the shadow is kept for inspection. Writes \
                 that bypass the log cause this, such as sql_log_bin = 0 while no process ran; if \
                 there were none, please report it. `altergeist cleanup` drops the shadow, and the \
                 same command then copies the table again"
            ),
            Failure::Stopped => write!(f, "stopped on request. {RESUME}"),
            Failure::Hook { event, reason } => write!(
                f,
                "stopped: the hook on-{} did not allow the run to continue: {reason}. Repair its \
                 cause, or the hook. {RESUME}",
                event.name()
            ),
            Failure::CriticalLoad { limit, load } => {
                write!(
                    f,
                    "stopped: {} {load} > {}, the limit of --critical-load. {RESUME}",
                    limit.measure, limit.most
                )
            }
            Failure::LogFull { bytes, outlook } => {
                write!(
                    f,
                    "stopped: the server retains {} MB of log for this run, its limit: {outlook}",
                    bytes >> 20
                )
            }
            Failure::NoLock(reason) => {
                write!(f, "could not lock the table for the swap: {reason}. {RESUME}")
            }
            Failure::RowsLocked(reason) => {
                write!(f, "other sessions hold rows that are to be changed: {reason}. {RESUME}")
            }
            Failure::LogHeldUp(reason) => {
                write!(f, "{reason}. Nothing was copied yet; the same command starts again")
            }
            Failure::TooFast { seconds, changed, refreshed } => write!(
                f,
                "the application writes faster than the run can follow: in {seconds} s the log \
                 named {changed} changed keys, and the run refreshed {refreshed}. Repeat the \
                 command with more --workers, or in a quieter hour; it continues from here"
            ),
            Failure::Behind { seconds } => write!(
                f,
                "the server writes its log faster than the run can read it: the reader is \
                 {seconds} s behind, and the gap grows. Repeat the command in a quieter hour; it \
                 continues from here"
            ),
            Failure::SwapUnknown(found) => write!(
                f,
                "the swap was sent, no answer came, and it is unknown whether it happened: \
                 {found}. Look at both tables before anything else is done to them"
            ),
            Failure::LeftReversible { why, seconds_left } => write!(
                f,
                "{why}. The tables are swapped, and no process keeps the old one current now. \
                 Within {} the same command continues to, and `altergeist revert` puts it back; \
                 afterwards the same command finishes the change",
                in_words(*seconds_left)
            ),
            Failure::Irreversible(reason) => write!(
                f,
                "the tables are swapped and the change stays, but the old table could not be kept \
                 current, so it cannot be put back: {reason}. Repeat the same command; it finishes \
                 the change"
            ),
            Failure::NotReverted(reason) => write!(f, "nothing was reverted: {reason}"),
            Failure::Unfinished(error) => write!(
                f,
                "the tables are swapped, but the run is not finished: {error}. Repeat the same \
                 command; it does the rest"
            ),
            Failure::Error(error) => error.fmt(f),
        }
    }
}

/// A time as people say it.
fn in_words(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

impl std::error::Error for Failure {}
