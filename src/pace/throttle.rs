//! Whether to copy now. A failing input means wait, never go.

use crate::control::{Control, Failure, Settings};
use crate::pace::load;
use altergeist_contract::{Engine, LogKept, ReplicaLag};
use std::time::Duration;

/// How often it is asked, while nothing else asks, whether the log still tells of every changed row.
pub const STREAM_LOOK: Duration = Duration::from_secs(1);

/// Whether something stands in the way now.
///
/// # Errors
/// [`Failure::Stopped`] and [`Failure::CriticalLoad`] if the run shall end.
pub async fn is_throttled<E: Engine>(engine: &E, control: &Control) -> Result<bool, Failure> {
    throttled(engine, control, |_| None).await
}

/// Looks around once, and tells watchers; says whether something stands in the way.
pub async fn throttled<E: Engine>(
    engine: &E,
    control: &Control,
    of_log: impl Fn(Option<LogKept>) -> Option<String>,
) -> Result<bool, Failure> {
    control.check_stop()?;
    engine.check_stream().await?;
    let kept = look_at_log(engine, control).await?;
    let load = load::look(engine, &control.settings()).await?;
    let lags = engine.replica_lags().await?;
    let reason = reason(&control.settings(), &lags).or(load).or_else(|| of_log(kept));
    let is_throttled = reason.is_some();
    control.update(|status| {
        status.replica_lag_seconds = greatest(&lags).map(|lag| lag.as_secs_f64());
        status.commit_latency_ms = engine.commit_latency().map(|latency| latency.usual.as_secs_f64() * 1000.0);
        status.throttle_reason = reason;
    });
    Ok(is_throttled)
}

/// Asks what the server keeps of its log for this run.
///
/// # Errors
/// [`Failure::LogFull`] if that is as much as it may be.
pub async fn look_at_log<E: Engine>(engine: &E, control: &Control) -> Result<Option<LogKept>, Failure> {
    let kept = engine.log_kept().await?;
    control.update(|status| status.log_kept_bytes = kept.map(|kept| kept.bytes));
    match kept {
        Some(LogKept { bytes, .. }) if is_log_full(kept) => {
            Err(Failure::LogFull { bytes, outlook: engine.give_up_log().await? })
        }
        kept => Ok(kept),
    }
}

/// Why nothing should be copied now, for people; None if nothing stands in the way.
pub fn reason(settings: &Settings, lags: &[ReplicaLag]) -> Option<String> {
    if settings.throttle {
        return Some("throttled on request".into());
    }
    lags.iter().find_map(|replica| match replica.lag {
        None => Some(format!("the lag of replica {} cannot be told", replica.replica)),
        Some(lag) if lag > settings.max_lag => {
            Some(format!("replica {} is {:.1} s behind", replica.replica, lag.as_secs_f64()))
        }
        Some(_) => None,
    })
}

/// Why rows should not be copied now for what the server keeps of its log: half of what it may keep is kept already.
pub fn log_reason(kept: Option<LogKept>) -> Option<String> {
    let LogKept { bytes, limit_bytes: Some(limit) } = kept? else { return None };
    (bytes > limit / 2)
        .then(|| format!("the server keeps {} MB of its log for this run, of {} MB", bytes >> 20, limit >> 20))
}

/// Whether the server keeps so much of its log for this run that it must end.
pub fn is_log_full(kept: Option<LogKept>) -> bool {
    kept.is_some_and(|kept| kept.limit_bytes.is_some_and(|limit| kept.bytes >= limit))
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
        assert_eq!(reason(&Settings::default(), &lags), None);
    }

    #[test]
    fn a_replica_behind_throttles_and_is_named() {
        let lags = [replica(Some(Duration::ZERO)), replica(Some(Duration::from_secs(9)))];
        assert_eq!(reason(&Settings::default(), &lags).as_deref(), Some("replica r1:3306 is 9.0 s behind"));
    }

    #[test]
    fn a_log_that_is_kept_throttles_from_half_of_the_bound_and_ends_the_run_at_it() {
        let kept = |bytes, limit_bytes| Some(LogKept { bytes, limit_bytes });
        assert!(log_reason(kept(5, Some(10))).is_none());
        assert!(log_reason(kept(6, Some(10))).is_some());
        assert!(log_reason(kept(u64::MAX, None)).is_none());
        assert!(!is_log_full(kept(9, Some(10))) && is_log_full(kept(10, Some(10))));
        assert!(!is_log_full(kept(u64::MAX, None)) && !is_log_full(None));
    }

    #[test]
    fn a_replica_that_does_not_answer_throttles() {
        assert!(reason(&Settings::default(), &[replica(None)]).is_some());
    }
}
