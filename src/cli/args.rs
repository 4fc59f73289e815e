//! The command line, as scripts depend on it.

use crate::cli::backfill_args::BackfillArgs;
use crate::cli::notify::NotifyArgs;
use crate::cli::password::PasswordArgs;
use crate::cli::revert_args::{ReversibleArgs, RevertArgs};
use crate::cli::signal_args::SignalArgs;
use crate::cli::steering::SteeringArgs;
use crate::cli::table::{TableArgs, holder, lock_time, named_replicas, nice};
use crate::cli::turn::TurnArgs;
use crate::cli::verify::VerifyArgs;
use crate::cli::wait::WaitArgs;
use crate::interface::log::LogArg;
use crate::interface::plan::{FailOn, Format};
use crate::interface::progress::ProgressArg;
use altergeist::contract::{ColumnSet, ForeignKeys, Look, Strategy, Switch, Target};
use altergeist::control::setting::http_url;
use altergeist::gate::{self, Backup, Check, CheckLimits, Gate, Share, Tolerance, Window};
use altergeist::pace::own_signals::bytes;
use altergeist::{Goal, Limits, Options, Settings, Wishes};
use clap::builder::ArgPredicate;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

/// Changes the schema of a huge table while the application keeps reading and writing it.
///
/// altergeist fills an altered shadow of the table in chunks and keeps it current from the server's
/// own log. It proves the two equal and swaps them under a brief lock.
///
/// Exit codes: 0 done, or nothing to do; 1 failed, the source is untouched; 2 wrong usage; 3
/// refused by the plan, nothing was changed; 4 verification failed; 5 stopped on request or by
/// critical load, resumable; 6 another run holds the table; 7 could not get the lock, resumable; 8
/// the outcome of the swap is unknown; 9 swapped, but not finished: repeat the same command.
#[derive(Parser)]
#[command(name = "altergeist", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// TOML file with flags as keys: workers = 8. A flag wins, then the environment, then the file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How to log on stderr
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t = LogArg::Text)]
    pub log: LogArg,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Show what would happen; change nothing
    Plan(Box<PlanArgs>),
    /// Do the change, resume it, or find it done
    Run(Box<RunArgs>),
    /// Do everything but the swap, drop it, and write a runbook
    Rehearse(Box<RehearseArgs>),
    /// Print the paragraph to send ahead of a change
    Notice(NoticeArgs),
    /// Show the state of a change
    Status(StatusArgs),
    /// Undo a change that was run with --reversible, and keep every row written since
    Revert(Box<RevertArgs>),
    /// List what is left of a change, and drop it
    Cleanup(CleanupArgs),
    /// Compare two tables of one server, online and exactly
    Verify(VerifyArgs),
    /// Wait for the end of a run, from any host; the exit code is the run's
    Wait(WaitArgs),
    /// Send an order to a running change
    Ctl(CtlArgs),
    /// Read a password from stdin and print its verifier, for --console-users
    ConsolePassword,
    /// Update rows in place, in short steps that any crash leaves resumable
    Backfill(Box<BackfillArgs>),
    /// Show the effective flags and where each comes from
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// Folder for the pages
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Show the servers, versions and commands that this binary knows
    Capabilities {
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
}

/// `config`.
#[derive(Args)]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands of `config`.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print every flag of `run`, its value, and where it comes from
    Show {
        /// Flags, as `run` takes them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS OF RUN")]
        words: Vec<OsString>,
    },
}

