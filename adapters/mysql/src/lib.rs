//! MySQL and MariaDB as an engine of altergeist. `INSERT … SELECT` fills the shadow, changes come
//! from the binary log, and the swap is one RENAME TABLE.

mod backfill;
mod change;
mod cutover;
mod engine;
mod facts;
mod journal;
mod key;
mod log;
mod plan;
mod reversal;
mod schema;
mod server;
mod shadow;
mod sql;
mod state;

pub use cutover::table_lock::MySqlLock;
pub use log::stream::MySqlStream;
pub use shadow::pair::MySqlPair;
pub use state::MySql;
