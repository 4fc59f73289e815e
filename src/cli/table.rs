//! Arguments that several commands share: the table, and how to read some values.

use crate::cli::password::PasswordArgs;
use crate::interface::address::server;
use altergeist::contract::{NamedReplica, Target};
use clap::Args;
use std::time::Duration;

/// Which table.
#[derive(Args)]
pub struct TableArgs {
    /// Server and database: postgres://user@host:port/db or mysql://user@host:port/db. Without
    /// other sources the password comes from PGPASSWORD, MYSQL_PWD, ~/.pgpass or ~/.my.cnf
    #[arg(long, env = "ALTERGEIST_URL", hide_env_values = true)]
    pub url: String,
    /// Table, or schema.table
    #[arg(long)]
    pub table: String,
    /// Where the password comes from.
    #[command(flatten)]
    pub password: PasswordArgs,
}

impl TableArgs {
    /// Returns the target without any change.
    pub fn target(&self) -> Target {
        Target {
            url: self.password.url(&self.url),
            passwords: self.password.passwords(),
            table: self.table.clone(),
            workers: 1,
            lock_timeout: Duration::from_secs(1),
            ..Target::default()
        }
    }
}

/// Returns who runs this, for other runs to report.
pub(crate) fn holder() -> String {
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| "an unknown user".into());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "an unknown host",
        host => host,
    };
    format!("{user}@{host} process {}", std::process::id())
}

/// Returns the replicas of these URLs, with the address to show for each.
pub(crate) fn named_replicas(urls: &[String]) -> Vec<NamedReplica> {
    let named = |url: &String| NamedReplica { address: server(url), url: Some(url.clone()) };
    urls.iter().map(named).collect()
}

/// Reads a ratio of rest to work.
pub(crate) fn nice(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=100.0).contains(&ratio) => Ok(ratio),
        _ => Err("must be a number from 0 to 100".into()),
    }
}

/// A time that a lock may take: servers count it in whole milliseconds, and nobody wants to wait
/// for hours.
pub(crate) fn lock_time(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match duration {
        time if time < Duration::from_millis(1) => Err("must be 1ms or longer, as in 1s".into()),
        time if time > Duration::from_secs(600) => Err("must be 10min or shorter, as in 1s".into()),
        time => Ok(time),
    }
}
