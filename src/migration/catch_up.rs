//! Follows the log until nearly everything committed by now is in the shadow.

use crate::control::Failure;
use crate::migration::marks;
use crate::migration::state::Migration;
use crate::pace::load;
use crate::pace::throttle::look_at_log;
use altergeist_contract::Engine;
use std::time::Duration;
use tokio::time::Instant;

/// Rounds before the run reports that the application writes too fast.
const ROUNDS_MAX: u32 = 200;

/// How often the run refreshes and saves while it catches up with a log that is far behind.
const SAVED_EVERY: Duration = Duration::from_secs(2);

impl<E: Engine> Migration<'_, E> {
    /// Follows the log until nearly everything committed by now is in the shadow. It saves its
    /// progress on the way. So a connection that breaks repeatedly does not send it back to the
    /// same position.
    ///
    /// # Errors
    /// [`Failure::TooFast`] if the rounds did not suffice: the application writes faster than the
    /// run can follow. [`Failure::Behind`] if the log cannot even be read that fast.
    /// [`Failure::CriticalLoad`].
    pub async fn catch_up(&mut self) -> Result<(), Failure> {
        const NEARLY_KEYS: usize = 1000;
        let (begun, heard, refreshed) =
            (Instant::now(), self.listener.keys_received(), self.control.status().keys_refreshed);
        for _ in 0..ROUNDS_MAX {
            self.engine.still_held().await?;
            look_at_log(self.engine, self.control).await?;
            load::observed(self.engine, &self.control.settings()).await?;
            let mark = marks::put(self.engine).await?;
            while !self.reach_within(mark, SAVED_EVERY).await? && !self.listener.is_full() {
                self.refresh_turn().await?;
                self.save_progress().await?;
                load::observed(self.engine, &self.control.settings()).await?;
            }
            let has_passed = self.listener.passed() >= mark.marker();
            let pending = self.listener.keys.len();
            self.refresh_turn().await?;
            if has_passed && pending <= NEARLY_KEYS {
                return Ok(());
            }
            self.save_progress().await?;
            self.control.check_stop()?;
        }
        Err(Failure::TooFast {
            seconds: begun.elapsed().as_secs(),
            changed: self.listener.keys_received() - heard,
            refreshed: self.control.status().keys_refreshed - refreshed,
        })
    }
}
