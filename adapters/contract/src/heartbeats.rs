//! The heartbeats that a run has sent, and what they tell: how long small commits take, and how far
//! a replica is behind. Only one clock is read, so clocks need not agree.

use crate::CommitLatency;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Beats that are remembered: an hour's worth, at ten a second.
const REMEMBERED: usize = 36_000;

/// Commits that are remembered: they say how quick the server is now.
const COMMITS: usize = 16;

/// The last heartbeats of a run. Their numbers rise.
#[derive(Default)]
pub struct Heartbeats {
    sent: VecDeque<(u64, Instant)>,
    commits: VecDeque<Duration>,
}

impl Heartbeats {
    /// Remembers that this beat was sent.
    pub fn note_sent(&mut self, number: u64, at: Instant) {
        push(&mut self.sent, (number, at), REMEMBERED);
    }

    /// Remembers how long a beat's commit took.
    pub fn note_committed(&mut self, took: Duration) {
        push(&mut self.commits, took, COMMITS);
    }

    /// When the last beat was sent.
    pub fn last_sent(&self) -> Option<Instant> {
        self.sent.back().map(|(_, at)| *at)
    }

    /// How far a reader is behind that has seen this beat: how long ago the next one was sent. Zero
    /// if there is none.
    pub fn age_after(&self, seen: u64) -> Duration {
        let unseen = self.sent.iter().find(|(number, _)| *number > seen);
        unseen.map(|(_, at)| at.elapsed()).unwrap_or_default()
    }

    /// How long commits take now. A commit that is due counts with the time it was waited for.
    pub fn commit_latency(&self, waited: Option<Duration>) -> Option<CommitLatency> {
        CommitLatency::of(self.commits.iter().rev().copied(), waited)
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() == most {
        queue.pop_front();
    }
    queue.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_as_far_behind_as_its_next_beat_is_old() {
        let mut beats = Heartbeats::default();
        let now = Instant::now();
        for (number, seconds) in [(1, 30), (2, 20), (3, 10)] {
            beats.note_sent(number, now - Duration::from_secs(seconds));
        }
        assert!(beats.age_after(1) >= Duration::from_secs(20));
        assert!(beats.age_after(1) < Duration::from_secs(30));
        assert_eq!(beats.age_after(3), Duration::ZERO);
    }

    #[test]
    fn a_commit_that_is_due_counts_as_it_stands() {
        let mut beats = Heartbeats::default();
        assert_eq!(beats.commit_latency(None), None);
        beats.note_committed(Duration::from_millis(2));
        let latency = beats.commit_latency(Some(Duration::from_secs(1))).unwrap();
        assert_eq!(latency.worst, Duration::from_secs(1));
    }
}
