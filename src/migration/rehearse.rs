//! Rehearses a change: everything but the swap. What it made is dropped at its end.

use crate::control::{Control, Failure, Options, Phase};
use crate::gate::{GateState, Gates, WHILE_WAITING};
use crate::migration::begin::follow_from_now;
use crate::migration::hold::hold;
use crate::migration::idle_table::IdleTable;
use crate::migration::resume::why_under_way;
use crate::migration::state::{Direction, Migration};
use crate::migration::{checkpoint, planning};
use crate::pace::signals;
use altergeist_contract::{Engine, Error, Hold, Kind, Plan, Record, Result, Stage, Verdict};
use std::time::Duration;
use tokio::time::Instant;

/// How often, and how long, the clean-up asks for the run lock of the session that just ended.
const HOLD_EVERY: Duration = Duration::from_millis(200);
const HOLD_WITHIN: Duration = Duration::from_secs(20);

/// What a rehearsal found.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    /// The plan.
    pub plan: Plan,
    /// What was measured; None for a change that the server makes by itself.
    pub measured: Option<Rehearsed>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Rehearsed {
    /// How long the copy took.
    pub copy: Duration,
    /// How long the builds of the indexes took.
    pub indexes: Duration,
    /// How long the verification took, and the statistics.
    pub verification: Duration,
    /// How long the lock of the cut-over was held, in milliseconds. None if it was not asked for.
    pub lock: Option<std::result::Result<f64, String>>,
    /// The gates as they were.
    pub gates: Vec<GateState>,
}

impl Rehearsed {
    /// How long it all took, up to the gates.
    pub fn total(&self) -> Duration {
        self.copy + self.indexes + self.verification
    }
}

/// Does everything but the swap. With `with_lock` it takes the cut-over's lock once, and releases
/// it. Whatever happens, it drops what it made.
///
/// # Errors
/// As a run; and if something could not be dropped.
pub async fn rehearse<E: Engine>(
    mut connect: impl AsyncFnMut() -> Result<E>,
    control: &Control,
    options: &Options,
    with_lock: bool,
) -> Result<Rehearsal, Failure> {
    let engine = connect().await?;
    signals::check(&engine, &control.settings()).await?;
    control.update(|status| {
        status.phase = Phase::Planning;
        status.table = engine.table().to_owned();
        status.alter = options.alter.clone();
    });
    hold(&engine).await?;
    let before = no_run_before(&engine).await?;
    let plan = planning::plan(&engine, options.wishes).await?;
    if plan.is_refused() {
        return Err(Failure::Refused(Box::new(plan)));
    }
    if plan.verdict != Verdict::Copy {
        return Ok(Rehearsal { plan, measured: None });
    }
    let rehearsed = rehearse_copy(&engine, control, options, &plan, with_lock).await;
    let table = engine.table().to_owned();
    drop(engine);
    // A new connection ends whatever the first one has left on the server.
    let cleaned = clean_up(&mut connect, before.as_ref()).await;
    let measured = match (rehearsed, cleaned) {
        (rehearsed, Ok(())) => rehearsed?,
        (_, Err(error)) => return Err(not_clean(&table, &error).into()),
    };
    control.update(|status| status.phase = Phase::Done);
    Ok(Rehearsal { plan, measured: Some(measured) })
}

/// Returns the record of the last change, which is done. An earlier rehearsal that was killed is
/// dropped.
async fn no_run_before<E: Engine>(engine: &E) -> Result<Option<Record>, Failure> {
    match engine.load().await? {
        Some(record) if record.is_rehearsal => {
            engine.cleanup(false).await?;
            Ok(None)
        }
        Some(record) if !matches!(record.stage, Stage::Done | Stage::Backfilled) => {
            Err(Error::refused(
                format!("rehearse a change of {}", engine.table()),
                why_under_way(&record),
            )
            .into())
        }
        record => Ok(record),
    }
}

async fn rehearse_copy<E: Engine>(
    engine: &E,
    control: &Control,
    options: &Options,
    plan: &Plan,
    with_lock: bool,
) -> Result<Rehearsed, Failure> {
    let idle_table = IdleTable::watch(engine).await?;
    let record = Record { is_rehearsal: true, ..checkpoint::begin(options, plan) };
    control.name_run(&record);
    let (record, listener) = follow_from_now(engine, record).await?;
    let mut migration = Migration {
        engine,
        control,
        listener,
        record,
        direction: Direction::Forward,
        columns: Vec::new(),
    };
    let mut measured = Rehearsed::default();
    let mut begun = Instant::now();
    let mut took = || std::mem::replace(&mut begun, Instant::now()).elapsed();
    migration.copy_all(idle_table).await?;
    measured.copy = took();
    let proof = migration.build_indexes().await?;
    measured.indexes = took();
    migration.prove(proof).await?;
    measured.verification = took();
    let mut gates = Gates::new(&options.gates);
    gates.columns = migration.columns.clone();
    migration.closed_gate(&mut gates, WHILE_WAITING).await?;
    measured.gates = control.status().gates;
    if with_lock {
        measured.lock = Some(match migration.measure_lock().await {
            Ok(()) => Ok(control.status().lock_held_ms.unwrap_or_default()),
            Err(Failure::NoLock(reason)) => Err(reason),
            Err(failure) => return Err(failure),
        });
    }
    Ok(measured)
}

/// Drops what the rehearsal made, and writes the record of the change before it again.
async fn clean_up<E: Engine>(
    connect: &mut impl AsyncFnMut() -> Result<E>,
    before: Option<&Record>,
) -> Result<()> {
    let engine = connect().await?;
    let begun = Instant::now();
    while let Hold::HeldBy(holder) = engine.hold().await? {
        if begun.elapsed() > HOLD_WITHIN {
            return Err(Error::new(Kind::Busy, "take the run lock", holder));
        }
        tokio::time::sleep(HOLD_EVERY).await;
    }
    engine.cleanup(false).await?;
    match before {
        Some(record) => engine.save(record).await,
        None => Ok(()),
    }
}

fn not_clean(table: &str, error: &Error) -> Error {
    Error::fatal(
        format!("drop what the rehearsal of {table} has made"),
        format!("{error}. The table itself is untouched; `altergeist cleanup` drops the rest"),
    )
}
