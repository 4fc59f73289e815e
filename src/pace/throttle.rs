//! Decides whether the run may copy now. A signal that cannot be read means: wait.

use crate::control::{Control, Failure, Settings};
use crate::pace::load;
use altergeist_contract::{Engine, LogKept, ReplicaLag};
use std::time::Duration;

/// How often the run checks that the stream still delivers every changed row.
pub const STREAM_LOOK: Duration = Duration::from_secs(1);

/// Whether a signal throttles the run now.
///
/// # Errors
/// [`Failure::Stopped`] and [`Failure::CriticalLoad`] if the run must end.
pub async fn is_throttled<E: Engine>(engine: &E, control: &Control) -> Result<bool, Failure> {
    throttled(engine, control, |_| None).await
}

/// Reads every signal once and reports the reason. Returns whether the run is throttled.
pub async fn throttled<E: Engine>(
    engine: &E,
    control: &Control,
    of_log: impl Fn(Option<LogKept>) -> Option<String>,
) -> Result<bool, Failure> {
    control.check_stop()?;
    engine.check_stream().await?;
    let kept = look_at_log(engine, control).await?;
    by_signals(engine, control, of_log(kept)).await
}

/// Reads the signals that do not depend on the log, for a run that follows none. `also` is another
/// reason. Returns whether the run is throttled.
///
/// # Errors
/// [`Failure::Stopped`] and [`Failure::CriticalLoad`] if the run must end.
pub async fn by_signals<E: Engine>(
    engine: &E,
    control: &Control,
    also: Option<String>,
) -> Result<bool, Failure> {
    control.check_stop()?;
    let load = load::exceeded(engine, &control.settings()).await?;
    let lags = engine.replica_lags().await?;
    let settings = control.settings();
    let asked = control.signals.reason(engine, &settings).await;
    let reason = reason(&settings, &lags).or(load).or(asked).or(also);
    let is_throttled = reason.is_some();
    control.update(|status| {
        status.replica_lag_seconds = greatest(&lags).map(|lag| lag.as_secs_f64());
        status.commit_latency_ms =
            engine.commit_latency().map(|latency| latency.usual.as_secs_f64() * 1000.0);
        status.throttle_reason = reason;
    });
    Ok(is_throttled)
}

/// Reads how much log the server retains for this run.
///
/// # Errors
/// [`Failure::LogFull`] if the limit is reached.
pub async fn look_at_log<E: Engine>(
    engine: &E,
    control: &Control,
) -> Result<Option<LogKept>, Failure> {
    let kept = engine.log_kept().await?;
    control.update(|status| status.log_kept_bytes = kept.map(|kept| kept.bytes));
    match kept {
        Some(LogKept { bytes, .. }) if is_log_full(kept) => {
            Err(Failure::LogFull { bytes, outlook: engine.give_up_log().await? })
        }
        kept => Ok(kept),
    }
}

/// Returns why the run should copy nothing now; None if nothing throttles it.
pub fn reason(settings: &Settings, lags: &[ReplicaLag]) -> Option<String> {
    if settings.throttle {
        return Some("by order of the operator".into());
    }
    lags.iter().find_map(|replica| match replica.lag {
        None => Some(format!("replica-lag unknown ({})", replica.replica)),
        Some(lag) if lag > settings.max_lag => {
            let (lag, most) = (lag.as_secs_f64(), settings.max_lag.as_secs_f64());
            Some(format!("replica-lag {lag:.1}s > {most:.1}s ({})", replica.replica))
        }
        Some(_) => None,
    })
}

/// Returns a reason to copy nothing when half of the log that the server may retain is retained
/// already.
pub fn log_reason(kept: Option<LogKept>) -> Option<String> {
    let LogKept { bytes, limit_bytes: Some(limit) } = kept? else { return None };
    (bytes > limit / 2)
        .then(|| format!("retained-log {}MB > {}MB, half of its limit", bytes >> 20, limit >> 21))
}

/// Whether the server retains so much log for this run that the run must end.
pub fn is_log_full(kept: Option<LogKept>) -> bool {
    kept.is_some_and(|kept| kept.limit_bytes.is_some_and(|limit| kept.bytes >= limit))
}

/// Returns the greatest known lag.
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
        assert_eq!(
            reason(&Settings::default(), &lags).as_deref(),
            Some("replica-lag 9.0s > 1.5s (r1:3306)")
        );
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
