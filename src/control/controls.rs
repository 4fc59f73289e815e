//! The run's side of its controls: settings come in, status goes out.

use crate::control::{Event, Failure, Listeners, News, Settings, Status};
use crate::pace::signals::Signals;
use altergeist_contract::Record;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// The run's own side of its controls.
pub struct Control {
    settings: watch::Receiver<Settings>,
    status: watch::Sender<Status>,
    opened: Instant,
    /// The operator's own throttle signals.
    pub(crate) signals: Signals,
    listeners: Listeners,
    /// Events that were asked about, and are not asked about again.
    asked: Mutex<Vec<Event>>,
}

impl Control {
    /// Connects a run with those who change `settings` and those who watch `status`.
    pub fn new(settings: watch::Receiver<Settings>, status: watch::Sender<Status>) -> Control {
        Control {
            settings,
            status,
            opened: Instant::now(),
            signals: Signals::default(),
            listeners: Listeners::default(),
            asked: Mutex::default(),
        }
    }

    /// Lets these hear of the run's events.
    pub fn with_listeners(self, listeners: Listeners) -> Control {
        Control { listeners, ..self }
    }

    /// Tells of an event.
    pub fn tell(&self, event: Event, reason: Option<String>) {
        if !self.listeners.is_empty() {
            self.listeners.tell(News { reason, ..News::of(event, self.status()) });
        }
    }

    /// Asks whether the run may continue.
    ///
    /// # Errors
    /// [`Failure::Hook`] if a hook says no, and [`Failure::Stopped`] if the operator does.
    pub async fn ask(&self, event: Event) -> Result<(), Failure> {
        if self.listeners.is_empty() {
            return Ok(());
        }
        tokio::select! {
            answer = self.listeners.ask(News::of(event, self.status())) => {
                answer.map_err(|reason| Failure::Hook { event, reason })
            }
            () = self.stopped() => Err(Failure::Stopped),
        }
    }

    /// Asks the same once in the life of this process, however often the run reconnects.
    ///
    /// # Errors
    /// As [`Control::ask`].
    pub async fn ask_once(&self, event: Event) -> Result<(), Failure> {
        let mut asked = self.asked.lock().await;
        if !asked.contains(&event) {
            self.ask(event).await?;
            asked.push(event);
        }
        Ok(())
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

    /// Waits until the orders that wait on the server are known: a swap must not overtake one that
    /// postpones it. A server that does not tell them in time does not hold up the run.
    pub async fn orders_known(&self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let mut settings = self.settings.clone();
        let known = settings.wait_for(|settings| !settings.awaits_orders);
        if tokio::time::timeout(PATIENCE, known).await.is_err() {
            tracing::warn!("the orders given by SQL could not be read; the run goes on without");
        }
    }

    /// Waits until a swap is ordered after `known`.
    pub async fn cut_over_ordered(&self, known: u32) {
        let mut settings = self.settings.clone();
        if settings.wait_for(|settings| settings.cut_overs != known).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the operator decides about a reversible change.
    pub async fn decided(&self, known: &Settings) {
        let mut settings = self.settings.clone();
        let is_news = |now: &Settings| {
            now.stop || now.finish || now.reverts != known.reverts || now.extended != known.extended
        };
        if settings.wait_for(is_news).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Says which run this is.
    pub fn name_run(&self, record: &Record) {
        self.update(|status| {
            status.run_id = record.run.clone();
            status.fingerprint = record.fingerprint.clone();
            status.expected = record.estimate.as_ref().map(|estimate| estimate.total);
            status.earlier_seconds =
                record.updated_at_seconds.saturating_sub(record.started_at_seconds);
            status.restore_point = record.restore_point.clone();
            status.later_statements.clone_from(&record.later_statements);
        });
    }

    /// Returns the greatest lag of a replica, as it was read last; None without a replica.
    pub fn replica_lag(&self) -> Option<Duration> {
        let seconds = self.status.borrow().replica_lag_seconds?;
        Duration::try_from_secs_f64(seconds).ok()
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
