//! The run lock: no two runs change the same table.

use crate::control::Failure;
use altergeist_contract::{Engine, Hold};

/// Acquires the run lock, or reports its holder: as the server sees the session, and as the run
/// calls itself.
///
/// # Errors
/// [`Failure::Held`].
pub async fn hold<E: Engine>(engine: &E) -> Result<(), Failure> {
    let Hold::HeldBy(mut holder) = engine.hold().await? else { return Ok(()) };
    if let Some(record) = engine.load().await? {
        holder = format!("{} ({holder})", record.holder);
    }
    Err(Failure::Held { table: engine.table().to_owned(), holder })
}
