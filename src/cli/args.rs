//! The command line, as scripts depend on it.

use crate::interface::progress::ProgressArg;
use altergeist::contract::{ForeignKeys, Strategy, Target};
use altergeist::{Limits, Options, Settings};
use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Changes a huge table's schema while the application keeps reading and writing it.
///
/// An altered shadow of the table is filled in chunks, kept current from the server's own log, proven equal, and swapped
/// in under a brief lock. Exit codes: 0 done, or nothing to do; 1 failed, the source is untouched; 2 usage; 3 refused by the
/// plan; 4 verification failed; 5 stopped on request, or by a critical load; 6 another run holds the table; 7 the lock could not be had;
/// 8 the outcome of the swap is unknown; 9 swapped, but not finished: run the same command again.
#[derive(Parser)]
#[command(name = "altergeist", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Say what would happen; change nothing
    Plan(PlanArgs),
    /// Do the change, go on with it, or find it done
    Run(Box<RunArgs>),
    /// Say how a change stands, from what is written on the server
    Status(StatusArgs),
    /// List what is left of a change, and drop it
    Cleanup(CleanupArgs),
    /// Steer a running change
    Ctl(CtlArgs),
}

/// Which table.
#[derive(Args)]
pub struct TableArgs {
    /// Server and database: postgres://user@host:port/db, mysql://user@host:port/db. Passwords come from PGPASSWORD,
    /// MYSQL_PWD, ~/.pgpass or ~/.my.cnf
    #[arg(long, env = "ALTERGEIST_URL", hide_env_values = true)]
    pub url: String,
    /// The table, with its schema before a dot if need be
    #[arg(long)]
    pub table: String,
}

/// Which change.
#[derive(Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    table: TableArgs,
    /// What would follow ALTER TABLE name; '' rebuilds the table
    #[arg(long, allow_hyphen_values = true, default_value_if("create", ArgPredicate::IsPresent, ""))]
    alter: String,
    /// Let the server do it where that is harmless, insist on that, or copy whatever it could do
    #[arg(long, value_enum, default_value_t = StrategyArg::Auto)]
    strategy: StrategyArg,
    /// A renamed column, where it cannot be read from the clauses: old=new
    #[arg(long, value_parser = rename)]
    rename: Vec<(String, String)>,
    /// How long the lock of the cut-over may be waited for, and be held
    #[arg(long, value_parser = some_time, default_value = "1s")]
    lock_timeout: Duration,
    /// Foreign keys, from the table and to it: have them as before, leave them out, or refuse a table that has any
    #[arg(long, value_enum, default_value_t = ForeignKeysArg::Carry)]
    foreign_keys: ForeignKeysArg,
    /// Carry zero dates, and dates with a zero in them, as they are (MySQL, MariaDB)
    #[arg(long)]
    allow_zero_dates: bool,
    /// Let values lose digits or the time of day where the server's own ALTER lets them (MySQL, MariaDB)
    #[arg(long)]
    allow_rounding: bool,
    /// Change a server that is a replica itself; the change is made there alone (MySQL, MariaDB)
    #[arg(long)]
    allow_replica: bool,
    /// A replica to read the log from, as a URL; every write still goes to --url
    #[arg(long)]
    stream_from: Option<String>,
    /// How changes are read: streamed where the server streams, or looked up by SQL again and again (PostgreSQL)
    #[arg(long, value_enum, default_value_t = CaptureArg::Auto)]
    capture: CaptureArg,
    /// A replica whose lag counts, as a URL; may be given more than once
    #[arg(long)]
    replica: Vec<String>,
    /// Have the secondary indexes from the beginning, instead of building them after the copy
    #[arg(long)]
    keep_indexes: bool,
    /// A file with the new table's own CREATE TABLE, for what no ALTER can say (PostgreSQL)
    #[arg(long, value_name = "FILE", value_parser = definition)]
    create: Option<Definition>,
    /// Lay the rows down in the order of an index, or of columns (PostgreSQL)
    #[arg(long)]
    order_by: Option<String>,
}

