//! What `plan` finds out and refuses: one check, one file.

pub(crate) mod full_text;
pub(crate) mod log_source;
pub(crate) mod losses;
pub(crate) mod neighbour_privileges;
pub(crate) mod old_dependents;
pub(crate) mod other_engine;
pub(crate) mod others_flags;
pub(crate) mod partitions;
pub(crate) mod preflight;
pub(crate) mod privileges;
pub(crate) mod replica_target;
