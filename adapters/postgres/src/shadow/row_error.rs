//! Errors of statements that write rows.

use crate::facts::ShadowFacts;
use crate::server::error;
use altergeist_contract::{Error, Kind};

/// Returns the error of a statement that writes rows. It names the changed columns if a value does
/// not fit.
pub(crate) fn row_error(
    attempted: String,
    error: &tokio_postgres::Error,
    shadow: &ShadowFacts,
) -> Error {
    let mut answer = error::of(attempted, error);
    let is_value = error::is_conversion(error);
    let changed = shadow.layout.changed_columns();
    if is_value && answer.kind == Kind::Fatal && !changed.is_empty() {
        answer.reason = format!("{} (one of the changed columns: {changed})", answer.reason);
    }
    answer
}
