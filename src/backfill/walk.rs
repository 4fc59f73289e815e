//! Walks over the table in the order of its key, and changes the rows of one range after the other.
//! If every changed row stops matching, more passes take the rows that were inserted behind.

use crate::backfill::options::{Ended, Options};
use crate::control::{Control, Failure, Phase, Settings};
use crate::migration::checkpoint::{self, now_seconds};
use crate::pace::concurrency::{Full, Pace, Turn};
use crate::pace::throttle;
use altergeist_contract::{
    DoneBackfill, Engine, Error, Kind, Record, Result, Stage, UpdatePace, Updated, Watermark,
};
use std::time::Duration;
use tokio::time::Instant;

/// The most passes over the table. The application may write rows that match for ever.
const PASSES_MAX: u32 = 4;

/// A range may hold its rows for this many times the time that it should take.
const PATIENCE: u32 = 5;
/// And at least for this time.
const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// How many backfills of a table the journal remembers.
const REMEMBERED: usize = 200;

/// How often a throttled backfill looks at the signals.
const LOOK: Duration = Duration::from_millis(500);

/// How often the replicas are looked at while the backfill is far enough ahead of them.
const ROOM_LOOK: Duration = Duration::from_millis(50);

/// The longest pause before a range is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What to do when rows refuse the change.
const RESUME: &str = "The rows of earlier ranges are changed. Correct the rows that refuse it. \
                      Then the same command continues from here";

/// A backfill under way.
pub struct Walk<'a, E> {
    engine: &'a E,
    control: &'a Control,
    options: &'a Options,
    record: Record,
    pace: Pace,
    /// The greatest number of rows in a range, while other sessions hold rows.
    rows_most: u64,
    failures: u32,
    begun: Instant,
    /// Rows of the table that this process has read, and those it has changed.
    rows_read: u64,
    rows_changed: u64,
}

