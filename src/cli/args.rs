//! The command line, as scripts depend on it.

use crate::cli::backfill_args::BackfillArgs;
use crate::cli::password::PasswordArgs;
use crate::cli::plan_args::PlanArgs;
use crate::cli::revert_args::RevertArgs;
use crate::cli::run_args::{RehearseArgs, RunArgs};
use crate::cli::table::TableArgs;
use crate::cli::verify::VerifyArgs;
use crate::cli::wait::WaitArgs;
use crate::interface::log::LogArg;
use altergeist::contract::Target;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
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

fn orders() -> String {
    format!(
        "Orders:\n{}",
        altergeist::control::order::help()
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::lock_time;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_lock_takes_some_time() {
        assert_eq!(lock_time("200ms"), Ok(Duration::from_millis(200)));
        for wrong in ["0s", "soon", "1us", "30d", "11min"] {
            assert!(lock_time(wrong).is_err(), "{wrong}");
        }
    }
}
