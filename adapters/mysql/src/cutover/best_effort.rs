//! Steps of the cut-over that may fail: what they leave undone is done later.

/// Drops the outcome of a step on purpose: a later step does the same again, or a connection that
/// is gone has done it.
pub(crate) fn best_effort<T, E: std::fmt::Debug>(outcome: std::result::Result<T, E>) {
    if outcome.is_err() {
        tracing::debug!("a step of the cut-over failed, and is done again later");
    }
}
