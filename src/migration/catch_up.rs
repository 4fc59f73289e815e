//! Catching up: follows the log until nearly everything committed by now is in the shadow.

use crate::control::{Control, Failure};
use crate::migration::listen::Listener;
use crate::migration::refresh::refresh_turn;
use crate::migration::{checkpoint, marks};
use crate::pace::load;
use crate::pace::throttle::look_at_log;
use altergeist_contract::{Engine, Record};
use std::time::Duration;
use tokio::time::Instant;

/// How many times it may be tried to come near enough before a table is said to change too fast.
const ROUNDS_MAX: u32 = 200;

/// While a log that is far behind is caught up with, what was heard is refreshed and saved so often.
const SAVED_EVERY: Duration = Duration::from_secs(2);

/// Follows the log until nearly everything committed by now is in the shadow. What was refreshed is saved on the way, but for the last
/// of it: a connection that breaks again and again must not make it begin from the same place when the log is far behind.
///
/// # Errors
/// [`Failure::TooFast`], with the numbers, if that was not reached within the rounds: a table can change faster than it
/// can be followed, and then no patience helps; [`Failure::Behind`] if its log cannot even be read as fast; [`Failure::CriticalLoad`].
pub async fn catch_up<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    control: &Control,
    record: &mut Record,
) -> Result<(), Failure> {
    const NEARLY_KEYS: usize = 1000;
    let (begun, heard, refreshed) = (Instant::now(), listener.heard(), control.status().keys_refreshed);
    for _ in 0..ROUNDS_MAX {
        engine.still_held().await?;
        look_at_log(engine, control).await?;
        load::look(engine, &control.settings()).await?;
        let mark = marks::put(engine).await?;
        while !marks::reach_within(engine, listener, control, mark, SAVED_EVERY).await? && !listener.is_full() {
            refresh_turn(engine, listener, control, &record.watermark).await?;
            checkpoint::save_progress(engine, listener, record).await?;
            load::look(engine, &control.settings()).await?;
        }
        let has_passed = listener.passed() >= mark.marker();
        let pending = listener.keys.len();
        refresh_turn(engine, listener, control, &record.watermark).await?;
        if has_passed && pending <= NEARLY_KEYS {
            return Ok(());
        }
        checkpoint::save_progress(engine, listener, record).await?;
        control.check_stop()?;
    }
    Err(Failure::TooFast {
        seconds: begun.elapsed().as_secs(),
        changed: listener.heard() - heard,
        refreshed: control.status().keys_refreshed - refreshed,
    })
}
