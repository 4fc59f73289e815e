//! The tables of orders and history.

use crate::sql::quote::literal;
use altergeist_contract::{Moment, NotedOrder, OrderAnswer};

/// Makes the tables. Who may insert `run_id` and `word` alone gives orders in his own name.
pub(crate) const CREATE: &str = include_str!("order_tables.sql");

/// What of the tables is not as this tool makes it, and whether it could run the code of another
/// user in the name of whoever uses them.
pub(crate) const STRANGERS: &str = include_str!("order_strangers.sql");

/// Whether both tables are there.
pub(crate) const TABLES_EXIST: &str = "
    SELECT to_regclass('altergeist.orders') IS NOT NULL
       AND to_regclass('altergeist.history') IS NOT NULL";

/// The account of this session, as `given_by` has it.
pub(crate) const ACCOUNT: &str = "SELECT SESSION_USER::text";

/// Runs statements on a table of these under its lock, after the proof that it bears no code: the
/// name of what does is no number.
pub(crate) fn with_orders(table: &str, statements: &str) -> String {
    format!(
        "LOCK TABLE ONLY altergeist.{table} IN ROW EXCLUSIVE MODE;\nSELECT object::int FROM \
         ({STRANGERS}) AS found (object, why, bears_code);\n{statements}"
    )
}

/// Forgets what is older than so many seconds.
pub(crate) fn forget(seconds: u64) -> String {
    format!(
        "DELETE FROM ONLY altergeist.orders WHERE given_at < now() - interval '{seconds} s';
        DELETE FROM ONLY altergeist.history WHERE at < now() - interval '{seconds} s'"
    )
}

/// Orders that a process obeys when it begins, though they are answered.
const OF_EARLIER: &str = " OR expires_at IS NULL OR (outcome = 'done' AND
            word ~ '^(approve|postpone|cut-over|unpostpone|no-postpone|force)\\M')";

/// Marks new orders as taken, and lists those that are taken and not answered; the standing ones
/// and those that outlive their process too, if a process begins.
pub(crate) fn take(run: &str, begins: bool) -> String {
    let run = literal(run);
    let standing = if begins { OF_EARLIER } else { "" };
    format!(
        "UPDATE ONLY altergeist.orders SET taken_at = now()
        WHERE run_id = {run} AND taken_at IS NULL AND (expires_at IS NULL OR expires_at > now());
        SELECT id, word, given_by, outcome IS NOT NULL, expires_at IS NULL FROM ONLY altergeist.orders
        WHERE run_id = {run} AND taken_at IS NOT NULL AND (outcome IS NULL{standing}) ORDER BY id"
    )
}

/// Notes an order that was carried out. It expires at once, so that it stands for nobody.
pub(crate) fn note_order(run: &str, order: &NotedOrder) -> String {
    let outcome = if order.answer.is_done { "done" } else { "refused" };
    format!(
        "INSERT INTO altergeist.orders (run_id, word, given_by, expires_at, taken_at, outcome,
            answer)
        VALUES ({}, {}, {}, now(), now(), '{outcome}', {})",
        literal(run),
        literal(&order.word),
        literal(&order.given_by),
        literal(&order.answer.answer)
    )
}

pub(crate) fn answer(id: u64, answer: &OrderAnswer) -> String {
    let outcome = if answer.is_done { "done" } else { "refused" };
    format!(
        "UPDATE ONLY altergeist.orders SET outcome = '{outcome}', answer = {} WHERE id = {id} AND \
         outcome IS NULL",
        literal(&answer.answer)
    )
}

/// Gives order $2 to run $1. Whoever gives orders may not own the table, so nothing is proven here.
pub(crate) fn give(is_standing: bool) -> &'static str {
    if is_standing {
        "INSERT INTO altergeist.orders (run_id, word, expires_at) VALUES ($1, $2, NULL)
        RETURNING id"
    } else {
        "INSERT INTO altergeist.orders (run_id, word) VALUES ($1, $2) RETURNING id"
    }
}

/// The last run of table $1.
pub(crate) const LAST_RUN: &str = "
    SELECT run_id FROM altergeist.history WHERE table_name = $1 ORDER BY id DESC LIMIT 1";

/// The answer to order $1, if there is one.
pub(crate) const ANSWER_OF: &str = "
    SELECT outcome, answer FROM ONLY altergeist.orders WHERE id = $1 AND outcome IS NOT NULL";

pub(crate) fn note(moment: &Moment) -> String {
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    format!(
        "INSERT INTO altergeist.history (run_id, table_name, phase, percent, rows_copied,
            rows_verified, rows_estimated, rows_per_second, pending_keys, eta_seconds,
            replica_lag_seconds, reason)
        VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        literal(&moment.run),
        literal(&moment.table),
        literal(&moment.phase),
        moment.percent,
        moment.rows_copied,
        moment.rows_verified,
        moment.rows_estimated,
        moment.rows_per_second,
        moment.pending_keys,
        or_null(moment.eta_seconds.map(|seconds| seconds.to_string())),
        or_null(moment.replica_lag_seconds.map(|seconds| seconds.to_string())),
        or_null(moment.reason.as_deref().map(literal)),
    )
}
