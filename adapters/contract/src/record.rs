//! What a run writes down so that another can go on from there.

use crate::{Position, Watermark};
use serde::{Deserialize, Serialize};

/// How far a run has come, as far as resuming needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The log is being opened and the shadow made: a run that dies here begins anew.
    Preparing,
    /// The server is being told to do it by itself, in one statement or in steps.
    Altering,
    /// The shadow exists and is kept current. Everything up to the cut-over goes on from the
    /// watermark.
    Copying,
    /// A swap may have been sent: ask who owns the name before anything else (law 7).
    CuttingOver,
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
            Stage::Done => "done",
        }
    }
}

/// The journal's entry for one table: one change, under way or done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The run's name, unique on the server.
    pub run: String,
    /// The clauses asked for, as given.
    pub alter: String,
    /// How far the run has come.
    pub stage: Stage,
    /// How far the shadow is filled.
    pub watermark: Watermark,
    /// Every change before it is in the shadow (law 6). None until the log is open.
    pub position: Option<Position>,
    /// Rows copied into the shadow.
    pub rows_copied: u64,
    /// Rows were copied before `position`, and the log of that time was passed over unread:
    /// whatever differs is not explained.
    #[serde(default)]
    pub passed_log: bool,
    /// Rows the table was thought to have when the run began.
    pub rows_estimated: u64,
    /// When the run began, seconds since 1970.
    pub started_at_seconds: u64,
    /// When this was written, seconds since 1970.
    pub updated_at_seconds: u64,
    /// Who runs it: user, host and process.
    pub holder: String,
}
