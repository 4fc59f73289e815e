//! Resumes what an earlier process began, and finds out why a run failed.

use crate::control::{Failure, Goal, Options};
use crate::migration::checkpoint;
use crate::migration::cutover::who_owns_the_name;
use crate::migration::listen::Listener;
use crate::pace::throttle::STREAM_LOOK;
use altergeist_contract::{Engine, Error, Kind, Ownership, Record, Stage};

/// Finds the reason behind differing rows and an unreadable log: the log did not receive every row,
/// or the source is another table now.
pub async fn why<E: Engine>(engine: &E, failure: &Failure) -> Option<Error> {
    // A cached answer would not cover what has just happened.
    tokio::time::sleep(STREAM_LOOK).await;
    let error = engine.check_stream().await.err()?;
    let is_reason = matches!(error.kind, Kind::Missed | Kind::Fatal)
        || matches!(failure, Failure::Unequal { .. });
    is_reason.then_some(error)
}

/// The state in which an earlier run ended.
pub enum TakenUp<S> {
    /// No earlier run: this one begins.
    Nothing,
    /// The change was done before; the record says when and by whom.
    AlreadyDone(Record),
    /// The last change was reverted before, and this run only reverts.
    AlreadyReverted(Record),
    /// The tables are swapped, and steps after the swap remain.
    SwappedBefore(Record),
    /// The tables are swapped, and the old one is kept current.
    Reversible(Record),
    /// The copy continues.
    Resumed(Record, Box<Listener<S>>),
    /// The log did not name every row that changed since.
    Missed(Record, Error),
}

/// Resumes from the record, if there is one.
///
/// # Errors
/// `Refused` if another change of the table is not finished.
pub async fn taken_up<E: Engine>(
    engine: &E,
    options: &Options,
) -> Result<TakenUp<E::Stream>, Failure> {
    let record = engine.load().await?;
    if options.goal != Goal::Change {
        return revertible(engine, record).await;
    }
    let Some(mut record) = record else {
        return Ok(TakenUp::Nothing);
    };
    if record.is_rehearsal {
        // Nobody rehearses now, for this run holds the run lock.
        engine.cleanup(false).await?;
        keep_backfills(engine, Record { is_rehearsal: false, ..record }).await?;
        return Ok(TakenUp::Nothing);
    }
    if record.alter != options.alter && !has_ended(record.stage) {
        return Err(another_change_is_under_way(engine.table(), &record).into());
    }
    if let Some(terms) = record.terms.as_ref().filter(|_| record.stage == Stage::Copying)
        && *terms != options.terms
    {
        return Err(other_options(engine.table(), terms).into());
    }
    match record.stage {
        Stage::Done if record.alter == options.alter && !options.again => {
            return Ok(TakenUp::AlreadyDone(record));
        }
        // The plan reports what is left of it.
        Stage::Done | Stage::Backfilled | Stage::Altering => return Ok(TakenUp::Nothing),
        Stage::Reversible | Stage::Reverting => return Ok(TakenUp::Reversible(record)),
        Stage::Backfilling => {
            return Err(another_change_is_under_way(engine.table(), &record).into());
        }
        // After a revert the altered table is what is left: it stands where the copy must.
        Stage::Preparing | Stage::Reverted => {
            engine.cleanup(record.stage == Stage::Reverted).await?;
            keep_backfills(engine, record).await?;
            return Ok(TakenUp::Nothing);
        }
        Stage::CuttingOver => {
            if who_owns_the_name(engine).await? == Ownership::Shadow {
                return Ok(TakenUp::SwappedBefore(record));
            }
        }
        Stage::Copying => {}
    }
    let mut listener =
        Listener::new(record.position.clone().expect("a run that copies has saved a position"));
    match listener.listen(engine).await {
        Err(error) if error.kind == Kind::Missed => return Ok(TakenUp::Missed(record, error)),
        listening => listening?,
    }
    engine.clear_beyond(&record.watermark).await?;
    record.holder = options.holder.clone();
    checkpoint::save(engine, &mut record).await?;
    Ok(TakenUp::Resumed(record, Box::new(listener)))
}

/// Remembers the backfills that are done, when nothing else of a record counts.
async fn keep_backfills<E: Engine>(engine: &E, record: Record) -> Result<(), Failure> {
    if record.backfills.done.is_empty() {
        return Ok(());
    }
    Ok(engine.save(&Record { stage: Stage::Backfilled, position: None, ..record }).await?)
}

/// Whether nothing of the earlier change is under way.
fn has_ended(stage: Stage) -> bool {
    matches!(stage, Stage::Done | Stage::Backfilled | Stage::Altering | Stage::Reverted)
}

/// What there is to revert.
///
/// # Errors
/// [`Failure::NotReverted`] if nothing is; it says why.
async fn revertible<E: Engine>(
    engine: &E,
    record: Option<Record>,
) -> Result<TakenUp<E::Stream>, Failure> {
    let not = |reason: &str| Err(Failure::NotReverted(reason.into()));
    let Some(record) = record else {
        return not("the journal knows no change of this table");
    };
    match record.stage {
        Stage::Reversible | Stage::Reverting => Ok(TakenUp::Reversible(record)),
        Stage::CuttingOver if record.reversible.is_some() => {
            match who_owns_the_name(engine).await? {
                Ownership::Shadow => Ok(TakenUp::SwappedBefore(record)),
                _ => not("the tables are not swapped; `altergeist cleanup` drops the copy"),
            }
        }
        Stage::Reverted => Ok(TakenUp::AlreadyReverted(record)),
        Stage::Done => {
            not("the change is done, and the old table is not kept current: it was run without \
             --reversible, or that time is over")
        }
        Stage::Preparing | Stage::Copying | Stage::CuttingOver => {
            not("the tables are not swapped; `altergeist cleanup` drops the copy")
        }
        Stage::Altering | Stage::Backfilling | Stage::Backfilled => {
            not("the last change of this table was made in place")
        }
    }
}

fn other_options(table: &str, terms: &str) -> Error {
    let with = if terms.is_empty() { "without them".into() } else { format!("with: {terms}") };
    Error::refused(
        format!("resume the change of {table}"),
        format!(
            "the options that decide about its rows are others than when it began ({with}); repeat \
             the command as it was, or drop what is copied with `altergeist cleanup`"
        ),
    )
}

/// Refuses a change while another one of the table is not finished.
pub fn another_change_is_under_way(table: &str, record: &Record) -> Error {
    Error::refused(format!("change {table}"), why_under_way(record))
}

/// Which change is not finished, and what ends it.
pub fn why_under_way(record: &Record) -> String {
    let (alter, holder) = (&record.alter, &record.holder);
    match record.stage {
        Stage::Reversible => format!(
            "a change of this table is still reversible ({alter}, started by {holder}). Undo it \
             with `altergeist revert`. Or repeat that command, and `altergeist ctl finish` keeps \
             the change"
        ),
        Stage::Reverting => format!(
            "a change of this table is being put back ({alter}, started by {holder}). Run \
             `altergeist revert` to finish that"
        ),
        Stage::Reverted => format!(
            "a change of this table was put back ({alter}, started by {holder}), and its altered \
             table is still there. Drop that with `altergeist cleanup --drop-old`"
        ),
        _ => format!(
            "another change of this table is not finished ({alter}, started by {holder}). Repeat \
             that command to finish it, or run `altergeist cleanup` to drop it"
        ),
    }
}
