//! The tables that SHOW shows, with their columns. Where `status --json` has the same, the name is
//! the same.

use crate::interface::console::cell::{Cell, Column, Kind, columns, shown};
use crate::interface::console::diary::Diary;
use crate::interface::console::fields::{self, Facts};
use crate::interface::console::help;
use crate::interface::console::throttle;
use altergeist::control::setting::{SETTINGS, Setting};
use altergeist::gate::{POSTPONED, WINDOW};
use altergeist::{Settings, Status};

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
        use Kind::{Bool, Text, Time};
        match self {
            View::Status => fields::columns_of(fields::STATUS),
            View::Progress => fields::columns_of(fields::PROGRESS),
            View::Locks => fields::columns_of(fields::LOCKS),
            View::Replicas => fields::columns_of(fields::REPLICAS),
            View::Version => fields::columns_of(fields::VERSION),
            View::History => fields::columns_of(fields::HISTORY),
            View::Gates | View::Checks => {
                columns(&[("name", Text), ("open", Bool), ("reason", Text)])
            }
            View::Throttle => columns(throttle::COLUMNS),
            View::Events => {
                columns(&[("at", Time), ("event", Text), ("phase", Text), ("reason", Text)])
            }
            View::Orders => {
                columns(&[("given_at", Time), ("given_by", Text), ("door", Text), ("word", Text)])
            }
            View::Config => columns(&[("name", Text), ("value", Text), ("meaning", Text)]),
            View::Help => columns(&[("statement", Text), ("meaning", Text), ("role", Text)]),
        }
    }

    /// Its rows.
    pub fn rows(self, facts: &Facts<'_>) -> Vec<Vec<Cell>> {
        let Facts { status, settings, diary } = facts;
        match self {
            View::Status => fields::row(fields::STATUS, facts),
            View::Progress => fields::row(fields::PROGRESS, facts),
            View::Locks => fields::row(fields::LOCKS, facts),
            View::Replicas => fields::row(fields::REPLICAS, facts),
            View::Version => fields::row(fields::VERSION, facts),
            View::History => history(diary, status),
            View::Gates => gates(status, |_| true),
            View::Checks => gates(status, |name| ![POSTPONED, WINDOW, "approval"].contains(&name)),
            View::Throttle => throttle::rows(settings, status),
            View::Events => events(diary, status),
            View::Orders => orders(diary, status),
            View::Config => SETTINGS.iter().map(|setting| config(setting, settings)).collect(),
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

fn gates(status: &Status, is_wanted: impl Fn(&str) -> bool) -> Vec<Vec<Cell>> {
    let wanted = status.gates.iter().filter(|gate| is_wanted(&gate.name));
    wanted
        .map(|gate| vec![text(&gate.name), Cell::Bool(gate.open), Cell::text(gate.reason.clone())])
        .collect()
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

fn history(diary: &Diary, status: &Status) -> Vec<Vec<Cell>> {
    let kept = diary.read(status);
    let row = |moment| fields::HISTORY.iter().map(|(_, _, cell)| cell(moment)).collect();
    kept.history.iter().map(row).collect()
}

fn config(setting: &Setting, settings: &Settings) -> Vec<Cell> {
    vec![text(setting.names[0]), text(&shown(&setting.read(settings))), text(setting.help)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::control::status::SignalState;
    use altergeist::gate::GateState;
    use std::collections::BTreeSet;

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

    fn keys(value: impl serde::Serialize) -> BTreeSet<String> {
        let value = serde_json::to_value(value).expect("it is plain data");
        value.as_object().expect("it is an object").keys().cloned().collect()
    }

    fn names(views: &[View]) -> BTreeSet<String> {
        let columns = views.iter().flat_map(|view| view.columns());
        columns.map(|column| column.name.into_owned()).collect()
    }

    /// What is added to the status is added to a table, too, or this test names it.
    #[test]
    fn every_part_of_the_status_is_a_column_or_a_table() {
        // SHOW GATES and SHOW THROTTLE; of the span that was expected the likely time is shown.
        let tables = ["gates", "signals", "expected"].map(str::to_owned);
        let shown = names(&View::ALL.map(|(view, _, _)| view));
        let missing: Vec<String> = keys(Status::default())
            .difference(&shown)
            .filter(|key| !tables.contains(key))
            .cloned()
            .collect();
        assert_eq!(missing, Vec::<String>::new(), "no table of the console shows these");
        assert_eq!(names(&[View::Gates]), keys(GateState::default()));
        let of_signals = names(&[View::Throttle]);
        assert!(keys(SignalState::default()).is_subset(&of_signals), "{of_signals:?}");
    }

    #[test]
    fn the_history_has_the_columns_of_the_table_beside_the_journal() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating/steer-by-sql.md");
        let page = std::fs::read_to_string(page).expect("the page is there");
        for name in names(&[View::History]).iter().filter(|name| *name != "at") {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
