//! Saves the progress of a run. The mark follows the deed (law 6).

use crate::control::Options;
use crate::gate::fingerprint;
use crate::migration::state::Migration;
use altergeist_contract::{
    Backfills, Engine, Journal, Plan, Position, Record, Result, Stage, Watermark,
};
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the record of a run that begins now.
pub fn begin(options: &Options, plan: &Plan) -> Record {
    let now = now_seconds();
    Record {
        run: format!("{now:x}-{:x}", std::process::id()),
        alter: options.alter.clone(),
        stage: Stage::Preparing,
        watermark: Watermark::Start,
        position: None,
        rows_copied: 0,
        passed_log: false,
        postponed: false,
        fingerprint: fingerprint(plan),
        backfills: Backfills::default(),
        rows_estimated: plan.rows_estimated,
        started_at_seconds: now,
        updated_at_seconds: now,
        holder: options.holder.clone(),
        estimate: plan.estimate.clone(),
        restore_point: None,
        is_rehearsal: false,
    }
}

/// Saves the record.
pub async fn save<E: Journal>(engine: &E, record: &mut Record) -> Result<()> {
    assert!(
        record.stage != Stage::Copying || record.position.is_some(),
        "a run that copies has a place in the log to go on from"
    );
    record.updated_at_seconds = now_seconds();
    engine.save(record).await
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
