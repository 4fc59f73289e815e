//! What the application does at one go, and how often.

use rand::Rng;
use rand::rngs::SmallRng;

/// What the application does at one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One new row.
    Insert,
    /// One row changed.
    Update,
    /// One row deleted.
    Delete,
    /// One row given another key.
    ChangeKey,
    /// Two rows exchange their unique values in one transaction.
    SwapUnique,
    /// A row gives its unique value to another in one transaction.
    MoveUnique,
    /// The same in two transactions.
    MoveUniqueInTwo,
    /// A row deleted and inserted again in one transaction.
    Replace,
    /// Several rows inserted, changed and deleted in one transaction.
    Several,
    /// The same with a hundred rows.
    Many,
    /// Changes that are rolled back.
    Abort,
}

/// How often each kind happens, relative to the others.
#[derive(Clone, Debug)]
pub struct Mix(Vec<(Kind, u32)>);

impl Mix {
    /// Everything there is, mostly updates and inserts.
    pub fn everything() -> Self {
        use Kind::{
            Abort, ChangeKey, Delete, Insert, MoveUnique, MoveUniqueInTwo, Replace, Several,
            SwapUnique, Update,
        };
        Self(vec![
            (Insert, 15),
            (Update, 40),
            (Delete, 10),
            (ChangeKey, 5),
            (SwapUnique, 8),
            (MoveUnique, 5),
            (MoveUniqueInTwo, 5),
            (Replace, 2),
            (Several, 7),
            (Abort, 3),
        ])
    }

    /// [`Mix::everything`], big transactions too, and unique values that move more often.
    pub fn torture() -> Self {
        let Self(mut mix) = Self::everything();
        mix.extend([(Kind::SwapUnique, 10), (Kind::MoveUniqueInTwo, 10), (Kind::Many, 1)]);
        Self(mix)
    }

    /// These kinds, equally often.
    pub fn of(kinds: &[Kind]) -> Self {
        Self(kinds.iter().map(|&kind| (kind, 1)).collect())
    }

    pub(super) fn pick(&self, random: &mut SmallRng) -> Kind {
        let total = self.0.iter().map(|(_, weight)| weight).sum();
        let mut left = random.random_range(0..total);
        for &(kind, weight) in &self.0 {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return kind,
            }
        }
        unreachable!("the weights add up to the total")
    }
}
