//! The only place that names an adapter: a URL's scheme picks the engine.

use altergeist::contract::{Engine, Error, Kind, Result, Target};

/// Something to be done with whichever engine it turns out to be.
pub trait Errand {
    /// What comes of it.
    type Outcome;

    /// Does it; the engine connects to the target as often as it must.
    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome;
}

/// Does an errand with the engine that serves the target's URL.
///
/// # Errors
/// `Usage` for a scheme no engine of this binary serves.
pub async fn with_engine<T: Errand>(target: &Target, errand: T) -> Result<T::Outcome> {
    // PostgreSQL's other way to say it has no scheme: host=… dbname=…
    let pairs = if target.url.contains('=') { "postgres" } else { "" };
    match target.url.split_once("://").map_or(pairs, |(scheme, _)| scheme) {
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => Ok(errand.run::<altergeist_mysql::MySql>(target).await),
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => Ok(errand.run::<altergeist_postgres::Postgres>(target).await),
        _ => Err(Error::new(
            Kind::Usage,
            "read --url",
            "it must begin with postgres://, mysql:// or mariadb://, as in mysql://user@host:3306/database",
        )),
    }
}
