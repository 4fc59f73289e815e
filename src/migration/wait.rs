//! Waits without falling behind: the run reads the log and refreshes changed rows while it waits.

use crate::control::{Control, Event, Failure, Phase, Settings};
use crate::gate::{self, BEFORE_THE_LOCK, GateState, Gates, WHILE_WAITING, WINDOW};
use crate::migration::replica_gate;
use crate::migration::state::{Direction, Migration};
use crate::pace::own_signals::may_exist;
use crate::pace::signal::Signal;
use crate::pace::throttle::{self, is_throttled, throttled};
use altergeist_contract::{Engine, Error, Kind, Record, Result};
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

/// Why a swap that was under way is given up.
const STOPPED: &str = "the operator stopped the run";

fn is_postponed(settings: &Settings, was_postponed: bool) -> bool {
    settings.postpone_cut_over || settings.postpone_ordered.unwrap_or(was_postponed)
}

/// Why the operator has the swap wait.
fn postponed(settings: &Settings, was_postponed: bool) -> Option<String> {
    if is_postponed(settings, was_postponed) {
        return Some(POSTPONED.into());
    }
    let path = settings.postpone_file.as_ref().filter(|path| may_exist(path))?;
    Some(format!("the end of the file {}", path.display()))
}

/// Looks at every gate of this run's swap.
async fn look<E: Engine>(
    engine: &E,
    gates: &mut Gates<'_>,
    counts_for: Duration,
    settings: &Settings,
    record: &Record,
) -> Vec<GateState> {
    let postponed = postponed(settings, record.postponed);
    gates.look(engine, counts_for, postponed.as_deref(), settings, &record.fingerprint).await
}

/// Shows the states of the gates. Returns what keeps the first closed one closed.
fn first_closed(control: &Control, states: Vec<GateState>) -> Option<String> {
    let closed = states.iter().find(|state| !state.open).map(|state| {
        let reason = state.reason.as_deref().unwrap_or_default();
        match state.name == gate::POSTPONED {
            true => reason.to_owned(),
            false => format!("gate {}: {reason}", state.name),
        }
    });
    control.update(|status| {
        status.gates = states;
        status.waiting_for = closed.clone();
    });
    closed
}

/// Waits until every gate is open and no signal throttles the run, before the server changes the
/// table by itself.
///
/// # Errors
/// [`Failure::Stopped`] and [`Failure::CriticalLoad`]; what the run lock's loss means.
pub async fn wait_for_gates_of_native<E: Engine>(
    engine: &E,
    control: &Control,
    gates: &mut Gates<'_>,
    record: &Record,
) -> Result<(), Failure> {
    control.orders_known().await;
    loop {
        control.check_stop()?;
        engine.still_held().await?;
        let settings = control.settings();
        let states = look(engine, gates, WHILE_WAITING, &settings, record).await;
        let mut closed = first_closed(control, states);
        if closed.is_none() {
            let states = look(engine, gates, BEFORE_THE_LOCK, &settings, record).await;
            closed = first_closed(control, states);
        }
        // No heartbeat tells of replicas yet.
        if !throttle::by_signals(engine, control, but_replicas, None).await? && closed.is_none() {
            return Ok(());
        }
        control.update(|status| status.phase = Phase::Waiting);
        tokio::select! {
            () = tokio::time::sleep(CURRENT) => {}
            () = control.stopped() => {}
        }
    }
}

fn but_replicas(signal: Signal) -> bool {
    signal != Signal::ReplicaLag
}

impl<E: Engine> Migration<'_, E> {
    /// Whether the operator ordered this process, or an earlier one of this run, to postpone the
    /// swap.
    pub fn is_postponed_by_order(&self) -> bool {
        self.control.settings().postpone_ordered.unwrap_or(self.record.postponed)
    }

    fn is_postponed(&self) -> bool {
        is_postponed(&self.control.settings(), self.record.postponed)
    }

    /// The last look under the lock: what the operator ordered since the gates were asked. It asks
    /// nobody, so it takes no time.
    ///
    /// # Errors
    /// `Busy`: the lock must be released.
    pub fn is_still_allowed(&self) -> Result<()> {
        let settings = self.control.settings();
        if self.direction == Direction::Back {
            // The window and the order to postpone are about the change.
            return match settings.stop {
                true => Err(Error::new(Kind::Busy, "swap the tables", STOPPED)),
                false => Ok(()),
            };
        }
        let is_overruled = settings.overruled.iter().any(|name| name == WINDOW);
        let window = settings.window.as_ref().filter(|_| !is_overruled);
        let reason = match window.and_then(|window| window.closed_at(&Zoned::now())) {
            _ if settings.stop => STOPPED.into(),
            _ if self.is_postponed() => "the operator postponed the swap".into(),
            Some(reason) => reason,
            None => return Ok(()),
        };
        Err(Error::new(Kind::Busy, "swap the tables", reason))
    }

    /// Stays current until every gate of the swap is open and no signal throttles the run.
    pub async fn wait_for_gates(&mut self, gates: &mut Gates<'_>) -> Result<(), Failure> {
        loop {
            let is_closed = self.closed_gate(gates, WHILE_WAITING).await?.is_some();
            if !self.is_throttled_at_the_gates().await? && !is_closed {
                return Ok(());
            }
            self.control.update(|status| status.phase = Phase::Waiting);
            self.stay_current().await?;
        }
    }

    /// Looks at the gates and listens meanwhile. Returns what keeps the first closed one closed.
    pub async fn closed_gate(
        &mut self,
        gates: &mut Gates<'_>,
        counts_for: Duration,
    ) -> Result<Option<String>, Failure> {
        let settings = self.control.settings();
        let looking = async {
            let mut states = look(self.engine, gates, counts_for, &settings, &self.record).await;
            let replicas = replica_gate::state(self.engine, self.control, &settings).await?;
            states.splice(1..1, replicas);
            Ok::<_, Failure>(states)
        };
        let looked = async {
            tokio::select! {
                states = looking => states,
                () = self.control.stopped() => Err(Failure::Stopped),
            }
        };
        let states = self.listener.run_while_streaming(looked).await??;
        Ok(first_closed(self.control, states))
    }

    /// Whether a signal keeps the run from swapping.
    async fn is_throttled_at_the_gates(&self) -> Result<bool, Failure> {
        let settings = self.control.settings();
        let counts = |signal| replica_gate::counts(&settings, signal);
        throttle::is_throttled_by(self.engine, self.control, counts).await
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
