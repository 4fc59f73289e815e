//! The tables that SHOW shows, with their columns. Where `status --json` has the same, the name is
//! the same.

use crate::interface::console::cell::{Cell, Column, Kind, columns, shown};
use crate::interface::console::diary::Diary;
use crate::interface::console::help;
use crate::interface::console::throttle;
use altergeist::control::setting::{SETTINGS, Setting};
use altergeist::gate::{POSTPONED, WINDOW};
use altergeist::{Settings, Status};
use std::time::Duration;

/// A table of the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum View {
    /// The run in one row.
    Status,
    /// How far it has come.
    Progress,
    /// What must be true before the swap.
    Gates,
    /// What may pause the copy.
    Throttle,
    /// The operator's own gates.
    Checks,
    /// The lock of the cut-over.
    Locks,
    /// What happened.
    Events,
    /// What was ordered.
    Orders,
    /// The lag of replicas.
    Replicas,
    /// The settings.
    Config,
    /// The progress so far.
    History,
    /// The program.
    Version,
    /// The statements.
    Help,
}

/// What the tables are made of.
pub struct Facts<'a> {
    /// The run's status.
    pub status: &'a Status,
    /// The run's settings.
    pub settings: &'a Settings,
    /// What happened.
    pub diary: &'a Diary,
}

impl View {
    /// Every table, with what it shows.
    pub const ALL: [(View, &'static str, &'static str); 13] = [
        (View::Status, "status", "what the run does now, and what it waits for"),
        (View::Progress, "progress", "how far the run has come, in numbers"),
        (View::Gates, "gates", "what must be true before the swap, once the run has asked"),
        (View::Throttle, "throttle", "what pauses the copy, or may pause it"),
        (View::Checks, "checks", "the gates of --check, --gate and --require-backup"),
        (View::Locks, "locks", "the lock of the cut-over: attempts, and how long it was held"),
        (View::Events, "events", "what happened since this process began"),
        (View::Orders, "orders", "the orders carried out since this process began"),
        (View::Replicas, "replicas", "the greatest lag of a replica, and its limit"),
        (View::Config, "config", "the settings, and what they do"),
        (View::History, "history", "the progress, every ten seconds, since this process began"),
        (View::Version, "version", "the program's version"),
        (View::Help, "help", "this list"),
    ];

    /// Finds a table.
    pub fn named(name: &str) -> Option<View> {
        let name = match name {
            "all" => "config",
            "tables" => "help",
            name => name,
        };
        View::ALL.iter().find(|(_, known, _)| *known == name).map(|(view, _, _)| *view)
    }

    /// Its columns.
    pub fn columns(self) -> Vec<Column> {
        use Kind::{Bool, Float, Int, Text, Time};
        columns(match self {
            View::Status => &[
                ("table", Text),
                ("phase", Text),
                ("percent", Float),
                ("eta_seconds", Int),
                ("elapsed_seconds", Int),
                ("throttle_reason", Text),
                ("waiting_for", Text),
                ("last_error", Text),
                ("fingerprint", Text),
                ("run_id", Text),
            ],
            View::Progress => &[
                ("phase", Text),
                ("percent", Float),
                ("rows_copied", Int),
                ("rows_estimated", Int),
                ("rows_verified", Int),
                ("rows_per_second", Int),
                ("eta_seconds", Int),
                ("pending_keys", Int),
                ("keys_refreshed", Int),
                ("log_behind_seconds", Float),
                ("workers", Int),
                ("elapsed_seconds", Int),
            ],
            View::Gates | View::Checks => &[("name", Text), ("open", Bool), ("reason", Text)],
            View::Throttle => throttle::COLUMNS,
            View::Locks => &[
                ("attempts", Int),
                ("attempts_max", Int),
                ("next_attempt_at", Time),
                ("wait_limit_ms", Float),
                ("held_ms", Float),
                ("drain_ms", Float),
                ("refresh_ms", Float),
                ("swap_ms", Float),
                ("kill_blockers", Bool),
            ],
            View::Events => &[("at", Time), ("event", Text), ("phase", Text), ("reason", Text)],
            View::Orders => &[("at", Time), ("given_by", Text), ("door", Text), ("word", Text)],
            View::Replicas => {
                &[("replicas", Text), ("greatest_lag_seconds", Float), ("max_lag_seconds", Float)]
            }
            View::Config => &[("name", Text), ("value", Text), ("meaning", Text)],
            View::History => &[
                ("at", Time),
                ("phase", Text),
                ("percent", Float),
                ("rows_copied", Int),
                ("rows_verified", Int),
                ("rows_per_second", Int),
                ("pending_keys", Int),
                ("eta_seconds", Int),
                ("replica_lag_seconds", Float),
                ("reason", Text),
            ],
            View::Version => &[("version", Text), ("server", Text)],
            View::Help => &[("statement", Text), ("meaning", Text), ("role", Text)],
        })
    }

