//! Steps of the cut-over that may fail. A later step does again what they left undone.

/// Drops the outcome of a step on purpose. If it failed, a later step repeats it, or its connection
/// is gone and the work with it.
pub(crate) fn best_effort<T, E: std::fmt::Debug>(outcome: std::result::Result<T, E>) {
    if outcome.is_err() {
        tracing::debug!("a step of the cut-over failed; the run repeats it later");
    }
}
