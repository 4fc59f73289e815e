//! The arguments of `revert`, and those that make a change reversible.

use crate::cli::table::{TableArgs, holder, lock_time};
use crate::cli::watch_args::WatchArgs;
use altergeist::contract::{Strategy, Switch, Target};
use altergeist::{Goal, Options, Settings, Wishes};
use clap::Args;
use std::time::Duration;

/// The flags that make a change reversible.
#[derive(Args)]
pub struct ReversibleArgs {
    /// Keep the old table current for so long after the swap: `altergeist revert` then puts it back
    /// with every row that was written since
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub reversible: Option<Duration>,
    /// What a new row gets in a column that the change drops, if it is put back: 'country =
    /// upper(code)'. Repeatable
    #[arg(long, value_name = "COLUMN = EXPRESSION", value_parser = assignment)]
    #[arg(requires = "reversible")]
    pub reverse_set: Vec<(String, String)>,
}

/// `revert`.
#[derive(Args)]
pub struct RevertArgs {
    /// Which table.
    #[command(flatten)]
    pub table: TableArgs,
    /// Give up the last changes of rows that the old table cannot hold; the answer says how many
    #[arg(long)]
    discard_unrevertible: bool,
    /// Longest wait for the lock of the swap back, and longest time to hold it
    #[arg(long, value_parser = lock_time, default_value = "1s")]
    lock_timeout: Duration,
    /// Attempts to get that lock
    #[arg(long, default_value_t = 30)]
    lock_attempts: u32,
    /// Kill sessions that block that lock, and report them
    #[arg(long)]
    kill_blockers: bool,
    /// URL of the replica that the run reads the log from
    #[arg(long)]
    stream_from: Option<String>,
    /// How it is watched and steered.
    #[command(flatten)]
    pub watch: WatchArgs,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(column, value)| (column.trim(), value.trim())) {
        Some((column, value)) if !column.is_empty() && !value.is_empty() => {
            Ok((column.into(), value.into()))
        }
        _ => Err("write it as 'column = expression'".into()),
    }
}

impl RevertArgs {
    /// Returns the target for an engine.
    pub fn target(&self) -> Target {
        Target {
            lock_timeout: self.lock_timeout,
            kill_blockers: Switch::new(self.kill_blockers),
            stream_from: self.stream_from.clone(),
            reversible: true,
            strategy: Strategy::Copy,
            ..self.table.target()
        }
    }

    /// Whether rows that the old table cannot hold may be lost.
    pub fn discards(&self) -> bool {
        self.discard_unrevertible
    }

    /// Returns the settings that may change meanwhile.
    pub fn settings(&self) -> Settings {
        Settings {
            lock_timeout: self.lock_timeout,
            lock_attempts: self.lock_attempts,
            kill_blockers: self.kill_blockers,
            ..Settings::default()
        }
    }

    /// Returns the options of a run that only reverts.
    pub fn options(&self) -> Options {
        Options {
            alter: String::new(),
            terms: String::new(),
            strategy: Strategy::Copy,
            holder: holder(),
            gates: Vec::new(),
            again: false,
            wishes: Wishes {
                max_downtime: None,
                lock_timeout: self.lock_timeout,
                reversible: None,
            },
            reversible: None,
            goal: Goal::Revert { discards_misfits: self.discard_unrevertible },
            reconnects: 12,
        }
    }
}
