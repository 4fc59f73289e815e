//! altergeist on PostgreSQL 14 and later: a shadow in a schema of its own, logical replication for the changed keys, and a
//! swap by `SET SCHEMA` in one transaction.
// The core runs as one task, so no future here needs to be `Send`.
#![allow(async_fn_in_trait)]

mod alteration;
mod blockers;
mod carried;
mod cascade;
mod changes;
mod clauses;
mod connect;
mod cutover;
mod definition;
mod demands;
mod duplicates;
mod engine;
mod error;
mod followed;
mod gauge;
mod guard;
mod journal;
mod key;
mod keyless;
mod layout;
mod leftovers;
mod log;
mod log_server;
mod making;
mod materialized;
mod names;
mod neighbours;
mod obstacles;
mod oids;
mod order;
mod others_flags;
mod ours;
mod parameters;
mod pasted;
mod pgoutput;
mod polling;
mod pooler;
mod preflight;
mod recipe;
mod rehearsal;
mod replication;
mod retarget;
mod session;
mod shadow;
mod spelling;
mod sql;
mod version;
mod visibility;
mod witness;

pub use changes::LogStream;
pub use cutover::CutoverLock;
pub use engine::Postgres;
