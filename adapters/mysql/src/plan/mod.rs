//! What `plan` finds out and refuses: one check, one file.

pub(crate) mod data;
pub(crate) mod foreign_keys;
pub(crate) mod full_text;
pub(crate) mod hidden_keys;
pub(crate) mod leftovers;
pub(crate) mod log_settings;
pub(crate) mod log_source;
pub(crate) mod losses;
pub(crate) mod old_dependents;
pub(crate) mod other_engine;
pub(crate) mod partitions;
pub(crate) mod postgres_flags;
pub(crate) mod preflight;
pub(crate) mod privileges;
pub(crate) mod relation_privileges;
pub(crate) mod replica_target;
pub(crate) mod steps;
pub(crate) mod taken_names;
pub(crate) mod trial;
pub(crate) mod unlogged_note;
