//! The run's side of its controls: settings come in, status goes out.

use crate::control::{Failure, Settings, Status};
use crate::pace::signals::Signals;
use altergeist_contract::Record;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The run's own side of its controls.
pub struct Control {
    settings: watch::Receiver<Settings>,
    status: watch::Sender<Status>,
    opened: Instant,
    /// The operator's own throttle signals.
    pub(crate) signals: Signals,
}

impl Control {
    /// Connects a run with those who change `settings` and those who watch `status`.
    pub fn new(settings: watch::Receiver<Settings>, status: watch::Sender<Status>) -> Control {
        Control { settings, status, opened: Instant::now(), signals: Signals::default() }
    }

    /// Returns the present settings.
    pub fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// Checks, between turns, whether the operator wants the run to stop.
    ///
    /// # Errors
    /// [`Failure::Stopped`] if so.
    pub fn check_stop(&self) -> Result<(), Failure> {
        if self.settings.borrow().stop { Err(Failure::Stopped) } else { Ok(()) }
    }

    /// Waits until the operator wants the run to stop.
    pub async fn stopped(&self) {
        let mut settings = self.settings.clone();
        if settings.wait_for(|settings| settings.stop).await.is_err() {
            // Nobody can change the settings any more: no order will come.
            std::future::pending::<()>().await;
        }
    }

    /// Says which run this is.
    pub fn name_run(&self, record: &Record) {
        self.update(|status| {
            status.run_id = record.run.clone();
            status.fingerprint = record.fingerprint.clone();
        });
    }

    /// Changes the status that watchers see.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            change(status);
            status.elapsed_seconds = self.opened.elapsed().as_secs();
        });
    }

    /// Returns the status that watchers see.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Reports how far a pass over the table has come, and when it should end at the pace so far.
    pub fn update_walk(&self, walked: Duration, rows: u64, of_rows: u64) {
        let seconds = walked.as_secs_f64().max(0.001);
        let rows_per_second = rows as f64 / seconds;
        let done = if of_rows == 0 { 1.0 } else { (rows as f64 / of_rows as f64).min(1.0) };
        let rest = of_rows.saturating_sub(rows) as f64;
        self.update(|status| {
            status.percent = done * 100.0;
            status.rows_per_second = rows_per_second as u64;
            status.eta_seconds =
                (rows_per_second > 0.0).then(|| (rest / rows_per_second).ceil() as u64);
        });
    }
}
