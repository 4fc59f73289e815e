//! The servers that cases share, and the databases they get on them.

use std::sync::{Arc, Mutex, OnceLock};

use super::Case;
use crate::servers::{Flavour, Server};
use crate::session::{Failure, Session, block_on};

/// One server of each kind, started when the first case asks for it.
#[derive(Debug, Default)]
pub struct SharedServers {
    servers: [SharedServer; 4],
}

#[derive(Debug, Default)]
struct SharedServer {
    server: OnceLock<Option<Arc<Server>>>,
    /// Roles and users belong to the whole server: two cases must not make the same one at once.
    creating: Mutex<()>,
}

/// Nothing but what makes a failure easier to explain.
const SHARED: [(Flavour, &[(&str, &str)]); 4] = [
    (Flavour::Postgres15, &[("max_replication_slots", "40"), ("max_wal_senders", "40")]),
    (Flavour::Postgres18, &[("max_replication_slots", "40"), ("max_wal_senders", "40")]),
    (Flavour::MySql97, &[("innodb-print-all-deadlocks", "ON"), ("log-error-verbosity", "3")]),
    (Flavour::MariaDb1011, &[("innodb-print-all-deadlocks", "ON")]),
];

impl SharedServers {
    /// The server for `case`: its own when it has settings, else the shared one. `None` when it is
    /// not installed.
    pub(super) fn server(&self, case: &Case, flavour: Flavour) -> Option<Arc<Server>> {
        let shared = SHARED
            .iter()
            .find(|(kind, _)| *kind == flavour)
            .map_or(&[] as &[_], |(_, settings)| settings);
        if case.settings.is_empty() {
            return self
                .shared(flavour)
                .server
                .get_or_init(|| Server::start(flavour, shared).map(Arc::new))
                .clone();
        }
        let own = case.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let settings: Vec<_> = shared.iter().copied().chain(own).collect();
        Server::start(flavour, &settings).map(Arc::new)
    }

    /// Makes a database of that name, and in it what `sql` says.
    pub(super) fn create(&self, server: &Server, database: &str, sql: &str) -> Result<(), Failure> {
        let home = if server.flavour().is_postgres() { "postgres" } else { "mysql" };
        let charset = if server.flavour().is_postgres() { "" } else { " CHARACTER SET utf8mb4" };
        server.execute(home, &format!("CREATE DATABASE {database}{charset}"))?;
        let _one_after_the_other = self.shared(server.flavour()).creating.lock();
        server.execute(database, sql).map(|_| ())
    }

    fn shared(&self, flavour: Flavour) -> &SharedServer {
        let nth = Flavour::all()
            .iter()
            .position(|kind| *kind == flavour)
            .expect("every kind is in the list");
        &self.servers[nth]
    }
}

/// Makes room: a PostgreSQL database of nothing is 8 MB.
pub(super) fn drop_databases(server: &Server, databases: &[&str]) -> Result<(), Failure> {
    let (home, force) = match server.flavour().is_postgres() {
        true => (server.url("postgres"), " WITH (FORCE)"),
        false => (server.url("mysql"), ""),
    };
    block_on(async {
        let mut session = Session::connect(&home).await?;
        for database in databases {
            session.execute(&format!("DROP DATABASE {database}{force}")).await?;
        }
        Ok(())
    })
}
