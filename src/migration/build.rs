//! Builds the indexes that the copy left out.

use crate::control::{Control, Failure, Phase};
use crate::migration::done::Done;
use crate::migration::state::Migration;
use crate::migration::verify::Verification;
use crate::pace::throttle::{self, STREAM_LOOK, is_throttled, look_at_log};
use altergeist_contract::{Engine, Error, Kind, Result};
use futures_util::future::join;
use std::convert::Infallible;
use std::time::Duration;

/// How often the retained log is checked during the builds.
const LOG_LOOK: Duration = Duration::from_secs(1);

/// How often the builds are begun again because of a stale row.
const BUILDS_MAX: u32 = 10;

/// How often the progress of the builds is read.
const BUILDS_LOOK: Duration = Duration::from_millis(500);

impl<E: Engine> Migration<'_, E> {
    /// Builds the indexes that the copy left out, and follows the log meanwhile. While the table is
    /// idle, the proof begins beside the builds.
    pub async fn build_indexes(&mut self) -> Result<Verification, Failure> {
        for _ in 1..BUILDS_MAX {
            match self.build_once().await {
                // A stale row is in the way. Its change is in the log already (law 4).
                Err(Failure::Error(Error { kind: Kind::Stale { .. }, .. })) => {
                    self.catch_up().await?;
                }
                built => return built,
            }
        }
        self.build_once().await
    }

    async fn build_once(&mut self) -> Result<Verification, Failure> {
        self.control.check_stop()?;
        self.control.update(|status| {
            status.phase = Phase::Indexing;
            status.percent = 0.0;
            status.rows_per_second = 0;
            status.eta_seconds = None;
        });
        self.wait_until_building_is_welcome().await?;
        let (engine, control) = (self.engine, self.control);
        let gently = control.settings().is_gentle();
        let (mut proof, done) = (Verification::begin(), Done::default());
        let building = async {
            let built = tokio::select! {
                built = engine.complete(gently) => built.map(Ok),
                full = log_is_full(engine) => full.map(|()| Err(Failure::Stopped)),
                missed = stream_is_broken(engine) => Ok(Err(missed.into())),
                () = control.stopped() => Ok(Err(Failure::Stopped)),
                why = throttle::critical_load(engine, control) => Ok(Err(why)),
                never = report_builds(engine, control) => match never {},
            };
            done.set();
            built
        };
        let following = async {
            self.listen_from_here().await?;
            proof.beside_builds(self, &done, gently).await
        };
        let (built, listened) = join(building, following).await;
        listened?;
        if let Err(why) = built? {
            // The next statement under the run lock ends a build that was given up.
            self.save_progress().await?;
            look_at_log(self.engine, self.control).await?;
            return Err(why);
        }
        self.control.update(|status| status.phase = Phase::CatchingUp);
        self.catch_up().await?;
        self.save_progress().await?;
        Ok(proof)
    }

    /// Waits while a signal throttles the run: nothing can slow down a build that has begun. The
    /// run follows the log meanwhile.
    async fn wait_until_building_is_welcome(&mut self) -> Result<(), Failure> {
        if is_throttled(self.engine, self.control).await? {
            self.listen_from_here().await?;
            self.wait_while_throttled().await?;
        }
        Ok(())
    }

    /// Reads the log from now on. Log that a quiet copy did not need is passed over.
    async fn listen_from_here(&mut self) -> Result<()> {
        if self.record.passed_log && !self.listener.is_listening() {
            self.engine.pass_log(self.listener.delivered()).await?;
        }
        self.listener.listen(self.engine).await
    }
}

/// Reports the progress of the builds, until it is dropped.
async fn report_builds<E: Engine>(engine: &E, control: &Control) -> Infallible {
    loop {
        tokio::time::sleep(BUILDS_LOOK).await;
        if let Some(built) = engine.built().await {
            control.update(|status| status.percent = built * 100.0);
        }
    }
}

/// Waits until the retained log reaches its limit.
async fn log_is_full<E: Engine>(engine: &E) -> Result<()> {
    while !throttle::is_log_full(engine.log_kept().await?) {
        tokio::time::sleep(LOG_LOOK).await;
    }
    Ok(())
}

/// Waits until the stream no longer delivers every changed row. Returns why.
async fn stream_is_broken<E: Engine>(engine: &E) -> Error {
    loop {
        tokio::time::sleep(STREAM_LOOK).await;
        if let Err(error) = engine.check_stream().await {
            return error;
        }
    }
}
