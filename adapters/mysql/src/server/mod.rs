//! How to get in, and what the server is: connections, sessions, versions, errors, names,
//! heartbeats.

pub(crate) mod about;
pub(crate) mod ask;
pub(crate) mod connect;
pub(crate) mod doing;
pub(crate) mod error;
pub(crate) mod gauge;
pub(crate) mod grants;
pub(crate) mod heartbeat;
pub(crate) mod lag;
pub(crate) mod limited;
pub(crate) mod names;
pub(crate) mod one_server;
pub(crate) mod option_file;
pub(crate) mod order_table;
pub(crate) mod own_objects;
pub(crate) mod pool;
pub(crate) mod reachability;
pub(crate) mod replicas;
pub(crate) mod run_lock;
pub(crate) mod session;
pub(crate) mod settings;
mod turn;
pub(crate) mod version;
