//! Begins a backfill, resumes it, or finds it done.

use crate::backfill::options::Options;
use crate::control::{Control, Failure, Phase};
use crate::migration::checkpoint::{self, now_seconds, run_id};
use crate::migration::resume::another_change_is_under_way;
use altergeist_contract::{
    Backfills, DoneBackfill, Engine, Error, Record, Result, RowUpdate, Stage, Trial, Watermark,
};

/// The rows of a range that is counted.
const COUNTED_ROWS: u64 = 20_000;

/// The state in which an earlier run ended.
pub enum TakenUp {
    /// It was done before.
    AlreadyDone(DoneBackfill),
    /// It continues.
    Resumed(Box<Record>),
    /// It begins. The backfills of the table that are done.
    New {
        /// The list, as the journal keeps it.
        done: Vec<DoneBackfill>,
    },
}

/// Finds out what the journal says.
///
/// # Errors
/// `Refused` if another change of the table is not finished, or if the table is another one than
/// the one that the earlier run began with.
pub async fn taken_up<E: Engine>(engine: &E, options: &Options) -> Result<TakenUp, Failure> {
    let Some(mut record) = engine.load().await? else {
        return Ok(TakenUp::New { done: Vec::new() });
    };
    let update = options.update.described();
    match record.stage {
        Stage::Done | Stage::Backfilled | Stage::Reverted => {}
        Stage::Backfilling if record.alter == update => {
            let (then, now) = (&record.backfills.order, engine.row_order().await?);
            if !engine.is_same_table(&then.table, &now.table) || then.key != now.key {
                return Err(another_table(engine.table()).into());
            }
            record.holder = options.holder.clone();
            return Ok(TakenUp::Resumed(Box::new(record)));
        }
        Stage::Preparing
        | Stage::Altering
        | Stage::Copying
        | Stage::CuttingOver
        | Stage::Reversible
        | Stage::Reverting
        | Stage::Backfilling => {
            return Err(another_change_is_under_way(engine.table(), &record).into());
        }
    }
    let done = record.backfills.done;
    if let Some(found) = done.iter().find(|done| done.update == update).filter(|_| !options.again)
        && engine.is_same_table(&found.table, &engine.row_order().await?.table)
    {
        return Ok(TakenUp::AlreadyDone(found.clone()));
    }
    Ok(TakenUp::New { done })
}

fn another_table(table: &str) -> Error {
    Error::refused(
        format!("continue the backfill of {table}"),
        "the table, or its key, is not the one that the backfill began with. `altergeist cleanup` \
         drops the record of the backfill; then start it again, if that changes no row twice",
    )
}

/// Writes the record of a backfill that begins now.
///
/// # Errors
/// `Refused` if another number of rows match than the operator expects.
pub async fn begin<E: Engine>(
    engine: &E,
    control: &Control,
    options: &Options,
    trial: &Trial,
    done: Vec<DoneBackfill>,
) -> Result<Record, Failure> {
    if let Some(expected) = options.expected {
        let rows = count(engine, control, &options.update).await?;
        if !expected.allowed().contains(&rows) {
            return Err(Error::refused(
                format!("backfill {}", engine.table()),
                format!(
                    "{rows} rows match, and --expect-rows allows {expected}. Nothing was changed. \
                     Check --where, or correct the number"
                ),
            )
            .into());
        }
    }
    let now = now_seconds();
    let mut record = Record {
        run: run_id(now),
        alter: options.update.described(),
        stage: Stage::Backfilling,
        watermark: Watermark::Start,
        position: None,
        rows_copied: 0,
        passed_log: false,
        postponed: false,
        fingerprint: String::new(),
        terms: None,
        backfills: Backfills {
            pass: 1,
            pass_rows: 0,
            rows_read: 0,
            // Rows of no trial are taken to stop matching. Each range proves it, or not.
            ends_matching: options.update.condition.is_some() && trial.still_matching == 0,
            order: engine.row_order().await?,
            done,
        },
        rows_estimated: trial.rows_estimated,
        started_at_seconds: now,
        updated_at_seconds: now,
        holder: options.holder.clone(),
        later_statements: Vec::new(),
        ended: None,
        estimate: None,
        restore_point: None,
        is_rehearsal: false,
        reversible: None,
    };
    checkpoint::save(engine, &mut record).await?;
    Ok(record)
}

/// Counts the rows that match, range by range, so that no statement takes long.
pub async fn count<E: Engine>(
    engine: &E,
    control: &Control,
    update: &RowUpdate,
) -> Result<u64, Failure> {
    control.update(|status| status.phase = Phase::Planning);
    let (mut rows, mut after) = (0, Watermark::Start);
    while after != Watermark::End {
        control.check_stop()?;
        let range = engine.next_range(&after, COUNTED_ROWS).await?;
        rows += engine.count_matching(update, &range).await?;
        after = range.through;
    }
    Ok(rows)
}
