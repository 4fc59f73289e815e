//! Proof of a fresh backup.

use crate::gate::check::is_query;
use crate::gate::command;
use altergeist_contract::Engine;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::time::Duration;

/// A query or a command that gives the time of the last backup, and how old that may be.
#[derive(Clone, PartialEq, Debug)]
pub struct Backup {
    /// Asked of the server if it begins with SELECT or WITH, else run as a command.
    pub question: String,
    /// The greatest age.
    pub max_age: Duration,
}

/// How far the clocks of two machines may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(300);

impl Backup {
    /// Returns why there is no fresh backup. None if there is one.
    pub async fn is_missing<E: Engine>(&self, engine: &E) -> Option<String> {
        let answer = match is_query(&self.question) {
            true => engine.ask(&self.question).await.map_err(|error| error.reason),
            false => command::last_line(&self.question, engine.table()).await.map(Some),
        };
        match answer {
            Ok(answer) => too_old(&answer.unwrap_or_default(), self.max_age, Timestamp::now()),
            Err(reason) => Some(format!("unknown ({reason})")),
        }
    }
}

/// Returns why a backup of that time is not fresh.
fn too_old(answer: &str, max_age: Duration, now: Timestamp) -> Option<String> {
    let Some(made) = moment(answer.trim()) else {
        return Some(
            "unknown (the answer is no time; print seconds since 1970 or 2026-11-30T02:00:00Z)"
                .into(),
        );
    };
    let shown =
        |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs()));
    match Duration::try_from(now.duration_since(made)) {
        Ok(age) if age > max_age => {
            Some(format!("age {} > {}", shown(age), humantime::format_duration(max_age)))
        }
        Ok(_) => None,
        Err(_) if made.duration_since(now) <= CLOCKS_APART.try_into().ok()? => None,
        Err(_) => Some("unknown (its time lies in the future)".into()),
    }
}

/// Reads seconds since 1970, or a date and time; UTC unless it says otherwise.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Timestamp::from_second(seconds as i64).ok();
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Some(zoned.timestamp());
    }
    // PostgreSQL writes +00 for +00:00.
    let padded = format!("{text}:00");
    if let Ok(timestamp) = padded.parse::<Timestamp>() {
        return Some(timestamp);
    }
    let local: DateTime = text.parse().ok()?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_fresh_until_it_is_too_old() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let day = Duration::from_secs(86_400);
        let said = |answer: &str| too_old(answer, day, now);
        assert_eq!(said("2026-11-30T02:00:00Z"), None);
        assert_eq!(said("2026-11-30 02:00:00"), None);
        assert_eq!(said("2026-11-30 02:00:00.123+00"), None);
        assert_eq!(said(&now.as_second().to_string()), None);
        assert_eq!(said("2026-11-30T12:01:00Z"), None, "clocks differ");
        assert_eq!(said("2026-11-29T10:00:00Z").unwrap(), "age 1day 2h > 1day");
        assert!(said("2026-12-24T10:00:00Z").unwrap().contains("future"));
        assert!(said("").unwrap().contains("no time"));
        assert!(said("yesterday").unwrap().contains("no time"));
    }
}
