//! Roles that only some servers need. Each method has a default, so an engine of another server
//! leaves the whole role empty.

use crate::{Key, Position, Result};
use std::time::Duration;

/// For a server that can do some changes by itself in several short steps.
pub trait OnlineSteps {
    /// Carries out what is left of [`Verdict::Online`](crate::Verdict::Online), the verdict of this
    /// value's last plan. Waits for no lock longer than the lock timeout. May be called again until
    /// it ends well, by another process too: the journal says how far it came.
    ///
    /// # Errors
    /// `Busy` if a lock did not come in time. `Refused` if the rows violate the clauses; then the
    /// steps so far are undone.
    async fn alter_online(&self) -> Result<()> {
        Err(crate::Error::fatal("alter the table step by step", "this engine plans no such change"))
    }

    /// Ends the step that another future of [`OnlineSteps::alter_online`] carries out now, so that
    /// it fails soon. A half-built index is dropped if nobody is in the way.
    async fn interrupt_online(&self) -> Result<()> {
        Ok(())
    }
}

/// For a server whose log may be skipped while nobody writes to the table.
pub trait SkippableLog {
    /// How often rows of the source were written, by the server's own count. It is a hint. None if
    /// the server does not count.
    async fn writes(&self) -> Result<Option<Writes>> {
        Ok(None)
    }

    /// A position as [`Engine::open_log`](crate::Engine::open_log) returns it, in the open log.
    /// Every transaction with changes before it is visible to any read that begins after this
    /// returns. None if there is no such position within a moment.
    async fn log_now(&self) -> Result<Option<Position>> {
        Ok(None)
    }

    /// Lets the server skip the log before a saved position of [`SkippableLog::log_now`]. Nobody
    /// follows the log now.
    async fn pass_log(&self, _before: &Position) -> Result<()> {
        Ok(())
    }
}

/// For a server that retains its log for each reader.
pub trait RetainedLog {
    /// How much log the server retains for this run alone, measured now. None if it retains nothing
    /// for single readers.
    async fn log_kept(&self) -> Result<Option<LogKept>> {
        Ok(None)
    }

    /// The limit of [`LogKept`] is reached and the run ends. Releases the log if nothing else keeps
    /// the server's disk from filling up. Says, for people, whether the run can continue later, and
    /// what to do.
    async fn give_up_log(&self) -> Result<String> {
        Ok("the same command continues from here".to_owned())
    }
}

/// For a server that changes rows because of others, and does not log it.
pub trait UnloggedChanges {
    /// Whether the log names every row that changes, by its own key. Elsewhere the change of
    /// another row names it, and the engine looks for it when it reads the log. A row that has got
    /// another key by then is not found. So the core must compare such rows at once.
    fn log_tells_all(&self) -> bool {
        true
    }

    /// The keys of other rows whose changes would explain that this row of the shadow differs. The
    /// core asks only when the log does not name the row itself.
    async fn causes(&self, _key: &Key) -> Result<Vec<Key>> {
        Ok(Vec::new())
    }
}

/// How often rows of the source were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writes {
    /// A number that changes with every write.
    pub count: u64,
    /// How late the server usually counts a write.
    pub late: Duration,
}

/// The log that the server retains for one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogKept {
    /// Its size.
    pub bytes: u64,
    /// The size at which the run must end; None without a limit.
    pub limit_bytes: Option<u64>,
}
