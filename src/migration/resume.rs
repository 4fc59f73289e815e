//! Taking up what an earlier process has begun, and finding out why a run came to nothing.

use crate::control::{Failure, Options};
use crate::migration::cutover::who_owns_the_name;
use crate::migration::listen::Listener;
use crate::pace::throttle::STREAM_LOOK;
use altergeist_contract::{Engine, Error, Kind, Ownership, Record, Stage};

/// Rows that differ, and a log that cannot be read, have a reason where the log was kept from telling of rows, or the
/// source is not what it was.
pub async fn why<E: Engine>(engine: &E, failure: &Failure) -> Option<Error> {
    // An older answer would not speak of what has just happened.
    tokio::time::sleep(STREAM_LOOK).await;
    let error = engine.check_stream().await.err()?;
    let is_reason = matches!(error.kind, Kind::Missed | Kind::Fatal) || matches!(failure, Failure::Unequal { .. });
    is_reason.then_some(error)
}

/// What an earlier run has left to go on from.
pub enum TakenUp<S> {
    /// Nothing: the run begins.
    Nothing,
    /// The change was done before.
    AlreadyDone,
    /// The tables are swapped, and steps after the swap are left.
    SwappedBefore(Record),
    /// The copy goes on.
    Resumed(Record, Box<Listener<S>>),
    /// The log did not tell of every row that changed since.
    Missed(Record, Error),
}

/// Goes on from the record, if there is one.
///
/// # Errors
/// `Refused` if another change of the table is under way.
pub async fn taken_up<E: Engine>(engine: &E, options: &Options) -> Result<TakenUp<E::Stream>, Failure> {
    let Some(mut record) = engine.load().await? else {
        return Ok(TakenUp::Nothing);
    };
    if record.alter != options.alter && !matches!(record.stage, Stage::Done | Stage::Altering) {
        return Err(another_change_is_under_way(engine.table(), &record).into());
    }
    match record.stage {
        Stage::Done if record.alter == options.alter => return Ok(TakenUp::AlreadyDone),
        // What is left of it, the plan says.
        Stage::Done | Stage::Altering => return Ok(TakenUp::Nothing),
        Stage::Preparing => {
            engine.cleanup(false).await?;
            return Ok(TakenUp::Nothing);
        }
        Stage::CuttingOver => {
            if who_owns_the_name(engine).await? == Ownership::Shadow {
                return Ok(TakenUp::SwappedBefore(record));
            }
        }
        Stage::Copying => {}
    }
    let mut listener = Listener::new(record.position.clone().expect("a run that copies has saved a position"));
    match listener.listen(engine).await {
        Err(error) if error.kind == Kind::Missed => return Ok(TakenUp::Missed(record, error)),
        listening => listening?,
    }
    engine.clear_beyond(&record.watermark).await?;
    record.holder = options.holder.clone();
    Ok(TakenUp::Resumed(record, Box::new(listener)))
}

fn another_change_is_under_way(table: &str, record: &Record) -> Error {
    Error::refused(
        format!("change {table}"),
        format!(
            "another change of this table is not finished ({}, started by {}). Repeat that command to finish it, \
             or run `altergeist cleanup` to drop it",
            record.alter, record.holder
        ),
    )
}
