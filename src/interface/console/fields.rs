//! What SHOW shows of the run's status: each column once, with its type and where its value comes
//! from. A part of the status that no column shows is found by a test.

use crate::interface::console::cell::{Cell, Column, Kind, columns};
use crate::interface::console::diary::{Diary, Moment};
use crate::interface::report_reversible;
use altergeist::control::setting::Setting;
use altergeist::{Settings, Status};
use std::time::Duration;

/// What the tables are made of.
pub struct Facts<'a> {
    /// The run's status.
    pub status: &'a Status,
    /// The run's settings.
    pub settings: &'a Settings,
    /// What happened.
    pub diary: &'a Diary,
}

/// A column of a table with one row, and its value.
pub type Field = (&'static str, Kind, fn(&Facts<'_>) -> Cell);

/// A column of the history, and its value.
pub type FieldThen = (&'static str, Kind, fn(&Moment) -> Cell);

use Kind::{Bool, Float, Int, Text, Time};

/// The run in one row.
pub const STATUS: &[Field] = &[
    ("table", Text, |it| text(&it.status.table)),
    ("phase", Text, |it| text(&it.status.phase.to_string())),
    ("percent", Float, |it| Cell::Float(it.status.percent)),
    ("eta_seconds", Int, |it| count_or_null(it.status.eta_seconds)),
    ("elapsed_seconds", Int, |it| Cell::count(it.status.elapsed_seconds)),
    ("throttle_reason", Text, |it| Cell::text(it.status.throttle_reason.clone())),
    ("waiting_for", Text, |it| Cell::text(it.status.waiting_for.clone())),
    ("last_error", Text, |it| Cell::text(it.status.last_error.clone())),
    ("reversible_seconds_left", Int, |it| count_or_null(it.status.reversible_seconds_left)),
    ("not_revertible", Text, |it| Cell::text(report_reversible::not_revertible(it.status))),
    ("later_statements", Text, |it| {
        let later = &it.status.later_statements;
        Cell::text((!later.is_empty()).then(|| later.join("; ")))
    }),
    ("restore_point", Text, |it| {
        Cell::text(it.status.restore_point.as_ref().map(|point| point.position.clone()))
    }),
    ("orders_by_sql_refused", Text, |it| Cell::text(it.status.orders_by_sql_refused.clone())),
    ("fingerprint", Text, |it| text(&it.status.fingerprint)),
    ("run_id", Text, |it| text(&it.status.run_id)),
    ("owner", Text, |it| Cell::text(it.status.owner.clone())),
    ("decider", Text, |it| Cell::text(it.status.decider.clone())),
    ("ticket", Text, |it| Cell::text(it.status.ticket.clone())),
    ("alter", Text, |it| text(&it.status.alter)),
];

/// How far the run has come.
pub const PROGRESS: &[Field] = &[
    ("phase", Text, |it| text(&it.status.phase.to_string())),
    ("percent", Float, |it| Cell::Float(it.status.percent)),
    ("rows_copied", Int, |it| Cell::count(it.status.rows_copied)),
    ("rows_estimated", Int, |it| Cell::count(it.status.rows_estimated)),
    ("rows_verified", Int, |it| Cell::count(it.status.rows_verified)),
    ("rows_per_second", Int, |it| Cell::count(it.status.rows_per_second)),
    ("eta_seconds", Int, |it| count_or_null(it.status.eta_seconds)),
    ("pending_keys", Int, |it| Cell::count(it.status.pending_keys)),
    ("keys_refreshed", Int, |it| Cell::count(it.status.keys_refreshed)),
    ("log_behind_seconds", Float, |it| Cell::float(it.status.log_behind_seconds)),
    ("log_kept_bytes", Int, |it| count_or_null(it.status.log_kept_bytes)),
    ("stream_position", Text, |it| text(&it.status.stream_position)),
    ("commit_latency_ms", Float, |it| Cell::float(it.status.commit_latency_ms)),
    ("chunk_rows", Int, |it| Cell::count(it.status.chunk_rows)),
    ("workers", Int, |it| Cell::count(it.status.workers as u64)),
    ("elapsed_seconds", Int, |it| Cell::count(it.status.elapsed_seconds)),
    ("earlier_seconds", Int, |it| Cell::count(it.status.earlier_seconds)),
    ("expected_seconds", Int, |it| {
        count_or_null(it.status.expected.map(|expected| expected.likely_seconds))
    }),
];

/// The lock of the cut-over.
pub const LOCKS: &[Field] = &[
    ("lock_attempts", Int, |it| Cell::count(it.status.lock_attempts.into())),
    ("attempts_max", Int, |it| Cell::count(it.settings.lock_attempts.into())),
    ("next_attempt_at", Time, |it| Cell::time(it.status.next_attempt_at.as_deref())),
    ("wait_limit_ms", Float, |it| Cell::Float(millis(it.settings.lock_timeout))),
    ("lock_held_ms", Float, |it| Cell::float(it.status.lock_held_ms)),
    ("lock_drain_ms", Float, |it| Cell::float(it.status.lock_drain_ms)),
    ("lock_refresh_ms", Float, |it| Cell::float(it.status.lock_refresh_ms)),
    ("lock_swap_ms", Float, |it| Cell::float(it.status.lock_swap_ms)),
    ("kill_blockers", Bool, |it| Cell::Bool(it.settings.kill_blockers)),
];

/// The replicas.
pub const REPLICAS: &[Field] = &[
    ("replicas", Text, |it| {
        let named = Setting::named("replica").map(|setting| setting.read(it.settings));
        Cell::text(named.filter(|named| !named.is_empty()))
    }),
    ("replica_lag_seconds", Float, |it| Cell::float(it.status.replica_lag_seconds)),
    ("max_lag_seconds", Float, |it| Cell::Float(it.settings.max_lag.as_secs_f64())),
];

/// The program, and the server it works on.
pub const VERSION: &[Field] = &[
    ("version", Text, |_| text(env!("CARGO_PKG_VERSION"))),
    ("server", Text, |it| text(&it.status.server)),
];

/// The progress so far. The columns are those of the table beside the journal.
pub const HISTORY: &[FieldThen] = &[
    ("at", Time, |it| Cell::Time(it.at)),
    ("run_id", Text, |it| text(&it.status.run_id)),
    ("table_name", Text, |it| text(&it.status.table)),
    ("phase", Text, |it| text(&it.status.phase.to_string())),
    ("percent", Float, |it| Cell::Float(it.status.percent)),
    ("rows_copied", Int, |it| Cell::count(it.status.rows_copied)),
    ("rows_verified", Int, |it| Cell::count(it.status.rows_verified)),
    ("rows_estimated", Int, |it| Cell::count(it.status.rows_estimated)),
    ("rows_per_second", Int, |it| Cell::count(it.status.rows_per_second)),
    ("pending_keys", Int, |it| Cell::count(it.status.pending_keys)),
    ("eta_seconds", Int, |it| count_or_null(it.status.eta_seconds)),
    ("replica_lag_seconds", Float, |it| Cell::float(it.status.replica_lag_seconds)),
    ("reason", Text, |it| {
        let then = &it.status;
        Cell::text(then.throttle_reason.clone().or_else(|| then.waiting_for.clone()))
    }),
];

/// The columns of some fields.
pub fn columns_of<F>(fields: &[(&'static str, Kind, F)]) -> Vec<Column> {
    let named: Vec<(&'static str, Kind)> =
        fields.iter().map(|(name, kind, _)| (*name, *kind)).collect();
    columns(&named)
}

/// The one row of some fields.
pub fn row(fields: &[Field], facts: &Facts<'_>) -> Vec<Vec<Cell>> {
    vec![fields.iter().map(|(_, _, cell)| cell(facts)).collect()]
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn count_or_null(count: Option<u64>) -> Cell {
    count.map_or(Cell::Null, Cell::count)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
