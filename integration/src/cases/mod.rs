//! Cases as folders of SQL: a table, its writers, the change, and what must come of it.
//!
//! `docs/cases.md` says what the files of a folder mean. Each case is copied, killed, resumed and
//! cut over; what the server itself makes of the same change is what must come out. No case is
//! code, and nothing here knows a case.

mod fleet;
mod folder;
mod rows;
mod story;
mod structure;
mod writers;

pub use fleet::Fleet;
pub use folder::Case;
pub use story::{Mode, tell};
