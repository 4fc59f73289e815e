//! `revert`: puts the old table back, by a run that is alive or by itself.

use crate::cli::commands::{RunTask, Watched, ask, exit_code, failed, watch_over};
use crate::cli::engines::Task;
use crate::cli::order::OrderTask;
use crate::cli::revert_args::RevertArgs;
use crate::interface::log::{say, say_error};
use crate::interface::{report, report_reversible};
use altergeist::Failure;
use altergeist::contract::{Engine, Stage, Target};
use std::time::Duration;

/// How often the journal of the run is read while it reverts.
const LOOK: Duration = Duration::from_millis(500);

/// How long a run has to answer the order.
const ANSWER: Duration = Duration::from_secs(30);

/// Puts the old table back. The exit code is 0 if it has its name again.
pub async fn revert(args: &RevertArgs) -> u8 {
    match ask(&args.target(), LookTask).await {
        Err(failure) => failed(&failure),
        Ok(Seen { holder: Some(holder), declines }) => by_the_living(args, &holder, declines).await,
        Ok(Seen { holder: None, .. }) => by_itself(args).await,
    }
}

/// Has the run that keeps the old table current put it back.
async fn by_the_living(args: &RevertArgs, holder: &str, declines: u32) -> u8 {
    let word = if args.discards() { "revert discard-unrevertible" } else { "revert" };
    let order = OrderTask { word: word.into(), timeout: ANSWER, is_standing: false };
    let target = args.target();
    let answer = tokio::select! {
        answer = ask(&target, order) => answer,
        // Its sessions may outlive it for a moment.
        ended = ask(&target, UntilItEnds) => match ended {
            Ok(()) => return by_itself(args).await,
            Err(failure) => Err(failure),
        },
    };
    match answer {
        Err(failure) => return failed(&failure),
        Ok(answer) if !answer.is_done => {
            say_error(&format!("altergeist: the run of {holder} says: {}", answer.answer));
            return 3;
        }
        Ok(_) => {}
    }
    match ask(&args.target(), RevertedTask { declines }).await {
        Err(failure) => failed(&failure),
        Ok((table, rows_discarded)) => {
            say(&report_reversible::reverted(&table, rows_discarded));
            0
        }
    }
}

/// Puts it back without another process.
async fn by_itself(args: &RevertArgs) -> u8 {
    let notifier = args.watch.notify.start();
    let watched = Watched { target: &args.target(), settings: args.settings(), watch: &args.watch };
    let task = |steered| RunTask { options: args.options(), steered };
    let ended = watch_over(watched, &notifier, task).await;
    notifier.finish().await;
    let ended = ended.map(|(outcome, last)| say(&report::outcome(outcome, &last)));
    exit_code(ended)
}

/// Looks who works on the table now.
struct LookTask;

/// What was seen before the order is given.
struct Seen {
    holder: Option<String>,
    /// How many orders to revert were not carried out so far.
    declines: u32,
}

impl Task for LookTask {
    type Outcome = Result<Seen, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let engine = E::connect(target).await?;
        let record = engine.load().await?;
        let reversible = record.and_then(|record| record.reversible).unwrap_or_default();
        Ok(Seen { holder: engine.holder().await?, declines: reversible.declines })
    }
}

/// Waits until no run holds the table.
struct UntilItEnds;

impl Task for UntilItEnds {
    type Outcome = Result<(), Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let engine = E::connect(target).await?;
        while engine.holder().await?.is_some() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// Waits until the run has put the old table back, or says that it does not. Returns the table and
/// the rows that were given up.
struct RevertedTask {
    /// How many orders to revert were not carried out before this one.
    declines: u32,
}

impl Task for RevertedTask {
    type Outcome = Result<(String, u64), Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let engine = E::connect(target).await?;
        let no = |reason: String| Err(Failure::NotReverted(reason));
        loop {
            // The lock first: a run writes its end before it lets go.
            let holder = engine.holder().await?;
            let Some(record) = engine.load().await? else {
                return no("the journal knows no change of this table any more".into());
            };
            let reversible = record.reversible.unwrap_or_default();
            match record.stage {
                Stage::Reverted => {
                    return Ok((engine.table().to_owned(), reversible.rows_discarded));
                }
                Stage::Done => return no("the run has finished the change instead".into()),
                _ if let Some(reason) = reversible.lost => return no(reason),
                _ if reversible.declines > self.declines => {
                    return no(reversible.declined.unwrap_or_default());
                }
                _ if holder.is_none() => {
                    return no("the run ended meanwhile; repeat this command".into());
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
}
