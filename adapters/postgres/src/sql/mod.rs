//! The statements, and nothing else.

mod advice;
mod catalogue;
mod checks;
mod cutover;
mod ddl;
mod journal;
mod log;
mod losses;
mod measure;
pub(crate) mod order_table;
mod own_objects;
mod pooler;
mod preflight;
pub(crate) mod quote;
mod rows;
mod run_lock;
mod session;
mod surroundings;
mod transaction;

pub(crate) use advice::*;
pub(crate) use catalogue::*;
pub(crate) use checks::*;
pub(crate) use cutover::*;
pub(crate) use ddl::*;
pub(crate) use journal::*;
pub(crate) use log::*;
pub(crate) use losses::*;
pub(crate) use measure::*;
pub(crate) use own_objects::*;
pub(crate) use pooler::*;
pub(crate) use preflight::*;
pub(crate) use rows::*;
pub(crate) use run_lock::*;
pub(crate) use session::*;
pub(crate) use surroundings::*;
pub(crate) use transaction::*;
