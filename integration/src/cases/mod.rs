//! Cases as folders of SQL: a table, its writers, the change, and what must come of it.
//!
//! `docs/cases.md` says what the files of a folder mean. Each case is copied, killed, resumed and
//! cut over; what the server itself makes of the same change is what must come out. No case is
//! code, and nothing here knows a case.

mod folder;
mod row_check;
mod scenario;
mod shared_servers;
mod structure;
mod way_back;
mod writers;

pub use folder::Case;
pub use scenario::{Mode, run};
pub use shared_servers::SharedServers;
