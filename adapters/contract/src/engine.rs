//! The roles an engine plays for the core: the change of one table on one server.
//!
//! Any future here may be dropped at any `await`. What it leaves half done must be harmless. The
//! engine must continue to work, or answer [`Kind::Disconnected`](crate::Kind::Disconnected).

use crate::{
    Backfill, Chunk, ColumnCounts, Key, Marker, Measure, OnlineSteps, OrderTable, Pairs, Plan,
    Position, Reading, Record, Result, RetainedLog, Reversal, SkippableLog, Target, Turns,
    UnloggedChanges, WatchedReplicas, Watermark,
};
use std::time::Duration;

/// How many commits show the usual latency: a second of heartbeats, or more if they are slow.
const COMMITS: usize = 12;
/// How many of the last commits show the worst latency.
const COMMITS_WORST: usize = 3;

/// All the roles together. One value is one process's work on one table.
pub trait Engine:
    Preflight
    + Journal
    + Shadow
    + Cutover
    + Gauge
    + Inquiry
    + Measure
    + OrderTable
    + OnlineSteps
    + SkippableLog
    + RetainedLog
    + UnloggedChanges
    + Backfill
    + Turns
    + Pairs
    + Reversal
    + Sized
{
    /// The log, as this engine reads it.
    type Stream: ChangeStream;

    /// Connects, and finds the table. Changes nothing on the server.
    ///
    /// # Errors
    /// `Refused` for a URL that cannot be read, a table that does not exist or a server that is too
    /// old, naming it; `Disconnected` if the server cannot be reached.
    async fn connect(target: &Target) -> Result<Self>;

    /// Takes the run lock of the table. It is held until this value is dropped or the process dies.
    ///
    /// Once it is taken, no statement of an earlier holder runs on the server, and none will. The
    /// engine kills what a dead process left behind, and waits until it has ended.
    async fn hold(&self) -> Result<Hold>;

    /// Who holds the run lock, for people. None if nobody does: then a run that is not done is
    /// dead. Takes no lock and kills nothing.
    async fn holder(&self) -> Result<Option<String>>;

    /// Proves that the run lock is still ours. The core asks before every turn.
    ///
    /// # Errors
    /// `Disconnected` if it was lost.
    async fn still_held(&self) -> Result<()>;

    /// Makes the server retain its log from now on (slot, publication, heartbeat), and returns the
    /// position to read from. Every transaction with changes before that position is visible to any
    /// read that begins after this returns. That includes transactions that were running or
    /// prepared at the call.
    ///
    /// # Errors
    /// `Busy` if transactions that were already running did not end within the lock timeout. It
    /// names them.
    async fn open_log(&self) -> Result<Position>;

    /// Reads the log from a position of [`Engine::open_log`] or of a delivery.
    ///
    /// # Errors
    /// `Fatal` if the server no longer has the position, or if it is another server's.
    async fn follow(&self, from: &Position) -> Result<Self::Stream>;

    /// Proves that the log delivered every row of the source that changed since
    /// [`Engine::open_log`]. Marks that arrive prove nothing about rows. The core asks at every
    /// turn, so an answer may be a second old. Before the log is open there is nothing to prove.
    ///
    /// # Errors
    /// `Missed` if the log left rows out, or may have, even if its settings were restored since.
    /// `Fatal` if the source is gone, renamed, or changed in a way that the shadow cannot follow.
    /// It says how to continue.
    async fn check_stream(&self) -> Result<()>;

    /// Writes a mark into the log. Everything that a read begun before this call could see lies
    /// before the mark. The stream passes the mark soon, without waiting for other traffic.
    async fn mark(&self) -> Result<Marker>;
}

/// The answer to [`Engine::hold`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hold {
    /// The lock is ours.
    Taken,
    /// Another run holds it. Who, for people: user, host, process, since when.
    HeldBy(String),
}

/// Finds out what would happen.
pub trait Preflight {
    /// The table, qualified and as the server spells it.
    fn table(&self) -> &str;

    /// Plans the change. Changes nothing that outlives the call: the engine tries the clauses on an
    /// empty clone. The plan refuses what cannot be done safely, and names every object.
    async fn plan(&self) -> Result<Plan>;

    /// Carries out [`Verdict::Native`](crate::Verdict::Native) once. Waits for its lock no longer
    /// than the lock timeout.
    ///
    /// # Errors
    /// `Busy` if the lock did not come in time. Then nothing happened.
    async fn alter_natively(&self, statement: &str) -> Result<()>;

    /// Lists what this tool has left on the server for this table, finished or not.
    async fn leftovers(&self) -> Result<Vec<Leftover>>;

    /// Drops what [`Preflight::leftovers`] lists and nothing else; the old table only if `old_too`.
    /// Deletes the journal's entry last. Runs under the run lock.
    async fn cleanup(&self, old_too: bool) -> Result<()>;
}

