//! Places in a server's log.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A place in the log that can be read from again, as the engine spells it (`binlog.000003:154`,
/// a GTID set, an LSN). It holds no user's data and may be shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Position(pub String);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mark this run has put into the log. Later marks are greater; a mark of an earlier process that
/// is read again after a restart never passes for one of this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Marker(pub u64);

impl Marker {
    /// Passed before anything was read.
    pub const NONE: Marker = Marker(0);
}
