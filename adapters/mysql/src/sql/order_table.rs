//! The tables of orders and history.

use crate::server::names::TableName;
use crate::sql::quote::{sign, string, table};
use altergeist_contract::{Moment, NotedOrder, OrderAnswer};

/// The account of this session, as `given_by` has it.
pub(crate) const ACCOUNT: &str = "SELECT CURRENT_USER()";

/// Who may insert `run_id` and `word` alone gives orders in his own name.
pub(crate) fn create_orders(orders: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
            id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
            run_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
            word VARCHAR(1024) CHARACTER SET utf8mb4 NOT NULL,
            given_by VARCHAR(512) CHARACTER SET utf8mb4 NOT NULL DEFAULT (CURRENT_USER()),
            given_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
            expires_at TIMESTAMP NULL DEFAULT (CURRENT_TIMESTAMP + INTERVAL 10 MINUTE),
            taken_at TIMESTAMP NULL,
            outcome VARCHAR(16) CHARACTER SET utf8mb4 NULL,
            answer LONGTEXT CHARACTER SET utf8mb4 NULL,
            KEY (run_id)
        ) ENGINE = InnoDB COMMENT = 'altergeist: orders to the schema changes under way'",
        table(orders)
    )
}

pub(crate) fn create_history(history: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
            id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
            at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
            run_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
            table_name VARCHAR(200) CHARACTER SET utf8mb4 NOT NULL,
            phase VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
            percent DOUBLE NOT NULL,
            rows_copied BIGINT UNSIGNED NOT NULL,
            rows_verified BIGINT UNSIGNED NOT NULL,
            rows_estimated BIGINT UNSIGNED NOT NULL,
            rows_per_second BIGINT UNSIGNED NOT NULL,
            pending_keys BIGINT UNSIGNED NOT NULL,
            eta_seconds BIGINT UNSIGNED NULL,
            replica_lag_seconds DOUBLE NULL,
            reason TEXT CHARACTER SET utf8mb4 NULL,
            KEY (at)
        ) ENGINE = InnoDB COMMENT = 'altergeist: how schema changes went'",
        table(history)
    )
}

/// Keeps everybody else from the table, and from putting another in its place.
pub(crate) fn lock(name: &TableName) -> String {
    format!("LOCK TABLES {} WRITE", table(name))
}

/// Ends the lock.
pub(crate) const UNLOCK: &str = "UNLOCK TABLES";

/// Forgets what is older than so many seconds.
pub(crate) fn forget_orders(orders: &TableName, seconds: u64) -> String {
    format!("DELETE FROM {} WHERE given_at < NOW() - INTERVAL {seconds} SECOND", table(orders))
}

/// Forgets what is older than so many seconds.
pub(crate) fn forget_history(history: &TableName, seconds: u64) -> String {
    format!("DELETE FROM {} WHERE at < NOW() - INTERVAL {seconds} SECOND", table(history))
}

/// Marks orders as taken: new ones, and those that an earlier process left without an answer.
pub(crate) fn mark_taken(orders: &TableName, run: &str) -> String {
    format!(
        "UPDATE {} SET taken_at = NOW() WHERE run_id = {} AND taken_at IS NULL AND (expires_at IS \
         NULL OR expires_at > NOW())",
        table(orders),
        string(run)
    )
}

/// Orders that a process obeys when it begins, though they are answered.
const OF_EARLIER: &str = " OR expires_at IS NULL OR (outcome = 'done' AND word REGEXP \
                          '^(approve|postpone|cut-over|unpostpone|no-postpone|force)( |$)')";

/// Orders that are taken and not answered; the standing ones and those that outlive their process
/// too, if a process begins.
pub(crate) fn taken(orders: &TableName, run: &str, begins: bool) -> String {
    let standing = if begins { OF_EARLIER } else { "" };
    format!(
        "SELECT id, word, given_by, outcome IS NOT NULL, expires_at IS NULL FROM {} WHERE run_id = \
         {} AND taken_at IS NOT NULL AND (outcome IS NULL{standing}) ORDER BY id",
        table(orders),
        string(run)
    )
}

/// Notes an order that was carried out. It expires at once, so that it stands for nobody.
pub(crate) fn note_order(orders: &TableName, run: &str, order: &NotedOrder) -> String {
    let outcome = if order.answer.is_done { "done" } else { "refused" };
    format!(
        "INSERT INTO {} (run_id, word, given_by, expires_at, taken_at, outcome, answer) VALUES \
         ({}, {}, {}, NOW(), NOW(), '{outcome}', {})",
        table(orders),
        string(run),
        string(&order.word),
        string(&order.given_by),
        string(&order.answer.answer)
    )
}

pub(crate) fn answer(orders: &TableName, id: u64, answer: &OrderAnswer) -> String {
    let outcome = if answer.is_done { "done" } else { "refused" };
    format!(
        "UPDATE {} SET outcome = '{outcome}', answer = {} WHERE id = {id} AND outcome IS NULL",
        table(orders),
        string(&answer.answer)
    )
}

pub(crate) fn give(orders: &TableName, run: &str, word: &str, is_standing: bool) -> String {
    let (column, value) = if is_standing { (", expires_at", ", NULL") } else { ("", "") };
    format!(
        "INSERT INTO {} (run_id, word{column}) VALUES ({}, {}{value})",
        table(orders),
        string(run),
        string(word)
    )
}

/// The number that the last order of this session got.
pub(crate) const LAST_ID: &str = "SELECT LAST_INSERT_ID()";

/// The last run of a table.
pub(crate) fn last_run(history: &TableName, title: &str) -> String {
    format!(
        "SELECT run_id FROM {} WHERE table_name = {} ORDER BY id DESC LIMIT 1",
        table(history),
        string(title)
    )
}

pub(crate) fn answer_of(orders: &TableName, id: u64) -> String {
    format!("SELECT outcome, answer FROM {} WHERE id = {id} AND outcome IS NOT NULL", table(orders))
}

pub(crate) fn note(history: &TableName, source: &TableName, moment: &Moment) -> String {
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    format!(
        "{}INSERT INTO {} (run_id, table_name, phase, percent, rows_copied, rows_verified, \
         rows_estimated, rows_per_second, pending_keys, eta_seconds, replica_lag_seconds, reason) \
         VALUES ({}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
        sign(source),
        table(history),
        string(&moment.run),
        string(&moment.table),
        string(&moment.phase),
        moment.percent,
        moment.rows_copied,
        moment.rows_verified,
        moment.rows_estimated,
        moment.rows_per_second,
        moment.pending_keys,
        or_null(moment.eta_seconds.map(|seconds| seconds.to_string())),
        or_null(moment.replica_lag_seconds.map(|seconds| seconds.to_string())),
        or_null(moment.reason.as_deref().map(string)),
    )
}
