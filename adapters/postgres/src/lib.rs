//! altergeist on PostgreSQL 14 and later: a shadow in a schema of its own, logical replication for
//! the changed keys, and a swap by `SET SCHEMA` in one transaction.
// The core runs as one task, so no future here needs to be `Send`.
#![allow(async_fn_in_trait)]

mod backfill;
mod change;
mod cutover;
mod engine;
mod facts;
mod journal;
mod key;
mod log;
mod plan;
mod reversal;
mod schema;
mod server;
mod shadow;
mod sql;
mod state;

pub use cutover::lock::CutoverLock;
pub use engine::Postgres;
pub use log::stream::LogStream;
pub use shadow::pair::PostgresPair;
