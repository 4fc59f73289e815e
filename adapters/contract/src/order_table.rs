//! Orders given by SQL, and the history of runs: two tables beside the journal.

use crate::Result;
use std::time::Duration;

/// How long a row of the history, or an answered order, is kept.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// An order that a run has taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GivenOrder {
    /// Its number in the table.
    pub id: u64,
    /// The order as it was written.
    pub word: String,
    /// Who gave it: the server's account, or `NAME@DOOR` if it came through another door.
    pub given_by: String,
    /// Whether an earlier process has answered it.
    pub is_answered: bool,
    /// Whether every process of the run obeys it.
    pub is_standing: bool,
}

/// An order that came through another door and was carried out. The table is its record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotedOrder {
    /// The order, without URLs.
    pub word: String,
    /// Who gave it, as `ann@console`.
    pub given_by: String,
    /// What became of it.
    pub answer: OrderAnswer,
}

/// Whether the next process must know of an order that was carried out: a plan stays approved, and
/// a swap stays postponed.
pub fn outlives_its_process(word: &str) -> bool {
    const WORDS: [&str; 6] =
        ["approve", "postpone", "cut-over", "unpostpone", "no-postpone", "force"];
    word.split_whitespace().next().is_some_and(|first| WORDS.contains(&first))
}

/// What became of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderAnswer {
    /// Whether it was carried out.
    pub is_done: bool,
    /// The answer, or why not.
    pub answer: String,
}

/// A moment of a run, as the history keeps it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Moment {
    /// The run's name.
    pub run: String,
    /// The table, qualified.
    pub table: String,
    /// The phase as status prints it.
    pub phase: String,
    /// How much of the phase is done, in percent.
    pub percent: f64,
    /// Rows copied.
    pub rows_copied: u64,
    /// Rows proven equal.
    pub rows_verified: u64,
    /// The estimate of the table's rows.
    pub rows_estimated: u64,
    /// Rows that the present phase does in a second.
    pub rows_per_second: u64,
    /// Changed keys to refresh.
    pub pending_keys: u64,
    /// How long the phase will last.
    pub eta_seconds: Option<u64>,
    /// The greatest lag of the replicas that count.
    pub replica_lag_seconds: Option<f64>,
    /// Why the run is throttled, or what it waits for.
    pub reason: Option<String>,
}

/// The tables of orders and history. A user who may insert into the first may steer the run.
///
/// Nothing of a run depends on them: without them it goes on.
pub trait OrderTable {
    /// Makes the tables if they are missing, and deletes what is older than [`KEPT`].
    ///
    /// # Errors
    /// `Refused` if they are not as this tool makes them, or may run the code of another user.
    async fn make_order_tables(&self) -> Result<()>;

    /// The account of this process, as the server writes it into `given_by`.
    async fn account(&self) -> Result<String>;

    /// Takes the orders for this run that nobody has taken and that have not expired, oldest first.
    /// A process that begins also takes what an earlier process took and did not answer, every
    /// standing order (without an end), answered or not, and what was carried out and
    /// [outlives its process](outlives_its_process).
    async fn take_orders(&self, run: &str, begins: bool) -> Result<Vec<GivenOrder>>;

    /// Answers an order. The first answer stays.
    async fn answer_order(&self, id: u64, answer: &OrderAnswer) -> Result<()>;

    /// Notes an order that was carried out. No process carries it out for this row.
    async fn note_order(&self, run: &str, order: &NotedOrder) -> Result<()>;

    /// Gives an order to a run. It expires after ten minutes, unless it is standing. Returns its
    /// number.
    async fn give_order(&self, run: &str, word: &str, is_standing: bool) -> Result<u64>;

    /// The last run of this table, by its history. None if there is none.
    async fn last_run(&self) -> Result<Option<String>>;

    /// The answer to an order, if there is one.
    async fn order_answer(&self, id: u64) -> Result<Option<OrderAnswer>>;

    /// Writes a row of the history.
    async fn note_moment(&self, moment: &Moment) -> Result<()>;
}
