//! Puts the old table back: catch up, prove, lock, drain, swap. It is the cut-over, the other way
//! round.

use crate::control::{Failure, Phase};
use crate::migration::cutover::Way;
use crate::migration::run::leave::LeaveToSwap;
use crate::migration::state::Migration;
use crate::migration::verify::Verification;
use altergeist_contract::{Engine, Misfits};
use std::time::Duration;

/// How often rows that may fit by now are tried again before the run says that they do not.
const TRIES_MAX: u32 = 20;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// What became of an order to put the old table back.
pub enum Revert {
    /// The old table has its name again.
    Done,
    /// It does not, and the run stays reversible; why.
    NotNow(String),
}

impl<E: Engine> Migration<'_, E> {
    /// Puts the old table back, with every row that was written since the swap.
    ///
    /// # Errors
    /// As [`Migration::cut_over`]; [`Failure::Unequal`] if the log does not explain a difference.
    pub async fn revert(
        &mut self,
        discards_misfits: bool,
        leave: &LeaveToSwap,
    ) -> Result<Revert, Failure> {
        self.control.update(|status| status.phase = Phase::Reverting);
        match self.prove_and_swap_back(discards_misfits, leave).await {
            Ok(()) => Ok(Revert::Done),
            Err(Failure::NoLock(reason) | Failure::NotReverted(reason)) => {
                Ok(Revert::NotNow(reason))
            }
            Err(failure @ Failure::TooFast { .. }) => Ok(Revert::NotNow(failure.to_string())),
            Err(failure) => Err(failure),
        }
    }

    async fn prove_and_swap_back(
        &mut self,
        discards_misfits: bool,
        leave: &LeaveToSwap,
    ) -> Result<(), Failure> {
        if let Some(reason) = self.misfits_in_the_way(discards_misfits).await? {
            return Err(Failure::NotReverted(reason));
        }
        Verification::begin().finish(self).await?;
        self.cut_over(&mut Way::Back { discards_misfits }, leave).await
    }

    /// Catches up, and says which rows the old table cannot hold, unless they are given up.
    pub async fn misfits_in_the_way(
        &mut self,
        discards_misfits: bool,
    ) -> Result<Option<String>, Failure> {
        for _ in 0..TRIES_MAX {
            self.catch_up().await?;
            if self.try_misfits_again().await? == 0 {
                break;
            }
            self.listener.pause(PAUSE).await?;
        }
        let misfits = self.control.status().not_revertible;
        let rows = misfits.iter().map(|found| found.rows).sum();
        if let Some(reversible) = &mut self.record.reversible {
            reversible.rows_discarded = rows;
        }
        Ok((rows > 0 && !discards_misfits).then(|| refusal(rows, &misfits)))
    }
}

fn refusal(rows: u64, misfits: &[Misfits]) -> String {
    let objects: Vec<String> =
        misfits.iter().map(|found| format!("{}: {}", found.rows, found.object)).collect();
    format!(
        "the old table cannot hold rows that were written since the swap: {rows} ({}). Change \
         them, or give their last changes up with `revert --discard-unrevertible`",
        objects.join(", ")
    )
}
