//! What happens to every case, and what must be true afterwards.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::shared_servers::drop_databases;
use super::structure::{
    Name, counter, describe, difference, inventory, is_journal, is_old, kept_table, name_of,
};
use super::writers::Writers;
use super::{Case, SharedServers, row_check};
use crate::altergeist_process::{self, Ended, Running};
use crate::servers::{Flavour, Server};
use crate::session::{Failure, Session, block_on};

/// One of the ways a case is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Killed while it copies, resumed, cut over while nobody writes; then every row can be
    /// accounted for.
    Killed,
    /// Never interrupted, and written to all the time, through the swap and beyond.
    Live,
    /// Ends with the code that is expected, and nothing has happened to the table.
    Refused,
}

impl Mode {
    /// The ways `case` is told.
    pub fn of(case: &Case) -> &'static [Self] {
        match (case.exit, case.may_be_native()) {
            (0, _) => &[Self::Killed, Self::Live],
            _ => &[Self::Refused],
        }
    }

    /// Its name, as part of a test's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Live => "live",
            Self::Refused => "refused",
        }
    }
}

/// A case on a server, in databases of its own.
pub(super) struct Scenario<'a> {
    pub(super) case: &'a Case,
    pub(super) server: Arc<Server>,
    /// Where the change is done by altergeist.
    pub(super) database: String,
    /// Made alike, and altered by the server.
    pub(super) twin: String,
    /// Made alike, given the old table's rows, and altered by the server.
    pub(super) reference: String,
    pub(super) table: Name,
    pub(super) postgres: bool,
    /// Whether the old table is put back as the last step.
    pub(super) goes_back: bool,
}

/// Lives through a case. Does nothing when the server is not installed.
///
/// # Errors
/// What was not as it must be.
pub fn run(
    case: &Case,
    flavour: Flavour,
    mode: Mode,
    is_put_back: bool,
    servers: &SharedServers,
) -> Result<(), String> {
    let Some(server) = servers.server(case, flavour) else {
        return Ok(());
    };
    let database = format!("case_{}_{}", case.name, mode.name()).to_lowercase().replace('-', "_");
    let postgres = flavour.is_postgres();
    let scenario = Scenario {
        case,
        server,
        twin: format!("{database}_twin"),
        reference: format!("{database}_rows"),
        database,
        table: name_of(&case.table, postgres),
        postgres,
        goes_back: is_put_back && case.way_back.refusal.is_none(),
    };
    for database in scenario.databases() {
        servers
            .create(&scenario.server, database, &case.create)
            .map_err(|failure| format!("create.sql: {failure}"))?;
    }
    if is_put_back {
        scenario.must_be_refused_a_way_back()?;
    }
    match mode {
        Mode::Killed if case.may_be_native() => scenario.quiet(),
        Mode::Killed => scenario.killed(flavour),
        Mode::Live if scenario.goes_back => scenario.live_and_back(),
        Mode::Live => scenario.live(),
        Mode::Refused => scenario.refused(),
    }?;
    drop_databases(&scenario.server, &scenario.databases()).map_err(words)
}

pub(super) fn words(failure: Failure) -> String {
    failure.to_string()
}