/// Which change.
#[derive(Args)]
pub struct ChangeArgs {
    #[command(flatten)]
    table: TableArgs,
    /// The clauses after ALTER TABLE name; '' rebuilds the table
    #[arg(long, allow_hyphen_values = true)]
    alter: Option<String>,
    /// auto: native if no rewrite or scan is needed; native: never copy; copy: always copy
    #[arg(long, value_enum, default_value_t = StrategyArg::Auto)]
    strategy: StrategyArg,
    /// A renamed column that the clauses do not show: old=new
    #[arg(long, value_parser = rename)]
    rename: Vec<(String, String)>,
    /// Let the server compute a column of the new table from each row. The expression reads the
    /// columns of the old table: "country = COALESCE(country, 'KR')". Repeatable
    #[arg(
        long,
        value_name = "COLUMN = EXPRESSION",
        value_parser = ColumnSet::read,
        allow_hyphen_values = true
    )]
    set: Vec<ColumnSet>,
    /// Keep a column that the clauses drop, and print the command that drops it later. Repeatable
    #[arg(long, value_name = "COLUMN")]
    hold: Vec<String>,
    /// Longest wait for the cut-over lock, and longest time to hold it
    #[arg(long, value_parser = lock_time, default_value = "1s")]
    lock_timeout: Duration,
    /// Let the server make the change in its own blocking way, if that surely blocks no longer than
    /// this: 60s
    #[arg(long, value_parser = humantime::parse_duration)]
    max_downtime: Option<Duration>,
    /// Foreign keys from and to the table. carry: keep them; discard: drop them; refuse: refuse a
    /// table that has any
    #[arg(long, value_enum, default_value_t = ForeignKeysArg::Carry)]
    foreign_keys: ForeignKeysArg,
    /// Copy zero dates, such as 0000-00-00, as they are (MySQL, MariaDB)
    #[arg(long)]
    allow_zero_dates: bool,
    /// Let values lose digits or the time of day, as the server's own ALTER would (MySQL, MariaDB)
    #[arg(long)]
    allow_rounding: bool,
    /// Allow a replica as the target; only this replica gets the change (MySQL, MariaDB)
    #[arg(long)]
    allow_replica: bool,
    /// URL of a replica to read the log from; all writes still go to --url
    #[arg(long)]
    stream_from: Option<String>,
    /// auto: use the replication stream; poll: read the slot by SQL (PostgreSQL)
    #[arg(long, value_enum, default_value_t = CaptureArg::Auto)]
    capture: CaptureArg,
    /// URL of a replica whose lag throttles the run; repeatable
    #[arg(long)]
    replica: Vec<String>,
    /// Create secondary indexes before the copy instead of after it
    #[arg(long)]
    keep_indexes: bool,
    /// File with the new table's CREATE TABLE, for changes that ALTER cannot express (PostgreSQL)
    #[arg(long, value_name = "FILE", value_parser = definition)]
    create: Option<Definition>,
    /// Store the rows in the order of an index or of columns (PostgreSQL)
    #[arg(long)]
    order_by: Option<String>,
    #[command(flatten)]
    undo: ReversibleArgs,
}

/// The text of the file given with `--create`.
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

/// `plan`. A file names the tables and the changes itself.
#[derive(Args)]
#[command(
    mut_arg("table", |table| table.default_value_if("file", ArgPredicate::IsPresent, ""))
)]
pub struct PlanArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Judge the statements of a file of SQL instead of --table and --alter
    #[arg(long, value_name = "FILE", conflicts_with_all = ["table", "alter", "create"])]
    pub file: Option<PathBuf>,
    /// Count every row exactly, however long that takes. Without it a question about the rows ends
    /// after a minute, and some counts stop earlier
    #[arg(long)]
    thorough: bool,
    /// What tells the free bytes of the server's disk: a query, or a command whose last line
    /// counts: "ssh db1 df --output=avail -B1 /data"
    #[arg(long, value_name = "QUERY or COMMAND")]
    pub free_disk: Option<String>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Exit with 3 from this severity on
    #[arg(long, value_enum, default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// File of accepted findings, which do not count
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Accept everything found: write it to this file, and exit with 0
    #[arg(long, value_name = "FILE")]
    pub write_baseline: Option<PathBuf>,
}

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
    pub notify: NotifyArgs,
    #[command(flatten)]
    pub steering: SteeringArgs,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto)]
    pub progress: ProgressArg,
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

/// `notice`.
#[derive(Args)]
pub struct NoticeArgs {
    /// File with the plan, from: altergeist plan --json
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// When it begins: 'On Tuesday at 02:00 UTC'
    #[arg(long, value_name = "TEXT")]
    pub at: Option<String>,
    /// Who carries it out
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// Who decides whether it is stopped or undone
    #[arg(long, value_name = "NAME")]
    pub decider: Option<String>,
    /// The ticket of the change
    #[arg(long)]
    pub ticket: Option<String>,
    /// Without --plan: flags of plan, after those of notice
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS OF PLAN")]
    pub flags: Vec<OsString>,
}

/// `status`.
#[derive(Args)]
pub struct StatusArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

/// `cleanup`.
#[derive(Args)]
pub struct CleanupArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Also drop the old table of a finished change. There is no way back then
    #[arg(long)]
    pub drop_old: bool,
    /// Only list what would be dropped
    #[arg(long)]
    pub list: bool,
    /// URL of the replica that the run read the log from
    #[arg(long)]
    stream_from: Option<String>,
}

/// `ctl`.
#[derive(Args)]
#[command(after_help = orders())]
pub struct CtlArgs {
    /// Socket of the run; by default the only one in the user's runtime folder
    #[arg(long, conflicts_with = "table")]
    pub socket: Option<PathBuf>,
    /// Server and database of the run, to give the order by SQL, from any host
    #[arg(long, env = "ALTERGEIST_URL", hide_env_values = true)]
    url: Option<String>,
    /// Table of the run, to give the order by SQL
    #[arg(long, requires = "url")]
    table: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// How long to wait for the answer of an order by SQL
    #[arg(long, value_parser = humantime::parse_duration, default_value = "30s")]
    pub timeout: Duration,
    /// Let a run that is resumed obey the order again (by SQL)
    #[arg(long, requires = "table")]
    pub standing: bool,
    /// The order: status, throttle, no-throttle, cut-over, stop, panic, help, chunk-rows=N …
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

impl PlanArgs {
    /// Checks what clap cannot: that flags do not contradict each other.
    ///
    /// # Errors
    /// What to change.
    pub fn check(&self) -> Result<(), String> {
        if self.file.is_some() { Ok(()) } else { self.change.check() }
    }

