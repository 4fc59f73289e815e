//! The arguments of `backfill`.

use crate::cli::signal_args::SignalArgs;
use crate::cli::table::{TableArgs, holder, lock_time, named_replicas, nice};
use crate::cli::watch_args::WatchArgs;
use altergeist::backfill::{ExpectedRows, Options};
use altergeist::contract::{ColumnSet, RowUpdate, Target};
use altergeist::control::setting::http_url;
use altergeist::{Limits, Settings};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `backfill`.
#[derive(Args)]
pub struct BackfillArgs {
    #[command(flatten)]
    pub table: TableArgs,
    /// A column and its new value: "country = COALESCE(country, 'KR')". Repeatable
    #[arg(
        long,
        value_name = "COLUMN = EXPRESSION",
        required = true,
        value_parser = assignment,
        allow_hyphen_values = true
    )]
    set: Vec<(String, String)>,
    /// Which rows: a condition of SQL
    #[arg(long = "where", value_name = "CONDITION", allow_hyphen_values = true)]
    pub condition: Option<String>,
    /// Update all rows. Without --where, only this does
    #[arg(long, conflicts_with = "condition")]
    pub all_rows: bool,
    /// Count the rows that match, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Begin only if so many rows match: 120000 or 120000±5%
    #[arg(long, value_name = "N±P%")]
    expect_rows: Option<ExpectedRows>,
    /// Change no more rows in a second, on average
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_rows_per_second: Option<u64>,
    /// Do it again, although it was done before
    #[arg(long)]
    again: bool,
    /// Rows of the table per chunk; by default --chunk-time sizes the chunks
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    chunk_rows: Option<u64>,
    /// Target time to update a chunk. Its rows are locked so long
    #[arg(long, value_parser = humantime::parse_duration, default_value = "100ms")]
    chunk_time: Duration,
    /// Longest wait for the lock of a row (MySQL, MariaDB: a second)
    #[arg(long, value_parser = lock_time, default_value = "200ms")]
    lock_timeout: Duration,
    /// Attempts to lock the rows of a chunk
    #[arg(long, default_value_t = 60)]
    lock_attempts: u32,
    /// After each chunk, rest this many times as long as it took: 0.5 rests a third of the time
    #[arg(long, default_value_t = 0.0, value_parser = nice)]
    nice: f64,
    /// Slow down while small commits take longer than this
    #[arg(long, value_parser = humantime::parse_duration)]
    max_commit_latency: Option<Duration>,
    /// URL of a replica whose lag pauses the backfill; repeatable
    #[arg(long)]
    replica: Vec<String>,
    /// Pause while a replica lags more than this
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1500ms")]
    max_lag: Duration,
    /// Pause while a load metric exceeds its limit, as in Threads_running=25
    #[arg(long, value_name = "NAME=N,...", default_value_t, hide_default_value = true)]
    max_load: Limits,
    /// Stop (resumable) when a load metric exceeds its limit
    #[arg(long, value_name = "NAME=N,...", default_value_t, hide_default_value = true)]
    critical_load: Limits,
    /// Pause while the answer of this query is greater than 0
    #[arg(long, value_name = "QUERY")]
    throttle_query: Option<String>,
    /// Pause unless HEAD of this URL is answered by 200, as freno does
    #[arg(long, value_name = "URL", value_parser = http_url)]
    throttle_http: Option<String>,
    /// Pause while this file exists
    #[arg(long, value_name = "PATH")]
    throttle_file: Option<PathBuf>,
    #[command(flatten)]
    signals: SignalArgs,
    /// Allow a replica as the target; only this replica gets the change (MySQL, MariaDB)
    #[arg(long)]
    allow_replica: bool,
    /// Stop (resumable) after this time: 9m30s
    #[arg(long, value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,
    /// If another run holds the table, wait this long for it to end
    #[arg(long, value_parser = humantime::parse_duration)]
    pub wait_for_other: Option<Duration>,
    /// How it is watched and steered.
    #[command(flatten)]
    pub watch: WatchArgs,
}

impl BackfillArgs {
    /// Returns the target for an engine.
    pub fn target(&self) -> Target {
        Target {
            replicas: self.replica.clone(),
            lock_timeout: self.lock_timeout,
            allow_replica: self.allow_replica,
            ..self.table.target()
        }
    }

    /// Returns the options that are fixed for the backfill.
    pub fn options(&self) -> Options {
        Options {
            update: RowUpdate { assignments: self.set.clone(), condition: self.condition.clone() },
            holder: holder(),
            dry_run: self.dry_run,
            expected: self.expect_rows,
            max_rows_per_second: self.max_rows_per_second,
            again: self.again,
            reconnects: 12,
        }
    }

    /// Returns the settings that may change meanwhile.
    pub fn settings(&self) -> Settings {
        let replicas = named_replicas(&self.replica);
        Settings {
            chunk_rows: self.chunk_rows,
            chunk_time: self.chunk_time,
            workers: 1,
            nice: self.nice,
            max_commit_latency: self.max_commit_latency,
            max_lag: self.max_lag,
            max_load: self.max_load.clone(),
            critical_load: self.critical_load.clone(),
            throttle_query: self.throttle_query.clone(),
            throttle_http: self.throttle_http.clone(),
            throttle_file: self.throttle_file.clone(),
            lock_timeout: self.lock_timeout,
            lock_attempts: self.lock_attempts,
            replicas: replicas.clone(),
            replicas_at_start: replicas,
            ..self.signals.settings(Settings::default())
        }
    }
}

/// Reads `column = expression`.
fn assignment(text: &str) -> Result<(String, String), String> {
    ColumnSet::read(text).map(|set| (set.column, set.expression))
}
