//! The arguments of `run` and `rehearse`.

use crate::cli::change_args::ChangeArgs;
use crate::cli::signal_args::SignalArgs;
use crate::cli::table::{holder, named_replicas, nice};
use crate::cli::turn::TurnArgs;
use crate::cli::watch_args::WatchArgs;
use altergeist::contract::{Switch, Target};
use altergeist::control::setting::http_url;
use altergeist::gate::{self, Backup, Check, CheckLimits, Gate, Share, Tolerance, Window};
use altergeist::pace::own_signals::bytes;
use altergeist::{Goal, Limits, Options, Settings};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `run`.
#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Rows per chunk; by default --chunk-time sizes the chunks
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    chunk_rows: Option<u64>,
    /// Target time to copy a chunk
    #[arg(long, value_parser = humantime::parse_duration, default_value = "100ms")]
    chunk_time: Duration,
    /// Upper limit of parallel chunks; the run uses fewer if more would not be faster
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Upper limit of changed rows refreshed in one transaction
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_keys: u16,
    /// After each turn, rest this many times as long as it took: 0.5 rests a third of the time
    #[arg(long, default_value_t = 0.0, value_parser = nice)]
    nice: f64,
    /// Slow down while small commits take longer than this
    #[arg(long, value_parser = humantime::parse_duration)]
    max_commit_latency: Option<Duration>,
    /// Pause the copy and the cut-over while a replica lags more than this
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1500ms")]
    max_lag: Duration,
    /// Pause the copy and the cut-over while a load metric exceeds its limit, as in
    /// Threads_running=25. Metrics: global status variables (MySQL, MariaDB); active_sessions,
    /// connections, lock_waiters, oldest_transaction_seconds (PostgreSQL)
    #[arg(long, value_name = "NAME=N,...", default_value_t, hide_default_value = true)]
    max_load: Limits,
    /// Stop (resumable) when a load metric exceeds its limit
    #[arg(long, value_name = "NAME=N,...", default_value_t, hide_default_value = true)]
    critical_load: Limits,
    /// Pause the copy while the answer of this query is greater than 0
    #[arg(long, value_name = "QUERY")]
    throttle_query: Option<String>,
    /// Pause the copy unless HEAD of this URL is answered by 200, as freno does
    #[arg(long, value_name = "URL", value_parser = http_url)]
    throttle_http: Option<String>,
    /// Pause the copy while this file exists
    #[arg(long, value_name = "PATH")]
    throttle_file: Option<PathBuf>,
    #[command(flatten)]
    signals: SignalArgs,
    /// Get ready, but swap only after: altergeist ctl cut-over
    #[arg(long)]
    postpone_cut_over: bool,
    /// Get ready, but do not swap while this file exists
    #[arg(long, value_name = "PATH")]
    postpone_file: Option<PathBuf>,
    /// Swap only in these hours: '02:00-05:00 Europe/Berlin', 'Mon-Fri 22:00-04:00 UTC'
    #[arg(long, value_name = "HOURS")]
    window: Option<Window>,
    /// Swap only if the answer of a query compares as given; {old} and {new} stand for the tables:
    /// 'empty: SELECT avg(mail = '') FROM {new} <= 0.5%'. Repeatable
    #[arg(long, value_name = "NAME: QUERY OP N", value_parser = Check::of_server)]
    check: Vec<Check>,
    /// Swap only if the share of NULLs in no changed column grows by more than this
    #[arg(long, value_name = "PERCENT", default_value = "1%")]
    max_null_increase: Share,
    /// The same for empty values: '', {}, []
    #[arg(long, value_name = "PERCENT", default_value = "1%")]
    max_empty_increase: Share,
    /// Swap only if no changed column loses a larger share of its different values
    #[arg(long, value_name = "PERCENT", default_value = "50%")]
    max_distinct_decrease: Share,
    /// Swap only if the least and the greatest value stay in each column that --set changes
    #[arg(long)]
    require_same_range: bool,
    /// Swap only if a command succeeds, or prints a number that compares as given: 'ticket:
    /// is-approved OPS-7', 'errors: error-rate < 1%'. Repeatable
    #[arg(long, value_name = "NAME: COMMAND [OP N]")]
    gate: Vec<Check>,
    /// Swap only if the last backup is young enough: a query or a command that gives its time
    #[arg(long, value_name = "QUERY or COMMAND")]
    require_backup: Option<String>,
    /// Greatest age of the backup
    #[arg(long, value_parser = humantime::parse_duration, default_value = "24h")]
    backup_max_age: Duration,
    /// Swap only after another account has approved the plan: altergeist ctl --url URL --table T
    /// approve FINGERPRINT
    #[arg(long)]
    approve: bool,
    /// Stop (resumable) after this time, as before a pipeline would kill the run: 9m30s
    #[arg(long, value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,
    /// If another run holds the table, wait this long for it to end
    #[arg(long, value_parser = humantime::parse_duration)]
    pub wait_for_other: Option<Duration>,
    #[command(flatten)]
    pub turn: TurnArgs,
    /// Start the run in the background, and print its name and how to watch it
    #[arg(long)]
    pub detach: bool,
    /// Do the change again, although it was done before
    #[arg(long)]
    again: bool,
    /// Attempts to get the cut-over lock
    #[arg(long, default_value_t = 30)]
    lock_attempts: u32,
    /// Kill sessions that block the cut-over lock, and report them
    #[arg(long)]
    kill_blockers: bool,
    /// Before each attempt at the lock, wait this long for older snapshots to end (PostgreSQL)
    #[arg(long, value_parser = humantime::parse_duration)]
    wait_old_snapshots: Option<Duration>,
    /// Upper limit of log that the server retains for this run, as 500MB or 20GB; above it the run
    /// stops
    #[arg(long, value_parser = bytes)]
    max_log_kept: Option<u64>,
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// `rehearse`.
#[derive(Args)]
pub struct RehearseArgs {
    /// The run to rehearse.
    #[command(flatten)]
    pub run: RunArgs,
    /// Take the lock of the cut-over once, measure how long it is held, and release it
    #[arg(long)]
    pub with_lock: bool,
    /// File for the runbook, in Markdown; by default it is printed
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl RunArgs {
    /// Returns the target for an engine.
    pub fn target(&self) -> Target {
        Target {
            workers: usize::from(self.workers),
            kill_blockers: Switch::new(self.kill_blockers),
            wait_old_snapshots: self.wait_old_snapshots,
            log_limit_bytes: self.max_log_kept,
            ..self.change.target()
        }
    }

    /// Returns the options that are fixed for the run.
    pub fn options(&self) -> Options {
        Options {
            alter: self.change.described(),
            terms: self.target().terms(),
            strategy: self.change.strategy(),
            holder: holder(),
            gates: self.gates(),
            again: self.again,
            wishes: self.change.wishes(),
            reversible: self.change.undo.reversible,
            goal: Goal::Change,
            reconnects: 12,
        }
    }

    /// Checks what clap cannot: that flags do not contradict each other.
    ///
    /// # Errors
    /// What to change.
    pub fn check(&self) -> Result<(), String> {
        self.change.check()?;
        let own = [gate::POSTPONED, gate::WINDOW, "backup", "approval"];
        let mut names: Vec<&str> = own.to_vec();
        for check in self.check.iter().chain(&self.gate) {
            if names.contains(&check.name.as_str()) {
                return Err(format!("two gates are called {}; give one another name", check.name));
            }
            names.push(&check.name);
        }
        Ok(())
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance {
            null_increase: self.max_null_increase,
            empty_increase: self.max_empty_increase,
            distinct_decrease: self.max_distinct_decrease,
            keeps_ends: self.require_same_range,
        }
    }

    fn gates(&self) -> Vec<Gate> {
        let checks = self.check.iter().chain(&self.gate).cloned().map(Gate::Check);
        let backup = self.require_backup.iter().map(|question| {
            Gate::Backup(Backup { question: question.clone(), max_age: self.backup_max_age })
        });
        let approval = self.approve.then_some(Gate::Approval);
        checks.chain(backup).chain(approval).collect()
    }

    /// Returns the settings that may change during the run.
    pub fn settings(&self) -> Settings {
        let replicas = named_replicas(&self.change.replica);
        let checks = self.check.iter().chain(&self.gate);
        let limits =
            checks.filter_map(|check| Some((check.name.clone(), check.limit()?.to_owned())));
        Settings {
            tolerance: self.tolerance(),
            check_limits: CheckLimits::new(limits),
            postpone_cut_over: self.postpone_cut_over,
            chunk_rows: self.chunk_rows,
            chunk_time: self.chunk_time,
            workers: usize::from(self.workers),
            batch_keys: usize::from(self.batch_keys),
            nice: self.nice,
            max_commit_latency: self.max_commit_latency,
            max_lag: self.max_lag,
            max_load: self.max_load.clone(),
            critical_load: self.critical_load.clone(),
            throttle_query: self.throttle_query.clone(),
            throttle_http: self.throttle_http.clone(),
            throttle_file: self.throttle_file.clone(),
            postpone_file: self.postpone_file.clone(),
            lock_timeout: self.change.lock_timeout,
            lock_attempts: self.lock_attempts,
            kill_blockers: self.kill_blockers,
            window: self.window.clone(),
            replicas: replicas.clone(),
            replicas_at_start: replicas,
            ..self.signals.settings(Settings::default())
        }
    }
}
