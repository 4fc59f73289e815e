//! Saves the progress of a run. The mark follows the deed (law 6).

use crate::control::{Failure, Options};
use crate::gate::fingerprint;
use crate::migration::state::Migration;
use altergeist_contract::{
    Backfills, Engine, Journal, Kind, Plan, Position, Record, Result, Reversible, Stage, Watermark,
};
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// A name that no other run has, on whatever host: processes in containers share their numbers.
pub fn run_id(now: u64) -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{now:x}-{:08x}", random as u32)
}

/// Returns the record of a run that begins now.
pub fn begin(options: &Options, plan: &Plan) -> Record {
    let now = now_seconds();
    Record {
        run: run_id(now),
        alter: options.alter.clone(),
        stage: Stage::Preparing,
        watermark: Watermark::Start,
        position: None,
        rows_copied: 0,
        passed_log: false,
        postponed: false,
        fingerprint: fingerprint(plan),
        backfills: Backfills::default(),
        terms: Some(options.terms.clone()),
        rows_estimated: plan.rows_estimated,
        started_at_seconds: now,
        updated_at_seconds: now,
        holder: options.holder.clone(),
        estimate: plan.estimate.clone(),
        restore_point: None,
        is_rehearsal: false,
        reversible: options
            .reversible
            .map(|time| Reversible { seconds: time.as_secs(), ..Reversible::default() }),
        later_statements: plan.later_statements(),
        ended: None,
    }
}

/// Saves the record.
pub async fn save<E: Journal>(engine: &E, record: &mut Record) -> Result<()> {
    assert!(
        record.stage != Stage::Copying || record.position.is_some(),
        "a run that copies has a place in the log to go on from"
    );
    record.updated_at_seconds = now_seconds();
    record.ended = None;
    engine.save(record).await
}

/// Notes in the record how the run failed: `altergeist wait` reads it on any host. If this fails,
/// the failure itself is still the news.
pub async fn note_end<E: Engine>(engine: &E, failure: &Failure) {
    let is_ours = match failure {
        Failure::Held { .. } => false,
        Failure::Error(error) | Failure::Unfinished(error) => {
            !matches!(error.kind, Kind::Disconnected | Kind::Transient)
        }
        _ => true,
    };
    if is_ours && let Err(error) = save_end(engine, failure.exit_code()).await {
        tracing::warn!(%error, "the journal does not say how the run ended");
    }
}

async fn save_end<E: Engine>(engine: &E, code: u8) -> Result<()> {
    engine.still_held().await?;
    let Some(record) = engine.load().await? else { return Ok(()) };
    match record.stage {
        // Saving these stages notes more than the record.
        Stage::Altering | Stage::Done | Stage::Backfilling | Stage::Backfilled => Ok(()),
        Stage::Preparing
        | Stage::Copying
        | Stage::CuttingOver
        | Stage::Reversible
        | Stage::Reverting
        | Stage::Reverted => engine.save(&Record { ended: Some(code), ..record }).await,
    }
}

impl<E: Engine> Migration<'_, E> {
    /// Saves how far the log is in the shadow, and lets the server discard what lies before.
    pub async fn save_progress(&mut self) -> Result<()> {
        let refreshed: Position = self.listener.refreshed().clone();
        self.record.position = Some(refreshed.clone());
        self.record.postponed = self.is_postponed_by_order();
        self.listener.run_while_streaming(save(self.engine, &mut self.record)).await??;
        self.listener.forget(&refreshed).await
    }
}

/// Returns the time, seconds since 1970.
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