/// What a file given with `--create` says.
#[derive(Clone)]
struct Definition(String);

#[derive(Clone, Copy, ValueEnum)]
enum ForeignKeysArg {
    Carry,
    Discard,
    Refuse,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CaptureArg {
    Auto,
    Poll,
}

#[derive(Clone, Copy, ValueEnum)]
enum StrategyArg {
    Auto,
    Native,
    Copy,
}

/// `plan`.
#[derive(Args)]
pub struct PlanArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `run`.
#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Rows of a chunk; by default chunks are sized by --chunk-time
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    chunk_rows: Option<u64>,
    /// How long the copy of a chunk should take
    #[arg(long, value_parser = humantime::parse_duration, default_value = "100ms")]
    chunk_time: Duration,
    /// The most chunks, or batches of changed rows, in flight at once; as many of them are used as help
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// The most changed rows refreshed in one transaction
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_keys: u16,
    /// Rest this many times as long as was worked: 0.5 leaves the server a third of the time for itself
    #[arg(long, default_value_t = 0.0, value_parser = nice)]
    nice: f64,
    /// Go easier on the server while small commits take longer than this
    #[arg(long, value_parser = humantime::parse_duration)]
    max_commit_latency: Option<Duration>,
    /// A replica further behind than this stops the copy and holds up the swap
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1500ms")]
    max_lag: Duration,
    /// Copy nothing and do not swap while the server is used more than this, as in Threads_running=25,lock_waits=5: global status
    /// variables (MySQL, MariaDB); active_sessions, connections, lock_waiters, oldest_transaction_seconds (PostgreSQL)
    #[arg(long, value_name = "NAME=N,...", default_value_t, hide_default_value = true)]
    max_load: Limits,
    /// End, to be resumed, as soon as the server is used more than this
    #[arg(long, value_name = "NAME=N,...", default_value_t, hide_default_value = true)]
    critical_load: Limits,
    /// Be ready, and do not swap until told so: altergeist ctl cut-over
    #[arg(long)]
    postpone_cut_over: bool,
    /// How often the lock of the cut-over is tried for
    #[arg(long, default_value_t = 30)]
    lock_attempts: u32,
    /// End the sessions that stand in the way of the cut-over's lock, and say whose they were
    #[arg(long)]
    kill_blockers: bool,
    /// Wait this long, before the swap's last changes, for readers that began before it to end (PostgreSQL)
    #[arg(long, value_parser = humantime::parse_duration)]
    wait_old_snapshots: Option<Duration>,
    /// How much log the server may have to keep for this run, as 500MB or 20GB; beyond it the run ends itself
    #[arg(long, value_parser = bytes)]
    max_log_kept: Option<u64>,
    /// Where to listen for altergeist ctl; by default in the user's runtime folder, by the table's name
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// How progress is shown: a bar on a terminal, plain lines, or a JSON object a line
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto)]
    pub progress: ProgressArg,
}

/// `status`.
#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    table: TableArgs,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `cleanup`.
#[derive(Args)]
pub struct CleanupArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Drop the old table of a finished change too: the way back
    #[arg(long)]
    pub drop_old: bool,
    /// List what would be dropped, and drop nothing
    #[arg(long)]
    pub list: bool,
    /// The replica the change read its log from, as a URL
    #[arg(long)]
    stream_from: Option<String>,
}

/// `ctl`.
#[derive(Args)]
pub struct CtlArgs {
    /// The socket of the run; by default the only one in the user's runtime folder
    #[arg(long)]
    pub socket: Option<PathBuf>,
    /// What to say: status, throttle, no-throttle, cut-over, panic, help, chunk-rows=N …
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

impl PlanArgs {
    /// What an engine is told.
    pub fn target(&self) -> Target {
        self.change.target()
    }
}

impl StatusArgs {
    /// What an engine is told.
    pub fn target(&self) -> Target {
        self.table.target()
    }
}

impl CleanupArgs {
    /// What an engine is told.
    pub fn target(&self) -> Target {
        Target { stream_from: self.stream_from.clone(), ..self.table.target() }
    }
}

impl TableArgs {
    fn target(&self) -> Target {
        Target {
            url: self.url.clone(),
            table: self.table.clone(),
            workers: 1,
            lock_timeout: Duration::from_secs(1),
            ..Target::default()
        }
    }
}

impl ChangeArgs {
    /// What makes this change another than any other, for the record.
    fn described(&self) -> String {
        match &self.create {
            Some(definition) => definition.0.clone(),
            None => self.alter.clone(),
        }
    }

