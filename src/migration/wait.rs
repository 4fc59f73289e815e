//! Waits without falling behind: the run reads the log and refreshes changed rows while it waits.

use crate::control::{Event, Failure, Phase, Settings};
use crate::gate::{Gates, WINDOW};
use crate::migration::state::Migration;
use crate::pace::throttle::{self, is_throttled, throttled};
use altergeist_contract::{Engine, Error, Kind, Result};
use jiff::Zoned;
use std::future::pending;
use std::time::Duration;
use tokio::time::timeout;

/// The longest rest between two turns. A longer one would let changed rows pile up.
const REST_MAX: Duration = Duration::from_secs(5);

/// How often the run refreshes changed rows while it waits.
const CURRENT: Duration = Duration::from_millis(500);

/// Why a run waits that was started with `--postpone-cut-over`.
const POSTPONED: &str = "the operator's order: altergeist ctl cut-over";

impl<E: Engine> Migration<'_, E> {
    /// Whether the operator ordered this process, or an earlier one of this run, to postpone the
    /// swap.
    pub fn is_postponed_by_order(&self) -> bool {
        self.control.settings().postpone_ordered.unwrap_or(self.record.postponed)
    }

    fn is_postponed(&self) -> bool {
        self.control.settings().postpone_cut_over || self.is_postponed_by_order()
    }

    /// Why the operator has the swap wait.
    fn postponed(&self, settings: &Settings) -> Option<String> {
        if self.is_postponed() {
            return Some(POSTPONED.into());
        }
        let path = settings.postpone_file.as_ref().filter(|path| path.exists())?;
        Some(format!("the end of the file {}", path.display()))
    }

    /// The last look under the lock: what the operator ordered since the gates were asked. It asks
    /// nobody, so it takes no time.
    ///
    /// # Errors
    /// `Busy`: the lock must be released.
    pub fn is_still_allowed(&self) -> Result<()> {
        let settings = self.control.settings();
        let is_overruled = settings.overruled.iter().any(|name| name == WINDOW);
        let window = settings.window.as_ref().filter(|_| !is_overruled);
        let reason = match window.and_then(|window| window.closed_at(&Zoned::now())) {
            _ if settings.stop => "the operator stopped the run".into(),
            _ if self.is_postponed() => "the operator postponed the swap".into(),
            Some(reason) => reason,
            None => return Ok(()),
        };
        Err(Error::new(Kind::Busy, "swap the tables", reason))
    }

    /// Stays current until every gate of the swap is open.
    pub async fn wait_for_gates(&mut self, gates: &mut Gates<'_>) -> Result<(), Failure> {
        while let Some(closed) = self.closed_gate(gates).await? {
            self.control.update(|status| {
                status.phase = Phase::Waiting;
                status.waiting_for = Some(closed);
            });
            self.wait_while_throttled().await?;
            self.stay_current().await?;
        }
        self.control.update(|status| status.waiting_for = None);
        Ok(())
    }

    /// Looks at the gates and listens meanwhile. Returns the first one that is closed.
    pub async fn closed_gate(&mut self, gates: &mut Gates<'_>) -> Result<Option<String>, Failure> {
        let settings = self.control.settings();
        let postponed = self.postponed(&settings);
        let fingerprint = &self.record.fingerprint;
        let looking = gates.look(self.engine, postponed.as_deref(), &settings, fingerprint);
        let looked = async {
            tokio::select! {
                states = looking => Some(states),
                () = self.control.stopped() => None,
            }
        };
        let Some(states) = self.listener.run_while_streaming(looked).await? else {
            return Err(Failure::Stopped);
        };
        let closed = states.iter().find(|state| !state.open).map(|state| {
            let reason = state.reason.as_deref().unwrap_or_default();
            match &postponed {
                Some(order) if reason == order => order.clone(),
                _ => format!("gate {}: {reason}", state.name),
            }
        });
        self.control.update(|status| status.gates = states);
        Ok(closed)
    }

    /// Asks the hooks, and listens meanwhile.
    ///
    /// # Errors
    /// [`Failure::Hook`] and [`Failure::Stopped`].
    pub async fn ask_once(&mut self, event: Event) -> Result<(), Failure> {
        self.listener.run_while_streaming(self.control.ask_once(event)).await?
    }

    /// Copies nothing while a signal throttles the run. It still follows the log, so that the
    /// server need not retain it.
    ///
    /// # Errors
    /// [`Failure::Stopped`] if the operator stops the run.
    pub async fn wait_while_throttled(&mut self) -> Result<(), Failure> {
        while is_throttled(self.engine, self.control).await? {
            self.stay_current().await?;
        }
        Ok(())
    }

    /// The same before a chunk is copied. Copying writes log, so retained log throttles it too.
    pub async fn wait_until_copying_is_welcome(&mut self) -> Result<(), Failure> {
        while throttled(self.engine, self.control, throttle::log_reason).await? {
            self.listener.listen(self.engine).await?;
            self.stay_current().await?;
        }
        Ok(())
    }

    /// Rests between two turns, and listens meanwhile. A stop ends the rest.
    pub async fn rest_for(&mut self, time: Duration) -> Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        let resting = async {
            tokio::select! {
                () = tokio::time::sleep(time.min(REST_MAX)) => {}
                () = self.control.stopped() => {}
            }
        };
        self.listener.run_while_streaming(resting).await
    }

    async fn stay_current(&mut self) -> Result<(), Failure> {
        self.stay_current_until(pending()).await
    }

    /// Listens for a while, or until `news` is ready, and refreshes the changed rows.
    pub async fn stay_current_until(
        &mut self,
        news: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        self.control.check_stop()?;
        self.listener.run_while_streaming(timeout(CURRENT, news)).await?.ok();
        self.refresh_turn().await?;
        self.save_progress().await?;
        Ok(())
    }
}
