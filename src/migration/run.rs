//! A run, from its plan to its end. Read it top to bottom: it is the table of contents.

pub mod leave;

use crate::control::{Control, Event, Failure, Options, Outcome, Phase};
use crate::gate::Gates;
use crate::migration::begin::begin;
use crate::migration::checkpoint;
use crate::migration::cutover::Way;
use crate::migration::hold::hold;
use crate::migration::idle_table::IdleTable;
use crate::migration::resume::{TakenUp, taken_up, why};
use crate::migration::reversible;
use crate::migration::run::leave::LeaveToSwap;
use crate::migration::state::{Direction, Migration};
use crate::pace::signals;
use altergeist_contract::{Engine, Error, Kind, Record, Result, Stage};
use std::time::Duration;

/// How often a run starts again by itself because the log did not name every changed row.
const ANEW_MAX: u32 = 3;

/// Does the change, resumes it, or finds it done. After a lost connection it reconnects and resumes
/// from its record, as another process would after a crash.
///
/// # Errors
/// A [`Failure`]. After each of them the same call may be made again.
pub async fn run<E: Engine>(
    mut connect: impl AsyncFnMut() -> Result<E>,
    control: &Control,
    options: &Options,
) -> Result<Outcome, Failure> {
    let mut failures = 0;
    let mut progress = 0;
    let mut may_be_quiet = true;
    let mut is_checked = false;
    let mut is_swapped = false;
    let mut anew = 0;
    loop {
        let ended = async {
            let engine = connect().await?;
            if !is_checked {
                signals::check(&engine, &control.settings()).await?;
                is_checked = true;
            }
            let ended = run_once(&engine, control, options, may_be_quiet).await;
            if let Err(failure) = &ended {
                checkpoint::note_end(&engine, failure).await;
            }
            match ended? {
                Ended::Reversible(record) => {
                    is_swapped = true;
                    turn_around(engine, control, options, *record).await
                }
                ended => Ok(ended),
            }
        };
        let ended = ended.await;
        let error = match ended {
            Ok(Ended::Well(Outcome::Finished)) if is_swapped => return Ok(Outcome::Swapped),
            Ok(Ended::Well(outcome)) => return Ok(outcome),
            Ok(Ended::Reversible(_)) => unreachable!("it is turned around at once"),
            Ok(Ended::Anew(why)) => {
                anew += 1;
                if anew > ANEW_MAX {
                    return Err(why);
                }
                tracing::warn!(reason = %why, "the copy is no longer reliable; the run copies the \
                                               table again");
                control.update(|status| status.last_error = Some(why.to_string()));
                may_be_quiet = false;
                continue;
            }
            Err(Failure::Unfinished(error)) => {
                is_swapped = true;
                error
            }
            Err(Failure::Error(error)) => error,
            Err(failure) => return Err(failure),
        };
        let reached = control.status().rows_copied + control.status().rows_verified;
        failures = if reached > progress { 1 } else { failures + 1 };
        progress = reached;
        if !matches!(error.kind, Kind::Disconnected | Kind::Transient)
            || failures > options.reconnects
        {
            // After the swap no error may claim that the source is untouched.
            return Err(if is_swapped { Failure::Unfinished(error) } else { error.into() });
        }
        control.update(|status| status.last_error = Some(error.to_string()));
        if let Err(stopped) = control.check_stop() {
            return Err(if is_swapped { Failure::Unfinished(error) } else { stopped });
        }
        tokio::time::sleep(
            Duration::from_millis(200 * u64::from(failures)).min(Duration::from_secs(10)),
        )
        .await;
    }
}

/// How one pass of a run ended.
enum Ended {
    Well(Outcome),
    /// The tables are swapped, and the old one is to be kept current.
    Reversible(Box<Record>),
    /// It must start again, with the log read from the first row on. The record says so.
    Anew(Failure),
}

