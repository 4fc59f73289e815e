//! The roles an engine plays for the core: one table's change on one server.
//!
//! Any future here may be dropped at any `await`; what a dropped future leaves half done must be
//! harmless, and the engine must go on working or say
//! [`Kind::Disconnected`](crate::Kind::Disconnected).

use crate::{
    Chunk, Key, Marker, OnlineSteps, Plan, Position, Record, Result, RetainedLog, SkippableLog,
    Target, UnloggedChanges, Watermark,
};
use std::time::Duration;

/// Commits that say how long they usually take: a second of heartbeats, or more where they are
/// slow.
const COMMITS: usize = 12;
/// Commits the slowest of which counts.
const COMMITS_WORST: usize = 3;

/// All the roles together. One value is one process's work on one table.
pub trait Engine:
    Preflight
    + Journal
    + Shadow
    + Cutover
    + Gauge
    + OnlineSteps
    + SkippableLog
    + RetainedLog
    + UnloggedChanges
    + Sized
{
    /// The log, as read by this engine.
    type Stream: ChangeStream;

    /// Connects, and looks the table up. Changes nothing on the server.
    ///
    /// # Errors
    /// `Refused` for a URL that cannot be read, a table that does not exist or a server that is too
    /// old, naming it; `Disconnected` if the server cannot be reached.
    async fn connect(target: &Target) -> Result<Self>;

    /// Takes the run lock of the table, held until this value is dropped or the process dies.
    ///
    /// Once it is taken, no statement of an earlier holder is running on the server or will run:
    /// what a killed process left behind is ended and waited for.
    async fn hold(&self) -> Result<Hold>;

    /// Who holds the run lock, for people; None if nobody does, so that a run which is not done is
    /// dead. Takes nothing and ends nothing.
    async fn holder(&self) -> Result<Option<String>>;

    /// Proves that the run lock is still ours. Asked before every turn.
    ///
    /// # Errors
    /// `Disconnected` if it was lost.
    async fn still_held(&self) -> Result<()>;

    /// Makes the server keep its log from now on (slot, publication, heartbeat), and gives the
    /// position to read from. Every transaction whose changes lie before that position is visible
    /// to any read begun after this returns, transactions that were running or prepared when it was
    /// called included.
    ///
    /// # Errors
    /// `Busy` if transactions that were already running did not end within the lock timeout, naming
    /// them.
    async fn open_log(&self) -> Result<Position>;

    /// Reads the log from a position [`Engine::open_log`] gave or a delivery carried.
    ///
    /// # Errors
    /// `Fatal` if the server no longer has it, or is not the server that gave it.
    async fn follow(&self, from: &Position) -> Result<Self::Stream>;

    /// Proves that the log has told of every row of the source that changed since
    /// [`Engine::open_log`]: marks that arrive prove nothing about rows. Asked at every turn, so an
    /// answer may be a second old. Nothing to prove before the log is open.
    ///
    /// # Errors
    /// `Missed` if it has not, or need not have, even if what it depends on was put back since;
    /// `Fatal` if the source is gone, renamed or was changed in a way the shadow cannot follow,
    /// with the way out.
    async fn check_stream(&self) -> Result<()>;

    /// Puts a mark into the log. What any read begun before this call could see lies before the
    /// mark, and the stream passes the mark soon, without waiting for anybody's traffic.
    async fn mark(&self) -> Result<Marker>;
}

/// The answer to [`Engine::hold`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hold {
    /// The lock is ours.
    Taken,
    /// Somebody else holds it; who, for people: user, host, process, since when.
    HeldBy(String),
}

/// Finds out what would happen.
pub trait Preflight {
    /// The table, qualified and as the server spells it.
    fn table(&self) -> &str;

    /// What would happen. Changes nothing that outlives the call: the clauses are tried on an empty
    /// clone. What cannot be done safely is among the plan's refusals, every object by name.
    async fn plan(&self) -> Result<Plan>;

    /// Carries out [`Verdict::Native`](crate::Verdict::Native), once, waiting for its lock no
    /// longer than the lock timeout.
    ///
    /// # Errors
    /// `Busy` if the lock could not be had: nothing happened.
    async fn alter_natively(&self, statement: &str) -> Result<()>;

    /// What this tool has left on the server for this table, finished or not.
    async fn leftovers(&self) -> Result<Vec<Leftover>>;

    /// Drops what [`Preflight::leftovers`] lists, and nothing else; the old table only if
    /// `old_too`. The journal's entry goes last. Under the run lock.
    async fn cleanup(&self, old_too: bool) -> Result<()>;
}

