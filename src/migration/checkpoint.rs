//! Writing down how far the run has come. The mark follows the deed (law 6).

use crate::control::Options;
use crate::migration::listen::Listener;
use altergeist_contract::{ChangeStream, Journal, Position, Record, Result, Stage, Watermark};
use std::time::{SystemTime, UNIX_EPOCH};

/// The record of a run that begins now.
pub fn begin(options: &Options, rows_estimated: u64) -> Record {
    let now = now_seconds();
    Record {
        run: format!("{now:x}-{:x}", std::process::id()),
        alter: options.alter.clone(),
        stage: Stage::Preparing,
        watermark: Watermark::Start,
        position: None,
        rows_copied: 0,
        passed_log: false,
        rows_estimated,
        started_at_seconds: now,
        updated_at_seconds: now,
        holder: options.holder.clone(),
        message: String::new(),
    }
}

/// Saves the record as it stands.
pub async fn save<E: Journal>(engine: &E, record: &mut Record) -> Result<()> {
    assert!(
        record.stage != Stage::Copying || record.position.is_some(),
        "a run that copies has a place in the log to go on from"
    );
    record.updated_at_seconds = now_seconds();
    engine.save(record).await
}

/// Saves how far the log is in the shadow, and lets the server forget what lies before.
pub async fn save_progress<E: Journal, S: ChangeStream>(
    engine: &E,
    listener: &mut Listener<S>,
    record: &mut Record,
) -> Result<()> {
    let refreshed: Position = listener.refreshed().clone();
    record.position = Some(refreshed.clone());
    listener.during(save(engine, record)).await??;
    listener.forget(&refreshed).await
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
