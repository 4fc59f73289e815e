//! How much of the rows a plan reads, and for how long.

use std::time::Duration;

/// Longest time of one question about the rows, for a plan that is only read.
const QUESTION_MAX: Duration = Duration::from_secs(60);

/// How much of the rows a plan reads.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Look {
    /// Before a run. Rows that would end it late are looked for in the whole table, however long
    /// that takes: the copy takes longer.
    #[default]
    BeforeRun,
    /// For somebody who reads the plan. No question takes long.
    Brief,
    /// For somebody who wants to know exactly. Every row is counted.
    Thorough,
}

impl Look {
    /// How long one question may take; None for as long as it needs.
    pub fn question_limit(self) -> Option<Duration> {
        (self == Look::Brief).then_some(QUESTION_MAX)
    }

    /// Where a count ends that usually ends at this number.
    pub fn most(self, usually: u64) -> u64 {
        if self == Look::Thorough { i64::MAX.unsigned_abs() } else { usually }
    }

    /// How long a pass over the table takes that usually takes this time at most.
    pub fn time(self, usually: Duration) -> Duration {
        if self == Look::Thorough { Duration::MAX } else { usually }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_brief_look_leaves_a_question_open_and_only_a_thorough_one_counts_all() {
        assert!(Look::Brief.question_limit().is_some());
        assert!(Look::BeforeRun.question_limit().is_none());
        assert!(Look::Thorough.question_limit().is_none());
        assert_eq!(Look::BeforeRun.most(7), 7);
        assert!(Look::Thorough.most(7) > 1 << 60);
    }
}