    /// Returns the target for an engine.
    pub fn target(&self) -> Target {
        let look = if self.thorough { Look::Thorough } else { Look::Brief };
        Target { look, ..self.change.target() }
    }

    /// Returns what the plan depends on, beyond the change itself.
    pub fn wishes(&self) -> Wishes {
        self.change.wishes()
    }

    /// Returns how to print what was found.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

impl CtlArgs {
    /// Returns the target of an order by SQL; None for an order by the socket.
    pub fn target(&self) -> Option<Target> {
        let (url, table) = (self.url.clone()?, self.table.clone()?);
        Some(TableArgs { url, table, password: self.password.clone() }.target())
    }
}

impl StatusArgs {
    /// Returns the target for an engine.
    pub fn target(&self) -> Target {
        self.table.target()
    }
}

impl CleanupArgs {
    /// Returns the target for an engine.
    pub fn target(&self) -> Target {
        Target { stream_from: self.stream_from.clone(), ..self.table.target() }
    }
}

impl ChangeArgs {
    /// Returns the text that identifies this change in the journal.
    fn described(&self) -> String {
        let change = match &self.create {
            Some(definition) => &*definition.0,
            None => self.clauses(),
        };
        let sets = self.set.iter().map(|set| format!("--set {} = {}", set.column, set.expression));
        let holds = self.hold.iter().map(|column| format!("--hold {column}"));
        let words = iter::once(change.to_owned()).chain(sets).chain(holds);
        words.collect::<Vec<_>>().join(" ").trim_start().to_owned()
    }

    fn clauses(&self) -> &str {
        self.alter.as_deref().unwrap_or_default()
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            max_downtime: self.max_downtime,
            lock_timeout: self.lock_timeout,
            reversible: self.undo.reversible,
        }
    }

    fn check(&self) -> Result<(), String> {
        match self.strategy {
            StrategyArg::Native if !self.rename.is_empty() => {
                Err("--rename needs a copy: leave out --strategy native".into())
            }
            StrategyArg::Native if self.undo.reversible.is_some() => {
                Err("--reversible needs a copy: leave out --strategy native".into())
            }
            StrategyArg::Native if !self.set.is_empty() => {
                Err("--set needs a copy: leave out --strategy native".into())
            }
            _ if self.undo.reversible.is_some() && !self.set.is_empty() => {
                Err("--reversible cannot go back over --set: leave one of the two out".into())
            }
            _ if self.alter.is_none() && self.create.is_none() && self.set.is_empty() => {
                Err("say what to change: --alter 'CLAUSES' (or --set, --create)".into())
            }
            _ if self.create.is_some() && !self.hold.is_empty() => {
                Err("--hold keeps a column that --alter drops: leave out --create".into())
            }
            _ => Ok(()),
        }
    }

    fn strategy(&self) -> Strategy {
        match self.strategy {
            // The server's own ALTER would not take the values along.
            StrategyArg::Auto if !self.rename.is_empty() || !self.set.is_empty() => Strategy::Copy,
            // There is no old table to go back to.
            StrategyArg::Auto if self.undo.reversible.is_some() => Strategy::Copy,
            StrategyArg::Auto => Strategy::Auto,
            StrategyArg::Native => Strategy::Native,
            StrategyArg::Copy => Strategy::Copy,
        }
    }

    fn target(&self) -> Target {
        Target {
            alter: self.clauses().to_owned(),
            renames: self.rename.clone(),
            sets: self.set.clone(),
            holds: self.hold.clone(),
            strategy: self.strategy(),
            lock_timeout: self.lock_timeout,
            max_downtime: self.max_downtime,
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
            reversible: self.undo.reversible.is_some(),
            reverse_sets: self.undo.reverse_set.clone(),
            ..self.table.target()
        }
    }
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

fn orders() -> String {
    format!(
        "Orders:\n{}",
        altergeist::control::order::help()
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    )
}

fn rename(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.is_empty() && !new.is_empty() => Ok((old.into(), new.into())),
        _ => Err("write it as old=new".into()),
    }
}

fn definition(path: &str) -> Result<Definition, String> {
    std::fs::read_to_string(path).map(Definition).map_err(|error| error.to_string())
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
        assert_eq!(lock_time("200ms"), Ok(Duration::from_millis(200)));
        for wrong in ["0s", "soon", "1us", "30d", "11min"] {
            assert!(lock_time(wrong).is_err(), "{wrong}");
        }
    }
}
