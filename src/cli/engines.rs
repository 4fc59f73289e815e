//! The only place that names an adapter: a URL's scheme picks the engine.

use altergeist::contract::{Engine, Error, Kind, Result, Target};

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
/// `Usage` if this binary has no engine for the scheme.
pub async fn with_engine<T: Task>(target: &Target, task: T) -> Result<T::Outcome> {
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