/// Something this tool has left on the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// What it is, by name: "shadow table shop._orders_ag_shadow".
    pub object: String,
    /// Why it is there, and whether it is needed.
    pub reason: String,
    /// Whether it is the old table of a finished change: the way back.
    pub is_old_table: bool,
}

/// Keeps the record of the run, on the server beside the table.
pub trait Journal {
    /// The table's record, if there is one and it still speaks of this table: a record of a
    /// finished change counts only while the table is the one that change made. Of a change the
    /// server was told to do by itself ([`Stage::Altering`](crate::Stage::Altering)) an engine that
    /// can tell whether it happened gives the record as done, or none.
    async fn load(&self) -> Result<Option<Record>>;

    /// Writes the record, durably as far as the server's own settings go. Under the run lock.
    async fn save(&self, record: &Record) -> Result<()>;
}

/// The server's log, as keys of the source whose rows changed.
pub trait ChangeStream {
    /// Waits for the next delivery. Cancel-safe. Every change delivered is visible to any read
    /// begun later (law 1), in the order of the log. Quiet logs deliver too, without keys, whenever
    /// a mark is passed.
    ///
    /// # Errors
    /// `Disconnected` if the log can be read again from the last saved position; `Fatal` for an
    /// event that cannot be decoded, for DDL on the source or the shadow that is not ours, and for
    /// a log that is gone.
    async fn next(&mut self) -> Result<Changes>;

    /// Lets the server forget the log before this position, which is saved (law 6).
    async fn forget(&mut self, before: &Position) -> Result<()>;
}

/// One delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// Whether the source was emptied (TRUNCATE) before these keys changed.
    pub emptied: bool,
    /// Rows that changed: for a changed key, the key before and the key after.
    pub keys: Vec<Key>,
    /// Everything before this position is delivered.
    pub position: Position,
    /// The greatest mark of ours passed so far.
    pub marker: Marker,
}

/// The statements that move rows. Values never leave the server.
pub trait Shadow {
    /// Makes the empty shadow and alters it. Nothing of the source is locked beyond reading its
    /// definition.
    ///
    /// # Errors
    /// `Refused` with the server's own words if it will not have the clauses.
    async fn create(&self) -> Result<()>;

    /// The next range of about `rows` rows of the source after a mark: its last row's key is the
    /// range's end. If the source has fewer rows beyond the mark, the range has no upper bound.
    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk>;

    /// Copies a chunk by one plain INSERT, and says how many rows it was. The shadow holds no row
    /// of the range, so every conflict is news. All or nothing.
    ///
    /// # Errors
    /// `Stale` if a row of another key is in the way in a unique index; `Transient`; `Fatal` for a
    /// value that does not fit, naming the column.
    async fn copy(&self, chunk: &Chunk) -> Result<u64>;

    /// Makes the shadow's rows of these keys what the source holds of them up to the watermark,
    /// whatever both held before, in one transaction: first all of them are deleted, then those
    /// that exist are inserted.
    ///
    /// # Errors
    /// As for [`Shadow::copy`].
    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()>;

    /// Deletes the shadow's rows beyond the watermark: what a copy turn that did not end left
    /// behind.
    async fn clear_beyond(&self, through: &Watermark) -> Result<()>;

    /// Deletes all the shadow's rows: the source was emptied.
    async fn clear(&self) -> Result<()>;

    /// Builds what was left out while copying (secondary indexes). May be called again after a
    /// crash; does nothing if nothing is missing. Gently: with one processor, as far as that can be
    /// had.
    async fn complete(&self, gently: bool) -> Result<()>;

    /// Whether rows may be compared while [`Shadow::complete`] works.
    fn compares_beside_builds(&self) -> bool {
        false
    }

    /// Lets the server look at the shadow, so that its plans are good from the first statement.
    /// Rows may be refreshed and compared meanwhile; the lock can only be had afterwards. Gently:
    /// slowly, as far as that can be had.
    async fn analyze(&self, gently: bool) -> Result<()>;

    /// Compares source and shadow over a range in one snapshot of the server, in the shadow's
    /// types.
    ///
    /// # Errors
    /// `Fatal` if more than a few thousand rows differ.
    async fn compare(&self, chunk: &Chunk) -> Result<Comparison>;

    /// Compares the rows of these keys, in one snapshot; gives the keys that differ.
    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>>;

    /// The shadow's unique indexes over which the source, as it is now, holds duplicates.
    async fn duplicates(&self) -> Result<Vec<Duplicates>>;
}

/// What a comparison found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// Rows of the source in the range.
    pub rows: u64,
    /// Keys whose rows differ, or that only one of the two tables holds.
    pub differing: Vec<Key>,
}

