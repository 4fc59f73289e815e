//! Turns on a server: of the runs that ask for one, a single run works on the server at a time.

use crate::{Error, Result, Target};
use std::any::Any;

/// For a server that can hold a lock for all of its tables and databases.
pub trait Turns {
    /// Takes the turn if nobody has it. Waits for nothing.
    ///
    /// # Errors
    /// `Refused` if this server, or this user, cannot hold such a lock.
    async fn take_turn(_target: &Target) -> Result<Turn> {
        Err(Error::refused("take the turn on the server", "this engine has no turns"))
    }
}

/// The answer to [`Turns::take_turn`].
pub enum Turn {
    /// It is ours until this value is dropped or the process dies.
    Ours(Box<dyn Any + Send>),
    /// Another run has it. Who, for people.
    HeldBy(String),
}
