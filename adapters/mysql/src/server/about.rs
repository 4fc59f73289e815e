//! What a server is. The run asks once, when it connects.

use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::session::{Session, text};
use crate::server::version::{Flavour, Version};
use crate::sql;
use altergeist_contract::Result;

/// What is known of the server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub version: Version,
    /// What it calls itself, for positions.
    pub identity: String,
    pub has_gtids: bool,
    /// Its own sql_mode.
    pub modes: String,
    pub has_ansi_quotes: bool,
    /// Whether its time zone has the same distance from UTC all year. Then no hour comes twice.
    pub is_zone_fixed: bool,
}

impl Server {
    pub(crate) fn zone(&self) -> Zone {
        match (self.is_zone_fixed, self.version.flavour) {
            (true, _) => Zone::Fixed,
            (false, Flavour::MySql) => Zone::LosesMoments,
            (false, Flavour::MariaDb) => Zone::HidesMoments,
        }
    }

    pub(crate) async fn ask(session: &mut Session) -> Result<Server> {
        let attempted = "ask the server what it is";
        let version = session.text(sql::session::VERSION).await.doing_in_catalogue(attempted)?;
        let version = Version::read(&version)?;
        let row = session
            .row(sql::session::settings(version))
            .await
            .doing_in_catalogue(attempted)?
            .unwrap_or_default();
        let cell = |place: usize| row.get(place).map(text).unwrap_or_default();
        let modes = cell(2);
        let distances =
            session.text(sql::session::ZONE_DISTANCES).await.doing_in_catalogue(attempted)?;
        Ok(Server {
            version,
            identity: cell(0),
            has_gtids: cell(1) == "ON",
            has_ansi_quotes: modes.split(',').any(|mode| mode == "ANSI_QUOTES"),
            modes,
            is_zone_fixed: distances == "1",
        })
    }
}

/// What the server's time zone does to TIMESTAMP values on their way through SQL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Zone {
    /// Nothing: it is equally far from UTC all year.
    Fixed,
    /// In an hour that comes twice, a literal is ambiguous (MariaDB).
    HidesMoments,
    /// In an hour that comes twice, INSERT … SELECT and ALTER TABLE confuse the two, even from a
    /// TIMESTAMP to a TIMESTAMP (MySQL; tried on 9.7).
    LosesMoments,
}

/// A replica whose lag counts, with an open session.
pub(crate) struct Replica {
    pub access: Access,
    pub session: Option<Session>,
    /// Whether it surely is one: the user named it, or a heartbeat of this run arrived there.
    pub is_certain: bool,
}
