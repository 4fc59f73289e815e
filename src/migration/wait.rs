//! Waiting without falling behind: the log is followed, and changed rows are refreshed, whatever is waited for.

use crate::control::{Control, Failure, Phase};
use crate::migration::checkpoint;
use crate::migration::listen::Listener;
use crate::migration::refresh::refresh_turn;
use crate::pace::throttle::{self, is_throttled, throttled};
use altergeist_contract::{ChangeStream, Engine, Record, Result};
use std::future::pending;
use std::time::Duration;
use tokio::time::timeout;

/// No rest between two turns is longer, so that changed rows do not pile up.
const REST_MAX: Duration = Duration::from_secs(5);

/// How often changed rows are refreshed while nothing else is to be done.
const CURRENT: Duration = Duration::from_millis(500);

/// Stays current until the order to swap comes.
pub async fn wait_while_postponed<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
) -> Result<(), Failure> {
    while control.settings().postpone_cut_over {
        control.update(|status| status.phase = Phase::Postponed);
        wait_while_throttled(engine, listener, control, record).await?;
        stay_current(engine, listener, control, record).await?;
    }
    Ok(())
}

/// Copies nothing while something stands in the way, but goes on following: the server need not keep its log.
///
/// # Errors
/// [`Failure::Stopped`] if the run shall end.
pub async fn wait_while_throttled<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
) -> Result<(), Failure> {
    while is_throttled(engine, control).await? {
        stay_current(engine, listener, control, record).await?;
    }
    Ok(())
}

/// The same before rows are copied, which makes log: the less the server keeps for us, the sooner we are done with it.
pub async fn wait_until_copying_is_welcome<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
) -> Result<(), Failure> {
    while throttled(engine, control, throttle::log_reason).await? {
        listener.listen(engine).await?;
        stay_current(engine, listener, control, record).await?;
    }
    Ok(())
}

/// Rests between two turns, listening, unless the run shall end.
pub async fn rest_for<S: ChangeStream>(listener: &mut Listener<S>, control: &Control, time: Duration) -> Result<()> {
    if time.is_zero() {
        return Ok(());
    }
    let resting = async {
        tokio::select! {
            () = tokio::time::sleep(time.min(REST_MAX)) => {}
            () = control.stopped() => {}
        }
    };
    listener.during(resting).await
}

async fn stay_current<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
) -> Result<(), Failure> {
    stay_current_until(pending(), engine, listener, control, record).await
}

/// Listens for a while, or until something has happened, and refreshes what was heard.
pub async fn stay_current_until<E: Engine>(
    news: impl Future<Output = ()>,
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
) -> Result<(), Failure> {
    control.check_stop()?;
    listener.during(timeout(CURRENT, news)).await?.ok();
    refresh_turn(engine, listener, control, &record.watermark).await?;
    checkpoint::save_progress(engine, listener, record).await?;
    Ok(())
}
