//! What the lags of the replicas mean. Pure: lags in, a reason out.

use crate::control::Settings;
use crate::pace::signal::Observation;
use altergeist_contract::ReplicaLag;
use std::time::Duration;

/// What the lags of the replicas mean.
pub fn of_lags(settings: &Settings, lags: &[ReplicaLag]) -> Observation {
    let reason = lags.iter().find_map(|replica| match replica.lag {
        None => {
            let why = replica.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            Some(format!("replica-lag unknown ({}{why})", replica.replica))
        }
        Some(lag) if lag > settings.max_lag => {
            let (lag, most) = (lag.as_secs_f64(), settings.max_lag.as_secs_f64());
            Some(format!("replica-lag {lag:.1}s > {most:.1}s ({})", replica.replica))
        }
        Some(_) => None,
    });
    let observed = match greatest(lags) {
        Some(lag) => Some(format!("{:.1}s", lag.as_secs_f64())),
        None if lags.is_empty() => Some("no replica".into()),
        None => None,
    };
    Observation { observed, reason }
}

/// Returns the greatest known lag.
pub fn greatest(lags: &[ReplicaLag]) -> Option<Duration> {
    lags.iter().filter_map(|replica| replica.lag).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(lag: Option<Duration>) -> ReplicaLag {
        ReplicaLag { replica: "r1:3306".into(), lag, reason: None }
    }

    #[test]
    fn a_replica_in_time_does_not_throttle() {
        let lags = [replica(Some(Duration::from_millis(100)))];
        assert_eq!(of_lags(&Settings::default(), &lags).reason, None);
    }

    #[test]
    fn a_replica_behind_throttles_and_is_named() {
        let lags = [replica(Some(Duration::ZERO)), replica(Some(Duration::from_secs(9)))];
        assert_eq!(
            of_lags(&Settings::default(), &lags).reason.as_deref(),
            Some("replica-lag 9.0s > 1.5s (r1:3306)")
        );
    }

    #[test]
    fn a_replica_that_does_not_answer_throttles() {
        assert!(of_lags(&Settings::default(), &[replica(None)]).reason.is_some());
    }
}
