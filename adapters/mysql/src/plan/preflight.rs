//! Finds out what would happen: asks the server and the catalogue, and tries the clauses on an empty clone.

use crate::facts::Altering;
use crate::key::index::LOOKUP;
use crate::key::kept;
use crate::plan::other_engine;
use crate::plan::others_flags::refuse_others_flags;
use crate::schema::check_names::{self, Renamed};
use crate::schema::clauses::{Clauses, is_single_statement};
use crate::schema::columns::{self, Shape};
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::table::{definition_of, outline};
use crate::server::error::NO_SUCH_THREAD;
use crate::server::names::TableName;
use crate::server::pool::Slot;
use crate::server::session::{Session, execute_within, number, text};
use crate::server::settings;
use crate::server::version::Flavour;
use crate::shadow::{kept_columns, late_index};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{
    Error, Key, Kind, Leftover, Ownership, Plan, Preflight, Refusal, Result, Stage, Step, Strategy, Verdict,
};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

impl Preflight for MySql {
    fn table(&self) -> &str {
        &self.title
    }

    async fn plan(&self) -> Result<Plan> {
        let mut session = self.crew.reader().await?;
        let facts = self.table_facts(&mut session).await?;
        let mut refusals = self.refuse_table(&facts);
        refusals.extend(self.refuse_privileges(&mut session).await?);
        refusals.extend(refuse_others_flags(&self.target));
        refusals.extend(self.refuse_replica(&mut session).await?);
        refusals.extend(self.refuse_others_objects(&mut session).await?);
        let clauses = match self.readable_clauses() {
            Ok(clauses) => Some(clauses),
            Err(refusal) => {
                refusals.push(refusal);
                None
            }
        };
        let mut trial = Trial::default();
        if let Some(clauses) = clauses.filter(|_| refusals.is_empty()) {
            trial = self.try_clauses(&mut session, &clauses).await?;
            refusals.append(&mut trial.refusals);
        }
        if trial.native.is_none() {
            refusals.extend(self.refuse_copy(&mut session).await?);
            trial.notes.extend(self.replica_notes().await?);
            trial.notes.extend(self.unlogged_note(&mut session).await);
        }
        trial.notes.extend(self.replica_target_note(&mut session).await?);
        Ok(self.compose(facts, trial, refusals))
    }

