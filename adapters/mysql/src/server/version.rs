//! Which server this is, and whether it is one we know.

use altergeist_contract::{Error, Result};

/// The two servers that speak the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flavour {
    MySql,
    MariaDb,
}

/// A server's kind and version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    pub flavour: Flavour,
    pub number: (u16, u16, u16),
}

/// RENAME TABLE under LOCK TABLES, which the cut-over rests on.
const OLDEST_MYSQL: (u16, u16, u16) = (8, 0, 13);
/// Atomic RENAME TABLE of several tables, which the cut-over rests on.
const OLDEST_MARIADB: (u16, u16, u16) = (10, 6, 1);

impl Version {
    /// Reads what `@@version` says.
    pub(crate) fn read(text: &str) -> Result<Version> {
        let flavour = if text.to_ascii_lowercase().contains("mariadb") {
            Flavour::MariaDb
        } else {
            Flavour::MySql
        };
        let number = number(text).ok_or_else(|| {
            Error::refused("learn the server's version", format!("it calls itself '{text}'"))
        })?;
        let version = Version { flavour, number };
        let oldest = version.oldest();
        if number < oldest {
            let reason = format!(
                "{text} is too old: {} {}.{}.{} or later is needed",
                version.name(),
                oldest.0,
                oldest.1,
                oldest.2
            );
            return Err(Error::refused("work with this server", reason));
        }
        Ok(version)
    }

    /// Whether this is MySQL of at least this version.
    pub(crate) fn is_mysql_since(self, number: (u16, u16, u16)) -> bool {
        self.flavour == Flavour::MySql && self.number >= number
    }

    /// Whether this is MariaDB of at least this version.
    pub(crate) fn is_mariadb_since(self, number: (u16, u16, u16)) -> bool {
        self.flavour == Flavour::MariaDb && self.number >= number
    }

    pub(crate) fn name(self) -> &'static str {
        match self.flavour {
            Flavour::MySql => "MySQL",
            Flavour::MariaDb => "MariaDB",
        }
    }

    /// The kind and the release series: "MySQL 9.7".
    pub(crate) fn major(self) -> String {
        format!("{} {}.{}", self.name(), self.number.0, self.number.1)
    }

    fn oldest(self) -> (u16, u16, u16) {
        match self.flavour {
            Flavour::MySql => OLDEST_MYSQL,
            Flavour::MariaDb => OLDEST_MARIADB,
        }
    }
}

fn number(text: &str) -> Option<(u16, u16, u16)> {
    let digits = text.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?;
    let mut parts = digits.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_tells_which_it_is() {
        let mariadb = Version::read("10.11.18-MariaDB-0+deb12u1-log").unwrap();
        assert_eq!(mariadb, Version { flavour: Flavour::MariaDb, number: (10, 11, 18) });
        let mysql = Version::read("9.7.4-2").unwrap();
        assert_eq!(mysql, Version { flavour: Flavour::MySql, number: (9, 7, 4) });
        assert!(mysql.is_mysql_since((8, 2, 0)) && !mariadb.is_mysql_since((8, 2, 0)));
    }

    #[test]
    fn servers_that_are_too_old_are_refused() {
        assert!(Version::read("8.0.12").is_err());
        assert!(Version::read("5.7.44-log").is_err());
        assert!(Version::read("10.5.29-MariaDB").is_err());
        assert!(Version::read("of old").is_err());
    }
}