impl<'a, E: Engine> Walk<'a, E> {
    /// A walk from where the record says.
    pub fn new(
        engine: &'a E,
        control: &'a Control,
        options: &'a Options,
        record: Record,
    ) -> Walk<'a, E> {
        Walk {
            engine,
            control,
            options,
            record,
            pace: Pace::default(),
            rows_most: u64::MAX,
            failures: 0,
            begun: Instant::now(),
            rows_read: 0,
            rows_changed: 0,
        }
    }

    /// Walks until the rows are done, and notes it.
    pub async fn to_the_end(mut self) -> Result<Ended, Failure> {
        self.show();
        loop {
            while self.record.watermark != Watermark::End {
                self.wait_until_welcome().await?;
                let rest = self.range().await?;
                self.show();
                self.rest_for(rest).await;
            }
            let backfills = &mut self.record.backfills;
            let is_over = !backfills.ends_matching
                || backfills.pass >= PASSES_MAX
                || backfills.pass > 1 && backfills.pass_rows == 0;
            if is_over {
                return self.done().await;
            }
            backfills.pass += 1;
            (backfills.pass_rows, backfills.rows_read) = (0, 0);
            self.record.watermark = Watermark::Start;
            checkpoint::save(self.engine, &mut self.record).await?;
        }
    }

    /// Changes the rows of the next range. Returns how long to rest.
    async fn range(&mut self) -> Result<Duration, Failure> {
        let settings = self.control.settings();
        let rows = self.rows(&settings);
        self.engine.still_held().await?;
        let range = self.engine.next_range(&self.record.watermark, rows).await?;
        let pace = UpdatePace {
            lock_timeout: settings.lock_timeout,
            within: (settings.chunk_time * PATIENCE).max(PATIENCE_MIN).max(settings.lock_timeout),
            asks_matching: self.record.backfills.ends_matching,
        };
        let begun = Instant::now();
        let record = |updated: &Updated| after(&self.record, rows, updated);
        let update = &self.options.update;
        match self.engine.update_range(update, &range, pace, &record).await {
            Ok(updated) => {
                let last = record(&updated);
                self.record = last;
                Ok(self.learn(&settings, rows, &updated, begun.elapsed()))
            }
            Err(error) if error.kind == Kind::Transient => self.shrink(&settings, rows, error),
            Err(mut error) if error.kind == Kind::Fatal => {
                error.reason = format!("{}. {RESUME}", error.reason);
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn rows(&self, settings: &Settings) -> u64 {
        let second = self.options.max_rows_per_second.unwrap_or(u64::MAX);
        self.pace.rows(settings).min(self.rows_most).min(second.div_ceil(2)).max(1)
    }

    fn learn(
        &mut self,
        settings: &Settings,
        rows: u64,
        updated: &Updated,
        took: Duration,
    ) -> Duration {
        if updated.still_matches {
            tracing::warn!(
                "some rows still match after the change. So no further pass is made, and rows that \
                 were inserted behind the run are not changed"
            );
        }
        self.failures = 0;
        self.rows_most = self.rows_most.saturating_mul(2);
        self.rows_read += rows;
        self.rows_changed += updated.rows;
        self.pace.window.add(Instant::now(), rows, updated.rows);
        let is_full = updated.through != Watermark::End;
        let turn = Turn { rows, chunk: is_full.then_some(Full { rows, took }), took };
        let rest = self.pace.learn_turn(settings, turn, self.engine.commit_latency());
        let most = self.options.max_rows_per_second.map_or(Duration::ZERO, |most| {
            Duration::from_secs_f64(updated.rows as f64 / most as f64).saturating_sub(took)
        });
        rest.max(most)
    }

    /// Another session held a row. The next attempt holds fewer rows.
    fn shrink(
        &mut self,
        settings: &Settings,
        rows: u64,
        error: Error,
    ) -> Result<Duration, Failure> {
        self.failures += 1;
        self.rows_most = (rows / 4).max(1);
        if self.failures >= settings.lock_attempts.max(1) {
            return Err(Failure::RowsLocked(error.to_string()));
        }
        self.control.update(|status| status.last_error = Some(error.to_string()));
        Ok((Duration::from_millis(50) * self.failures).min(PAUSE_MAX))
    }

    /// Waits until no signal throttles the backfill, and until the replicas have applied enough of
    /// it.
    async fn wait_until_welcome(&mut self) -> Result<(), Failure> {
        loop {
            while throttle::by_signals(self.engine, self.control, |_| true, None).await? {
                self.rest_for(LOOK).await;
            }
            let (lag, max_lag) = (self.control.replica_lag(), self.control.settings().max_lag);
            if self.pace.window.has_room(Instant::now(), lag, max_lag) {
                return Ok(());
            }
            self.rest_for(ROOM_LOOK).await;
        }
    }

    /// Rests. A stop ends the rest.
    async fn rest_for(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.control.stopped() => {}
        }
    }

    fn show(&self) {
        let record = &self.record;
        let is_first = record.backfills.pass <= 1;
        if is_first {
            let rest = record.rows_estimated.saturating_sub(record.backfills.rows_read);
            self.control.update_walk(self.begun.elapsed(), self.rows_read, self.rows_read + rest);
        }
        self.control.update(|status| {
            status.phase = Phase::Backfilling;
            status.rows_copied = record.rows_copied;
            status.rows_estimated = record.rows_estimated;
            if is_first {
                let of = record.rows_estimated.max(record.backfills.rows_read).max(1);
                status.percent = record.backfills.rows_read as f64 / of as f64 * 100.0;
            } else {
                (status.percent, status.eta_seconds) = (100.0, None);
            }
            let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
            status.rows_per_second = (self.rows_changed as f64 / seconds) as u64;
            status.chunk_rows = self.rows(&self.control.settings());
            status.workers = 1;
        });
    }

    async fn done(mut self) -> Result<Ended, Failure> {
        let record = &mut self.record;
        let ended = Ended::Done {
            rows: record.rows_copied,
            passes: record.backfills.pass,
            last_pass_rows: record.backfills.pass_rows,
            takes_inserted: record.backfills.ends_matching,
        };
        let done = DoneBackfill {
            update: record.alter.clone(),
            table: std::mem::take(&mut record.backfills.order).table,
            by: record.holder.clone(),
            at_seconds: now_seconds(),
        };
        record.stage = Stage::Backfilled;
        record.backfills.pass = 0;
        record.backfills.done.retain(|it| it.update != done.update);
        record.backfills.done.push(done);
        let too_many = record.backfills.done.len().saturating_sub(REMEMBERED);
        record.backfills.done.drain(..too_many);
        checkpoint::save(self.engine, record).await?;
        self.control.update(|status| {
            status.phase = Phase::Done;
            status.percent = 100.0;
            status.eta_seconds = None;
        });
        Ok(ended)
    }
}

/// The record after a range of about so many rows.
fn after(record: &Record, rows: u64, updated: &Updated) -> Record {
    let mut next = record.clone();
    next.watermark = updated.through.clone();
    next.rows_copied += updated.rows;
    next.backfills.pass_rows += updated.rows;
    next.backfills.rows_read += rows;
    next.backfills.ends_matching &= !updated.still_matches;
    next.updated_at_seconds = now_seconds();
    next
}
