//! The table of what pauses the copy, or may pause it.

use crate::interface::console::cell::{Cell, Kind};
use altergeist::{Settings, Status};

/// Its columns.
pub const COLUMNS: &[(&str, Kind)] = &[
    ("signal", Kind::Text),
    ("observed", Kind::Text),
    ("limit", Kind::Text),
    ("throttles", Kind::Bool),
    ("reason", Kind::Text),
    ("read_at", Kind::Time),
];

/// A row for the operator's order, one for each signal in force, and one for another reason.
pub fn rows(settings: &Settings, status: &Status) -> Vec<Vec<Cell>> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let without_value = |signal: &str, reason: Option<&str>| {
        let throttles = Cell::Bool(reason.is_some());
        let reason = Cell::text(reason.map(str::to_owned));
        vec![text(signal), Cell::Null, Cell::Null, throttles, reason, Cell::Null]
    };
    // The run names a reason only while it would copy otherwise.
    let by_order = "by order of the operator";
    let mut rows = vec![without_value("order", settings.throttle.then_some(by_order))];
    rows.extend(status.signals.iter().map(|signal| {
        vec![
            text(&signal.signal),
            Cell::text(signal.observed.clone()),
            text(&signal.limit),
            Cell::Bool(signal.reason.is_some()),
            Cell::text(signal.reason.clone()),
            Cell::time(Some(&signal.read_at)),
        ]
    }));
    let of_signals = status.signals.iter().filter_map(|signal| signal.reason.as_deref());
    if let Some(reason) = status.throttle_reason.as_deref()
        && reason != by_order
        && !of_signals.clone().any(|known| known == reason)
    {
        let signal = reason.split(' ').next().unwrap_or_default();
        rows.push(without_value(signal, Some(reason)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::control::status::SignalState;

    #[test]
    fn each_signal_in_force_has_a_row_and_so_has_any_other_reason() {
        let signal = |signal: &str, reason: Option<&str>| SignalState {
            signal: signal.into(),
            reason: reason.map(str::to_owned),
            ..SignalState::default()
        };
        let late = "replica-lag 9.0s > 1.5s (r1:3306)";
        let mut status = Status {
            signals: vec![signal("replica-lag", Some(late)), signal("max-load", None)],
            throttle_reason: Some(late.into()),
            ..Status::default()
        };
        let throttling = |status: &Status, throttle: bool| -> Vec<bool> {
            let settings = Settings { throttle, ..Settings::default() };
            rows(&settings, status).iter().map(|row| row[3] == Cell::Bool(true)).collect()
        };
        assert_eq!(throttling(&status, false), [false, true, false]);
        assert_eq!(throttling(&status, true), [true, true, false]);
        status.throttle_reason = Some("retained-log 600MB > 500MB, half of its limit".into());
        assert_eq!(throttling(&status, false), [false, true, false, true]);
    }
}
