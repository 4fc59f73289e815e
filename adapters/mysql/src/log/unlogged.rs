//! Finds rows that a session wrote with `sql_log_bin = 0` into a busy table (law 9). MySQL's
//! performance schema counts the changed rows of a table, logged or not. It also counts the
//! statements that set `sql_log_bin`.
//!
//! The table's count grows by the logged rows, and by rows that were refused or rolled back. So a
//! larger count alone proves nothing. If a session also set `sql_log_bin` during that time, the
//! rows count as missed. An honest application never sets it.
//!
//! The base is the least surplus that was ever seen. Each look uses the logged rows from before it.
//! So the base is never too small, and the run finds no miss by mistake.

use crate::server::session::{Cells, number};
use std::sync::Mutex;

/// The counts of one source.
#[derive(Default)]
pub(crate) struct Unlogged {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Rows of the source in the log.
    logged: u64,
    /// The least surplus of the server's count over the logged rows, if the server counts.
    surplus: Option<i64>,
    /// Statements that had set `sql_log_bin` when the stream began to read the log.
    set_before: Option<u64>,
    /// Whether a session had switched the log off at that time.
    is_off: bool,
}

/// What the server counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    rows: u64,
    set: u64,
}

impl Counted {
    /// Returns None if the server does not count.
    pub(crate) fn read(row: &Cells) -> Option<Counted> {
        Some(Counted { rows: row.first().and_then(number)?, set: row.get(1).and_then(number)? })
    }
}

impl Unlogged {
    /// The stream is about to read the log.
    pub(crate) fn begin(&self, counted: Option<Counted>, is_off: bool) {
        let surplus = counted.map(|counted| surplus(counted, 0));
        let set_before = counted.map(|counted| counted.set);
        *self.state.lock().expect("not poisoned") =
            State { logged: 0, surplus, set_before, is_off };
    }

    /// Notes how many rows of the source the log has since.
    pub(crate) fn record(&self, logged: u64) {
        self.state.lock().expect("not poisoned").logged = logged;
    }

    /// Returns how many rows were logged. Read it before the server is asked.
    pub(crate) fn logged(&self) -> u64 {
        self.state.lock().expect("not poisoned").logged
    }

    /// Notes what the server counts while others write.
    pub(crate) fn note(&self, counted: Option<Counted>, logged_before: u64) {
        let mut state = self.state.lock().expect("not poisoned");
        let seen = counted.map(|counted| surplus(counted, logged_before));
        state.surplus = state.surplus.min(seen);
    }

    /// Returns how many rows are missing. Nobody writes now, and the whole log was read.
    pub(crate) fn missing(&self, counted: Option<Counted>) -> u64 {
        let state = self.state.lock().expect("not poisoned");
        let (Some(counted), Some(base), Some(set_before)) =
            (counted, state.surplus, state.set_before)
        else {
            return 0;
        };
        // The server may have dropped its statistics of statements since.
        if counted.set == set_before && !state.is_off {
            return 0;
        }
        u64::try_from(surplus(counted, state.logged) - base).unwrap_or_default()
    }
}

fn surplus(counted: Counted, logged: u64) -> i64 {
    counted.rows as i64 - logged as i64
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
        unlogged.record(5);
        assert_eq!(unlogged.missing(counted(105, 4)), 0, "all of them were logged");
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
        unlogged.record(10);
        assert_eq!(unlogged.missing(counted(110, 4)), 0);
        // After a resume from an earlier position, the log has rows that were counted before.
        unlogged.record(60);
        unlogged.note(counted(110, 4), 60);
        assert_eq!(unlogged.missing(counted(113, 4)), 3);
    }
}
