//! Roles that only some servers need. A method's default is the answer of a server without it, so
//! an engine of such a server leaves the whole role empty.

use crate::{Key, Position, Result};
use std::time::Duration;

/// For a server that can do some changes by itself in several short steps.
pub trait OnlineSteps {
    /// Carries out what is left of [`Verdict::Online`](crate::Verdict::Online), which the last plan
    /// of this value was, waiting for no lock longer than the lock timeout. May be called again
    /// until it ends well, by another process too: the journal says how far it came.
    ///
    /// # Errors
    /// `Busy` if a lock could not be had; `Refused` if the rows are not as the clauses demand: what
    /// was begun is undone then.
    async fn alter_online(&self) -> Result<()> {
        Err(crate::Error::fatal("alter the table step by step", "this engine plans no such change"))
    }
}

/// For a server whose log may be skipped while nobody writes to the table.
pub trait SkippableLog {
    /// How often rows of the source were written, as the server counts it: a hint. None where it
    /// does not count.
    async fn writes(&self) -> Result<Option<Writes>> {
        Ok(None)
    }

    /// A position as [`Engine::open_log`](crate::Engine::open_log) gives it, in the log that is
    /// open: every transaction whose changes lie before it is visible to any read begun after this
    /// returns. None if that cannot be had within a moment.
    async fn log_now(&self) -> Result<Option<Position>> {
        Ok(None)
    }

    /// Lets the server pass over what lies before a position of [`SkippableLog::log_now`], which is
    /// saved, without reading it. Nobody follows the log now.
    async fn pass_log(&self, _before: &Position) -> Result<()> {
        Ok(())
    }
}

/// For a server that retains its log for each reader.
pub trait RetainedLog {
    /// What the server keeps of its log for this run alone, measured now; None where it keeps
    /// nothing for single readers.
    async fn log_kept(&self) -> Result<Option<LogKept>> {
        Ok(None)
    }

    /// The bound of [`LogKept`] is reached and the run ends: lets go of the log if nothing else
    /// keeps the server's disk from filling up. Says, for people, whether the run can go on later
    /// and what must be done.
    async fn give_up_log(&self) -> Result<String> {
        Ok("the same command continues from here".to_owned())
    }
}

/// For a server that changes rows because of others, and does not log it.
pub trait UnloggedChanges {
    /// Whether the log tells of every row that changes, by its own key. Where others' changes tell
    /// of it, its rows are looked for when the log is read; a row that has gone on to another key
    /// by then is not found, so that a difference must be looked for at once.
    fn log_tells_all(&self) -> bool {
        true
    }

    /// The keys of other rows whose being changed would explain that this row of the shadow
    /// differs. Asked only when the log does not tell of the row itself.
    async fn causes(&self, _key: &Key) -> Result<Vec<Key>> {
        Ok(Vec::new())
    }
}

/// How often rows of the source were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writes {
    /// A number that changes with every row written.
    pub count: u64,
    /// How late a write is counted, as a rule.
    pub late: Duration,
}

/// What the server keeps of its log for one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogKept {
    /// Bytes of it.
    pub bytes: u64,
    /// Where the run must end; None if nobody has set a bound.
    pub limit_bytes: Option<u64>,
}
