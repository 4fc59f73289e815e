//! The lock, the swap, and what the swap carries along (law 7).

pub(crate) mod best_effort;
pub(crate) mod blockers;
pub(crate) mod finish;
pub(crate) mod foreign_key_swap;
pub(crate) mod foreign_keys;
pub(crate) mod lock;
pub(crate) mod locked_relations;
pub(crate) mod mariadb;
pub(crate) mod mysql;
pub(crate) mod ownership;
pub(crate) mod relation_sessions;
pub(crate) mod table_lock;
pub(crate) mod triggers;
pub(crate) mod way_back;
