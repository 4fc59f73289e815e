//! The command line: its arguments, what each command does, and which engine a URL means.

pub mod about;
pub mod args;
pub mod backfill;
pub mod backfill_args;
pub mod commands;
pub mod config;
pub mod console;
pub mod detach;
pub mod engines;
pub mod migration_file;
pub mod notice;
pub mod notify;
pub mod order;
mod password;
pub mod plan;
pub mod rehearse;
pub mod revert;
pub mod revert_args;
pub mod signal_args;
pub mod steering;
pub mod table;
mod turn;
mod url;
pub mod verify;
pub mod wait;
