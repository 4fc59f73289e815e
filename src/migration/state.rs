//! What a run works with, from the first chunk to the swap.

use crate::control::Control;
use crate::migration::listen::Listener;
use altergeist_contract::{Engine, Record};

/// A run that copies, or has copied. Its chapters are methods of it, each in the file of its name.
pub struct Migration<'a, E: Engine> {
    /// The server's side.
    pub engine: &'a E,
    /// The operator's side.
    pub control: &'a Control,
    /// The log, and what it has told of.
    pub listener: Listener<E::Stream>,
    /// How far the run has come, as the journal has it.
    pub record: Record,
}
