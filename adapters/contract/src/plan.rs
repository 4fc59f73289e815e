//! The plan: what would happen.

use crate::Estimate;
use crate::finding::{Finding, Severity};
use serde::Serialize;

/// How the change will be done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// By the server itself, with this statement, under a short lock timeout.
    Native(String),
    /// By the server itself, in the plan's steps. Each holds a lock only briefly. If a run dies in
    /// between, the next one finishes it.
    Online,
    /// By a shadow copy.
    #[default]
    Copy,
}

/// One step on the server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// The statement, or a sketch of it if it is repeated.
    pub statement: String,
    /// What it locks on the user's tables, and for how long; "none" if it locks nothing there.
    pub lock: String,
}

/// What a plan took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Cost {
    /// How long its questions to the server took, with the sample copy, in milliseconds.
    pub took_ms: u64,
    /// Longest time of one question about the rows, in seconds; None if there is no limit.
    pub question_limit_seconds: Option<u64>,
}

/// What would happen. Planning changes nothing on the server.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The table, qualified.
    pub table: String,
    /// The clauses asked for.
    pub alter: String,
    /// How it will be done, if nothing is refused.
    pub verdict: Verdict,
    /// The key that identifies rows, as "index (column, column)"; empty for a native change.
    pub key: String,
    /// Rows of the table, by the server's estimate.
    pub rows_estimated: u64,
    /// Bytes the change will take beside the table, by the server's estimate.
    pub bytes_estimated: u64,
    /// What will be done, in order.
    pub steps: Vec<Step>,
    /// What the plan found. The run refuses the change if one is an error.
    pub findings: Vec<Finding>,
    /// The server's kind and major version, as "MySQL 9.7".
    pub server: String,
    /// The table's definition now, as the server prints it.
    pub definition_before: String,
    /// The definition that the change would give it; empty if the server was not asked.
    pub definition_after: String,
    /// What the plan itself took; None if nobody asked.
    pub cost: Option<Cost>,
    /// How long it will take; None if it was not measured.
    pub estimate: Option<Estimate>,
    /// The options that decide what becomes of the rows: [`Target::terms`](crate::Target::terms).
    pub terms: String,
}

impl Plan {
    /// Whether the run refuses the change.
    pub fn is_refused(&self) -> bool {
        self.errors().next().is_some()
    }

    /// The statements that `--hold` leaves for later.
    pub fn later_statements(&self) -> Vec<String> {
        self.findings.iter().filter_map(|finding| finding.later.clone()).collect()
    }

    /// Why the run refuses the change.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}
