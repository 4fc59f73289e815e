//! The server whose log is read: the table's own, or a replica of it.

use crate::server::about::Server;
use crate::server::connect::Access;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::server::version::{Flavour, Version};
use crate::sql;
use altergeist_contract::{Error, Kind, Result, Target};

/// The server the log is read from; see the module.
pub(crate) struct LogServer {
    pub access: Access,
    pub server: Server,
    pub is_replica: bool,
}

impl LogServer {
    /// Finds the server that the user named, or takes the table's own.
    pub(crate) async fn find(
        target: &Target,
        access: &Access,
        server: &Server,
    ) -> Result<LogServer> {
        let own =
            || LogServer { access: access.clone(), server: server.clone(), is_replica: false };
        let Some(url) = &target.stream_from else { return Ok(own()) };
        let access = Access::read(url, &target.passwords)?;
        let mut session = Session::bare(&access).await?;
        let found = Server::ask(&mut session).await?;
        let is_replica = found.identity != server.identity;
        Ok(if is_replica { LogServer { access, server: found, is_replica } } else { own() })
    }
}

/// The filters of a replica. Its log depends on them, and they may change during the run.
#[derive(Clone)]
pub(crate) struct Filters {
    /// None if the log is the table's own server's.
    pub replica: Option<(Access, Version)>,
    pub source: TableName,
}

impl Filters {
    /// Checks whether the replica leaves transactions out now.
    ///
    /// # Errors
    ///
    /// `Missed` if it does.
    pub(crate) async fn check(&self) -> Result<()> {
        let Some((access, version)) = &self.replica else { return Ok(()) };
        let attempted = || format!("look at the filters of replica {}", access.address);
        let mut session = Session::bare(access).await?;
        let filters = leaves_out(&mut session, *version).await.doing_in_catalogue(attempted)?;
        match filters {
            None => Ok(()),
            Some(what) => {
                let reason = format!("replica {} leaves out transactions: {what}", access.address);
                Err(Error::new(
                    Kind::Missed,
                    format!("follow the log for {}", self.source.plain()),
                    reason,
                ))
            }
        }
    }
}

/// Returns the settings that make a replica leave out transactions or rows, although it applies the
/// heartbeats.
pub(crate) async fn leaves_out(
    session: &mut Session,
    version: Version,
) -> std::result::Result<Option<String>, Failure> {
    let settings = session.rows(sql::log::replica_filters(version)).await?;
    let mut found: Vec<String> = settings.iter().map(|row| text(&row[0])).collect();
    if version.flavour == Flavour::MariaDb {
        // Each connection has filters of its own, also by domain and server.
        for connection in session.named_rows(sql::log::replication_status(version)).await? {
            let set = connection
                .into_iter()
                .filter(|(name, value)| name.starts_with("Replicate_") && !value.is_empty());
            found.extend(set.map(|(name, _)| name));
        }
    }
    Ok((!found.is_empty()).then(|| found.join(", ")))
}
