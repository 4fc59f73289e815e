//! After the swap: keeps the old table current, until the time ends or the operator decides. The
//! engine is turned around, and everything else is as before the swap.

use crate::control::{Control, Event, Failure, Goal, Options, Outcome, Phase};
use crate::migration::checkpoint::{self, now_seconds};
use crate::migration::cutover::who_owns_the_name;
use crate::migration::listen::Listener;
use crate::migration::resume::why;
use crate::migration::revert::Revert;
use crate::migration::run::leave::LeaveToSwap;
use crate::migration::state::{Direction, Migration};
use altergeist_contract::{Engine, Error, Key, Kind, Ownership, Record, Stage, Watermark};
use std::time::Duration;
use tokio::time::Instant;

/// How often rows that another row kept out of the old table are tried again.
const TRIED_AGAIN_EVERY: Duration = Duration::from_secs(5);

/// How many of them at once.
const TRIED_AGAIN_MAX: usize = 500;

/// Marks the change as swapped and reversible. From here on the log is read from the place of the
/// swap.
///
/// # Errors
/// [`Failure::Unfinished`].
pub async fn begin<E: Engine>(engine: &E, record: &mut Record) -> Result<(), Failure> {
    engine.settle().await.map_err(Failure::Unfinished)?;
    let reversible = record.reversible.as_mut().expect("a reversible run");
    reversible.until_seconds = now_seconds() + reversible.seconds;
    record.position = reversible.cut_over.clone();
    record.watermark = Watermark::End;
    record.stage = Stage::Reversible;
    checkpoint::save(engine, record).await.map_err(Failure::Unfinished)
}

/// Keeps the old table current with an engine that is turned around. Returns when the time is over,
/// or the old table has its name again.
///
/// # Errors
/// [`Failure::LeftReversible`] if the operator stops it; [`Failure::Irreversible`] if the old table
/// cannot be kept current any more; [`Failure::NotReverted`] if this run is only for the revert.
pub async fn stay<E: Engine>(
    engine: &E,
    control: &Control,
    options: &Options,
    mut record: Record,
    leave: &LeaveToSwap,
) -> Result<Outcome, Failure> {
    if record.stage == Stage::Reverting {
        if who_owns_the_name(engine).await? == Ownership::Shadow {
            return has_reverted(engine, control, record).await;
        }
        record.stage = Stage::Reversible;
    }
    if lost(&record).is_some() {
        return finish(engine, control, options, record).await;
    }
    record.holder = options.holder.clone();
    checkpoint::save(engine, &mut record).await?;
    let from = record.position.clone().expect("the place of the swap is noted");
    let mut listener = Listener::new(from);
    if let Err(error) = listener.listen(engine).await {
        return Err(irreversible(engine, record, error.into()).await);
    }
    let direction = Direction::Back;
    let mut run = Migration { engine, control, listener, record, direction, columns: Vec::new() };
    let ended = run.follow_until_decided(options, leave).await;
    let record = run.record;
    match ended {
        Ok(Decided::Finish) => finish(engine, control, options, record).await,
        Ok(Decided::Reverted) => has_reverted(engine, control, record).await,
        Err(failure) => Err(irreversible(engine, record, failure).await),
    }
}

/// What ended the reversible phase.
enum Decided {
    Finish,
    Reverted,
}

impl<E: Engine> Migration<'_, E> {
    /// Keeps the old table current until the time is over or the operator decides.
    async fn follow_until_decided(
        &mut self,
        options: &Options,
        leave: &LeaveToSwap,
    ) -> Result<Decided, Failure> {
        let mut orders_seen = 0;
        let mut extended = Duration::ZERO;
        let mut is_ordered = options.goal != Goal::Change;
        let mut tried_again = Instant::now();
        loop {
            let settings = self.control.settings();
            if settings.extended > extended {
                let more = settings.extended - extended;
                self.record.reversible.as_mut().expect("reversible").until_seconds +=
                    more.as_secs();
                extended = settings.extended;
            }
            let left = seconds_left(&self.record);
            self.control.update(|status| {
                status.phase = Phase::Reversible;
                status.reversible_seconds_left = Some(left);
            });
            is_ordered |= settings.reverts > orders_seen;
            orders_seen = settings.reverts;
            if is_ordered {
                match self.revert(self.gives_up_misfits(options), leave).await? {
                    Revert::Done => return Ok(Decided::Reverted),
                    Revert::NotNow(reason) if options.goal != Goal::Change => {
                        return Err(Failure::NotReverted(reason));
                    }
                    Revert::NotNow(reason) => {
                        tracing::warn!(%reason, "nothing was reverted");
                        self.decline(reason);
                    }
                }
                is_ordered = false;
            } else if settings.finish || left == 0 {
                return Ok(Decided::Finish);
            }
            if tried_again.elapsed() > TRIED_AGAIN_EVERY {
                self.try_misfits_again().await?;
                tried_again = Instant::now();
            }
            self.stay_current_until(self.control.decided(&settings)).await?;
        }
    }

    /// Notes why the old table was not put back, for those who wait for it on other hosts.
    fn decline(&mut self, reason: String) {
        if let Some(reversible) = &mut self.record.reversible {
            reversible.declined = Some(reason.clone());
            reversible.declines += 1;
        }
        self.control.update(|status| status.last_error = Some(reason));
    }

    fn gives_up_misfits(&self, options: &Options) -> bool {
        self.control.settings().discards_misfits
            || options.goal == Goal::Revert { discards_misfits: true }
    }

    /// Tries the rows again that another row kept out of the old table, and reports those that it
    /// cannot hold. Returns how many were tried.
    pub async fn try_misfits_again(&mut self) -> Result<usize, Failure> {
        let engine = self.engine;
        let trying = async {
            let keys = engine.blocked_misfits(TRIED_AGAIN_MAX).await?;
            if !keys.is_empty() {
                engine.refresh_each(&keys).await?;
            }
            Ok::<_, Error>((keys.len(), engine.misfits().await?))
        };
        let (tried, misfits) = self.listener.run_while_streaming(trying).await??;
        self.control.update(|status| status.not_revertible = misfits);
        Ok(tried)
    }

    /// Refreshes rows of which some do not fit the old table. Those are noted.
    pub async fn set_misfits_aside(&mut self, keys: Vec<Key>) -> Result<(), Failure> {
        let size = self.control.settings().batch_keys;
        for batch in keys.chunks(size.max(1)) {
            let refreshing = self.engine.refresh_each(batch);
            let refreshed = self.listener.run_while_streaming(refreshing).await;
            if let Err(error) = refreshed.flatten() {
                self.listener.keys.put_back(keys);
                return Err(error.into());
            }
        }
        let misfits = self.listener.run_while_streaming(self.engine.misfits()).await??;
        self.control.update(|status| status.not_revertible = misfits);
        Ok(())
    }
}

