//! Finds rows that a session wrote with `sql_log_bin = 0` into a busy table (law 9). MySQL's
//! performance schema counts the rows that anybody changed in a table, logged or not. It also
//! counts the statements that set `sql_log_bin`.
//!
//! The table's count grows by what the log tells of, and by rows that were refused or rolled back.
//! So a count that grew by more proves nothing alone. If a session set `sql_log_bin` during the
//! same time, it counts as missed. An honest application never sets it.
//!
//! The least surplus ever seen is the base. Each look takes what the log has told of before it, so
//! the base is never too small, and nothing is missed by mistake.

use crate::server::session::{Cells, number};
use std::sync::Mutex;

/// The counts of one source; see the module.
#[derive(Default)]
pub(crate) struct Unlogged {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Rows of the source that the log has told of.
    heard: u64,
    /// The least surplus of the server's count over that, if the server counts.
    surplus: Option<i64>,
    /// Statements that had set `sql_log_bin` when the log began to be read.
    set_before: Option<u64>,
    /// Whether a session had it switched off at that time.
    is_off: bool,
}

/// What the server counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    rows: u64,
    set: u64,
}

impl Counted {
    /// None if the server does not count.
    pub(crate) fn read(row: &Cells) -> Option<Counted> {
        Some(Counted { rows: row.first().and_then(number)?, set: row.get(1).and_then(number)? })
    }
}

impl Unlogged {
    /// The log is about to be read.
    pub(crate) fn begin(&self, counted: Option<Counted>, is_off: bool) {
        let surplus = counted.map(|counted| surplus(counted, 0));
        let set_before = counted.map(|counted| counted.set);
        *self.state.lock().expect("not poisoned") = State { heard: 0, surplus, set_before, is_off };
    }

    /// The log has told of so many rows since.
    pub(crate) fn hear(&self, heard: u64) {
        self.state.lock().expect("not poisoned").heard = heard;
    }

    /// What the log had told of before the server is asked.
    pub(crate) fn heard(&self) -> u64 {
        self.state.lock().expect("not poisoned").heard
    }

    /// Takes note of a look, while others write.
    pub(crate) fn note(&self, counted: Option<Counted>, heard_before: u64) {
        let mut state = self.state.lock().expect("not poisoned");
        let seen = counted.map(|counted| surplus(counted, heard_before));
        state.surplus = state.surplus.min(seen);
    }

    /// How many rows are missing, when nobody writes and the log has told of everything.
    pub(crate) fn missing(&self, counted: Option<Counted>) -> u64 {
        let state = self.state.lock().expect("not poisoned");
        let (Some(counted), Some(base), Some(set_before)) =
            (counted, state.surplus, state.set_before)
        else {
            return 0;
        };
        // The digests may have been thrown away since.
        if counted.set == set_before && !state.is_off {
            return 0;
        }
        u64::try_from(surplus(counted, state.heard) - base).unwrap_or_default()
    }
}

fn surplus(counted: Counted, heard: u64) -> i64 {
    counted.rows as i64 - heard as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(rows: u64, set: u64) -> Option<Counted> {
        Some(Counted { rows, set })
    }

    #[test]
    fn more_rows_than_the_log_tells_of_are_missing_if_somebody_switched_it_off() {
        let unlogged = Unlogged::default();
        unlogged.begin(counted(100, 3), false);
        unlogged.hear(5);
        assert_eq!(unlogged.missing(counted(105, 4)), 0, "all of them were heard");
        assert_eq!(unlogged.missing(counted(107, 3)), 0, "rolled back: nobody switched it off");
        assert_eq!(unlogged.missing(counted(107, 4)), 2);
        assert_eq!(unlogged.missing(None), 0, "the server does not count any more");
        unlogged.begin(counted(100, 3), true);
        assert_eq!(unlogged.missing(counted(101, 3)), 1, "it was off from the beginning");
    }

    #[test]
    fn what_is_under_way_raises_no_alarm() {
        let unlogged = Unlogged::default();
        unlogged.begin(counted(100, 3), false);
        unlogged.note(counted(110, 3), 4);
        unlogged.hear(10);
        assert_eq!(unlogged.missing(counted(110, 4)), 0);
        // Read from an older place on, the log tells of rows that were counted before.
        unlogged.hear(60);
        unlogged.note(counted(110, 4), 60);
        assert_eq!(unlogged.missing(counted(113, 4)), 3);
    }
}
