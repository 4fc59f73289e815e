//! Lets the server do the change itself.

use crate::control::{Control, Failure};
use altergeist_contract::{Engine, Kind, Verdict};
use std::time::Duration;

/// Returns why the server refused to do it in one statement. Nothing was changed then.
pub fn why_not(altered: &Result<(), Failure>, verdict: &Verdict) -> Option<String> {
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
) -> Result<(), Failure> {
    let mut reason = String::new();
    let mut attempt = 0;
    while attempt < control.settings().lock_attempts {
        attempt += 1;
        control.check_stop()?;
        let ended = match verdict {
            Verdict::Native(statement) => engine.alter_natively(statement).await,
            Verdict::Online | Verdict::Copy => engine.alter_online().await,
        };
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