/// Rows that cannot stand together in a unique index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duplicates {
    /// The unique index, as the shadow will have it.
    pub index: String,
    /// How many distinct values are held more than once.
    pub values: u64,
}

/// Puts the shadow in the source's place.
pub trait Cutover {
    /// The lock held while the last changes are drained.
    type Lock: TableLock;

    /// Locks source and shadow against everybody. Waits no longer than `within`, and gives up
    /// without having queued anybody behind it for longer than that.
    ///
    /// # Errors
    /// `Busy`, naming who is in the way.
    async fn lock(&self, within: Duration) -> Result<Self::Lock>;

    /// Who answers to the table's name now (law 7). Asked on a fresh connection, after everything
    /// the lost one may have sent has ended.
    async fn ownership(&self) -> Result<Ownership>;

    /// After the swap: takes away what was needed only during the run, and keeps the old table. May
    /// be called again.
    async fn finish(&self) -> Result<()>;
}

/// Source and shadow, locked: the only things that may be done meanwhile. Dropping it releases the
/// lock.
pub trait TableLock {
    /// Puts a mark into the log behind everything ever written to the source.
    async fn mark(&mut self) -> Result<Marker>;

    /// [`Shadow::refresh`] up to the end of the key space, on the connection that holds the lock.
    /// It counts only if the swap happens: whatever else ends the lock may undo it, so the keys
    /// stay pending until then.
    async fn refresh(&mut self, keys: &[Key]) -> Result<()>;

    /// [`Shadow::clear`] on the connection that holds the lock; it counts like
    /// [`TableLock::refresh`].
    async fn clear(&mut self) -> Result<()>;

    /// [`Engine::check_stream`] under the lock, never from memory: about everything written before
    /// the lock. Asked after the last mark has passed, right before the swap. Waits for a change of
    /// what the log depends on that is committed and not visible yet, no longer than the lock
    /// timeout.
    async fn check_stream(&mut self) -> Result<()>;

    /// Swaps the two tables atomically, and lets go of the lock.
    async fn swap(self) -> Swap;

    /// Lets go of the lock; nothing is swapped.
    async fn release(self) -> Result<()>;
}

/// What became of a swap.
#[derive(Debug)]
pub enum Swap {
    /// It happened.
    Done,
    /// It did not happen, and the lock is gone.
    Refused(crate::Error),
    /// It was sent, and no answer came.
    Unknown(crate::Error),
}

/// Who answers to the table's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// The source: nothing was swapped.
    Source,
    /// The shadow: the swap happened.
    Shadow,
    /// Neither can be proven; what was found, for the person who must look.
    Unclear(String),
}

/// Measures what the run does to others.
pub trait Gauge {
    /// How far each given replica is behind, measured by this run's own heartbeats.
    async fn replica_lags(&self) -> Result<Vec<ReplicaLag>>;

    /// How long small commits take the server now: what the application feels. Measured by the
    /// run's own heartbeats; None if there was none lately.
    fn commit_latency(&self) -> Option<CommitLatency>;

    /// How heavily the server is used now, by measures of its own, in the order they are asked for.
    ///
    /// # Errors
    /// `Refused` for a measure the server does not have, or does not tell this user of, naming it.
    async fn loads(&self, measures: &[&str]) -> Result<Vec<f64>>;

    /// How much of what [`Shadow::complete`] builds is there, from 0 to 1, by the server's own
    /// counters, while it works; None where they cannot be read.
    async fn built(&self) -> Option<f64> {
        None
    }
}

/// How long small commits take, as heartbeats tell that are sent ten times a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitLatency {
    /// As the slowest quarter of the last second does.
    pub usual: Duration,
    /// The slowest of the last ones, some three tenths of a second.
    pub worst: Duration,
}

impl CommitLatency {
    /// From how long the last commits took, the latest first, and how long one that is due has been
    /// waited for; None if there is neither.
    pub fn of(
        latest: impl Iterator<Item = Duration>,
        waited: Option<Duration>,
    ) -> Option<CommitLatency> {
        let mut took: Vec<Duration> = latest.take(COMMITS).collect();
        let worst = took.iter().take(COMMITS_WORST).copied().max();
        took.sort_unstable();
        let usual = took.get(took.len() * 3 / 4).copied();
        Some(CommitLatency { usual: usual.max(waited)?, worst: worst.max(waited)? })
    }
}

/// One replica's lag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaLag {
    /// The replica, as host and port.
    pub replica: String,
    /// How far it is behind; None if it cannot be told (stopped, out of reach), which counts as too
    /// far.
    pub lag: Option<Duration>,
}
