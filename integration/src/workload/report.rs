//! What an application under load went through.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::kind::Kind;
use super::row_check::{Proof, RowCheck};
use crate::session::Failure;

/// A write that ended well.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// When, on the writers' clock.
    pub at: Duration,
    /// How long after the moment it was due.
    pub latency: Duration,
    /// What it was.
    pub kind: Kind,
}

/// A write that did not end well.
#[derive(Clone, Debug)]
pub struct Failed {
    /// When, on the writers' clock.
    pub at: Duration,
    /// What it was to be.
    pub kind: Kind,
    /// What the server answered.
    pub failure: Failure,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:.3} s: {}", self.kind, self.at.as_secs_f64(), self.failure)
    }
}

/// What the application went through.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) completions: Vec<Completion>,
    pub(super) failures: Vec<Failed>,
    pub(super) broken_connections: u64,
    pub(super) surprises: Vec<String>,
}

impl Records {
    pub(super) fn append(&mut self, other: Self) {
        self.completions.extend(other.completions);
        self.failures.extend(other.failures);
        self.broken_connections += other.broken_connections;
        self.surprises.extend(other.surprises);
    }
}

/// What the application went through, and what must be in the table now.
#[derive(Debug)]
pub struct Report {
    pub(super) records: Records,
    /// What must be in the table.
    pub row_check: RowCheck,
}

impl Report {
    /// Every completed write, in the order of completion.
    pub fn completions(&self) -> &[Completion] {
        &self.records.completions
    }

    /// How many writes of each kind completed.
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for completion in self.completions() {
            *counts.entry(completion.kind).or_default() += 1;
        }
        counts
    }

    /// Every error the application got, but not those of broken connections.
    pub fn errors(&self) -> &[Failed] {
        &self.records.failures
    }

    /// How many of the errors were deadlocks.
    pub fn deadlocks(&self) -> usize {
        self.errors().iter().filter(|failed| failed.failure.is_deadlock()).count()
    }

    /// How often a connection broke.
    pub fn broken_connections(&self) -> u64 {
        self.records.broken_connections
    }

    /// The latency that `percent` of the writes completed in `from..to` did not exceed.
    pub fn percentile(&self, percent: f64, from: Duration, to: Duration) -> Option<Duration> {
        let mut latencies: Vec<Duration> =
            self.between(from, to).map(|completion| completion.latency).collect();
        latencies.sort_unstable();
        let index = (latencies.len() as f64 * percent / 100.0).ceil() as usize;
        latencies.get(index.saturating_sub(1)).copied()
    }

    /// The longest time in `from..to` in which no write completed, and when it began.
    pub fn longest_stall(&self, from: Duration, to: Duration) -> Option<(Duration, Duration)> {
        let times: Vec<Duration> = std::iter::once(from)
            .chain(self.between(from, to).map(|completion| completion.at))
            .chain([to])
            .collect();
        times.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0])).max()
    }

    /// How many writes completed in `from..to`.
    pub fn count_between(&self, from: Duration, to: Duration) -> usize {
        self.between(from, to).count()
    }

    /// The row check's word on the table as it is now.
    ///
    /// # Errors
    /// The differences found, in words; a writer's surprises count as such.
    pub fn prove(&self, url: &str) -> Result<Proof, String> {
        match self.records.surprises.first() {
            Some(first) => Err(format!(
                "{} surprises for the writers, the first: {first}",
                self.records.surprises.len()
            )),
            None => self.row_check.check(url),
        }
    }

    fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Completion> {
        self.completions().iter().filter(move |completion| (from..to).contains(&completion.at))
    }
}
