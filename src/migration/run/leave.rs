//! The leave to swap. Only a run has it.

/// Proves that a run is asking for the swap. Nobody but [`run`](super::run) can make one, so no
/// rehearsal reaches the swap.
pub struct LeaveToSwap(());

impl LeaveToSwap {
    /// The leave of a run.
    pub(super) fn of_a_run() -> LeaveToSwap {
        LeaveToSwap(())
    }
}
