//! Counts the rows of the shadow (law 10): those that this run wrote, and those that the log has.
//! Only this run may write the shadow. If the log has more rows, another session wrote it, for
//! example a job that loops over all tables. The proof does not see what is written after it.
//!
//! The log does not say who wrote a row (MariaDB's log names no session). So both sides count. The
//! count begins before the first comparison, while the run writes nothing. The proof sees what
//! others wrote before that.

use crate::server::heartbeat::Heartbeat;
use altergeist_contract::{Error, Kind, Marker, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Mutex as AsyncMutex;

/// The counts of one engine value.
pub(crate) struct ShadowWrites {
    state: Mutex<State>,
    /// The heartbeat from which on the log's rows count. Before the count begins it is the greatest
    /// number.
    pub(crate) counted_from: Arc<AtomicU64>,
    /// Whether the stream follows the log and the count has not begun yet.
    is_due: AsyncMutex<bool>,
}

impl Default for ShadowWrites {
    fn default() -> ShadowWrites {
        let counted_from = Arc::new(AtomicU64::new(u64::MAX));
        ShadowWrites { state: Mutex::default(), counted_from, is_due: AsyncMutex::default() }
    }
}

#[derive(Clone, Copy, Default)]
struct State {
    /// Writes that began, and those that ended.
    begun: u64,
    ended: u64,
    /// Rows this run has written.
    written: u64,
    /// Whether a write ended without an answer. Then nobody knows how many rows it wrote.
    is_lost: bool,
    /// Rows of the shadow in the log.
    logged: u64,
    /// The counts when the run was last seen to write nothing, and a mark behind that.
    quiet: Option<(u64, u64, Marker)>,
}

/// A write that began. If it does not end, its rows are not known.
pub(crate) struct Writing<'a> {
    shadow_writes: &'a ShadowWrites,
    has_ended: bool,
}

impl ShadowWrites {
    /// The stream is about to follow the log. Nothing is counted yet.
    pub(crate) async fn follow(&self) {
        *self.is_due.lock().await = true;
        self.restart(u64::MAX);
    }

    /// Begins the count, unless it has begun. The run writes nothing at this moment.
    pub(crate) async fn start(&self, heartbeat: &Heartbeat) -> Result<()> {
        let mut is_due = self.is_due.lock().await;
        if *is_due {
            let mark = heartbeat.mark();
            self.restart(mark.0);
            heartbeat.proven(mark).await?;
            *is_due = false;
        }
        Ok(())
    }

    fn restart(&self, from: u64) {
        *self.state() = State::default();
        self.counted_from.store(from, Ordering::SeqCst);
    }

    /// Notes that a statement or transaction of this run is about to write the shadow.
    pub(crate) fn begin(&self) -> Writing<'_> {
        self.state().begun += 1;
        Writing { shadow_writes: self, has_ended: false }
    }

    /// Notes how many rows of the shadow the log has in all, and the mark that the stream has
    /// passed.
    ///
    /// # Errors
    ///
    /// `Missed` if this run has written fewer.
    pub(crate) fn record(&self, logged: u64, passed: Marker, shadow: &str) -> Result<()> {
        let mut state = self.state();
        state.logged = logged;
        match state.quiet {
            Some((begun, written, mark)) if passed >= mark => {
                state.quiet = None;
                let is_still_quiet = state.begun == begun && state.written == written;
                if is_still_quiet { judge(&state, written, shadow) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Requests a comparison at the next mark. It takes place if this run writes nothing until
    /// then.
    pub(crate) fn request_check(&self, mark: impl FnOnce() -> Marker) {
        let mut state = self.state();
        if state.quiet.is_none() && state.begun == state.ended && !state.is_lost {
            state.quiet = Some((state.begun, state.written, mark()));
        }
    }

    /// Compares the counts at once. The stream has passed a mark; only the `behind` rows of this
    /// run lie behind it.
    ///
    /// # Errors
    ///
    /// `Missed` if another session has written the shadow; `Disconnected` if the counts cannot show
    /// it.
    pub(crate) fn check_under_lock(&self, behind: u64, shadow: &str) -> Result<()> {
        let state = self.state();
        if state.is_lost {
            let reason =
                "a write of this run ended without an answer; the rows must be compared again";
            return Err(Error::new(Kind::Disconnected, attempted(shadow), reason));
        }
        judge(&state, state.written.saturating_sub(behind), shadow)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }
}

fn judge(state: &State, written: u64, shadow: &str) -> Result<()> {
    if state.logged <= written || state.is_lost {
        return Ok(());
    }
    let reason = format!(
        "another session wrote {} rows of it, and only this run may. Let the job that loops over \
         all tables skip those whose names end with _ag_shadow",
        state.logged - written
    );
    Err(Error::new(Kind::Missed, attempted(shadow), reason))
}

fn attempted(shadow: &str) -> String {
    format!("keep {shadow} as this run made it")
}

impl Writing<'_> {
    /// Notes that the write has ended, and how many rows it wrote.
    pub(crate) fn end(mut self, outcome: Result<u64>) -> Result<u64> {
        let mut state = self.shadow_writes.state();
        match &outcome {
            Ok(rows) => state.written += rows,
            Err(error) => state.is_lost |= error.kind == Kind::Disconnected,
        }
        state.ended += 1;
        self.has_ended = true;
        outcome
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            let mut state = self.shadow_writes.state();
            state.ended += 1;
            state.is_lost = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHADOW: &str = "s._t_ag_shadow";

    #[test]
    fn rows_of_others_are_missed_ones() {
        let shadow_writes = ShadowWrites::default();
        assert!(shadow_writes.begin().end(Ok(3)).is_ok());
        assert!(shadow_writes.record(3, Marker(1), SHADOW).is_ok());
        assert!(shadow_writes.check_under_lock(0, SHADOW).is_ok());
        assert!(shadow_writes.begin().end(Ok(2)).is_ok());
        assert!(
            shadow_writes.check_under_lock(2, SHADOW).is_ok(),
            "the last rows lie behind the \
                                                                    mark"
        );
        shadow_writes.record(4, Marker(2), SHADOW).unwrap();
        assert_eq!(shadow_writes.check_under_lock(2, SHADOW).unwrap_err().kind, Kind::Missed);
    }

    #[test]
    fn a_quiet_run_notices_at_the_next_mark() {
        let shadow_writes = ShadowWrites::default();
        shadow_writes.request_check(|| Marker(5));
        assert!(shadow_writes.record(1, Marker(4), SHADOW).is_ok());
        assert_eq!(shadow_writes.record(1, Marker(5), SHADOW).unwrap_err().kind, Kind::Missed);
        shadow_writes.request_check(|| Marker(6));
        assert!(shadow_writes.begin().end(Ok(1)).is_ok());
        assert!(shadow_writes.record(2, Marker(6), SHADOW).is_ok(), "it wrote meanwhile");
    }

    #[test]
    fn a_write_without_an_answer_is_not_guessed() {
        let shadow_writes = ShadowWrites::default();
        drop(shadow_writes.begin());
        assert_eq!(shadow_writes.check_under_lock(0, SHADOW).unwrap_err().kind, Kind::Disconnected);
        shadow_writes.restart(1);
        let failed = shadow_writes.begin().end(Err(Error::new(Kind::Transient, "a", "b")));
        assert!(
            failed.is_err() && shadow_writes.check_under_lock(0, SHADOW).is_ok(),
            "it was \
                                                                                       rolled \
                                                                                       back"
        );
    }
}
