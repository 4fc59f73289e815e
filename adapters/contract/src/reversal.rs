//! The role that keeps the old table current after the swap, and can put it back.
//!
//! Nothing new is learned for it: the engine is turned around. From then on the altered table is
//! the source and the old table is its shadow, and every law holds as before.
//!
//! Two things differ in the engine. A refresh must keep what only the old table has: the values of
//! the columns that the change dropped. And a row of the altered table may not fit the old one: a
//! number beyond its type, a second row under a unique index that the change dropped. Such a row is
//! a *misfit*. It never stops the run. It is noted on the server until it fits or is gone.

use crate::{Key, Result};
use serde::{Deserialize, Serialize};

/// For an engine that can keep the old table current after the swap, and put it back.
pub trait Reversal: Sized {
    /// Turns the engine around, after a swap that was made with
    /// [`Target::reversible`](crate::Target::reversible). Afterwards:
    ///
    /// - Source and shadow are exchanged in every call. [`follow`](crate::Engine::follow) reads the
    ///   changes of the altered table from the position of the cut-over on.
    /// - [`refresh`](crate::Shadow::refresh) converts values back. In a row that the old table has,
    ///   it keeps the values of the columns that the altered table lacks. In a new row these get
    ///   their defaults, or what [`Target::reverse_sets`](crate::Target::reverse_sets) says. If a
    ///   row does not fit, it fails as a copy does, and changes nothing.
    /// - The comparisons compare what both tables can hold, and leave misfits out. A row that does
    ///   not fit is a difference, never an error.
    /// - [`lock`](crate::Cutover::lock) and `swap` put the old table in the altered one's place,
    ///   with all that hung on it. The altered table is kept under a name of ours.
    /// - [`ownership`](crate::Cutover::ownership) answers `Shadow` once the old table has the name.
    /// - [`finish`](crate::Cutover::finish) removes what the reverse phase needed.
    ///
    /// It may be called by another process than the one that swapped, and again after a crash.
    ///
    /// # Errors
    /// `Refused` if the tables are not those that the swap left; it names what changed.
    async fn turn_around(self) -> Result<Self>;

    /// [`refresh`](crate::Shadow::refresh) for rows of which some do not fit, in one transaction.
    /// All the others are refreshed. A row that does not fit keeps its last version that did, if
    /// the old table has one, and is noted as a misfit. A key whose row fits, or is gone, is no
    /// misfit any more.
    async fn refresh_each(&self, keys: &[Key]) -> Result<()>;

    /// The misfits by what they do not fit.
    async fn misfits(&self) -> Result<Vec<Misfits>>;

    /// Keys of misfits that may fit meanwhile although their own rows did not change: another row
    /// was in the way. Up to `most`, those that were tried the longest ago first.
    async fn blocked_misfits(&self, most: usize) -> Result<Vec<Key>>;
}

/// Rows of the altered table that the old one cannot hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Misfits {
    /// What they do not fit, for people: "column amount" or "unique index orders_email". Never a
    /// value.
    pub object: String,
    /// How many.
    pub rows: u64,
}
