//! How heavily the server is used, by measures of its own, and how much of it the operator will have.

use crate::Failure;
use crate::desk::{Desk, Orders};
use altergeist_contract::{Engine, Kind, Result};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How often it is asked while nothing but the server works.
const LOOK: Duration = Duration::from_secs(1);

/// A measure of the server's, and the most it may be.
#[derive(Clone, PartialEq, Debug)]
pub struct Limit {
    /// The measure, as the engine knows it.
    pub measure: String,
    /// The most it may be.
    pub most: f64,
}

/// Any number of limits, written as `NAME=N,NAME=N`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Limits(pub Vec<Limit>);

impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Limits, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(limit).collect::<std::result::Result<_, _>>().map(Limits)
    }
}

fn limit(part: &str) -> std::result::Result<Limit, String> {
    let wrong = || format!("{part:?} is not of the form NAME=NUMBER");
    let (measure, most) = part.split_once('=').ok_or_else(wrong)?;
    let measure = measure.trim();
    let is_name = !measure.is_empty() && measure.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let most = most.trim().parse::<f64>().ok().filter(|most| most.is_finite() && *most >= 0.0);
    match (is_name, most) {
        (true, Some(most)) => Ok(Limit { measure: measure.to_owned(), most }),
        _ => Err(wrong()),
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<String> = self.0.iter().map(|limit| format!("{}={}", limit.measure, limit.most)).collect();
        f.write_str(&written.join(","))
    }
}

/// Why nothing should be copied now, for people; None if the server is used no more than it may be.
///
/// # Errors
/// [`Failure::CriticalLoad`].
pub async fn look<E: Engine>(engine: &E, orders: &Orders) -> Result<Option<String>, Failure> {
    let limits: Vec<&Limit> = orders.critical_load.0.iter().chain(&orders.max_load.0).collect();
    if limits.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = limits.iter().map(|limit| limit.measure.as_str()).collect();
    let loads = match engine.loads(&names).await {
        Ok(loads) => loads,
        // What cannot be told may be anything.
        Err(error) if error.kind == Kind::Refused => return Ok(Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let above = |(limit, load): (&&Limit, &f64)| (*load > limit.most).then(|| ((*limit).clone(), *load));
    let critical = orders.critical_load.0.len();
    if let Some((limit, load)) = limits.iter().zip(&loads).take(critical).find_map(above) {
        return Err(Failure::CriticalLoad { limit, load });
    }
    let above = limits.iter().zip(&loads).skip(critical).find_map(above);
    Ok(above.map(|(limit, load)| format!("{} is {load}, and may be {}", limit.measure, limit.most)))
}

/// Asks once for everything the operator named, so that a name the server does not know is told of at once.
///
/// # Errors
/// `Refused`, naming it.
pub async fn check<E: Engine>(engine: &E, orders: &Orders) -> Result<()> {
    let limits = orders.max_load.0.iter().chain(&orders.critical_load.0);
    let names: Vec<&str> = limits.map(|limit| limit.measure.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    engine.loads(&names).await.map(|_| ())
}

/// Waits until the server is used so heavily that the run must end; gives the [`Failure`] it ends with.
pub async fn critical<E: Engine>(engine: &E, desk: &Desk) -> Failure {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(failure) = look(engine, &desk.orders()).await {
            return failure;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        for text in ["Threads_running=25", "Threads_running=25,lock_waiters=0.5", ""] {
            assert_eq!(text.parse::<Limits>().unwrap().to_string(), text);
        }
        assert_eq!(" a = 1 ,, b=2 ".parse::<Limits>().unwrap().to_string(), "a=1,b=2");
    }

    #[test]
    fn nonsense_is_no_limit() {
        for text in ["Threads_running", "=5", "a=", "a=b", "a=-1", "a=inf", "a=NaN", "a b=1", "a'=1"] {
            assert!(text.parse::<Limits>().is_err(), "{text:?}");
        }
    }
}
