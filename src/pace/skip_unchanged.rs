//! Whether rows are compared before they are refreshed, by what that has saved so far.

use std::cell::Cell;

/// Of so many keys one must be spared, or else comparing them all costs more than it saves.
const PAYS_FROM: usize = 4;

/// After so many batches it is tried again.
const TRIED_AGAIN_AFTER: u32 = 16;

/// Whether rows are compared before they are refreshed, so that those that are the same already are not written again: a change
/// may have been of columns the shadow has not, or have changed nothing, or have been copied since.
#[derive(Debug, Default)]
pub struct SkipUnchanged {
    batches_to_wait: Cell<u32>,
}

impl SkipUnchanged {
    /// Whether the rows of the next batch are.
    pub fn is_due(&self) -> bool {
        let to_wait = self.batches_to_wait.get();
        self.batches_to_wait.set(to_wait.saturating_sub(1));
        to_wait == 0
    }

    /// So many of the compared keys were spared.
    pub fn learn(&self, spared: usize, of_keys: usize) {
        self.batches_to_wait.set(if spared * PAYS_FROM >= of_keys { 0 } else { TRIED_AGAIN_AFTER });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_compared_while_that_spares_enough_and_else_now_and_then() {
        let sparing = SkipUnchanged::default();
        let compared = |spared| {
            let is_due = sparing.is_due();
            if is_due {
                sparing.learn(spared, 100);
            }
            is_due
        };
        assert!((0..5).all(|_| compared(30)));
        assert_eq!((0..34).filter(|_| compared(10)).count(), 2);
    }
}
