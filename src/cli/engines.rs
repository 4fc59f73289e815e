//! The only place that names an adapter: a URL's scheme picks the engine.

use altergeist::contract::{Engine, Error, Kind, Result, Target};
use serde::Serialize;

/// The servers that this binary knows.
pub const ENGINES: &[Server] = &[
    #[cfg(feature = "mysql")]
    Server {
        name: "MySQL",
        schemes: &["mysql"],
        oldest_version: "8.0.13",
        tested_versions: &["9.7"],
    },
    #[cfg(feature = "mysql")]
    Server {
        name: "MariaDB",
        schemes: &["mariadb", "mysql"],
        oldest_version: "10.6.1",
        tested_versions: &["10.11", "11.8"],
    },
    #[cfg(feature = "postgres")]
    Server {
        name: "PostgreSQL",
        schemes: &["postgres", "postgresql"],
        oldest_version: "14",
        tested_versions: &["15", "17", "18"],
    },
];

/// A kind of server. The names are a contract: scripts read them.
#[derive(Serialize)]
pub struct Server {
    /// Its name.
    pub name: &'static str,
    /// How its URLs begin.
    pub schemes: &'static [&'static str],
    /// The oldest version that works.
    pub oldest_version: &'static str,
    /// The versions that the tests run on.
    pub tested_versions: &'static [&'static str],
}

/// A task that works with any engine.
pub trait Task {
    /// The result.
    type Outcome;

    /// Runs the task. It may connect to the target as often as it needs.
    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome;
}

/// Runs a task with the engine for the target's URL.
///
/// # Errors
/// `Usage` if this binary has no engine for the scheme, or the source of passwords gives none.
pub async fn with_engine<T: Task>(target: &Target, task: T) -> Result<T::Outcome> {
    target.passwords.check().await?;
    // A connection string without a scheme, host=… dbname=…, is PostgreSQL's.
    let pairs = if target.url.contains('=') { "postgres" } else { "" };
    match target.url.split_once("://").map_or(pairs, |(scheme, _)| scheme) {
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Ok(task.run::<altergeist_mysql::MySql>(target).await),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(task.run::<altergeist_postgres::Postgres>(target).await),
        _ => Err(Error::new(
            Kind::Usage,
            "read --url",
            "it must begin with postgres://, mysql:// or mariadb://, as in \
             mysql://user@host:3306/database",
        )),
    }
}
