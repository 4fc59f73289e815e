//! A backfill, from its refusals to its end. Read it top to bottom: it is the table of contents.

use crate::backfill::begin::{TakenUp, begin, count, taken_up};
use crate::backfill::options::{Ended, Options};
use crate::backfill::walk::Walk;
use crate::control::{Control, Failure, Phase};
use crate::migration::hold::hold;
use crate::pace::signals;
use altergeist_contract::{Engine, Kind, Result, Trial};
use std::time::Duration;

/// Updates the rows, resumes that, or finds it done. `announce` is told once what a trial on a few
/// rows showed, before any row is changed.
///
/// # Errors
/// A [`Failure`]. After each of them the same call may be made again.
pub async fn backfill<E: Engine>(
    mut connect: impl AsyncFnMut() -> Result<E>,
    control: &Control,
    options: &Options,
    announce: &dyn Fn(&Trial),
) -> Result<Ended, Failure> {
    let (mut failures, mut progress, mut is_announced) = (0, 0, false);
    loop {
        let ended = async {
            let engine = connect().await?;
            signals::check(&engine, &control.settings()).await?;
            let announce = |trial: &Trial| {
                if !std::mem::replace(&mut is_announced, true) {
                    announce(trial);
                }
            };
            backfill_once(&engine, control, options, announce).await
        };
        let error = match ended.await {
            Err(Failure::Error(error))
                if matches!(error.kind, Kind::Disconnected | Kind::Transient) =>
            {
                error
            }
            ended => return ended,
        };
        let reached = control.status().rows_copied;
        failures = if reached > progress { 1 } else { failures + 1 };
        progress = reached;
        if failures > options.reconnects {
            return Err(error.into());
        }
        control.update(|status| status.last_error = Some(error.to_string()));
        control.check_stop()?;
        let pause = Duration::from_millis(200 * u64::from(failures)).min(Duration::from_secs(10));
        tokio::time::sleep(pause).await;
    }
}

async fn backfill_once<E: Engine>(
    engine: &E,
    control: &Control,
    options: &Options,
    mut announce: impl FnMut(&Trial),
) -> Result<Ended, Failure> {
    control.update(|status| {
        status.phase = Phase::Planning;
        status.table = engine.table().to_owned();
        status.alter = options.update.described();
    });
    if options.dry_run {
        announce(&engine.try_update(&options.update).await?);
        return Ok(Ended::Counted(count(engine, control, &options.update).await?));
    }
    hold(engine).await?;
    let taken_up = taken_up(engine, options).await?;
    if let TakenUp::AlreadyDone(done) = taken_up {
        return Ok(Ended::AlreadyDone { by: done.by, at_seconds: done.at_seconds });
    }
    let trial = engine.try_update(&options.update).await?;
    announce(&trial);
    let record = match taken_up {
        TakenUp::Resumed(record) => *record,
        TakenUp::New { done, .. } => begin(engine, control, options, &trial, done).await?,
        TakenUp::AlreadyDone(_) => unreachable!("it has returned"),
    };
    control.name_run(&record);
    engine.begin_backfill().await?;
    Walk::new(engine, control, options, record).to_the_end().await
}
