//! Decides when changed rows are refreshed during a pass over the table.

use crate::control::Settings;
use altergeist_contract::Engine;
use tokio::time::Instant;

/// Changed rows wait no longer than this many chunks should take, unless a full batch is pending
/// before.
const CHUNKS_BETWEEN: u32 = 3;

/// Decides when to refresh. Many rows in one transaction cost less than a few rows in each of many.
pub struct Cadence {
    last: Instant,
}

impl Cadence {
    /// Begins now, with nothing pending.
    pub fn begin() -> Cadence {
        Cadence { last: Instant::now() }
    }

    /// Whether this many pending rows should be refreshed now. If so, the next wait begins now.
    pub fn is_due<E: Engine>(&mut self, engine: &E, settings: &Settings, pending: usize) -> bool {
        let is_late = self.last.elapsed() >= settings.chunk_time * CHUNKS_BETWEEN;
        let is_due = is_late || pending >= settings.batch_keys || !engine.log_tells_all();
        if is_due {
            self.last = Instant::now();
        }
        is_due
    }
}
