//! The state of a run, from the first chunk to the swap.

use crate::control::Control;
use crate::migration::listen::Listener;
use altergeist_contract::{ColumnCounts, Engine, Record};

/// Which of the two tables follows the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Before the swap: the altered table follows the old one.
    Forward,
    /// After it: the old table follows the altered one.
    Back,
}

/// A run that copies. Each chapter of it is a method, in the file of its name.
pub struct Migration<'a, E: Engine> {
    /// The engine: the server's side.
    pub engine: &'a E,
    /// Settings and status: the operator's side.
    pub control: &'a Control,
    /// The log reader and its pending keys.
    pub listener: Listener<E::Stream>,
    /// The progress, as the journal has it.
    pub record: Record,
    /// Which table follows which.
    pub direction: Direction,
    /// What the verification counted of columns whose values change.
    pub columns: Vec<ColumnCounts>,
}
