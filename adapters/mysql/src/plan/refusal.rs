//! What every check of the plan answers with.

use altergeist_contract::Refusal;

pub(crate) fn refusal(
    object: impl Into<String>,
    reason: impl Into<String>,
    remedy: impl Into<String>,
) -> Refusal {
    Refusal { object: object.into(), reason: reason.into(), remedy: remedy.into() }
}
