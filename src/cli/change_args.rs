//! The arguments that say which change it is. `plan`, `run` and `rehearse` share them.

use crate::cli::revert_args::ReversibleArgs;
use crate::cli::table::{TableArgs, lock_time};
use altergeist::Wishes;
use altergeist::contract::{ColumnSet, ForeignKeys, Strategy, Target};
use clap::{Args, ValueEnum};
use std::iter;
use std::time::Duration;

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
    pub(super) lock_timeout: Duration,
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
    pub(super) replica: Vec<String>,
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
    pub(super) undo: ReversibleArgs,
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

impl ChangeArgs {
    /// Returns the text that identifies this change in the journal.
    pub(super) fn described(&self) -> String {
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

    pub(super) fn wishes(&self) -> Wishes {
        Wishes {
            max_downtime: self.max_downtime,
            lock_timeout: self.lock_timeout,
            reversible: self.undo.reversible,
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
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

    pub(super) fn strategy(&self) -> Strategy {
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

    pub(super) fn target(&self) -> Target {
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

    #[test]
    fn a_rename_has_two_sides() {
        assert_eq!(rename("a=b"), Ok(("a".into(), "b".into())));
        assert!(rename("a").is_err());
        assert!(rename("a=").is_err());
    }
}