    /// Its rows.
    pub fn rows(self, facts: &Facts<'_>) -> Vec<Vec<Cell>> {
        let Facts { status, settings, diary } = facts;
        match self {
            View::Status => vec![status_row(status)],
            View::Progress => vec![progress(status)],
            View::Gates => gates(status, |_| true),
            View::Checks => gates(status, |name| ![POSTPONED, WINDOW, "approval"].contains(&name)),
            View::Throttle => throttle::rows(settings, status),
            View::Locks => vec![lock(status, settings)],
            View::Events => events(diary, status),
            View::Orders => orders(diary, status),
            View::Replicas => vec![replicas(status, settings)],
            View::Config => SETTINGS.iter().map(|setting| config(setting, settings)).collect(),
            View::History => history(diary, status),
            View::Version => {
                vec![vec![text(env!("CARGO_PKG_VERSION")), text(&status.server)]]
            }
            View::Help => help::rows(&View::ALL.map(|(_, name, meaning)| (name, meaning))),
        }
    }

    /// What a person should know who finds no rows.
    pub fn when_empty(self) -> Option<&'static str> {
        match self {
            View::Gates | View::Checks => Some(
                "the run asks its gates when it is ready to swap; before that it has no answer",
            ),
            _ => None,
        }
    }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn seconds(time: Duration) -> Cell {
    Cell::Float(time.as_secs_f64())
}

fn eta(status: &Status) -> Cell {
    status.eta_seconds.map_or(Cell::Null, Cell::count)
}

fn status_row(status: &Status) -> Vec<Cell> {
    vec![
        text(&status.table),
        text(&status.phase.to_string()),
        Cell::Float(status.percent),
        eta(status),
        Cell::count(status.elapsed_seconds),
        Cell::text(status.throttle_reason.clone()),
        Cell::text(status.waiting_for.clone()),
        Cell::text(status.last_error.clone()),
        text(&status.fingerprint),
        text(&status.run_id),
    ]
}

fn progress(status: &Status) -> Vec<Cell> {
    vec![
        text(&status.phase.to_string()),
        Cell::Float(status.percent),
        Cell::count(status.rows_copied),
        Cell::count(status.rows_estimated),
        Cell::count(status.rows_verified),
        Cell::count(status.rows_per_second),
        eta(status),
        Cell::count(status.pending_keys),
        Cell::count(status.keys_refreshed),
        Cell::float(status.log_behind_seconds),
        Cell::count(status.workers as u64),
        Cell::count(status.elapsed_seconds),
    ]
}

