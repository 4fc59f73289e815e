//! Building what was left out while copying.

use crate::control::{Control, Failure, Phase};
use crate::migration::catch_up::catch_up;
use crate::migration::checkpoint;
use crate::migration::done::Done;
use crate::migration::listen::Listener;
use crate::migration::verify::Verification;
use crate::pace::load;
use crate::pace::throttle::{self, STREAM_LOOK, look_at_log};
use altergeist_contract::{Engine, Error, Record, Result};
use futures_util::future::join;
use std::convert::Infallible;
use std::time::Duration;

/// How often it is asked what the server keeps of its log while indexes are built.
const LOG_LOOK: Duration = Duration::from_secs(1);

/// How often it is asked how far the builds have come.
const BUILDS_LOOK: Duration = Duration::from_millis(500);

/// Builds what was left out while copying, and follows what was written meanwhile. While nobody writes, the proof begins beside the
/// builds.
pub async fn build_indexes<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
) -> Result<Verification, Failure> {
    control.check_stop()?;
    control.update(|status| {
        status.phase = Phase::Indexing;
        status.percent = 0.0;
        status.rows_per_second = 0;
        status.eta_seconds = None;
    });
    let gently = control.settings().is_gentle();
    let (mut proof, over) = (Verification::begin(), Done::default());
    let building = async {
        let built = tokio::select! {
            built = engine.complete(gently) => built.map(Ok),
            full = log_is_full(engine) => full.map(|()| Err(Failure::Stopped)),
            missed = stream_is_broken(engine) => Ok(Err(missed.into())),
            () = control.stopped() => Ok(Err(Failure::Stopped)),
            why = load::critical(engine, control) => Ok(Err(why)),
            never = tell_builds(engine, control) => match never {},
        };
        over.set();
        built
    };
    let following = async {
        if record.passed_log && !listener.is_listening() {
            engine.pass_log(listener.delivered()).await?;
        }
        listener.listen(engine).await?;
        proof.beside_builds(engine, listener, control, &over, gently).await
    };
    let (built, listened) = join(building, following).await;
    listened?;
    if let Err(why) = built? {
        // The next statement under the run lock ends the one that was given up.
        checkpoint::save_progress(engine, listener, record).await?;
        look_at_log(engine, control).await?;
        return Err(why);
    }
    control.update(|status| status.phase = Phase::CatchingUp);
    catch_up(engine, listener, control, record).await?;
    checkpoint::save_progress(engine, listener, record).await?;
    Ok(proof)
}

/// Tells watchers how far the builds have come, for as long as it is let.
async fn tell_builds<E: Engine>(engine: &E, control: &Control) -> Infallible {
    loop {
        tokio::time::sleep(BUILDS_LOOK).await;
        if let Some(built) = engine.built().await {
            control.update(|status| status.percent = built * 100.0);
        }
    }
}

/// Waits until the server keeps as much of its log as it may.
async fn log_is_full<E: Engine>(engine: &E) -> Result<()> {
    while !throttle::is_log_full(engine.log_kept().await?) {
        tokio::time::sleep(LOG_LOOK).await;
    }
    Ok(())
}

/// Waits until the log does not tell of every changed row any more; says why.
async fn stream_is_broken<E: Engine>(engine: &E) -> Error {
    loop {
        tokio::time::sleep(STREAM_LOOK).await;
        if let Err(error) = engine.check_stream().await {
            return error;
        }
    }
}