/// Something this tool has left on the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leftover {
    /// What it is, by name: "shadow table shop._orders_ag_shadow".
    pub object: String,
    /// Why it is there, and whether it is needed.
    pub reason: String,
    /// What `cleanup` does with it.
    pub disposal: Disposal,
}

/// What `cleanup` does with a leftover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// It is dropped.
    Dropped,
    /// It is the old table, or belongs to it: dropped only if the old table is.
    DroppedWithOld,
    /// It bears a name of ours, and nothing proves that we made it: a person must look.
    Unclaimed,
}

/// Keeps the record of the run, on the server beside the table.
pub trait Journal {
    /// Reads the table's record, if it is still about this table. The record of a finished change
    /// counts only while the table is the one that the change made. For a change that the server
    /// does by itself ([`Stage::Altering`](crate::Stage::Altering)), an engine that can tell
    /// whether it happened returns the record as done, or none.
    async fn load(&self) -> Result<Option<Record>>;

    /// Writes the record, as durably as the server's own settings allow. Runs under the run lock.
    async fn save(&self, record: &Record) -> Result<()>;
}

/// The server's log, as keys of the source whose rows changed.
pub trait ChangeStream {
    /// Waits for the next delivery. Cancel-safe. Every delivered change is visible to any read that
    /// begins later (law 1), in the order of the log. An idle log delivers too, without keys,
    /// whenever it passes a mark.
    ///
    /// # Errors
    /// `Disconnected` if the log can be read again from the last saved position. `Fatal` for an
    /// event that cannot be decoded, for DDL of others on the source or the shadow, and for a log
    /// that is gone.
    async fn next(&mut self) -> Result<Changes>;

    /// Lets the server discard the log before this position, which is saved (law 6).
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
    /// Creates the empty shadow and alters it. Locks nothing of the source, except to read its
    /// definition.
    ///
    /// # Errors
    /// `Refused` with the server's own words if it rejects the clauses.
    async fn create(&self) -> Result<()>;

    /// Finds the next range of about `rows` rows of the source after a watermark. The key of its
    /// last row is the end of the range. If the source has fewer rows, the range has no upper
    /// bound.
    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk>;

    /// Copies a chunk by one plain INSERT, and returns the number of rows. The shadow holds no row
    /// of the range, so every conflict is news. It copies all rows or none.
    ///
    /// # Errors
    /// `Stale` if a row of another key is in the way in a unique index. `Transient`. `Fatal` for a
    /// value that does not fit; it names the column.
    async fn copy(&self, chunk: &Chunk) -> Result<u64>;

    /// Makes the shadow's rows of these keys equal to the source's, up to the watermark, whatever
    /// both held before. One transaction first deletes all of them, then inserts those that exist.
    ///
    /// # Errors
    /// As for [`Shadow::copy`].
    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()>;

    /// Deletes the shadow's rows beyond the watermark. An interrupted copy turn left them.
    async fn clear_beyond(&self, through: &Watermark) -> Result<()>;

    /// Deletes all rows of the shadow: the source was emptied.
    async fn clear(&self) -> Result<()>;

    /// Builds what the copy left out (secondary indexes). May be called again after a crash; does
    /// nothing if nothing is missing. Gently: with one processor, if the server can do that.
    async fn complete(&self, gently: bool) -> Result<()>;

    /// Whether rows may be compared while [`Shadow::complete`] works.
    fn compares_beside_builds(&self) -> bool {
        false
    }

    /// Has the server collect statistics of the shadow, so that its plans are good from the first
    /// statement. Rows may be refreshed and compared meanwhile; the lock can be taken only
    /// afterwards. Gently: slowly, if the server can do that.
    async fn analyze(&self, gently: bool) -> Result<()>;

    /// Compares source and shadow over a range, in one snapshot and in the shadow's types.
    ///
    /// # Errors
    /// `Fatal` if more than a few thousand rows differ.
    async fn compare(&self, chunk: &Chunk) -> Result<Comparison>;

    /// Compares the rows of these keys in one snapshot. Returns the keys that differ.
    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>>;

    /// Lists the shadow's unique indexes that the rows of the source violate now.
    async fn duplicates(&self) -> Result<Vec<Duplicates>>;
}

/// What a comparison found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// Rows of the source in the range.
    pub rows: u64,
    /// Keys whose rows differ, or that only one of the two tables holds.
    pub differing: Vec<Key>,
    /// What was counted of the columns whose values change.
    pub columns: Vec<ColumnCounts>,
}

/// Rows that violate a unique index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Duplicates {
    /// The unique index, as the shadow will have it.
    pub index: String,
    /// How many distinct values occur more than once.
    pub values: u64,
}