fn gates(status: &Status, is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<Cell>> {
    let wanted = status.gates.iter().filter(|gate| is_wanted(&gate.name));
    wanted
        .map(|gate| vec![text(&gate.name), Cell::Bool(gate.open), Cell::text(gate.reason.clone())])
        .collect()
}

fn lock(status: &Status, settings: &Settings) -> Vec<Cell> {
    vec![
        Cell::count(status.lock_attempts.into()),
        Cell::count(settings.lock_attempts.into()),
        Cell::time(status.next_attempt_at.as_deref()),
        Cell::Float(settings.lock_timeout.as_secs_f64() * 1000.0),
        Cell::float(status.lock_held_ms),
        Cell::float(status.lock_drain_ms),
        Cell::float(status.lock_refresh_ms),
        Cell::float(status.lock_swap_ms),
        Cell::Bool(settings.kill_blockers),
    ]
}

fn events(diary: &Diary, status: &Status) -> Vec<Vec<Cell>> {
    let kept = diary.read(status);
    let row = |entry: &super::diary::EventEntry| {
        let (event, phase) = (text(entry.event.name()), text(&entry.phase.to_string()));
        vec![Cell::Time(entry.at), event, phase, Cell::text(entry.reason.clone())]
    };
    kept.events.iter().map(row).collect()
}

fn orders(diary: &Diary, status: &Status) -> Vec<Vec<Cell>> {
    let kept = diary.read(status);
    let row = |entry: &super::diary::OrderEntry| {
        vec![Cell::Time(entry.at), text(&entry.given_by), text(&entry.door), text(&entry.words)]
    };
    kept.orders.iter().map(row).collect()
}

fn replicas(status: &Status, settings: &Settings) -> Vec<Cell> {
    let named = Setting::named("replica").map(|setting| setting.read(settings));
    let named = named.filter(|named| !named.is_empty());
    vec![Cell::text(named), Cell::float(status.replica_lag_seconds), seconds(settings.max_lag)]
}

fn history(diary: &Diary, status: &Status) -> Vec<Vec<Cell>> {
    let kept = diary.read(status);
    let row = |moment: &super::diary::Moment| {
        let then = &moment.status;
        vec![
            Cell::Time(moment.at),
            text(&then.phase.to_string()),
            Cell::Float(then.percent),
            Cell::count(then.rows_copied),
            Cell::count(then.rows_verified),
            Cell::count(then.rows_per_second),
            Cell::count(then.pending_keys),
            eta(then),
            Cell::float(then.replica_lag_seconds),
            Cell::text(then.throttle_reason.clone().or_else(|| then.waiting_for.clone())),
        ]
    };
    kept.history.iter().map(row).collect()
}

fn config(setting: &Setting, settings: &Settings) -> Vec<Cell> {
    vec![text(setting.names[0]), text(&shown(&setting.read(settings))), text(setting.help)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::gate::GateState;

    #[test]
    fn every_row_has_a_cell_of_its_column_s_type() {
        let gate = |name: &str| GateState { name: name.into(), open: false, reason: None };
        let status = Status {
            gates: ["postponed", "window", "backup", "approval", "rows"].map(gate).to_vec(),
            throttle_reason: Some("replica-lag 9.0s > 1.5s (r1)".into()),
            ..Status::default()
        };
        let (diary, _news) = Diary::new();
        let facts = Facts { status: &status, settings: &Settings::default(), diary: &diary };
        for (view, name, _) in View::ALL {
            assert_eq!(View::named(name), Some(view));
            let columns = view.columns();
            for row in view.rows(&facts) {
                assert_eq!(row.len(), columns.len(), "{name}");
                for (cell, column) in row.iter().zip(&columns) {
                    let is_typed = match cell {
                        Cell::Null => true,
                        Cell::Text(_) => column.kind == Kind::Text,
                        Cell::Int(_) => column.kind == Kind::Int,
                        Cell::Float(_) => column.kind == Kind::Float,
                        Cell::Bool(_) => column.kind == Kind::Bool,
                        Cell::Time(_) => column.kind == Kind::Time,
                    };
                    assert!(is_typed, "{name}: {cell:?} in {column:?}");
                }
            }
        }
        assert_eq!(View::Gates.rows(&facts).len(), 5);
        assert_eq!(View::Checks.rows(&facts).len(), 2);
        assert_eq!(View::History.rows(&facts).len(), 1);
    }
}
