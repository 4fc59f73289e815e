//! `backfill`: from its arguments to its exit code.

use crate::cli::backfill_args::BackfillArgs;
use crate::cli::commands::{Success, Watched, exit_code, in_turn, watch_over};
use crate::cli::engines::Task;
use crate::interface::log::say;
use crate::interface::notify::Notifier;
use crate::interface::order_door::{OrderDoor, Steered};
use crate::interface::report_backfill;
use altergeist::backfill::{Ended, Options};
use altergeist::contract::{Engine, Error, Target, Trial};
use altergeist::{Failure, Phase, Settings};
use tokio::time::Instant;

/// Updates the rows, resumes that, or finds it done.
pub async fn backfill(args: &BackfillArgs) -> u8 {
    let notifier = args.watch.notify.start();
    let attempt = async |deadline| once(args, deadline, &notifier).await;
    let ended = in_turn(args.wait_for_other, args.deadline, attempt).await;
    notifier.finish().await;
    exit_code(ended)
}

async fn once(
    args: &BackfillArgs,
    deadline: Option<Instant>,
    notifier: &Notifier,
) -> Result<(), Failure> {
    if args.condition.is_none() && !args.all_rows {
        let reason = "without --where it changes every row. Add --where, or say so with --all-rows";
        return Err(Error::refused(format!("backfill {}", args.table.table), reason).into());
    }
    let watched = Watched {
        target: &args.target(),
        settings: Settings { deadline: deadline.map(Instant::into_std), ..args.settings() },
        watch: &args.watch,
    };
    let task = |steered| BackfillTask { options: args.options(), steered };
    let (ended, last) = watch_over(watched, notifier, task).await?;
    say(&report_backfill::ended(&ended, &last.table));
    Ok(())
}

struct BackfillTask {
    options: Options,
    steered: Steered,
}

impl Success for Ended {}

impl Task for BackfillTask {
    type Outcome = Result<Ended, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let (mut door, control) = OrderDoor::<E>::new(self.steered);
        let connect = async || E::connect(target).await;
        let announce = |trial: &Trial| {
            say(&format!(
                "altergeist: {}",
                report_backfill::announced(trial, &self.options.update)
            ));
        };
        let run = altergeist::backfill::backfill(connect, &control, &self.options, &announce);
        let ended = tokio::select! {
            ended = run => ended,
            () = door.serve(target) => Err(Failure::Stopped),
        };
        door.close(if ended.is_ok() { Phase::Done } else { Phase::Failed }).await;
        ended
    }
}
