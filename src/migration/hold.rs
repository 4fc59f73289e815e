//! The run lock: no two runs change the same table.

use crate::control::Failure;
use altergeist_contract::{Engine, Hold};

/// Takes the run lock, or says who has it: as the server sees them, and as they call themselves.
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