    fn strategy(&self) -> Strategy {
        match self.strategy {
            StrategyArg::Auto => Strategy::Auto,
            StrategyArg::Native => Strategy::Native,
            StrategyArg::Copy => Strategy::Copy,
        }
    }

    fn target(&self) -> Target {
        Target {
            alter: self.alter.clone(),
            renames: self.rename.clone(),
            strategy: self.strategy(),
            lock_timeout: self.lock_timeout,
            foreign_keys: match self.foreign_keys {
                ForeignKeysArg::Carry => ForeignKeys::Carry,
                ForeignKeysArg::Discard => ForeignKeys::Discard,
                ForeignKeysArg::Refuse => ForeignKeys::Refuse,
            },
            allow_zero_dates: self.allow_zero_dates,
            allow_rounding: self.allow_rounding,
            allow_replica: self.allow_replica,
            stream_from: self.stream_from.clone(),
            poll_log: self.capture == CaptureArg::Poll,
            replicas: self.replica.clone(),
            keep_indexes: self.keep_indexes,
            create: self.create.as_ref().map(|definition| definition.0.clone()),
            order_by: self.order_by.clone(),
            ..self.table.target()
        }
    }
}

impl RunArgs {
    /// What an engine is told.
    pub fn target(&self) -> Target {
        Target {
            workers: usize::from(self.workers),
            kill_blockers: self.kill_blockers,
            wait_old_snapshots: self.wait_old_snapshots,
            log_limit_bytes: self.max_log_kept,
            ..self.change.target()
        }
    }

    /// What does not change while the run goes on.
    pub fn options(&self) -> Options {
        Options {
            alter: self.change.described(),
            strategy: self.change.strategy(),
            holder: holder(),
            lock_timeout: self.change.lock_timeout,
            lock_attempts: self.lock_attempts,
            reconnects: 12,
        }
    }

    /// What may change.
    pub fn settings(&self) -> Settings {
        Settings {
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
            ..Settings::default()
        }
    }
}

/// Who runs this, for the others.
fn holder() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "somebody".into());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "an unknown host",
        host => host,
    };
    format!("{user}@{host} process {}", std::process::id())
}

fn rename(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.into(), new.into())),
        _ => Err("give it as old=new".into()),
    }
}

fn nice(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=100.0).contains(&ratio) => Ok(ratio),
        _ => Err("give a number from 0 to 100".into()),
    }
}

/// A duration that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("with no time at all nothing is ever locked: give some, as in 1s".into()),
        duration => duration.map_err(|error| error.to_string()),
    }
}

fn definition(path: &str) -> Result<Definition, String> {
    std::fs::read_to_string(path).map(Definition).map_err(|error| error.to_string())
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        "T" | "TB" => 1 << 40,
        _ => return Err("give it as 500MB or 20GB".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "give it as 500MB or 20GB".to_owned())?;
    number.checked_mul(unit).ok_or_else(|| "that is too much".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_rename_has_two_sides() {
        assert_eq!(rename("a=b"), Ok(("a".into(), "b".into())));
        assert!(rename("a").is_err());
        assert!(rename("a=").is_err());
    }

    #[test]
    fn a_lock_takes_some_time() {
        assert_eq!(some_time("200ms"), Ok(Duration::from_millis(200)));
        assert!(some_time("0s").is_err() && some_time("soon").is_err());
    }

    #[test]
    fn bytes_have_a_unit() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("20GB"), Ok(20 << 30));
        assert!(bytes("much").is_err());
        assert!(bytes("99999999TB").is_err());
    }
}