    async fn alter_natively(&self, statement: &str) -> Result<()> {
        let attempted = || self.doing("alter");
        let within = self.crew.lock_timeout;
        let mut lease = self.crew.lease(Slot::Control).await?;
        let signed = format!("{}{statement}", sql::sign(&self.source));
        let modes = settings::modes_of_clauses(&self.server.modes, self.target.allow_zero_dates);
        lease.session().execute(&modes).await.map_err(|failure| failure.of_catalogue(attempted()))?;
        let outcome = execute_within(lease.session(), &self.crew.access, &signed, within).await;
        if lease.session().is_alive() {
            let modes = settings::our_modes(&self.server.modes);
            lease.session().execute(&modes).await.map_err(|failure| failure.of_catalogue(attempted()))?;
        }
        lease.keep();
        match outcome {
            Ok(_) => Ok(()),
            Err(failure) if matches!(failure.code(), Some(1205 | 1317 | 1213)) => {
                let mut error = failure.of_lock(attempted());
                error.reason += &self.who_is_in_the_way(&self.source).await;
                Err(error)
            }
            Err(failure) => {
                let error = failure.of_clauses(attempted());
                self.is_native_refused.store(error.kind == Kind::Refused, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let mut session = self.crew.reader().await?;
        let found = self.find_leftovers(&mut session).await?;
        Ok(found.into_iter().map(|found| found.shown).collect())
    }

    async fn cleanup(&self, old_too: bool) -> Result<()> {
        self.beats.end();
        let mut session = self.crew.reader().await?;
        self.rescue_triggers(&self.entry(&mut session).await?.facts).await?;
        let found = self.find_leftovers(&mut session).await?;
        if old_too && found.iter().any(|found| found.shown.is_old_table) {
            self.check_nothing_needs_old(&mut session).await?;
        }
        let keeps_old = !old_too && found.iter().any(|found| found.shown.is_old_table);
        let mut lease = self.crew.lease(Slot::Control).await?;
        for found in found {
            let is_kept = (found.shown.is_old_table && !old_too) || (found.is_entry && keeps_old);
            if !is_kept {
                let attempted = format!("drop {}", found.shown.object);
                lease.session().execute(&found.drop).await.map_err(|failure| failure.of_catalogue(attempted))?;
            }
        }
        lease.keep();
        *self.shape.lock().expect("not poisoned") = None;
        Ok(())
    }
}

fn lookup_note(shape: &Shape) -> Option<String> {
    shape.key.needs_lookup().then(|| {
        format!(
            "the altered table has no index over the key {}: it gets one, {LOOKUP}, which is dropped right after the swap",
            shape.key.describe()
        )
    })
}

/// What the catalogue says of the source as a whole.
struct TableFacts {
    kind: String,
    engine: String,
    rows: u64,
    bytes: u64,
    definition: String,
}

/// What came of trying the clauses.
#[derive(Default)]
struct Trial {
    /// The statement that needs no copy.
    native: Option<String>,
    shape: Option<Shape>,
    /// Indexes that are built when the rows are copied.
    deferred: Vec<String>,
    refusals: Vec<Refusal>,
    notes: Vec<String>,
}

/// Means to be told before the clauses.
const INSTANT: &str = "ALGORITHM=INSTANT, ";
const IN_PLACE: &str = "ALGORITHM=INPLACE, LOCK=NONE, ";
const ANYHOW: &str = "";

/// What came of letting the server do it.
struct Tried {
    /// By what means it does it without touching the rows.
    means: Option<&'static str>,
    /// Whether the clone is altered now.
    is_altered: bool,
}

/// The source and its copy, as far as both can be the same.
struct Outlines {
    source: Vec<String>,
    copy: Vec<String>,
}

/// Whether all tables and partitions are still there, and none of them has got another index. The numbers are InnoDB's.
fn keeps_its_rows(before: &BTreeSet<(String, String)>, after: &BTreeSet<(String, String)>) -> bool {
    let tables = |parts: &BTreeSet<(String, String)>| -> BTreeSet<String> {
        parts.iter().map(|(table, _)| table.clone()).collect()
    };
    let (kept, now) = (tables(before), tables(after));
    kept.is_subset(&now) && after.iter().all(|part| before.contains(part) || !kept.contains(&part.0))
}

/// A leftover, and how to get rid of it.
struct Found {
    shown: Leftover,
    drop: String,
    is_entry: bool,
}

/// A session, for people: what [`sql::session::metadata_locks`] tells.
fn described(row: &crate::server::session::Cells) -> String {
    format!("connection {} ({}@{}, for {} s)", text(&row[0]), text(&row[1]), text(&row[2]), text(&row[3]))
}

fn refusal(object: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal { object: object.into(), reason: reason.into(), remedy: remedy.into() }
}

impl MySql {
    async fn table_facts(&self, session: &mut Session) -> Result<TableFacts> {
        let attempted = || self.doing("look at");
        let row = session
            .row(&sql::catalogue::table_facts(&self.source))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let row = row.ok_or_else(|| {
            Error::refused(
                attempted(),
                "it was dropped or renamed; `altergeist cleanup` drops what its change has left",
            )
        })?;
        let made = session
            .row(&sql::catalogue::show_create(&self.source))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        Ok(TableFacts {
            kind: text(&row[0]),
            engine: text(&row[1]),
            rows: number(&row[2]).unwrap_or_default(),
            bytes: number(&row[3]).unwrap_or_default(),
            definition: made.and_then(|row| row.get(1).map(text)).unwrap_or_default(),
        })
    }

    /// What no way of changing the table could help.
    fn refuse_table(&self, facts: &TableFacts) -> Vec<Refusal> {
        let table = format!("table {}", self.title);
        let mut refusals = Vec::new();
        if ["mysql", "information_schema", "performance_schema", "sys"].contains(&&*self.source.schema.to_lowercase()) {
            refusals.push(refusal(&table, "it is the server's own", "leave it alone"));
        }
        if self.source.name.to_lowercase().starts_with("_altergeist") {
            refusals.push(refusal(&table, "it is this tool's own", "leave it alone"));
        }
        if facts.kind != "BASE TABLE" {
            refusals.push(refusal(
                &table,
                format!("it is a {}, not a plain table", facts.kind.to_lowercase()),
                "change it by hand",
            ));
        } else if facts.engine != "InnoDB" {
            refusals.push(other_engine::refusal(&self.source, &facts.engine));
        }
        refusals
    }

    fn readable_clauses(&self) -> std::result::Result<Clauses, Refusal> {
        if !is_single_statement(&self.target.alter, self.server.has_ansi_quotes) {
            return Err(refusal(
                "the clauses",
                "they hold a semicolon, or a quote that does not end",
                "give the clauses of one ALTER TABLE",
            ));
        }
        self.clauses()
            .map_err(|error| refusal("the clauses", error.reason, "write them in other words, or leave that part out"))
    }

    /// Tries the clauses on an empty clone, which is gone afterwards whatever comes of it.
    async fn try_clauses(&self, session: &mut Session, clauses: &Clauses) -> Result<Trial> {
        let attempted = || self.doing("try the clauses on an empty clone of");
        self.drop_clone(session).await?;
        let names =
            self.make_copy(session, &self.names.clone).await.map_err(|failure| failure.of_clauses(attempted()))?;
        let trial = self.try_on_clone(session, clauses, &names).await;
        let dropped = self.drop_clone(session).await;
        let trial = trial?;
        dropped.map(|()| trial)
    }

    async fn try_on_clone(&self, session: &mut Session, clauses: &Clauses, names: &[Renamed]) -> Result<Trial> {
        let mut trial = Trial::default();
        let alter = self.target.alter.trim();
        let outlines = self.outlines(session, names).await?;
        trial.refusals.extend(self.refuse_copy_of(&outlines));
        if !trial.refusals.is_empty() {
            return Ok(trial);
        }
        let mut is_altered = false;
        let is_refused = self.is_native_refused.load(Ordering::Relaxed);
        let drops_keys = !self.dropped_keys.is_empty();
        if self.target.strategy != Strategy::Copy && (!alter.is_empty() || drops_keys) && !is_refused {
            let tried = match alter.is_empty() {
                // The clone has no foreign keys, and without one the table is the same.
                true => Tried { means: Some(IN_PLACE), is_altered: false },
                false => self.try_natively(session, names).await?,
            };
            let adds_keys = tried.is_altered && !self.added_keys(session).await?.is_empty();
            if let Some(means) = tried.means.filter(|_| !adds_keys) {
                let after = self.outlines(session, names).await?.copy;
                *self.expected.lock().expect("not poisoned") =
                    Some(Altering { before: outlines.source, after, drops_keys });
                trial.native = Some(sql::ddl::alter_by(means, &self.source, self.asked.clauses.trim()));
                return Ok(trial);
            }
            is_altered = tried.is_altered;
        }
        if self.asked.wants_instant() {
            let reason = "they ask for ALGORITHM=INSTANT, and the server cannot do it so";
            trial.refusals.push(refusal("the clauses", reason, "leave out ALGORITHM=INSTANT, and the table is copied"));
            return Ok(trial);
        }
        if self.target.strategy == Strategy::Native {
            let remedy = "leave out --strategy native";
            trial.refusals.push(refusal(
                "the clauses",
                "the server cannot carry them out without copying or scanning the table",
                remedy,
            ));
            return Ok(trial);
        }
        if !alter.is_empty() && !is_altered {
            let tried = self.alter_copy(session, &self.names.clone, names, "").await;
            if let Err(failure) = tried {
                let is_about_dates = matches!(failure.code(), Some(1067 | 1292));
                let error = failure.of_clauses("alter an empty clone");
                if error.kind != Kind::Refused {
                    return Err(error);
                }
                let remedy = match is_about_dates && !self.target.allow_zero_dates {
                    true => "correct them, or allow zero dates with --allow-zero-dates",
                    false => "correct them",
                };
                trial.refusals.push(refusal("the clauses", error.reason, remedy));
                return Ok(trial);
            }
        }
        let source = self.look(session, &self.source).await?;
        let clone = self.look(session, &self.names.clone).await?;
        trial.refusals = self.refuse_result(session).await?;
        trial.refusals.extend(self.refuse_triggers().await?);
        trial.refusals.extend(self.refuse_own_document_numbers(session).await?);
        let names = (&self.source, &self.names.shadow);
        match columns::find(names, &source, &clone, clauses, self.server.zone(), self.server.version.flavour) {
            Ok(shape) => {
                trial.refusals.extend(self.refuse_rows(session, &shape).await?);
                let (lossy, rounded) = self.look_for_losses(session, &shape).await?;
                trial.refusals.extend(lossy);
                let kept = self.indexes_of_use(session, &self.names.clone, &shape).await?;
                trial.deferred = self.foresee_deferred(session, &self.names.clone, &kept).await?;
                trial.refusals.extend(self.refuse_foreign_keys(session, &shape, &clone).await?);
                trial.refusals.extend(self.refuse_added_keys(session, &shape).await?);
                trial.refusals.extend(self.refuse_privileges_on_neighbours(session).await?);
                trial.refusals.extend(self.refuse_lookup(session, &shape).await?);
                trial.refusals.extend(self.refuse_kept(session, &shape).await?);
                let late = self.late_index(session, &self.names.clone, &shape).await?;
                let late = late.unwrap_or_else(|refusal| {
                    trial.refusals.push(refusal);
                    None
                });
                trial.deferred.retain(|text| late.as_ref().is_none_or(|late| late.text != *text));
                trial.notes = self.foreign_key_notes(session, &shape).await?;
                trial.notes.extend(lookup_note(&shape));
                trial.notes.extend(kept_columns::note(&shape));
                trial.notes.extend(late.iter().map(late_index::note));
                trial.notes.extend(rounded);
                let (measured, too_long) = self.measure_swap(session).await?;
                trial.notes.extend(measured);
                trial.refusals.extend(too_long);
                trial.shape = Some(shape);
            }
            Err(mut refusals) => trial.refusals.append(&mut refusals),
        }
        Ok(trial)
    }

    /// The server might rest a foreign key on an index of ours, which is to go.
    async fn refuse_lookup(&self, session: &mut Session, shape: &Shape) -> Result<Option<Refusal>> {
        let may_be = shape.key.needs_lookup() && !self.source_keys(session).await?.is_empty();
        let object = format!("index {}", shape.key.index);
        let reason = "the altered table has no index that finds rows by the key's columns, and it has foreign keys";
        let remedy = "keep an index that begins with them; it may be dropped afterwards";
        Ok(may_be.then(|| refusal(&object, reason, remedy)))
    }

    /// Looks for means by which the server does it without touching the rows.
    async fn try_natively(&self, session: &mut Session, names: &[Renamed]) -> Result<Tried> {
        let attempted = || self.doing("try the clauses on an empty clone of");
        let clone = &self.names.clone;
        // No server drops a foreign key by ALGORITHM=INSTANT.
        let may_be_instant = self.dropped_keys.is_empty() && self.has_row_versions_left(session).await;
        if may_be_instant && self.alter_copy(session, clone, names, INSTANT).await.is_ok() {
            return Ok(Tried { means: Some(INSTANT), is_altered: true });
        }
        // Clauses on partitions stand alone, and MariaDB takes no means with them.
        let adds_partitions = self.clauses()?.adds_partitions();
        let all = [Some(IN_PLACE), adds_partitions.then_some(ANYHOW)];
        for means in all.into_iter().flatten() {
            let parts = |rows: Vec<crate::server::session::Cells>| -> BTreeSet<(String, String)> {
                rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
            };
            let query = sql::catalogue::innodb_parts(self.server.version, clone);
            // Where the numbers may not be read, nothing is known.
            let before = parts(session.rows(&query).await.unwrap_or_default());
            if before.is_empty() || !adds_partitions && before.iter().any(|(_, index)| index.is_empty()) {
                break;
            }
            if self.alter_copy(session, clone, names, means).await.is_err() {
                continue;
            }
            let after = parts(session.rows(&query).await.map_err(|failure| failure.of_catalogue(attempted()))?);
            let means = keeps_its_rows(&before, &after).then_some(means);
            return Ok(Tried { means, is_altered: true });
        }
        Ok(Tried { means: None, is_altered: false })
    }

    /// The source, and what a copy of it is at this moment.
    async fn outlines(&self, session: &mut Session, names: &[Renamed]) -> Result<Outlines> {
        let attempted = || self.doing("look at an empty clone of");
        let source = definition_of(session, &self.source).await.map_err(|failure| failure.of_catalogue(attempted()))?;
        let copy =
            definition_of(session, &self.names.clone).await.map_err(|failure| failure.of_catalogue(attempted()))?;
        Ok(Outlines {
            source: outline(&source, &self.source.name, &[]),
            copy: outline(&copy, &self.names.clone.name, names),
        })
    }

    /// What the server itself loses in a copy of the table.
    fn refuse_copy_of(&self, outlines: &Outlines) -> Option<Refusal> {
        if outlines.source == outlines.copy {
            return None;
        }
        let lost = outlines.source.iter().find(|line| !outlines.copy.contains(line));
        let line = lost.map_or("the order of its parts", |line| line.trim());
        let reason = format!("CREATE TABLE … LIKE would not keep: {line}");
        Some(refusal(
            format!("table {}", self.title),
            reason,
            "take that part away before the change, and add it again after it",
        ))
    }

    /// Rows of the source that the altered table will not hold: found now, not after hours of copying.
    async fn refuse_rows(&self, session: &mut Session, shape: &Shape) -> Result<Vec<Refusal>> {
        let mut refusals = Vec::new();
        for found in self.find_duplicates(session, shape, &self.names.clone).await? {
            let reason =
                format!("the table holds {} values more than once that the index must hold once", found.values);
            let remedy = "remove the duplicates, or leave the index out";
            refusals.push(refusal(format!("unique index {}", found.index), reason, remedy));
        }
        for pair in shape.columns.iter().filter(|pair| pair.source.nullable && !pair.shadow.nullable) {
            let attempted = || self.doing(&format!("look for NULLs of column {} in", pair.source.name));
            let query = sql::catalogue::has_nulls(&self.source, &pair.source.name);
            if session.row(&query).await.map_err(|failure| failure.of_rows(attempted()))?.is_some() {
                let remedy = "give them a value first, or keep the column nullable";
                refusals.push(refusal(
                    format!("column {}", pair.source.name),
                    "it holds NULLs and would be NOT NULL",
                    remedy,
                ));
            }
        }
        refusals.extend(self.refuse_zero_dates(session, shape).await?);
        refusals.extend(self.refuse_lost_keys(session, shape).await?);
        Ok(refusals)
    }

    /// Whether the server finds rows again by their own keys, many at once. MariaDB 11.8 has been seen to find the first of several
    /// moments alone: changed rows would be followed in vain then, and where they are looked at again, they would not be seen.
    async fn refuse_lost_keys(&self, session: &mut Session, shape: &Shape) -> Result<Option<Refusal>> {
        let attempted = self.doing("look for rows by their keys in");
        let zone = shape.in_utc.then_some((sql::session::IN_UTC, sql::session::IN_SERVERS_ZONE));
        for open in sql::compare::OPEN_SNAPSHOT.into_iter().chain(zone.map(|(utc, _)| utc)) {
            session.execute(open).await.map_err(|failure| failure.of_rows(&attempted))?;
        }
        let looking = async {
            let keys = self.keys(session, shape, &sql::rows::first_keys(shape), &attempted).await?;
            if keys.is_empty() {
                return Ok(None);
            }
            let found = self.keys(session, shape, &sql::rows::keys_among(shape, &keys)?, &attempted).await?;
            let lost = keys.iter().filter(|key| !found.contains(key)).count();
            Ok((lost > 0).then(|| {
                refusal(
                    format!("key {}", shape.key.describe()),
                    format!("the server does not find {lost} of {} rows by their own keys", keys.len()),
                    "it is this server's fault or ours, and should be reported with its version; another unique index of NOT NULL columns may serve",
                )
            }))
        };
        let looked = looking.await;
        for close in ["COMMIT"].into_iter().chain(zone.map(|(_, servers)| servers)) {
            session.execute(close).await.map_err(|failure| failure.of_rows(&attempted))?;
        }
        looked
    }

    async fn keys(&self, session: &mut Session, shape: &Shape, query: &str, attempted: &str) -> Result<Vec<Key>> {
        let rows = session.rows(query).await.map_err(|failure| failure.of_rows(attempted))?;
        let key = |row: &crate::server::session::Cells| shape.key.of_query(row);
        rows.iter().map(key).collect::<Option<_>>().ok_or_else(|| Error::fatal(attempted, "a key cannot be read"))
    }

    /// Zero dates in columns that are converted, where the server's own rules refuse them.
    async fn refuse_zero_dates(&self, session: &mut Session, shape: &Shape) -> Result<Vec<Refusal>> {
        let attempted = || self.doing("look for zero dates in");
        let mut refusals = Vec::new();
        let rules = session
            .text(sql::catalogue::REFUSES_ZERO_DATES)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        if self.target.allow_zero_dates || rules != "1" {
            return Ok(refusals);
        }
        let is_date = |data_type: &str| matches!(data_type, "date" | "datetime" | "timestamp");
        for given in shape.given.iter().filter(|given| is_date(&given.column.data_type)) {
            if session
                .row(&sql::catalogue::has_rows(&self.source))
                .await
                .map_err(|failure| failure.of_rows(attempted()))?
                .is_some()
            {
                refusals.push(refusal(
                    format!("column {}", given.column.name),
                    "the rows that exist would get a zero date, which the server's sql_mode does not let in",
                    "give it a default, or allow zero dates with --allow-zero-dates",
                ));
            }
        }
        for pair in shape.columns.iter().filter(|pair| !pair.source.is_alike(&pair.shadow)) {
            if !is_date(&pair.source.data_type) || !is_date(&pair.shadow.data_type) {
                continue;
            }
            let query = sql::catalogue::has_zero_dates(&self.source, &pair.source.name);
            if session.row(&query).await.map_err(|failure| failure.of_rows(attempted()))?.is_some() {
                refusals.push(refusal(
                    format!("column {}", pair.source.name),
                    "it holds zero dates, which the server's sql_mode does not let into its new type",
                    "give them another value first, or allow them with --allow-zero-dates",
                ));
            }
        }
        Ok(refusals)
    }

    async fn drop_clone(&self, session: &mut Session) -> Result<()> {
        for clone in self.clones() {
            let attempted = || format!("drop the empty clone {}", clone.plain());
            if !self.exists(session, clone).await? {
                continue;
            }
            let row = session.row(&sql::catalogue::has_rows(clone)).await;
            if row.map_err(|failure| failure.of_catalogue(attempted()))?.is_some() {
                return Err(Error::refused(attempted(), "it has rows, so it is not ours"));
            }
            let dropped = session.execute(&sql::ddl::drop_table(&self.source, clone)).await;
            dropped.map_err(|failure| failure.of_catalogue(attempted()))?;
        }
        Ok(())
    }

    /// MariaDB has no such limit; where the count may not be read, the server itself will refuse.
    async fn has_row_versions_left(&self, session: &mut Session) -> bool {
        if self.server.version.flavour == Flavour::MariaDb {
            return true;
        }
        let most = if self.server.version.is_mysql_since((9, 1, 0)) { 255 } else { 64 };
        let versions = session.text(&sql::catalogue::row_versions(&self.source)).await.unwrap_or_default();
        versions.parse::<u64>().unwrap_or_default() < most
    }

    /// What the altered table may not be.
    async fn refuse_result(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let attempted = || self.doing("look at the altered clone of");
        let mut refusals = Vec::new();
        let row = session
            .row(&sql::catalogue::table_facts(&self.names.clone))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let engine = row.map(|row| text(&row[1])).unwrap_or_default();
        if engine != "InnoDB" {
            refusals.push(refusal("the clauses", format!("they would make the engine {engine}"), "stay with InnoDB"));
        }
        Ok(refusals)
    }

    /// The foreign keys that the clauses have added to the clone, unchecked.
    async fn added_keys(&self, session: &mut Session) -> Result<Vec<ForeignKey>> {
        let attempted = || self.doing("look for foreign keys of the altered clone of");
        let keys = foreign_keys(session, &self.names.clone).await;
        keys.map_err(|failure| failure.of_catalogue(attempted()))
    }

    /// What stands in the way of a copy, but not of a native change.
    async fn refuse_copy(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let mut refusals = self.refuse_privileges_to_copy(session).await?;
        refusals.extend(self.refuse_log(session).await?);
        refusals.extend(self.refuse_stream_from().await?);
        refusals.extend(self.refuse_names(session).await?);
        refusals.extend(self.refuse_killing(session).await);
        Ok(refusals)
    }

    /// The settings that following the log rests on.
    async fn refuse_log(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let attempted = || self.doing("look at the log's settings for");
        let row = session
            .row(sql::log::log_settings(self.server.version))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let setting = |place: usize| row.as_ref().and_then(|row| row.get(place)).map(text).unwrap_or_default();
        let mut refusals = Vec::new();
        if setting(0) != "1" {
            refusals.push(refusal(
                "binary log",
                "it is off, so changes cannot be followed",
                "set log_bin and restart the server",
            ));
            return Ok(refusals);
        }
        if setting(1) != "ROW" || setting(2) != "ROW" {
            let remedy = "SET GLOBAL binlog_format = ROW, and let sessions that are open now end";
            refusals.push(refusal(
                "binlog_format",
                format!("it is {}: changes are logged as statements, not as rows", setting(2)),
                remedy,
            ));
        }
        if setting(3) != "1" {
            let reason = "it is off, so the log does not tell when changes become visible";
            refusals.push(refusal("binlog_order_commits", reason, "SET GLOBAL binlog_order_commits = ON"));
        }
        if !matches!(&*setting(4), "0" | "OFF" | "NO_LOCK") {
            refusals.push(refusal("read_only", "the server takes no writes", "run on the primary"));
        }
        if setting(5) == "1" {
            refusals.push(refusal(
                "wsrep_on",
                "Galera clusters are not supported yet",
                "change the table by the cluster's own means",
            ));
        }
        match session.row(sql::log::log_status(self.server.version)).await {
            Ok(Some(row))
                if row.get(2).map(text).is_some_and(|list| !list.is_empty())
                    || row.get(3).map(text).is_some_and(|list| !list.is_empty()) =>
            {
                let reason = "the server logs only some schemas (binlog_do_db, binlog_ignore_db)";
                refusals.push(refusal("binary log", reason, "log all of them"));
            }
            Ok(_) => {}
            Err(failure) => {
                let error = failure.of_catalogue(attempted());
                refusals.push(refusal(
                    "privileges",
                    error.reason,
                    "GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.*",
                ));
            }
        }
        if let Err(failure) = session.rows(sql::log::PREPARED).await {
            let error = failure.of_catalogue(attempted());
            refusals.push(refusal(
                "privileges",
                error.reason,
                "GRANT XA_RECOVER_ADMIN ON *.*: prepared transactions must be seen",
            ));
        }
        Ok(refusals)
    }

    /// Names that somebody else has taken.
    async fn refuse_names(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let entry = self.entry(session).await?;
        let mut refusals = Vec::new();
        if self.exists(session, &self.names.shadow).await? && !entry.facts.has_shadow {
            let object = format!("table {}", self.names.shadow.plain());
            refusals.push(refusal(object, "it has the shadow's name and is not ours", "rename it"));
        }
        if self.exists(session, &self.names.old).await? {
            let object = format!("table {}", self.names.old.plain());
            refusals.push(match entry.record.is_some_and(|record| record.stage == Stage::Done) {
                true => refusal(object, "it is the old table of an earlier change", "drop it, or have cleanup drop it"),
                false => refusal(object, "it has the name the old table will get", "rename it"),
            });
        }
        for name in [&self.names.go, &self.names.went] {
            if self.exists(session, name).await? && !self.is_go_ahead(session, name).await? {
                refusals.push(refusal(
                    format!("table {}", name.plain()),
                    "it has a name the cut-over needs",
                    "rename it",
                ));
            }
        }
        Ok(refusals)
    }

    pub(crate) async fn is_go_ahead(&self, session: &mut Session, name: &TableName) -> Result<bool> {
        let row = session
            .row(&sql::catalogue::table_facts(name))
            .await
            .map_err(|failure| failure.of_catalogue(format!("look at {}", name.plain())))?;
        Ok(row.is_some_and(|row| text(&row[5]) == sql::cutover::GO_AHEAD))
    }

    fn compose(&self, facts: TableFacts, trial: Trial, refusals: Vec<Refusal>) -> Plan {
        let mut notes = Vec::new();
        let mut plan = Plan {
            table: self.title.clone(),
            alter: self.asked.clauses.clone(),
            verdict: Verdict::Copy,
            key: trial.shape.as_ref().map(|shape| shape.key.describe()).unwrap_or_default(),
            rows_estimated: facts.rows,
            bytes_estimated: facts.bytes,
            steps: trial.shape.as_ref().map(|shape| self.steps(shape, &trial.deferred)).unwrap_or_default(),
            refusals,
            notes: Vec::new(),
        };
        if let Some(statement) = trial.native {
            let lock = "exclusive, for an instant, waited for no longer than the lock timeout";
            plan.steps = vec![Step { statement: statement.clone(), lock: lock.into() }];
            plan.bytes_estimated = 0;
            plan.verdict = Verdict::Native(statement);
        } else {
            notes.push(format!("the old table stays as {}", self.names.old.plain()));
            notes.push("the log will grow by about the table's size".to_owned());
            notes.extend(self.renamed_checks(&facts.definition));
        }
        notes.extend(trial.notes);
        if !self.asked.means.is_empty() {
            let means = self.asked.means.join(", ");
            notes.push(format!("{means} is left out of the clauses: how the change is done is this tool's part"));
        }
        plan.notes = notes;
        plan
    }

    /// Names of constraints that the old table keeps, so that the new one cannot have them yet.
    fn renamed_checks(&self, definition: &str) -> Option<String> {
        if self.server.version.flavour == Flavour::MariaDb {
            return None;
        }
        let given: Vec<String> = check_names::checks(definition)
            .into_iter()
            .map(|check| check.name)
            .filter(|name| check_names::is_given(name, &self.source.name))
            .collect();
        (!given.is_empty()).then(|| {
            format!(
                "names of CHECK constraints are unique in a schema and stay with the old table: {} will end in _ag; a change \
                 made when the old table is gone takes the ending away",
                given.join(", ")
            )
        })
    }

    fn steps(&self, shape: &Shape, deferred: &[String]) -> Vec<Step> {
        let step = |statement: String, lock: &str| Step {
            statement: statement.replace(&sql::sign(&self.source), ""),
            lock: lock.into(),
        };
        let instant = "shared, for an instant, as any query";
        let alter = self.target.alter.trim();
        let mut steps = vec![
            step(sql::journal::create_journal(&self.names.journal), "none"),
            step(sql::journal::create_beat(&self.names.beat), "none"),
            step(sql::ddl::create_like(&self.source, &self.names.shadow), instant),
        ];
        if !alter.is_empty() {
            steps.push(step(sql::ddl::alter(&self.source, &self.names.shadow, alter), "none"));
        }
        let index = sql::quote(&shape.key.index);
        steps.push(step(
            format!(
                "INSERT INTO {} … SELECT … FROM {} FORCE INDEX ({index}) WHERE …, chunk by chunk",
                sql::table(&self.names.shadow),
                sql::table(&self.source)
            ),
            "none",
        ));
        steps.push(step(
            "changed rows are deleted from the shadow and inserted anew, as the binary log tells".to_owned(),
            "none",
        ));
        if !deferred.is_empty() {
            let lock = "none; replicas do the same in one go when they come to it, and lag meanwhile (--keep-indexes has the \
                        indexes from the beginning)";
            steps.push(step(sql::ddl::add_indexes(&self.source, &self.names.shadow, deferred), lock));
        }
        steps.push(step(sql::ddl::analyze(&self.source, &self.names.shadow), "none"));
        let (lock, rename, what) = match self.server.version.flavour {
            Flavour::MySql => {
                let rename = sql::cutover::rename_both(&self.source, &self.names.old, &self.names.shadow);
                (
                    sql::cutover::lock_both(&self.source, &self.names.shadow),
                    rename,
                    "exclusive, waited for no longer than the lock timeout, held until the last changes are in the shadow",
                )
            }
            Flavour::MariaDb => {
                let names = &self.names;
                let rename =
                    sql::cutover::rename_both_on(&self.source, &names.old, &names.shadow, &names.go, &names.went);
                (
                    sql::cutover::lock_against_writes(&self.source),
                    rename,
                    "against writes, waited for no longer than the lock timeout, held until the last changes are in the shadow",
                )
            }
        };
        steps.push(step(lock, what));
        steps.push(step(rename, "exclusive, for an instant"));
        steps
    }

    // --- Leftovers ----------------------------------------------------------------------------

    async fn find_leftovers(&self, session: &mut Session) -> Result<Vec<Found>> {
        let entry = self.entry(session).await?;
        let stage = entry.record.as_ref().map(|record| record.stage);
        let mut found = Vec::new();
        let table = |name: &TableName, what: &str, reason: &str, is_old_table| Found {
            shown: Leftover { object: format!("{what} {}", name.plain()), reason: reason.into(), is_old_table },
            drop: sql::ddl::drop_table(&self.source, name),
            is_entry: false,
        };
        if self.is_our_shadow(session, &entry.facts).await? {
            let reason = match stage {
                Some(Stage::Copying | Stage::CuttingOver) => {
                    "a change is under way or was interrupted; the same command goes on with it"
                }
                _ => "a change was begun and not finished",
            };
            found.push(table(&self.names.shadow, "shadow table", reason, false));
        }
        for clone in self.clones() {
            if self.is_plain(session, clone).await?
                && session.row(&sql::catalogue::has_rows(clone)).await.is_ok_and(|row| row.is_none())
            {
                found.push(table(clone, "empty clone", "clauses were tried on it", false));
            }
        }
        for name in [&self.names.go, &self.names.went] {
            if self.exists(session, name).await? && self.is_go_ahead(session, name).await? {
                found.push(table(name, "go-ahead table", "a cut-over was under way", false));
            }
        }
        if self.is_old_ours(session, &entry).await? {
            found.push(table(
                &self.names.old,
                "old table",
                "the table as it was before the change: the way back",
                true,
            ));
        }
        found.extend(self.journal_leftovers(session, entry.exists, stage).await?);
        Ok(found)
    }

    async fn is_old_ours(&self, session: &mut Session, entry: &crate::facts::Entry) -> Result<bool> {
        let Some(made) = &entry.facts.source else { return Ok(false) };
        if !self.exists(session, &self.names.old).await? {
            return Ok(false);
        }
        let was_swapped = entry.facts.done.is_some() || self.owner().await? == Ownership::Shadow;
        Ok(was_swapped && self.made(session, &self.names.old).await? == *made)
    }

    async fn journal_leftovers(
        &self,
        session: &mut Session,
        has_entry: bool,
        stage: Option<Stage>,
    ) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let row = |of: &TableName, what: &str, reason: &str| Found {
            shown: Leftover { object: format!("{what} in {}", of.plain()), reason: reason.into(), is_old_table: false },
            drop: sql::journal::delete_entry(of, &self.source.name),
            is_entry: true,
        };
        if has_entry || self.exists(session, &self.names.beat).await? {
            let beat = session.row(&sql::journal::last_beat(&self.names.beat, &self.source.name)).await;
            if beat.is_ok_and(|beat| beat.is_some()) {
                found.push(Found {
                    is_entry: false,
                    ..row(&self.names.beat, "heartbeat", "a change was followed by it")
                });
            }
        }
        if has_entry {
            let reason = if stage == Some(Stage::Done) {
                "says that the change is done"
            } else {
                "says how far the change has come"
            };
            found.push(row(&self.names.journal, "journal entry", reason));
        }
        Ok(found)
    }

    /// Who may hold what we wait for, as far as the server tells; begins with a colon if it tells anything.
    pub(crate) async fn who_is_in_the_way(&self, table: &TableName) -> String {
        let Ok(mut session) = self.crew.reader().await else { return String::new() };
        let query = sql::session::metadata_locks(self.server.version, table);
        let mut rows = session.rows(&query).await.unwrap_or_default();
        if rows.is_empty() {
            rows = session.rows(sql::session::OPEN_TRANSACTIONS).await.unwrap_or_default();
        }
        match rows.is_empty() {
            true => String::new(),
            false => format!("; in the way may be {}", rows.iter().map(described).collect::<Vec<_>>().join(", ")),
        }
    }

    /// Ends the sessions that hold locks on these tables, except our own, as the user has asked for. Gives their
    /// names for people, and begins with a semicolon if there were any.
    pub(crate) async fn end_blockers(&self, tables: &[TableName], own: &[u64]) -> Result<String> {
        let attempted = || self.doing("end the sessions in the way of");
        let mut session = self.crew.reader().await?;
        let mut ended = Vec::new();
        for name in tables {
            let query = sql::session::metadata_locks(self.server.version, name);
            let rows = session.rows(&query).await.map_err(|failure| failure.of_catalogue(attempted()))?;
            for row in rows {
                let Some(id) = number(&row[0]).filter(|id| !own.contains(id)) else { continue };
                let who = described(&row);
                match session.execute(&sql::session::kill(id)).await {
                    Ok(_) => {
                        tracing::warn!("ended {who}, which stood in the way of the cut-over of {}", self.title);
                        ended.push(who);
                    }
                    Err(failure) if failure.code() == Some(NO_SUCH_THREAD) => {}
                    Err(failure) => return Err(failure.of_catalogue(format!("end {who}"))),
                }
            }
        }
        Ok(if ended.is_empty() { String::new() } else { format!("; ended {}", ended.join(", ")) })
    }

    /// Whether the server tells whom --kill-blockers would have to end.
    async fn refuse_killing(&self, session: &mut Session) -> Option<Refusal> {
        if !self.target.kill_blockers {
            return None;
        }
        let query = sql::session::metadata_locks(self.server.version, &self.source);
        let failure = session.rows(&query).await.err()?;
        let remedy = match self.server.version.flavour {
            Flavour::MySql => "GRANT SELECT ON performance_schema.* to this user, or leave --kill-blockers out",
            Flavour::MariaDb => "INSTALL SONAME 'metadata_lock_info', or leave --kill-blockers out",
        };
        let said = failure.of_catalogue("").reason;
        Some(refusal("--kill-blockers", format!("who holds locks on the table cannot be seen: {said}"), remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        pairs.iter().map(|(table, index)| ((*table).to_owned(), (*index).to_owned())).collect()
    }

    #[test]
    fn rows_are_kept_if_no_table_and_no_index_is_made_anew() {
        let before = parts(&[("1", "7"), ("1", "8")]);
        assert!(keeps_its_rows(&before, &before));
        assert!(keeps_its_rows(&before, &parts(&[("1", "7")])));
        assert!(keeps_its_rows(&before, &parts(&[("1", "7"), ("1", "8"), ("2", "9")])));
        assert!(!keeps_its_rows(&before, &parts(&[("1", "7"), ("1", "9")])));
        assert!(!keeps_its_rows(&before, &parts(&[("2", "9"), ("2", "10")])));
    }
}
