//! Whether to copy now. A failing input means wait, never go.

use crate::desk::Orders;
use altergeist_contract::ReplicaLag;
use std::time::Duration;

/// Why nothing should be copied now, for people; None if nothing stands in the way.
pub fn reason(orders: &Orders, lags: &[ReplicaLag]) -> Option<String> {
    if orders.throttle {
        return Some("throttled on request".into());
    }
    lags.iter().find_map(|replica| match replica.lag {
        None => Some(format!("the lag of replica {} cannot be told", replica.replica)),
        Some(lag) if lag > orders.max_lag => {
            Some(format!("replica {} is {:.1} s behind", replica.replica, lag.as_secs_f64()))
        }
        Some(_) => None,
    })
}

/// The greatest lag that could be told.
pub fn greatest(lags: &[ReplicaLag]) -> Option<Duration> {
    lags.iter().filter_map(|replica| replica.lag).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(lag: Option<Duration>) -> ReplicaLag {
        ReplicaLag { replica: "r1:3306".into(), lag }
    }

    #[test]
    fn a_replica_in_time_does_not_throttle() {
        let lags = [replica(Some(Duration::from_millis(100)))];
        assert_eq!(reason(&Orders::default(), &lags), None);
    }

    #[test]
    fn a_replica_behind_throttles_and_is_named() {
        let lags = [replica(Some(Duration::ZERO)), replica(Some(Duration::from_secs(9)))];
        assert_eq!(reason(&Orders::default(), &lags).as_deref(), Some("replica r1:3306 is 9.0 s behind"));
    }

    #[test]
    fn a_replica_that_does_not_answer_throttles() {
        assert!(reason(&Orders::default(), &[replica(None)]).is_some());
    }
}
