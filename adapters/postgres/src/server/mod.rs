//! How to get in, and what the server is.

pub(crate) mod ask;
pub(crate) mod connect;
pub(crate) mod doing;
pub(crate) mod error;
pub(crate) mod heartbeat;
pub(crate) mod lag;
pub(crate) mod limited;
pub(crate) mod names;
pub(crate) mod order_table;
pub(crate) mod own_objects;
pub(crate) mod parameters;
pub(crate) mod pool;
pub(crate) mod pooler;
pub(crate) mod replicas;
pub(crate) mod run_lock;
pub(crate) mod session;
mod turn;
pub(crate) mod version;
