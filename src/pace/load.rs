//! Compares the server's load metrics with the operator's limits.

use crate::control::{Failure, Limit, Settings};
use crate::pace::signal::{Observation, Signal};
use altergeist_contract::{Engine, Kind, Result};

/// Reads every metric that has a limit. One that exceeds it is a reason to throttle.
///
/// # Errors
/// [`Failure::CriticalLoad`].
pub async fn observed<E: Engine>(engine: &E, settings: &Settings) -> Result<Observation, Failure> {
    let limits: Vec<&Limit> = settings.critical_load.0.iter().chain(&settings.max_load.0).collect();
    if limits.is_empty() {
        return Ok(Observation::default());
    }
    let names: Vec<&str> = limits.iter().map(|limit| limit.measure.as_str()).collect();
    let loads = match engine.loads(&names).await {
        Ok(loads) => loads,
        // An unknown load counts as too high.
        Err(error) if error.kind == Kind::Refused => {
            return Ok(Observation::unknown(Signal::Load.name(), &error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let above =
        |(limit, load): (&&Limit, &f64)| (*load > limit.most).then(|| ((*limit).clone(), *load));
    let critical = settings.critical_load.0.len();
    if let Some((limit, load)) = limits.iter().zip(&loads).take(critical).find_map(above) {
        return Err(Failure::CriticalLoad { limit, load });
    }
    let reason = limits.iter().zip(&loads).skip(critical).find_map(above);
    let reason = reason.map(|(limit, load)| format!("{} {load} > {}", limit.measure, limit.most));
    let all = limits.iter().zip(&loads).map(|(limit, load)| format!("{}={load}", limit.measure));
    Ok(Observation { observed: Some(all.collect::<Vec<_>>().join(",")), reason })
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