fn seconds_left(record: &Record) -> u64 {
    let until = record.reversible.as_ref().map_or(0, |reversible| reversible.until_seconds);
    until.saturating_sub(now_seconds())
}

/// Why the old table is no longer current, if so.
fn lost(record: &Record) -> Option<&String> {
    record.reversible.as_ref().and_then(|reversible| reversible.lost.as_ref())
}

/// The failure as the operator must hear it: the tables are swapped, whatever failed. If the old
/// table can never be current again, the record says so.
async fn irreversible<E: Engine>(engine: &E, mut record: Record, failure: Failure) -> Failure {
    let reason = match failure {
        Failure::Error(error)
            if matches!(error.kind, Kind::Disconnected | Kind::Transient | Kind::Busy) =>
        {
            return Failure::Unfinished(error);
        }
        Failure::Error(_) | Failure::Unequal { .. } | Failure::LogFull { .. } => {
            let cause = if failure.is_data_error() { why(engine, &failure).await } else { None };
            cause.map_or_else(|| failure.to_string(), |cause| cause.to_string())
        }
        Failure::Irreversible(_)
        | Failure::NotReverted(_)
        | Failure::SwapUnknown(_)
        | Failure::Unfinished(_) => return failure,
        other => {
            let seconds_left = seconds_left(&record);
            return Failure::LeftReversible { why: Box::new(other), seconds_left };
        }
    };
    record.stage = Stage::Reversible;
    if let Some(reversible) = &mut record.reversible {
        reversible.lost = Some(reason.clone());
    }
    match checkpoint::save(engine, &mut record).await {
        Ok(()) => Failure::Irreversible(reason),
        Err(error) => Failure::Unfinished(error),
    }
}

/// Ends the reversible phase. The change stays, and the old table is kept as it is.
async fn finish<E: Engine>(
    engine: &E,
    control: &Control,
    options: &Options,
    mut record: Record,
) -> Result<Outcome, Failure> {
    if options.goal != Goal::Change {
        let reason = lost(&record).cloned();
        return Err(Failure::NotReverted(reason.unwrap_or_else(|| {
            "the time to revert is over, and the old table is no longer current".into()
        })));
    }
    engine.finish().await.map_err(Failure::Unfinished)?;
    record.stage = Stage::Done;
    checkpoint::save(engine, &mut record).await.map_err(Failure::Unfinished)?;
    has_ended(control);
    Ok(Outcome::Finished)
}

/// After the swap back: removes what the run needed, and marks the change as undone.
async fn has_reverted<E: Engine>(
    engine: &E,
    control: &Control,
    mut record: Record,
) -> Result<Outcome, Failure> {
    control.tell(Event::Reverted, None);
    engine.finish().await.map_err(Failure::Unfinished)?;
    let rows_discarded =
        record.reversible.as_ref().map_or(0, |reversible| reversible.rows_discarded);
    record.stage = Stage::Reverted;
    checkpoint::save(engine, &mut record).await.map_err(Failure::Unfinished)?;
    has_ended(control);
    Ok(Outcome::Reverted { rows_discarded })
}

fn has_ended(control: &Control) {
    control.update(|status| {
        status.phase = Phase::Done;
        status.percent = 100.0;
        status.eta_seconds = None;
        status.pending_keys = 0;
        status.reversible_seconds_left = None;
    });
}
