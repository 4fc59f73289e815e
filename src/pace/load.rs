//! Compares the server's load metrics with the operator's limits.

use crate::control::{Control, Failure, Limit, Settings};
use altergeist_contract::{Engine, Kind, Result};
use std::time::Duration;

/// How often the load is read while a statement of the server runs.
const LOOK: Duration = Duration::from_secs(1);

/// Returns the metric that exceeds its limit, as a reason to throttle; None if none does.
///
/// # Errors
/// [`Failure::CriticalLoad`].
pub async fn exceeded<E: Engine>(
    engine: &E,
    settings: &Settings,
) -> Result<Option<String>, Failure> {
    let limits: Vec<&Limit> = settings.critical_load.0.iter().chain(&settings.max_load.0).collect();
    if limits.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = limits.iter().map(|limit| limit.measure.as_str()).collect();
    let loads = match engine.loads(&names).await {
        Ok(loads) => loads,
        // An unknown load counts as too high.
        Err(error) if error.kind == Kind::Refused => return Ok(Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let above =
        |(limit, load): (&&Limit, &f64)| (*load > limit.most).then(|| ((*limit).clone(), *load));
    let critical = settings.critical_load.0.len();
    if let Some((limit, load)) = limits.iter().zip(&loads).take(critical).find_map(above) {
        return Err(Failure::CriticalLoad { limit, load });
    }
    let above = limits.iter().zip(&loads).skip(critical).find_map(above);
    Ok(above.map(|(limit, load)| format!("{} {load} > {}", limit.measure, limit.most)))
}

/// Reads every metric once, so that a name that the server does not know is reported at once.
///
/// # Errors
/// `Refused`, naming it.
pub async fn check<E: Engine>(engine: &E, settings: &Settings) -> Result<()> {
    let limits = settings.max_load.0.iter().chain(&settings.critical_load.0);
    let names: Vec<&str> = limits.map(|limit| limit.measure.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    engine.loads(&names).await.map(|_| ())
}

/// Waits until a metric exceeds its critical limit. Returns the [`Failure`] to end with.
pub async fn critical<E: Engine>(engine: &E, control: &Control) -> Failure {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(failure) = exceeded(engine, &control.settings()).await {
            return failure;
        }
    }
}
