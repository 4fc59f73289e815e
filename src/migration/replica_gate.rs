//! The gate of the replicas: the swap waits until each of them has caught up. Otherwise a reader of
//! a replica would see the old table long after the swap.

use crate::control::{Control, Failure, Settings};
use crate::gate::{GateState, REPLICAS};
use crate::pace::signal::{Observation, Signal};
use altergeist_contract::Engine;

/// Returns the state of the gate; None if the server has no replica.
///
/// # Errors
/// What a lost connection means.
pub async fn state<E: Engine>(
    engine: &E,
    control: &Control,
    settings: &Settings,
) -> Result<Option<GateState>, Failure> {
    let observation = control.signals.replica_lag(engine, settings).await?;
    Ok(of(observation, is_overruled(settings)))
}

/// Whether the operator lets the run swap although a replica is behind.
pub fn is_overruled(settings: &Settings) -> bool {
    settings.overruled.iter().any(|name| name == REPLICAS)
}

/// Whether a signal may keep the run from swapping.
pub fn counts(settings: &Settings, signal: Signal) -> bool {
    signal != Signal::ReplicaLag || !is_overruled(settings)
}

fn of(observation: Observation, is_overruled: bool) -> Option<GateState> {
    let open = |reason: String| {
        Some(GateState { name: REPLICAS.into(), open: true, reason: Some(reason) })
    };
    match (observation.reason, observation.observed) {
        (Some(_), _) if is_overruled => open("overruled by order of the operator".into()),
        (Some(reason), _) => {
            Some(GateState { name: REPLICAS.into(), open: false, reason: Some(reason) })
        }
        (None, Some(lag)) if lag.starts_with(|first: char| first.is_ascii_digit()) => {
            open(format!("replica-lag {lag}"))
        }
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_replicas_has_no_such_gate() {
        assert_eq!(of(Observation::fine("no replica"), false), None);
        assert!(of(Observation::fine("0.1s"), false).is_some_and(|gate| gate.open));
    }

    #[test]
    fn a_replica_behind_or_unknown_closes_it_until_it_is_overruled() {
        let behind = Observation::unknown("replica-lag", "r1:3306");
        assert!(of(behind.clone(), false).is_some_and(|gate| !gate.open));
        assert!(of(behind, true).is_some_and(|gate| gate.open));
    }
}
