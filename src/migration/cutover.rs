//! Cuts over: locks briefly, drains the log, swaps. It releases the lock and retries rather than
//! block the application.

use crate::control::{Control, Event, Failure, Phase};
use crate::gate::{BEFORE_THE_LOCK, Gates};
use crate::migration::checkpoint;
use crate::migration::keyset::Pending;
use crate::migration::listen::Listener;
use crate::migration::run::leave::LeaveToSwap;
use crate::migration::state::{Direction, Migration};
use altergeist_contract::{
    Cutover, Engine, Error, Kind, Ownership, Result, Stage, Swap, TableLock,
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// With more keys than this the lock is released. They are refreshed before the next attempt.
const UNDER_LOCK_KEYS_MAX: usize = 5_000;

/// The pause after the first attempt. It grows with each attempt.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often a rehearsal tries to get the lock.
const MEASURED_ATTEMPTS_MAX: u32 = 5;

/// Which swap it is.
pub enum Way<'g, 'o> {
    /// The altered table takes the old one's place, once the gates are open.
    Forward(&'g mut Gates<'o>),
    /// The old table takes its place back. No gate keeps it from that.
    Back {
        /// Whether rows that the old table cannot hold may be lost.
        discards_misfits: bool,
    },
}

/// The result of one attempt.
enum Attempt {
    Swapped,
    NotYet(Error),
    /// The swap was sent, and its outcome is unknown.
    Unknown(Failure),
}

impl<E: Engine> Migration<'_, E> {
    /// Swaps the tables. Until then nothing changes for the application. Afterwards the shadow has
    /// the table's name.
    ///
    /// # Errors
    /// [`Failure::NoLock`] after the last attempt; [`Failure::TooFast`]; [`Failure::SwapUnknown`]
    /// if the swap was sent and the server's state proves nothing; [`Failure::NotReverted`] if rows
    /// do not fit the old table.
    pub async fn cut_over(
        &mut self,
        way: &mut Way<'_, '_>,
        leave: &LeaveToSwap,
    ) -> Result<(), Failure> {
        let mut reason = String::from("--lock-attempts allows no attempt");
        let mut attempt = 0;
        while attempt < self.control.settings().lock_attempts {
            attempt += 1;
            let (following, swapping) = match way {
                Way::Forward(gates) => {
                    self.get_ready(gates, attempt).await?;
                    self.note_restore_point().await?;
                    (Stage::Copying, Stage::CuttingOver)
                }
                Way::Back { discards_misfits } => {
                    self.get_ready_to_revert(*discards_misfits, attempt).await?;
                    (Stage::Reversible, Stage::Reverting)
                }
            };
            self.record.stage = swapping;
            self.save_progress().await?;
            let known_orders = self.control.settings().cut_overs;
            let attempted = match self.try_once(self.control.settings().lock_timeout, leave).await {
                Ok(Attempt::Swapped) => return Ok(()),
                Ok(Attempt::Unknown(failure)) => return Err(failure),
                Ok(Attempt::NotYet(error)) => Ok(error.reason),
                Err(failure) => Err(failure),
            };
            // No swap is in progress. The record says so, so that no later process must ask a table
            // that may be gone.
            self.record.stage = following;
            let saved = checkpoint::save(self.engine, &mut self.record).await;
            reason = attempted?;
            saved?;
            self.pause_after(attempt, &reason, known_orders).await?;
        }
        Err(Failure::NoLock(reason))
    }

    /// Waits for the gates and for the hook, and catches up. Meanwhile a gate may close, so the
    /// gates are asked once more.
    async fn get_ready(&mut self, gates: &mut Gates<'_>, attempt: u32) -> Result<(), Failure> {
        self.listener.run_while_streaming(self.control.orders_known()).await?;
        loop {
            self.control.check_stop()?;
            self.wait_for_gates(gates).await?;
            self.control.update(|status| {
                status.phase = Phase::CuttingOver;
                status.lock_attempts = attempt;
            });
            let asking = self.control.ask(Event::CutOverBegin);
            self.listener.run_while_streaming(asking).await??;
            self.catch_up().await?;
            if self.closed_gate(gates, BEFORE_THE_LOCK).await?.is_none() {
                return Ok(());
            }
        }
    }

    /// Catches up for the swap back, which waits for no gate.
    async fn get_ready_to_revert(
        &mut self,
        discards_misfits: bool,
        attempt: u32,
    ) -> Result<(), Failure> {
        self.control.check_stop()?;
        self.control.update(|status| {
            status.phase = Phase::Reverting;
            status.lock_attempts = attempt;
        });
        match self.misfits_in_the_way(discards_misfits).await? {
            Some(reason) => Err(Failure::NotReverted(reason)),
            None => Ok(()),
        }
    }

    /// Reports a failed attempt, and pauses. A stop ends the pause, and so does an order to swap
    /// that came since the attempt began.
    async fn pause_after(
        &mut self,
        attempt: u32,
        reason: &str,
        known_orders: u32,
    ) -> Result<(), Failure> {
        let pause = (PAUSE_FIRST * attempt).min(PAUSE_MAX);
        self.control.update(|status| {
            status.last_error = Some(reason.to_owned());
            status.next_attempt_at = moment_after(pause);
        });
        self.control.tell(Event::CutOverAttemptFailed, Some(reason.to_owned()));
        let (stopped, slept) = (self.control.stopped(), tokio::time::sleep(pause));
        let ordered = self.control.cut_over_ordered(known_orders);
        let pausing = async {
            tokio::select! { () = slept => {}, () = stopped => {}, () = ordered => {} }
        };
        self.listener.run_while_streaming(pausing).await?;
        self.control.update(|status| status.next_attempt_at = None);
        Ok(())
    }

    /// Notes the point to which a backup can be restored. It is not under the lock, and never a
    /// reason to fail.
    async fn note_restore_point(&mut self) -> Result<(), Failure> {
        let name = format!("altergeist {} {}", self.record.run, checkpoint::now_seconds());
        let noting = self.engine.restore_point(&name);
        self.record.restore_point = match self.listener.run_while_streaming(noting).await? {
            Ok(point) => Some(point),
            Err(error) => {
                tracing::warn!(%error, "no point to restore to is known");
                None
            }
        };
        let point = self.record.restore_point.clone();
        self.control.update(|status| status.restore_point = point);
        Ok(())
    }

    /// Makes one attempt. The lock is held no longer than `within`.
    async fn try_once(&mut self, within: Duration, _: &LeaveToSwap) -> Result<Attempt, Failure> {
        let Locked { lock, pending, since: locked } = match self.lock_and_drain(within).await? {
            Ok(locked) => locked,
            Err(error) => return self.not_yet_either_way(error),
        };
        let ready = match self.is_still_allowed() {
            Ok(()) => self.note_place_of_swap(locked + within).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ready {
            self.listener.keys.give_back(pending);
            lock.release().await?;
            return not_yet(error);
        }
        let swapping = Instant::now();
        let swap = lock.swap().await;
        self.control.update(|status| {
            status.lock_swap_ms = Some(millis(swapping));
            status.lock_held_ms = Some(millis(locked));
        });
        let not_swapped = match swap {
            Swap::Done => return Ok(Attempt::Swapped),
            Swap::Refused(error) => error,
            Swap::Unknown(error) => match who_owns_the_name(self.engine).await {
                Ok(Ownership::Shadow) => return Ok(Attempt::Swapped),
                Ok(_) => Error::new(Kind::Busy, error.attempted, error.reason),
                Err(failure) => return Ok(Attempt::Unknown(failure)),
            },
        };
        self.listener.keys.give_back(pending);
        self.not_yet_either_way(not_swapped)
    }

    /// Whether the attempt may be repeated. On the way back a row that does not fit is found again
    /// outside of the lock, and noted. If the engine refuses, the operator can mend the reason.
    fn not_yet_either_way(&self, error: Error) -> Result<Attempt, Failure> {
        match (self.direction, &error.kind) {
            (Direction::Back, Kind::Fatal) => Ok(Attempt::NotYet(error)),
            (Direction::Back, Kind::Refused) => Err(Failure::NotReverted(error.to_string())),
            _ => not_yet(error),
        }
    }

    /// Notes under the lock where the altered table's changes begin in the log: behind everything
    /// that was read for the swap. Only a reversible change needs it.
    async fn note_place_of_swap(&mut self, deadline: Instant) -> Result<()> {
        let Some(reversible) = &mut self.record.reversible else { return Ok(()) };
        if self.direction == Direction::Back {
            return Ok(());
        }
        reversible.cut_over = Some(self.listener.delivered().clone());
        let saving = checkpoint::save(self.engine, &mut self.record);
        timeout_at(deadline, saving).await.unwrap_or_else(|_| {
            let reason = "it took longer than --lock-timeout";
            Err(Error::new(Kind::Busy, "note the place of the swap", reason))
        })
    }

    /// Locks the tables, brings the last changes over, and proves the log whole. If one of these
    /// fails, the lock is released.
    async fn lock_and_drain(
        &mut self,
        within: Duration,
    ) -> Result<Result<Locked<E::Lock>>, Failure> {
        let mut lock = match self.listener.run_while_streaming(self.engine.lock(within)).await? {
            Ok(lock) => lock,
            Err(error) => return Ok(Err(error)),
        };
        let since = Instant::now();
        let (pending, drained) =
            drain(&mut lock, &mut self.listener, self.control, since + within).await;
        let proven = match drained {
            Ok(()) => lock.check_stream().await,
            Err(error) => Err(error),
        };
        if let Err(error) = proven {
            self.listener.keys.give_back(pending);
            lock.release().await?;
            return Ok(Err(error));
        }
        Ok(Ok(Locked { lock, pending, since }))
    }

    /// Takes the lock of the cut-over as a run would, measures it, and releases it. The status then
    /// tells how long it was held. Swaps nothing.
    ///
    /// # Errors
    /// [`Failure::NoLock`] after the last attempt.
    pub async fn measure_lock(&mut self) -> Result<(), Failure> {
        let mut reason = String::new();
        for attempt in 1..=self.control.settings().lock_attempts.min(MEASURED_ATTEMPTS_MAX) {
            self.wait_while_throttled().await?;
            self.catch_up().await?;
            self.save_progress().await?;
            self.control.update(|status| status.lock_attempts = attempt);
            match self.lock_and_drain(self.control.settings().lock_timeout).await? {
                Ok(Locked { lock, pending, since }) => {
                    self.listener.keys.give_back(pending);
                    lock.release().await?;
                    self.control.update(|status| status.lock_held_ms = Some(millis(since)));
                    return Ok(());
                }
                Err(error) => match not_yet(error)? {
                    Attempt::NotYet(error) => reason = error.reason,
                    Attempt::Swapped | Attempt::Unknown(_) => {}
                },
            }
            self.listener.pause((PAUSE_FIRST * attempt).min(PAUSE_MAX)).await?;
        }
        Err(Failure::NoLock(reason))
    }
}

/// The locked tables, which hold the same rows.
struct Locked<L> {
    lock: L,
    pending: Pending,
    since: Instant,
}

/// Returns whether the attempt may be repeated: only after a transient failure.
fn not_yet(error: Error) -> Result<Attempt, Failure> {
    match error.kind {
        _ if error.kind == Kind::Busy || error.kind.is_passing() => Ok(Attempt::NotYet(error)),
        // The plan was accepted. What it was made for has changed since.
        Kind::Refused => {
            let remedy = "mend that, and run the same command again; or give the change up with \
                          `altergeist cleanup`, which drops the shadow";
            Err(Error::fatal(error.attempted, format!("{}; {remedy}", error.reason)).into())
        }
        _ => Err(error.into()),
    }
}

/// Brings what was written before the lock into the shadow. The deadline cuts only waits short: a
/// statement that was sent is awaited. Returns the keys in any case: a refresh under the lock
/// counts only if the swap happens.
async fn drain<L: TableLock, S: altergeist_contract::ChangeStream>(
    lock: &mut L,
    listener: &mut Listener<S>,
    control: &Control,
    deadline: Instant,
) -> (Pending, Result<()>) {
    let begun = Instant::now();
    if let Err(error) = hear_the_last(lock, listener, deadline).await {
        return (Pending::default(), Err(error));
    }
    control.update(|status| status.lock_drain_ms = Some(millis(begun)));
    let (pending, _) = listener.drain();
    let begun = Instant::now();
    let refreshed = refresh_under(lock, &pending).await;
    control.update(|status| status.lock_refresh_ms = Some(millis(begun)));
    (pending, refreshed)
}

/// A moment as scripts read it.
fn moment_after(time: Duration) -> Option<String> {
    let moment = jiff::Timestamp::now().checked_add(time).ok()?;
    Some(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

async fn refresh_under<L: TableLock>(lock: &mut L, pending: &Pending) -> Result<()> {
    if pending.emptied {
        lock.clear().await?;
    }
    match pending.keys.is_empty() {
        true => Ok(()),
        false => lock.refresh(&pending.keys).await,
    }
}

/// Reads the log until everything written before the lock is delivered.
async fn hear_the_last<L: TableLock, S: altergeist_contract::ChangeStream>(
    lock: &mut L,
    listener: &mut Listener<S>,
    deadline: Instant,
) -> Result<()> {
    let spent = || {
        Error::new(Kind::Busy, "drain the log under the lock", "it took longer than --lock-timeout")
    };
    let mark = lock.mark().await?;
    let has_passed =
        timeout_at(deadline, listener.stream_until(mark)).await.map_err(|_| spent())??;
    let is_little = listener.keys.len() <= UNDER_LOCK_KEYS_MAX;
    match has_passed && is_little && Instant::now() < deadline {
        true => Ok(()),
        false => Err(spent()),
    }
}

/// Finds out which table has the name (law 7).
///
/// # Errors
/// [`Failure::SwapUnknown`] if nothing can be proven.
pub async fn who_owns_the_name<E: Cutover>(engine: &E) -> Result<Ownership, Failure> {
    match engine.ownership().await? {
        Ownership::Unclear(found) => Err(Failure::SwapUnknown(found)),
        proven => Ok(proven),
    }
}