impl Scenario<'_> {
    fn databases(&self) -> [&str; 3] {
        [&self.database, &self.twin, &self.reference]
    }

    fn killed(&self, flavour: Flavour) -> Result<(), String> {
        let before = self.inventory(&self.database)?;
        let total =
            row_check::count(&self.server, &self.database, &self.case.table).map_err(words)?;
        let writers =
            Writers::start(&self.server, &self.database, &self.case.blocks, &self.case.errors);
        writers.wait_for(10)?;

        let part = self.moment(flavour);
        let mut first = self.start(&["--postpone-cut-over"]);
        let seen = first.wait_until_or_end(|status| {
            let copied = status["rows_copied"].as_u64().unwrap_or_default();
            copied as f64 >= part * total as f64
                || !matches!(status["phase"].as_str(), Some("planning" | "copying"))
        });
        let seen =
            seen.map_err(|ended| format!("it ended before it could be killed; {}", said(&ended)))?;
        let moment = format!(
            "killed after {} of {total} rows ({part:.2}), {}",
            seen["rows_copied"], seen["phase"]
        );
        first.kill();

        self.resumed(writers, &before).map_err(|why| format!("{moment}; {why}"))
    }

    fn resumed(&self, writers: Writers, before: &BTreeSet<String>) -> Result<(), String> {
        writers.wait_for(10)?;
        let mut second = self.start(&["--postpone-cut-over"]);
        let postponed = second.wait_until_or_end(|status| status["phase"] == "waiting");
        postponed
            .map_err(|ended| format!("resumed, it ended before the swap; {}", said(&ended)))?;
        writers.wait_for(20)?;
        writers.stop()?;
        second.ask("cut-over");
        if self.goes_back {
            return self.back(second, before);
        }
        let ended = self.ended_with(second.wait(), 0)?;

        let old = kept_table(&self.server, &self.database, "old")
            .map_err(words)?
            .ok_or("there is no old table, or more than one")?;
        self.rows_must_be_those_of(&old)?;
        self.counter_must_be_that_of(&old)?;
        self.structure_must_be_the_twins(true)?;
        self.nothing_may_be_left(before)?;
        self.must_be_as_expected(&ended)?;
        self.clean_up(before, &["--drop-old"])
    }

    /// What the server may do itself, without a writer: the table before and after can be compared
    /// then.
    fn quiet(&self) -> Result<(), String> {
        let before = self.inventory(&self.database)?;
        let writers =
            Writers::start(&self.server, &self.database, &self.case.blocks, &self.case.errors);
        writers.wait_for(20)?;
        writers.stop()?;
        row_check::fill(&self.server, &self.database, &self.table, &self.reference, &self.table)
            .map_err(words)?;
        let ended = self.ended_with(self.start(&[]).wait(), 0)?;
        self.reference_must_be_equal()?;
        self.structure_must_be_the_twins(true)?;
        self.nothing_may_be_left(&before)?;
        self.must_be_as_expected(&ended)
    }

    fn live(&self) -> Result<(), String> {
        let before = self.inventory(&self.database)?;
        let writers =
            Writers::start(&self.server, &self.database, &self.case.blocks, &self.case.errors);
        writers.wait_for(10)?;
        let ended = self.start(&[]).wait();
        let writing = writers.wait_for(20);
        let written = writers.stop();
        let ended = self.ended_with(ended, 0)?;
        written.and(writing).map_err(|why| format!("{why}\n{}", said(&ended)))?;
        self.structure_must_be_the_twins(true)?;
        self.nothing_may_be_left(&before)?;
        self.must_be_as_expected(&ended)
    }

    fn refused(&self) -> Result<(), String> {
        let before = self.inventory(&self.database)?;
        let text = self.rows(&self.database)?;
        // Nobody writes while the plan refuses, so that the rows can be compared.
        let quiet = self.case.exit == 3 || self.case.blocks.is_empty();
        let blocks = if quiet { &[] } else { self.case.blocks.as_slice() };
        let writers = Writers::start(&self.server, &self.database, blocks, &self.case.errors);
        let ended = self.start(&[]).wait();
        writers.stop()?;
        let ended = self.ended_with(ended, self.case.exit)?;
        self.must_be_as_expected(&ended)?;
        if self.case.exit == 3 {
            self.nothing_may_be_left(&before)?;
            self.must_be_as_expected(&self.ended_with(self.plan(&[]), 3)?)?;
        }
        self.clean_up(&before, &[])?;
        self.structure_must_be_the_twins(false)?;
        match quiet {
            true => row_check::differences(&text, &self.rows(&self.database)?)
                .map_err(|why| format!("rows have changed: {why}")),
            false => Ok(()),
        }
    }

    /// How much is copied when the kill comes: another part on every server, and the same one every
    /// time, unless `ALTERGEIST_CASE_SEED` says otherwise.
    fn moment(&self, flavour: Flavour) -> f64 {
        let mut hasher = DefaultHasher::new();
        (&self.case.name, flavour.name(), std::env::var("ALTERGEIST_CASE_SEED").ok())
            .hash(&mut hasher);
        SmallRng::seed_from_u64(hasher.finish()).random_range(0.0..0.95)
    }

    pub(super) fn start(&self, more: &[&str]) -> Running {
        let total =
            row_check::count(&self.server, &self.database, &self.case.table).unwrap_or_default();
        // Enough chunks to be killed between, and few enough to be quick.
        let chunk = (total / 40).clamp(2, 500).to_string();
        let mut arguments = vec!["--chunk-rows", &chunk, "--workers", "2"];
        if !self.case.flags.iter().any(|flag| flag == "--strategy") {
            arguments.extend(["--strategy", "copy"]);
        }
        arguments.extend(more);
        let flags = [self.flags(), self.reversible_flags()].concat();
        arguments.extend(flags.iter().map(String::as_str));
        altergeist_process::start(
            &self.server.url(&self.database),
            &self.case.table,
            &self.case.alter,
            &arguments,
        )
    }

    pub(super) fn plan(&self, more: &[&str]) -> Ended {
        let url = self.server.url(&self.database);
        let mut words =
            vec!["plan", "--url", &url, "--table", &self.case.table, "--alter", &self.case.alter];
        if !self.case.flags.iter().any(|flag| flag == "--strategy") {
            words.extend(["--strategy", "copy"]);
        }
        let flags = self.flags();
        words.extend(flags.iter().map(String::as_str));
        words.extend(more);
        altergeist_process::command(&words)
    }

    fn flags(&self) -> Vec<String> {
        let url = self.server.url(&self.database);
        self.case.flags.iter().map(|flag| flag.replace("{url}", &url)).collect()
    }

    pub(super) fn ended_with(&self, ended: Ended, code: i32) -> Result<Ended, String> {
        match ended.code == Some(code) {
            true => Ok(ended),
            false => Err(format!("it ended with {:?}, not {code}; {}", ended.code, said(&ended))),
        }
    }

    fn rows_must_be_those_of(&self, old: &Name) -> Result<(), String> {
        row_check::fill(&self.server, &self.database, old, &self.reference, &self.table)
            .map_err(|failure| format!("the old table's rows: {failure}"))?;
        self.reference_must_be_equal()
    }

    fn reference_must_be_equal(&self) -> Result<(), String> {
        self.alter_natively(&self.reference)?;
        let (expected, found) = (self.rows(&self.reference)?, self.rows(&self.database)?);
        row_check::differences(&expected, &found).map_err(|why| format!("rows: {why}"))
    }

    pub(super) fn rows(&self, database: &str) -> Result<Vec<String>, String> {
        row_check::rows(&self.server, database, &self.table)
            .map_err(|failure| format!("the rows of {database}: {failure}"))
    }

    /// On MySQL and MariaDB: new rows get the numbers they would have got.
    fn counter_must_be_that_of(&self, old: &Name) -> Result<(), String> {
        if self.postgres
            || self.case.alter.to_lowercase().contains("auto_increment")
            || self.case.native.is_some()
        {
            return Ok(());
        }
        let of =
            |database: &str, table: &Name| counter(&self.server, database, table).map_err(words);
        let (was, is) = (of(&self.database, old)?, of(&self.database, &self.table)?);
        // The reference has no counter when the change took the column away.
        let expected = of(&self.reference, &self.table)?.and(was);
        match is == expected {
            true => Ok(()),
            false => Err(format!("the next AUTO_INCREMENT is {is:?}, not {expected:?}")),
        }
    }

    pub(super) fn structure_must_be_the_twins(&self, altered: bool) -> Result<(), String> {
        if altered {
            self.alter_natively(&self.twin)?;
        }
        let (mut expected, mut found) =
            (describe(&self.server, &self.twin)?, describe(&self.server, &self.database)?);
        if self.goes_back {
            // While a change can be undone, the key of the way back may be the identity.
            for lines in [&mut expected, &mut found] {
                lines.retain(|line| !line.contains(" REPLICA IDENTITY "));
            }
        }
        difference(&expected, &found)
            .map_err(|why| format!("the structure is not that of the server's own ALTER:{why}"))
    }

    pub(super) fn alter_natively(&self, database: &str) -> Result<(), String> {
        let own = format!("ALTER TABLE {} {}", self.table.quoted(self.postgres), self.case.alter);
        let sql = match &self.case.native {
            Some(sql) => sql,
            None if self.case.alter.is_empty() => return Ok(()),
            None => &own,
        };
        // As altergeist's own sessions: the rows are those of a table that has them already.
        let settings = match (
            self.postgres,
            self.case.flags.iter().any(|flag| flag == "--allow-zero-dates"),
        ) {
            (true, _) => "SET lock_timeout = 0",
            (false, true) => {
                "SET SESSION foreign_key_checks = 0, sql_mode = \
                 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'"
            }
            (false, false) => {
                "SET SESSION foreign_key_checks = 0, sql_mode = CONCAT(@@sql_mode, \
                 ',NO_AUTO_VALUE_ON_ZERO')"
            }
        };
        let url = self.server.url(database);
        let altered = block_on(async {
            let mut session = Session::connect(&url).await?;
            session.execute(settings).await?;
            session.execute(sql).await
        });
        altered
            .map(|_| ())
            .map_err(|failure| format!("the server itself, in {database}: {failure}"))
    }

    pub(super) fn inventory(&self, database: &str) -> Result<BTreeSet<String>, String> {
        inventory(&self.server, database).map_err(words)
    }

    /// Nothing but the journal, the old table, and what the server's own ALTER makes too.
    fn nothing_may_be_left(&self, before: &BTreeSet<String>) -> Result<(), String> {
        let (twin, mut left) = (self.inventory(&self.twin)?, self.inventory(&self.database)?);
        left.retain(|thing| {
            !before.contains(thing)
                && !twin.contains(thing)
                && !is_journal(thing)
                && !is_old(thing, self.postgres)
        });
        if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) }
    }

    pub(super) fn clean_up(&self, before: &BTreeSet<String>, more: &[&str]) -> Result<(), String> {
        let url = self.server.url(&self.database);
        let mut words = vec!["cleanup", "--url", &url, "--table", &self.case.table];
        words.extend(more);
        self.ended_with(altergeist_process::command(&words), 0)
            .map_err(|why| format!("cleanup: {why}"))?;
        let (twin, mut left) = (self.inventory(&self.twin)?, self.inventory(&self.database)?);
        left.retain(|thing| !before.contains(thing) && !twin.contains(thing) && !is_journal(thing));
        if left.is_empty() { Ok(()) } else { Err(format!("left behind by cleanup: {left:?}")) }
    }

    fn must_be_as_expected(&self, ended: &Ended) -> Result<(), String> {
        let output = ended.output.to_lowercase();
        if let Some(missing) =
            self.case.says.iter().find(|words| !output.contains(&words.to_lowercase()))
        {
            return Err(format!("{missing:?} was not said; {}", said(ended)));
        }
        self.queries_must_be_as_expected()
    }

    pub(super) fn queries_must_be_as_expected(&self) -> Result<(), String> {
        for (sql, expected) in &self.case.queries {
            if self.goes_back && sql.contains("relreplident") {
                continue;
            }
            let rows = self
                .server
                .query(&self.database, sql)
                .map_err(|failure| format!("{sql}: {failure}"))?;
            let found =
                rows.into_iter().flatten().next().flatten().unwrap_or_else(|| "NULL".to_owned());
            if found != *expected {
                return Err(format!("{sql} gives {found:?}, not {expected:?}"));
            }
        }
        Ok(())
    }
}

pub(super) fn said(ended: &Ended) -> String {
    format!("it said:\n{}", ended.output)
}
