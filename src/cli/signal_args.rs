//! The throttle signals that the server, a replica or the operator's command gives: flags of `run`
//! and of `backfill`.

use altergeist::Settings;
use altergeist::pace::own_signals::bytes_with_unit;
use clap::Args;

/// The limits of throttle signals.
#[derive(Args)]
pub struct SignalArgs {
    /// Measure replica lag by this query, which returns seconds. It is asked on each --replica, or
    /// on the server if none is named
    #[arg(long, value_name = "QUERY")]
    replication_lag_query: Option<String>,
    /// Pause while more sessions wait for locks on the server
    #[arg(long, value_name = "N")]
    max_lock_waiters: Option<u64>,
    /// Pause while the history list is longer: row versions kept for old readers (MySQL, MariaDB);
    /// transactions since the oldest snapshot (PostgreSQL)
    #[arg(long, value_name = "N")]
    max_history_list: Option<u64>,
    /// Pause while the server's disk has less free, as 20GB
    #[arg(long, value_name = "BYTES", value_parser = bytes_with_unit)]
    min_free_disk: Option<u64>,
    /// What tells the free bytes, where the server does not: a query, or a command whose last line
    /// counts: "ssh db1 df --output=avail -B1 /data"
    #[arg(long, value_name = "QUERY or COMMAND", requires = "min_free_disk")]
    free_disk: Option<String>,
}

impl SignalArgs {
    /// Returns these settings, and all others from `settings`.
    pub fn settings(&self, settings: Settings) -> Settings {
        Settings {
            replication_lag_query: self.replication_lag_query.clone(),
            max_lock_waiters: self.max_lock_waiters,
            max_history_list: self.max_history_list,
            min_free_disk: self.min_free_disk.filter(|least| *least > 0),
            free_disk: self.free_disk.clone(),
            ..settings
        }
    }
}