async fn run_once<E: Engine>(
    engine: &E,
    control: &Control,
    options: &Options,
    may_be_quiet: bool,
) -> Result<Ended, Failure> {
    control.update(|status| {
        status.phase = Phase::Planning;
        status.table = engine.table().to_owned();
        status.alter = options.alter.clone();
    });
    hold(engine).await?;
    control.ask_once(Event::Startup).await?;
    let (record, listener, idle_table) = match taken_up(engine, options).await? {
        TakenUp::AlreadyDone(record) => {
            control.update(|status| status.later_statements = record.later_statements);
            return Ok(Ended::Well(Outcome::AlreadyDone {
                by: record.holder,
                at_seconds: record.updated_at_seconds,
            }));
        }
        TakenUp::AlreadyReverted(record) => {
            return Ok(Ended::Well(Outcome::AlreadyReverted {
                by: record.holder,
                at_seconds: record.updated_at_seconds,
            }));
        }
        TakenUp::SwappedBefore(record) => {
            control.name_run(&record);
            return match after_swap(engine, control, record).await? {
                Ended::Well(_) => Ok(Ended::Well(Outcome::Finished)),
                ended => Ok(ended),
            };
        }
        TakenUp::Reversible(record) => {
            control.name_run(&record);
            control.update(|status| status.alter = record.alter.clone());
            return Ok(Ended::Reversible(Box::new(record)));
        }
        TakenUp::Missed(record, error) => return anew(engine, record, error.into()).await,
        TakenUp::Resumed(record, listener) => {
            control.name_run(&record);
            (record, *listener, IdleTable::never())
        }
        TakenUp::Nothing => {
            let idle_table =
                if may_be_quiet { IdleTable::watch(engine).await? } else { IdleTable::never() };
            match begin(engine, control, options).await? {
                None => return Ok(Ended::Well(Outcome::Altered)),
                Some((record, listener)) => (record, listener, idle_table),
            }
        }
    };
    let mut migration = Migration {
        engine,
        control,
        listener,
        record,
        direction: Direction::Forward,
        columns: Vec::new(),
    };
    let mut is_proven = false;
    let changed = async {
        migration.copy_all(idle_table).await?;
        migration.ask_once(Event::CopyComplete).await?;
        let proof = migration.build_indexes().await?;
        migration.prove(proof).await?;
        is_proven = true;
        migration.ask_once(Event::Proven).await?;
        let mut gates = Gates::new(&options.gates);
        gates.columns = migration.columns.clone();
        migration.wait_for_gates(&mut gates).await?;
        migration.cut_over(&mut Way::Forward(&mut gates), &LeaveToSwap::of_a_run()).await
    };
    let ended = changed.await;
    let record = migration.record;
    let Err(failure) = ended else {
        control.tell(Event::Swapped, None);
        return after_swap(engine, control, record).await;
    };
    if let Failure::Error(Error { kind: Kind::Missed, .. }) = failure {
        return anew(engine, record, failure).await;
    }
    if !failure.is_data_error() {
        return Err(failure);
    }
    match why(engine, &failure).await {
        Some(error) if error.kind == Kind::Missed => anew(engine, record, error.into()).await,
        Some(error) => Err(error.into()),
        // The table was written to while it was copied, and the log was not read.
        None if record.passed_log && !is_proven => anew(engine, record, failure).await,
        None => Err(failure),
    }
}

/// Marks the copy as void. The next pass discards it.
async fn anew<E: Engine>(engine: &E, mut record: Record, why: Failure) -> Result<Ended, Failure> {
    record.stage = Stage::Preparing;
    checkpoint::save(engine, &mut record).await?;
    Ok(Ended::Anew(why))
}

/// Keeps the old table current from now on, until the time is over or it is put back.
async fn turn_around<E: Engine>(
    engine: E,
    control: &Control,
    options: &Options,
    record: Record,
) -> Result<Ended, Failure> {
    let engine = engine.turn_around().await.map_err(Failure::Unfinished)?;
    let leave = LeaveToSwap::of_a_run();
    let ended = reversible::stay(&engine, control, options, record, &leave).await;
    let ended = ended.map(Ended::Well);
    if let Err(failure) = &ended {
        checkpoint::note_end(&engine, failure).await;
    }
    ended
}

/// The tables are swapped: the change is reversible from now on, or done.
async fn after_swap<E: Engine>(
    engine: &E,
    control: &Control,
    mut record: Record,
) -> Result<Ended, Failure> {
    if record.reversible.is_some() {
        reversible::begin(engine, &mut record).await?;
        return Ok(Ended::Reversible(Box::new(record)));
    }
    finish(engine, control, record).await.map(Ended::Well)
}

/// Removes what is not needed after the swap, and marks the run as done.
///
/// # Errors
/// [`Failure::Unfinished`], whatever failed: the tables are swapped.
async fn finish<E: Engine>(
    engine: &E,
    control: &Control,
    mut record: Record,
) -> Result<Outcome, Failure> {
    engine.finish().await.map_err(Failure::Unfinished)?;
    record.stage = Stage::Done;
    // The table is another one now, with rows that backfills have changed.
    if !record.backfills.done.is_empty()
        && let Ok(now) = engine.row_order().await
    {
        record.backfills.done.iter_mut().for_each(|done| done.table.clone_from(&now.table));
    }
    checkpoint::save(engine, &mut record).await.map_err(Failure::Unfinished)?;
    control.update(|status| {
        status.phase = Phase::Done;
        status.percent = 100.0;
        status.eta_seconds = None;
        status.pending_keys = 0;
    });
    Ok(Outcome::Swapped)
}
