//! MySQL and MariaDB as an engine of altergeist: the shadow is filled by `INSERT … SELECT`, changes come from the binary
//! log, and the swap is one RENAME TABLE.

mod altered;
mod beats;
mod cascades;
mod changes;
mod checks;
mod clauses;
mod connect;
mod convert;
mod crew;
mod cutover;
mod engine;
mod error;
mod follower;
mod foreign_keys;
mod gauge;
mod image;
mod indexes;
mod journal;
mod key;
mod log_server;
mod mapping;
mod names;
mod neighbours;
mod option_file;
mod place;
mod preflight;
mod privileges;
mod reach;
mod replicas;
mod session;
mod shadow;
mod shape;
mod sql;
mod statement;
mod table;
mod temporal;
mod token;
mod triggers;
mod version;

pub use changes::MySqlStream;
pub use cutover::MySqlLock;
pub use engine::MySql;
