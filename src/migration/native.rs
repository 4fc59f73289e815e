//! Lets the server do the change itself.

use crate::control::{Control, Failure};
use altergeist_contract::{Engine, Kind, Result, Verdict};
use std::time::Duration;

/// Returns why the server refused to do it in one statement. Nothing was changed then.
pub fn why_not(altered: &std::result::Result<(), Failure>, verdict: &Verdict) -> Option<String> {
    match (altered, verdict) {
        (Err(Failure::Error(error)), Verdict::Native(_)) if error.kind == Kind::Refused => {
            Some(error.reason.clone())
        }
        _ => None,
    }
}

/// Lets the server do the change, in one statement or in steps. It retries a lock that it could not
/// get.
pub async fn alter_by_itself<E: Engine>(
    engine: &E,
    control: &Control,
    verdict: &Verdict,
) -> std::result::Result<(), Failure> {
    let mut reason = String::new();
    let mut attempt = 0;
    while attempt < control.settings().lock_attempts {
        attempt += 1;
        control.check_stop()?;
        let altering = async {
            match verdict {
                Verdict::Native(statement) => engine.alter_natively(statement).await,
                Verdict::Online | Verdict::Copy => engine.alter_online().await,
            }
        };
        let ended = unless_stopped(engine, control, altering).await;
        if ended.is_err() {
            control.check_stop()?;
        }
        match ended {
            Err(error) if error.kind == Kind::Busy => reason = error.reason,
            ended => return Ok(ended?),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500) * attempt.min(60)) => {}
            () = control.stopped() => {}
        }
    }
    Err(Failure::NoLock(reason))
}

/// How often a stop tries to end a step. The first time may come between two statements.
const INTERRUPT_EVERY: Duration = Duration::from_millis(500);

/// Waits for the end of a change. If the operator stops the run, the step under way is ended.
async fn unless_stopped<E: Engine>(
    engine: &E,
    control: &Control,
    altering: impl Future<Output = Result<()>>,
) -> Result<()> {
    tokio::pin!(altering);
    tokio::select! {
        biased;
        ended = &mut altering => return ended,
        () = control.stopped() => {}
    }
    loop {
        if let Err(error) = engine.interrupt_online().await {
            tracing::warn!(%error, "the step under way is not ended");
        }
        tokio::select! {
            ended = &mut altering => return ended,
            () = tokio::time::sleep(INTERRUPT_EVERY) => {}
        }
    }
}
