//! The command line: its arguments, what each command does, and which engine a URL means.

pub mod args;
pub mod commands;
pub mod engines;
pub mod migration_file;
pub mod notify;
pub mod order;
pub mod plan;
pub mod steering;
