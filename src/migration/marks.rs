//! Puts marks into the log. A reader that has passed a mark has read everything committed before
//! it.

use crate::control::{Control, Failure};
use crate::migration::listen::Listener;
use crate::migration::state::Migration;
use crate::pace::throttle::look_at_log;
use altergeist_contract::{ChangeStream, Engine, Marker};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often the status is updated and the settings are read while a mark is on its way.
const LOOK: Duration = Duration::from_millis(500);

/// A mark in the log.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    marker: Marker,
    put: Instant,
}

impl Mark {
    /// Returns the marker to wait for.
    pub fn marker(&self) -> Marker {
        self.marker
    }
}

/// Puts a mark into the log, after everything that is committed by now.
///
/// # Errors
/// The engine's.
pub async fn put<E: Engine>(engine: &E) -> Result<Mark, Failure> {
    Ok(Mark { marker: engine.mark().await?, put: Instant::now() })
}

impl<E: Engine> Migration<'_, E> {
    /// [`Migration::reach`] with a time limit.
    ///
    /// # Errors
    /// Likewise.
    pub async fn reach_within(&mut self, mark: Mark, time: Duration) -> Result<bool, Failure> {
        match timeout(time, self.reach(mark)).await {
            Ok(reached) => reached,
            Err(_) => Ok(false),
        }
    }

    /// Reads the log until a mark has passed, or until too much is pending. Returns whether the
    /// mark has passed. Cancel-safe.
    ///
    /// # Errors
    /// [`Failure::Behind`] if the server writes its log faster than the run can read it;
    /// [`Failure::Stopped`]; [`Failure::LogFull`].
    pub async fn reach(&mut self, mark: Mark) -> Result<bool, Failure> {
        self.listener.listen(self.engine).await?;
        let has_passed = loop {
            match timeout(LOOK, self.listener.stream_until(mark.marker)).await {
                Ok(has_passed) => break has_passed?,
                Err(_) => {
                    update_status(self.control, &self.listener, mark.put.elapsed());
                    self.control.check_stop()?;
                    look_at_log(self.engine, self.control).await?;
                }
            }
        };
        let took = mark.put.elapsed();
        update_status(self.control, &self.listener, took);
        if has_passed && self.listener.lag.learn(took) {
            return Err(Failure::Behind { seconds: took.as_secs() });
        }
        Ok(has_passed)
    }
}

fn update_status<S: ChangeStream>(control: &Control, listener: &Listener<S>, behind: Duration) {
    control.update(|status| {
        status.log_behind_seconds = Some(behind.as_secs_f64());
        status.pending_keys = listener.keys.len() as u64;
        status.stream_position = listener.delivered().to_string();
    });
}
