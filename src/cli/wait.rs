//! `wait`: waits for the end of a run, from any host. It reads the journal and asks who holds the
//! run lock.

use crate::cli::engines::{Task, with_engine};
use crate::cli::table::TableArgs;
use crate::interface::log::{say, say_error};
use altergeist::Failure;
use altergeist::contract::{Engine, Kind, Record, Result, Stage, Target};
use clap::Args;
use std::time::Duration;
use tokio::time::Instant;

/// How often the journal is read.
const LOOK: Duration = Duration::from_secs(1);
/// How long no process may hold the run lock before the run counts as dead. A run that lost its
/// connections needs a moment to come back.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// How long a run that nobody has seen may take to begin.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// `wait`.
#[derive(Args)]
pub struct WaitArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Longest wait. Then the exit code is 6, because the run still holds the table
    #[arg(long, value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

/// What the journal and the run lock say.
struct Found {
    table: String,
    record: Option<Record>,
    holder: Option<String>,
}

/// How the wait ends.
#[derive(PartialEq, Eq, Debug)]
enum Ending {
    Done,
    Reverted,
    Failed(u8),
    Dead,
    Unknown,
}

/// Waits until the run ends. Returns its exit code.
pub async fn wait(args: &WaitArgs) -> u8 {
    let target = args.table.target();
    let until = args.timeout.map(|timeout| Instant::now() + timeout);
    match with_engine(&target, WaitTask { until }).await {
        Err(error) => failed(&error.into()),
        Ok(Err(failure)) => failed(&failure),
        Ok(Ok(code)) => code,
    }
}

fn failed(failure: &Failure) -> u8 {
    say_error(&format!("altergeist: {failure}"));
    failure.exit_code()
}

struct WaitTask {
    until: Option<Instant>,
}

impl Task for WaitTask {
    type Outcome = Result<u8, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let mut engine = Some(E::connect(target).await?);
        let mut idle = Idle { since: Instant::now(), is_seen: false };
        loop {
            let now = Instant::now();
            match look(&mut engine, target).await {
                Ok(found) => {
                    if let Some(ending) = idle.ending(&found, now) {
                        return Ok(told(&found.table, &ending));
                    }
                    if self.until.is_some_and(|until| now >= until) {
                        let holder = found.holder.unwrap_or_else(|| "nobody now".into());
                        return Err(Failure::Held { table: found.table, holder });
                    }
                }
                Err(error) if self.until.is_some_and(|until| now >= until) => {
                    return Err(error.into());
                }
                Err(error) if error.kind == Kind::Disconnected => engine = None,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn look<E: Engine>(engine: &mut Option<E>, target: &Target) -> Result<Found> {
    let engine = match engine {
        Some(engine) => engine,
        None => engine.insert(E::connect(target).await?),
    };
    // The lock first: a run writes its end before it lets go.
    let holder = engine.holder().await?;
    Ok(Found { table: engine.table().to_owned(), record: engine.load().await?, holder })
}

/// Since when nobody holds the run lock.
struct Idle {
    since: Instant,
    /// Whether a process held it before.
    is_seen: bool,
}

impl Idle {
    fn ending(&mut self, found: &Found, now: Instant) -> Option<Ending> {
        if found.holder.is_some() {
            *self = Idle { since: now, is_seen: true };
            return None;
        }
        let idle = now - self.since;
        match &found.record {
            Some(record) if matches!(record.stage, Stage::Done | Stage::Backfilled) => {
                Some(Ending::Done)
            }
            Some(record) if record.stage == Stage::Reverted => Some(Ending::Reverted),
            Some(Record { ended: Some(code), .. }) => Some(Ending::Failed(*code)),
            Some(_) => (idle >= DEAD_AFTER).then_some(Ending::Dead),
            None if self.is_seen => Some(Ending::Unknown),
            None => (idle >= BEGINS_WITHIN).then_some(Ending::Unknown),
        }
    }
}

/// Says how the run ended, and returns the exit code.
fn told(table: &str, ending: &Ending) -> u8 {
    match ending {
        Ending::Done => {
            say(&format!("{table}: done"));
            0
        }
        Ending::Reverted => {
            say(&format!("{table}: reverted"));
            10
        }
        Ending::Failed(code) => {
            say_error(&format!(
                "altergeist: the run on {table} ended with exit code {code}. Its own output says \
                 why"
            ));
            *code
        }
        Ending::Dead => {
            say_error(&format!(
                "altergeist: no process has worked on {table} for {} s, and none noted its end. It \
                 was killed, or its host is gone. The same command continues",
                DEAD_AFTER.as_secs()
            ));
            5
        }
        Ending::Unknown => {
            say_error(&format!("altergeist: the journal knows no change of {table}"));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::contract::Watermark;

    fn found(stage: Option<(Stage, Option<u8>)>, holder: Option<&str>) -> Found {
        let record = stage.map(|(stage, ended)| {
            let json = serde_json::json!({
                "run": "r", "alter": "", "stage": stage, "watermark": Watermark::Start,
                "position": null, "rows_copied": 0, "rows_estimated": 0, "started_at_seconds": 0,
                "updated_at_seconds": 0, "holder": "me@here", "ended": ended,
            });
            serde_json::from_value(json).expect("other fields have defaults")
        });
        Found { table: "t".into(), record, holder: holder.map(str::to_owned) }
    }

    #[test]
    fn a_run_ends_when_nobody_holds_the_table() {
        let now = Instant::now();
        let after = |found: &Found, seconds| {
            let mut idle = Idle { since: now, is_seen: false };
            idle.ending(found, now + Duration::from_secs(seconds))
        };
        let copying = Some((Stage::Copying, None));
        assert_eq!(after(&found(copying, Some("me")), 100), None);
        assert_eq!(after(&found(Some((Stage::Done, None)), Some("me")), 0), None);
        assert_eq!(after(&found(Some((Stage::Done, None)), None), 0), Some(Ending::Done));
        let failed = Some((Stage::Copying, Some(4)));
        assert_eq!(after(&found(failed, Some("me")), 100), None, "a later run works on it");
        assert_eq!(after(&found(failed, None), 0), Some(Ending::Failed(4)));
        assert_eq!(after(&found(copying, None), 29), None, "it may only have lost its connections");
        assert_eq!(after(&found(copying, None), 30), Some(Ending::Dead));
        assert_eq!(after(&found(None, None), 9), None);
        assert_eq!(after(&found(None, None), 10), Some(Ending::Unknown));
    }
}
