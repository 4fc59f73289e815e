//! The lock, the swap, and what is carried by it (law 7).

pub(crate) mod best_effort;
pub(crate) mod blockers;
pub(crate) mod foreign_keys;
pub(crate) mod hands;
pub(crate) mod lock;
pub(crate) mod locked_relations;
pub(crate) mod mariadb;
pub(crate) mod mysql;
pub(crate) mod triggers;
