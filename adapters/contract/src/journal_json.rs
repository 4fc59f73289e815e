//! What a journal holds as JSON: the core's record, and the engine's own facts.

use crate::{Attempted, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes an entry.
pub fn write(entry: &impl Serialize) -> String {
    serde_json::to_string(entry).expect("an entry has only plain fields")
}

/// Reads an entry.
///
/// # Errors
/// `Fatal` if it cannot be read.
pub fn read<T: DeserializeOwned>(text: &str, attempted: impl Attempted) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::fatal(attempted.words(), format!("another version may have written it: {error}"))
    })
}
