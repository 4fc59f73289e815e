//! The record of a run, from which another run can continue.

use crate::{Backfills, Estimate, Position, RestorePoint, Watermark};
use serde::{Deserialize, Serialize};

/// How far a run has come, as resuming needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The run opens the log and creates the shadow. A run that dies here starts again.
    Preparing,
    /// The server does the change by itself, in one statement or in steps.
    Altering,
    /// The shadow exists and is kept current. Everything up to the cut-over continues from the
    /// watermark.
    Copying,
    /// A swap may have been sent. Ask which table has the name before anything else (law 7).
    CuttingOver,
    /// The tables are swapped, and the old one is kept current.
    Reversible,
    /// The swap back may have been sent. Ask which table has the name before anything else (law 7).
    Reverting,
    /// The old table has its name again.
    Reverted,
    /// Rows are updated in place. It continues from the watermark.
    Backfilling,
    /// The rows are updated.
    Backfilled,
    /// The change is done.
    Done,
}

impl Stage {
    /// The stage's name in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Preparing => "preparing",
            Stage::Altering => "altering",
            Stage::Copying => "copying",
            Stage::CuttingOver => "cutting-over",
            Stage::Reversible => "reversible",
            Stage::Reverting => "reverting",
            Stage::Reverted => "reverted",
            Stage::Backfilling => "backfilling",
            Stage::Backfilled => "backfilled",
            Stage::Done => "done",
        }
    }
}

/// The journal's entry for one table: one change, running or done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The run's name, unique on the server.
    pub run: String,
    /// The clauses as given.
    pub alter: String,
    /// How far the run has come.
    pub stage: Stage,
    /// How far the shadow is filled.
    pub watermark: Watermark,
    /// Every change before this position is in the shadow (law 6). None until the log is open.
    pub position: Option<Position>,
    /// Rows copied into the shadow.
    pub rows_copied: u64,
    /// The fingerprint of the plan that the run began with.
    #[serde(default)]
    pub fingerprint: String,
    /// The options that decided about the rows when the run began.
    #[serde(default)]
    pub terms: Option<String>,
    /// Whether the run skipped the log of the copy before `position`. Then nothing explains a
    /// difference.
    #[serde(default)]
    pub passed_log: bool,
    /// Whether the operator ordered to postpone the swap. A process that resumes the run waits too.
    #[serde(default)]
    pub postponed: bool,
    /// The backfill under way, and those that are done.
    #[serde(default)]
    pub backfills: Backfills,
    /// The estimate of the table's rows when the run began.
    pub rows_estimated: u64,
    /// When the run began, seconds since 1970.
    pub started_at_seconds: u64,
    /// When this record was written, seconds since 1970.
    pub updated_at_seconds: u64,
    /// Who runs it: user, host and process.
    pub holder: String,
    /// How long the plan expected the run to take.
    #[serde(default)]
    pub estimate: Option<Estimate>,
    /// The point before the swap, to which a backup can be restored.
    #[serde(default)]
    pub restore_point: Option<RestorePoint>,
    /// Whether it is a rehearsal: it never swaps, and a run does not resume it.
    #[serde(default)]
    pub is_rehearsal: bool,
    /// How long the change can be undone, if the operator wants it to be.
    #[serde(default)]
    pub reversible: Option<Reversible>,
    /// The statements that `--hold` left for later.
    #[serde(default)]
    pub later_statements: Vec<String>,
    /// The exit code of the process that last worked on it, if it failed and could still say so.
    #[serde(default)]
    pub ended: Option<u8>,
}

/// How a change can be undone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reversible {
    /// How long after the swap, in seconds.
    pub seconds: u64,
    /// When that time ends, seconds since 1970; 0 before the swap.
    pub until_seconds: u64,
    /// The place in the log at which the table was swapped: every change of the altered table is
    /// behind it. Noted before a swap is sent. It counts only if that swap happened.
    pub cut_over: Option<Position>,
    /// Why the old table could not be kept current; None while it is. Then it cannot be put back.
    #[serde(default)]
    pub lost: Option<String>,
    /// Why the last order to put the old table back was not carried out.
    #[serde(default)]
    pub declined: Option<String>,
    /// How often such an order was not carried out.
    #[serde(default)]
    pub declines: u32,
    /// Rows that were given up when the old table was put back.
    #[serde(default)]
    pub rows_discarded: u64,
}
