//! Waiting without falling behind: the log is followed, and changed rows are refreshed, whatever is waited for.

use crate::control::{Failure, Phase};
use crate::migration::state::Migration;
use crate::pace::throttle::{self, is_throttled, throttled};
use altergeist_contract::{Engine, Result};
use std::future::pending;
use std::time::Duration;
use tokio::time::timeout;

/// No rest between two turns is longer, so that changed rows do not pile up.
const REST_MAX: Duration = Duration::from_secs(5);

/// How often changed rows are refreshed while nothing else is to be done.
const CURRENT: Duration = Duration::from_millis(500);

impl<E: Engine> Migration<'_, E> {
    /// Stays current until the order to swap comes.
    pub async fn wait_while_postponed(&mut self) -> Result<(), Failure> {
        while self.control.settings().postpone_cut_over {
            self.control.update(|status| status.phase = Phase::Postponed);
            self.wait_while_throttled().await?;
            self.stay_current().await?;
        }
        Ok(())
    }

    /// Copies nothing while something stands in the way, but goes on following: the server need not keep its log.
    ///
    /// # Errors
    /// [`Failure::Stopped`] if the run shall end.
    pub async fn wait_while_throttled(&mut self) -> Result<(), Failure> {
        while is_throttled(self.engine, self.control).await? {
            self.stay_current().await?;
        }
        Ok(())
    }

    /// The same before rows are copied, which makes log: the less the server keeps for us, the sooner we are done with it.
    pub async fn wait_until_copying_is_welcome(&mut self) -> Result<(), Failure> {
        while throttled(self.engine, self.control, throttle::log_reason).await? {
            self.listener.listen(self.engine).await?;
            self.stay_current().await?;
        }
        Ok(())
    }

    /// Rests between two turns, listening, unless the run shall end.
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
        self.listener.during(resting).await
    }

    async fn stay_current(&mut self) -> Result<(), Failure> {
        self.stay_current_until(pending()).await
    }

    /// Listens for a while, or until something has happened, and refreshes what was heard.
    pub async fn stay_current_until(&mut self, news: impl Future<Output = ()>) -> Result<(), Failure> {
        self.control.check_stop()?;
        self.listener.during(timeout(CURRENT, news)).await?.ok();
        self.refresh_turn().await?;
        self.save_progress().await?;
        Ok(())
    }
}
