//! Decides whether rows are compared before their refresh, from what that has saved so far.

use std::cell::Cell;

/// One of this many keys must be skipped, or comparing them costs more than it saves.
const PAYS_FROM: usize = 4;

/// Batches until the comparison is tried again.
const TRIED_AGAIN_AFTER: u32 = 16;

/// Decides whether rows are compared before their refresh, so that equal rows are not written
/// again. A change may have touched only columns that the shadow lacks, or changed nothing, or have
/// been copied since.
#[derive(Debug, Default)]
pub struct SkipUnchanged {
    batches_to_wait: Cell<u32>,
}

impl SkipUnchanged {
    /// Never compares.
    pub fn never() -> SkipUnchanged {
        SkipUnchanged { batches_to_wait: Cell::new(u32::MAX) }
    }

    /// Whether to compare the rows of the next batch.
    pub fn is_due(&self) -> bool {
        let to_wait = self.batches_to_wait.get();
        self.batches_to_wait.set(to_wait.saturating_sub(1));
        to_wait == 0
    }

    /// Learns that `spared` of the compared keys were equal.
    pub fn learn(&self, spared: usize, of_keys: usize) {
        self.batches_to_wait.set(if spared * PAYS_FROM >= of_keys { 0 } else { TRIED_AGAIN_AFTER });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_while_that_spares_enough_and_else_now_and_then() {
        let skip_unchanged = SkipUnchanged::default();
        let compared = |spared| {
            let is_due = skip_unchanged.is_due();
            if is_due {
                skip_unchanged.learn(spared, 100);
            }
            is_due
        };
        assert!((0..5).all(|_| compared(30)));
        assert_eq!((0..34).filter(|_| compared(10)).count(), 2);
    }
}
