//! Finds events in a run's status, so that the core need not tell of them.

use altergeist::gate::POSTPONED;
use altergeist::{Event, Listeners, News, Phase, Status};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The shortest time between two looks. What comes and goes within it is not told.
const LOOK: Duration = Duration::from_millis(500);
/// How often the status is told.
const MINUTE: Duration = Duration::from_secs(60);

/// Watches until the run is over.
pub async fn watch(mut status: watch::Receiver<Status>, listeners: Listeners) {
    let mut seen = Seen::default();
    let mut next_minute = Instant::now() + MINUTE;
    loop {
        let now = status.borrow_and_update().clone();
        let mut found = seen.learn(&now);
        if Instant::now() >= next_minute {
            next_minute += MINUTE;
            found.push((Event::Status, None));
        }
        for (event, reason) in found {
            listeners.tell(News { reason, ..News::of(event, now.clone()) });
        }
        tokio::time::sleep(LOOK).await;
        let changed = tokio::time::timeout_at(next_minute, status.changed()).await;
        if changed.is_ok_and(|changed| changed.is_err()) {
            return;
        }
    }
}

/// What was seen last.
#[derive(Default)]
struct Seen {
    is_throttled: bool,
    is_waiting: bool,
    closed: BTreeSet<String>,
}

impl Seen {
    /// Returns what is new, with its reasons.
    fn learn(&mut self, now: &Status) -> Vec<(Event, Option<String>)> {
        let mut found = Vec::new();
        let is_throttled = now.throttle_reason.is_some();
        match (self.is_throttled, is_throttled) {
            (false, true) => found.push((Event::Throttled, now.throttle_reason.clone())),
            (true, false) => found.push((Event::Unthrottled, None)),
            _ => {}
        }
        let is_waiting = now.phase == Phase::Waiting;
        if is_waiting && !self.is_waiting {
            found.push((Event::Waiting, now.waiting_for.clone()));
        }
        let closed = now.gates.iter().filter(|gate| !gate.open && gate.name != POSTPONED);
        let (names, reasons): (BTreeSet<String>, Vec<String>) = closed
            .map(|gate| {
                let reason = gate.reason.as_deref().unwrap_or("closed");
                (gate.name.clone(), format!("gate {}: {reason}", gate.name))
            })
            .unzip();
        if !names.is_subset(&self.closed) {
            found.push((Event::CheckFailed, Some(reasons.join("; "))));
        }
        *self = Seen { is_throttled, is_waiting, closed: names };
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::gate::GateState;

    #[test]
    fn each_event_is_told_when_it_begins_and_only_then() {
        let mut seen = Seen::default();
        let mut status = Status::default();
        assert_eq!(seen.learn(&status), []);
        status.throttle_reason = Some("replica-lag 2s > 1s (r)".into());
        assert_eq!(seen.learn(&status), [(Event::Throttled, status.throttle_reason.clone())]);
        assert_eq!(seen.learn(&status), []);
        status.throttle_reason = None;
        status.phase = Phase::Waiting;
        status.waiting_for = Some("gate a: 3 > 1".into());
        let gate = |name: &str| GateState { name: name.into(), open: false, reason: None };
        status.gates = vec![gate(POSTPONED), gate("a")];
        let events: Vec<Event> = seen.learn(&status).iter().map(|(event, _)| *event).collect();
        assert_eq!(events, [Event::Unthrottled, Event::Waiting, Event::CheckFailed]);
        assert_eq!(seen.learn(&status), []);
        status.gates.push(gate("b"));
        let both = Some("gate a: closed; gate b: closed".into());
        assert_eq!(seen.learn(&status), [(Event::CheckFailed, both)]);
    }
}
