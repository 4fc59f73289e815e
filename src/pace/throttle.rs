//! Decides whether the run may copy now. A signal that cannot be read means: wait.

use crate::control::{Control, Failure, SignalState};
use crate::pace::lag;
use crate::pace::load;
use crate::pace::own_signals::bytes_text;
use crate::pace::signal::Signal;
use crate::pace::signals;
use altergeist_contract::{Engine, LogKept};
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

/// The same by those signals that count.
pub async fn is_throttled_by<E: Engine>(
    engine: &E,
    control: &Control,
    counts: impl Fn(Signal) -> bool,
) -> Result<bool, Failure> {
    control.check_stop()?;
    engine.check_stream().await?;
    let kept = look_at_log(engine, control).await?;
    by_signals(engine, control, counts, state_of_log(kept, None)).await
}

/// The retained log as a signal: its state, and why it throttles.
fn state_of_log(kept: Option<LogKept>, reason: Option<String>) -> Option<SignalState> {
    let LogKept { bytes, limit_bytes } = kept?;
    Some(SignalState {
        signal: Signal::RetainedLog.name().into(),
        observed: Some(bytes_text(bytes)),
        limit: limit_bytes.map_or_else(|| "none".into(), |limit| bytes_text(limit / 2)),
        reason,
        read_at: signals::now(),
    })
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
    by_signals(engine, control, |_| true, state_of_log(kept, of_log(kept))).await
}

/// Reads those signals that count now and do not depend on the log. `also` is another signal.
/// Returns whether the run is throttled.
///
/// # Errors
/// [`Failure::Stopped`] and [`Failure::CriticalLoad`] if the run must end.
pub async fn by_signals<E: Engine>(
    engine: &E,
    control: &Control,
    counts: impl Fn(Signal) -> bool,
    also: Option<SignalState>,
) -> Result<bool, Failure> {
    control.check_stop()?;
    let mut looked = control.signals.look(engine, &control.settings(), counts).await?;
    looked.states.extend(also);
    let reason = looked.reason();
    let is_throttled = reason.is_some();
    control.update(|status| {
        status.replica_lag_seconds = lag::greatest(&looked.lags).map(|lag| lag.as_secs_f64());
        status.commit_latency_ms =
            engine.commit_latency().map(|latency| latency.usual.as_secs_f64() * 1000.0);
        status.throttle_reason = reason;
        status.signals = looked.states;
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

/// Returns a reason to copy nothing when half of the log that the server may retain is retained
/// already.
pub fn log_reason(kept: Option<LogKept>) -> Option<String> {
    let LogKept { bytes, limit_bytes: Some(limit) } = kept? else { return None };
    let half = limit / 2;
    (bytes > half).then(|| {
        let (bytes, half) = (bytes_text(bytes), bytes_text(half));
        format!("retained-log {bytes} > {half} (half of its limit)")
    })
}

/// Whether the server retains so much log for this run that the run must end.
pub fn is_log_full(kept: Option<LogKept>) -> bool {
    kept.is_some_and(|kept| kept.limit_bytes.is_some_and(|limit| kept.bytes >= limit))
}

/// Waits until a metric exceeds its critical limit. Returns the [`Failure`] to end with.
pub async fn critical_load<E: Engine>(engine: &E, control: &Control) -> Failure {
    loop {
        tokio::time::sleep(Signal::Load.interval()).await;
        if let Err(failure) = load::observed(engine, &control.settings()).await {
            return failure;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_kept_throttles_from_half_of_the_bound_and_ends_the_run_at_it() {
        let kept = |bytes, limit_bytes| Some(LogKept { bytes, limit_bytes });
        assert!(log_reason(kept(5, Some(10))).is_none());
        assert!(log_reason(kept(6, Some(10))).is_some());
        assert!(log_reason(kept(u64::MAX, None)).is_none());
        assert!(!is_log_full(kept(9, Some(10))) && is_log_full(kept(10, Some(10))));
        assert!(!is_log_full(kept(u64::MAX, None)) && !is_log_full(None));
    }
}
