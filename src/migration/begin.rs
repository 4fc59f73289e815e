//! Begins a run: the plan, the log, and the empty shadow.

use crate::control::{Control, Event, Failure, Options};
use crate::gate::Gates;
use crate::migration::checkpoint;
use crate::migration::listen::Listener;
use crate::migration::native::{alter_by_itself, why_not};
use crate::migration::planning;
use crate::migration::wait::wait_for_gates_of_native;
use altergeist_contract::{Engine, Kind, Record, Stage, Strategy, Verdict};

/// Refuses here or never. If the server can do the change itself, it does, which returns None.
/// Otherwise it opens the log and creates the shadow.
pub async fn begin<E: Engine>(
    engine: &E,
    control: &Control,
    options: &Options,
) -> Result<Option<(Record, Listener<E::Stream>)>, Failure> {
    let plan = planning::plan(engine, options.wishes).await?;
    if plan.is_refused() {
        return Err(Failure::Refused(Box::new(plan)));
    }
    control.ask_once(Event::Planned).await?;
    let mut record = checkpoint::begin(options, &plan);
    if let Some(earlier) = engine.load().await? {
        record.backfills.done = earlier.backfills.done;
    }
    control.name_run(&record);
    if plan.verdict != Verdict::Copy {
        wait_for_gates_of_native(engine, control, &mut Gates::new(&options.gates), &record).await?;
        control.ask_once(Event::CutOverBegin).await?;
        record.stage = Stage::Altering;
        checkpoint::save(engine, &mut record).await?;
        let altered = alter_by_itself(engine, control, &plan.verdict).await;
        let Some(reason) =
            why_not(&altered, &plan.verdict).filter(|_| options.strategy == Strategy::Auto)
        else {
            altered?;
            record.stage = Stage::Done;
            checkpoint::save(engine, &mut record).await?;
            return Ok(None);
        };
        // The engine may plan otherwise now.
        let again = engine.plan().await?;
        if again.verdict != Verdict::Copy || again.is_refused() {
            altered?;
        }
        tracing::warn!(
            reason,
            "the table refuses a statement that its empty clone accepted; the run copies the \
             table instead"
        );
        record.stage = Stage::Preparing;
    }
    follow_from_now(engine, record).await.map(Some)
}

/// Opens the log and creates the empty shadow.
pub async fn follow_from_now<E: Engine>(
    engine: &E,
    mut record: Record,
) -> Result<(Record, Listener<E::Stream>), Failure> {
    checkpoint::save(engine, &mut record).await?;
    let position = engine.open_log().await.map_err(|error| match error.kind {
        Kind::Busy => Failure::LogHeldUp(error.to_string()),
        _ => error.into(),
    })?;
    engine.create().await?;
    record.stage = Stage::Copying;
    record.position = Some(position.clone());
    checkpoint::save(engine, &mut record).await?;
    Ok((record, Listener::new(position)))
}
