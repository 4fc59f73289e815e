//! The statements, and nothing else.

mod catalogue;
mod cutover;
mod journal;
mod log;
mod own_objects;
mod preflight;
pub(crate) mod quote;
mod rows;
mod run_lock;
mod session;

pub(crate) use catalogue::*;
pub(crate) use cutover::*;
pub(crate) use journal::*;
pub(crate) use log::*;
pub(crate) use own_objects::*;
pub(crate) use preflight::*;
pub(crate) use rows::*;
pub(crate) use run_lock::*;
pub(crate) use session::*;
