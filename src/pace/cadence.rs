//! When changed rows are refreshed while a walk over the table goes on.

use crate::control::Settings;
use altergeist_contract::Engine;
use tokio::time::Instant;

/// Changed rows wait no longer than so many chunks should take, unless a full batch is pending before.
const CHUNKS_BETWEEN: u32 = 3;

/// When changed rows are refreshed while a walk goes on: many of them in one transaction cost less than a few in each of many.
pub struct Cadence {
    last: Instant,
}

impl Cadence {
    /// From now on, when nothing is pending.
    pub fn begin() -> Cadence {
        Cadence { last: Instant::now() }
    }

    /// Whether so many pending rows should be refreshed now; if so, the next time is counted from here.
    pub fn is_due<E: Engine>(&mut self, engine: &E, settings: &Settings, pending: usize) -> bool {
        let is_late = self.last.elapsed() >= settings.chunk_time * CHUNKS_BETWEEN;
        let is_due = is_late || pending >= settings.batch_keys || !engine.log_tells_all();
        if is_due {
            self.last = Instant::now();
        }
        is_due
    }
}
