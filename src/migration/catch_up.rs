//! Catching up: follows the log until nearly everything committed by now is in the shadow.

use crate::control::Failure;
use crate::migration::marks;
use crate::migration::state::Migration;
use crate::pace::load;
use crate::pace::throttle::look_at_log;
use altergeist_contract::Engine;
use std::time::Duration;
use tokio::time::Instant;

/// How many times it may be tried to come near enough before a table is said to change too fast.
const ROUNDS_MAX: u32 = 200;

/// While a log that is far behind is caught up with, what was heard is refreshed and saved so often.
const SAVED_EVERY: Duration = Duration::from_secs(2);

impl<E: Engine> Migration<'_, E> {
    /// Follows the log until nearly everything committed by now is in the shadow. What was refreshed is saved on the way, but for the last
    /// of it: a connection that breaks again and again must not make it begin from the same place when the log is far behind.
    ///
    /// # Errors
    /// [`Failure::TooFast`], with the numbers, if that was not reached within the rounds: a table can change faster than it
    /// can be followed, and then no patience helps; [`Failure::Behind`] if its log cannot even be read as fast; [`Failure::CriticalLoad`].
    pub async fn catch_up(&mut self) -> Result<(), Failure> {
        const NEARLY_KEYS: usize = 1000;
        let (begun, heard, refreshed) = (Instant::now(), self.listener.heard(), self.control.status().keys_refreshed);
        for _ in 0..ROUNDS_MAX {
            self.engine.still_held().await?;
            look_at_log(self.engine, self.control).await?;
            load::look(self.engine, &self.control.settings()).await?;
            let mark = marks::put(self.engine).await?;
            while !self.reach_within(mark, SAVED_EVERY).await? && !self.listener.is_full() {
                self.refresh_turn().await?;
                self.save_progress().await?;
                load::look(self.engine, &self.control.settings()).await?;
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
            changed: self.listener.heard() - heard,
            refreshed: self.control.status().keys_refreshed - refreshed,
        })
    }
}
