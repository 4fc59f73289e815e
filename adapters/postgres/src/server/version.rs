//! What differs between the server versions we know.

use altergeist_contract::{Error, Result};

/// The oldest server that we work with. Earlier ones lack `pg_current_snapshot` where we need it.
const OLDEST: i32 = 140_000;

/// A server's version, as `server_version_num` gives it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(i32);

impl Version {
    /// Accepts a server that we can work with.
    pub(crate) fn accept(number: i32) -> Result<Version> {
        if number < OLDEST {
            let reason =
                format!("PostgreSQL {} is too old; 14 is the oldest that works", number / 10_000);
            return Err(Error::refused("use the server", reason));
        }
        Ok(Version(number))
    }

    /// The kind and the major version: "PostgreSQL 18".
    pub(crate) fn major(self) -> String {
        format!("PostgreSQL {}", self.0 / 10_000)
    }

    /// Whether a publication may be narrowed to some columns.
    pub(crate) fn has_column_lists(self) -> bool {
        self.0 >= 150_000
    }

    /// Whether a sequence may be kept out of the log, as those of a table that is not logged are.
    pub(crate) fn has_unlogged_sequences(self) -> bool {
        self.0 >= 150_000
    }

    /// Whether the catalogue has the version of a database's own collation at its creation.
    pub(crate) fn records_collation_of_database(self) -> bool {
        self.0 >= 150_000
    }

    /// Whether a standby decodes its log.
    pub(crate) fn decodes_on_standby(self) -> bool {
        self.0 >= 160_000
    }

    /// Whether the server tells if a text is a value of a type (`pg_input_is_valid`).
    pub(crate) fn has_input_validity(self) -> bool {
        self.0 >= 160_000
    }

    /// Whether a slot may be copied to standbys.
    pub(crate) fn has_failover_slots(self) -> bool {
        self.0 >= 170_000
    }

    /// Whether the server itself rebuilds a table while it is written to (REPACK).
    pub(crate) fn has_repack(self) -> bool {
        self.0 >= 190_000
    }

    /// Whether NOT NULL is a constraint with a name, which may be NOT VALID.
    pub(crate) fn names_not_null(self) -> bool {
        self.0 >= 180_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_is_refused_and_fourteen_is_not() {
        assert!(Version::accept(130_021).is_err());
        assert!(Version::accept(140_000).is_ok());
    }
}