/// Puts the shadow in the source's place.
pub trait Cutover {
    /// The lock held while the last changes are drained.
    type Lock: TableLock;

    /// Locks source and shadow against all others. Waits no longer than `within`. So no other
    /// session queues behind it for longer than that.
    ///
    /// # Errors
    /// `Busy`. It names the session in the way.
    async fn lock(&self, within: Duration) -> Result<Self::Lock>;

    /// Which table has the name now (law 7). Asks on a new connection, after everything that the
    /// lost one may have sent has ended.
    async fn ownership(&self) -> Result<Ownership>;

    /// After the swap: does what the table needs and the swap left for later. The log stays
    /// open. May be called again.
    async fn settle(&self) -> Result<()>;

    /// After the swap: removes what only the run needed, and keeps the old table. Does first what
    /// [`Cutover::settle`] does. May be called again.
    async fn finish(&self) -> Result<()>;
}

/// The lock on source and shadow, and all that may be done under it. Dropping it releases the lock.
pub trait TableLock {
    /// Writes a mark into the log behind everything ever written to the source.
    async fn mark(&mut self) -> Result<Marker>;

    /// [`Shadow::refresh`] up to the end of the key space, on the connection that holds the lock.
    /// It counts only if the swap happens. Any other end of the lock may undo it, so the keys stay
    /// pending until then.
    async fn refresh(&mut self, keys: &[Key]) -> Result<()>;

    /// [`Shadow::clear`] on the connection that holds the lock; it counts like
    /// [`TableLock::refresh`].
    async fn clear(&mut self) -> Result<()>;

    /// [`Engine::check_stream`] under the lock, never from memory, about everything written before
    /// the lock. The core asks after the last mark has passed, right before the swap. If a change
    /// of the log's settings is committed and not visible yet, this waits for it, no longer than
    /// the lock timeout.
    async fn check_stream(&mut self) -> Result<()>;

    /// Swaps the two tables atomically, and releases the lock.
    async fn swap(self) -> Swap;

    /// Releases the lock without a swap.
    async fn release(self) -> Result<()>;
}

/// What became of a swap.
#[derive(Debug)]
pub enum Swap {
    /// It happened.
    Done,
    /// It did not happen, and the lock is gone.
    Refused(crate::Error),
    /// The swap was sent, and no answer came.
    Unknown(crate::Error),
}

/// Which table has the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// The source: nothing was swapped.
    Source,
    /// The shadow: the swap happened.
    Shadow,
    /// Neither is proven. What was found, for the person who must look.
    Unclear(String),
}

/// Asks the server what the operator wants to know, in the operator's own SQL.
pub trait Inquiry {
    /// Returns the one value of the answer, as text; None for NULL and for no row. `{old}` and
    /// `{new}` in the question stand for the table and its shadow. The transaction is read only.
    ///
    /// # Errors
    /// `Refused` with the server's own words if it does not accept the question, and if the answer
    /// has more than one value. The words hold no value of a row. `Disconnected` if the connection
    /// is lost.
    async fn ask(&self, question: &str) -> Result<Option<String>>;
}

/// Measures what the run does to others.
pub trait Gauge {
    /// How far each replica is behind: by this run's own heartbeats, or by the operator's query.
    async fn replica_lags(&self, watched: WatchedReplicas<'_>) -> Result<Vec<ReplicaLag>>;

    /// How long small commits take now: what the application feels. Measured by the run's own
    /// heartbeats; None if there was none lately.
    fn commit_latency(&self) -> Option<CommitLatency>;

    /// How heavily the server is used now, by metrics of its own, in the order of the question.
    ///
    /// # Errors
    /// `Refused` for a metric that the server does not have, or does not show to this user. It
    /// names the metric.
    async fn loads(&self, measures: &[&str]) -> Result<Vec<f64>>;

    /// Reads a number that a signal needs.
    ///
    /// # Errors
    /// `Refused` if the server does not tell it, or not to this user. It says what helps.
    async fn read(&self, reading: Reading) -> Result<u64>;

    /// The progress of [`Shadow::complete`] from 0 to 1, by the server's own counters. None where
    /// they cannot be read.
    async fn built(&self) -> Option<f64> {
        None
    }
}

/// How long small commits take. Heartbeats measure it ten times a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitLatency {
    /// As the slowest quarter of the last second does.
    pub usual: Duration,
    /// The slowest of the last ones, over some three tenths of a second.
    pub worst: Duration,
}

impl CommitLatency {
    /// Made from the times of the last commits, the latest first, and the wait for one that has not
    /// returned. None if there is neither.
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
    /// How far it is behind. None if that is unknown (stopped, out of reach), which counts as too
    /// far.
    pub lag: Option<Duration>,
    /// Why it is unknown, if more is known than that it did not answer.
    pub reason: Option<String>,
}
