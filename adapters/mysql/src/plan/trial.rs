//! Tries the clauses on an empty clone: natively first, then as a copy would have them.

use crate::facts::Altering;
use crate::key::index::LOOKUP;
use crate::plan::refusal::refusal;
use crate::schema::check_names::Renamed;
use crate::schema::clauses::Clauses;
use crate::schema::columns::{self, Shape};
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::table::{definition_of, outline};
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::shadow::{kept_columns, late_index};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Error, Kind, Refusal, Result, Strategy};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What came of trying the clauses.
#[derive(Default)]
pub(crate) struct Trial {
    /// The statement that needs no copy.
    pub native: Option<String>,
    pub shape: Option<Shape>,
    /// Indexes that are built when the rows are copied.
    pub deferred: Vec<String>,
    pub refusals: Vec<Refusal>,
    pub notes: Vec<String>,
}

/// Means to be told before the clauses.
pub(crate) const INSTANT: &str = "ALGORITHM=INSTANT, ";

pub(crate) const IN_PLACE: &str = "ALGORITHM=INPLACE, LOCK=NONE, ";

pub(crate) const ANYHOW: &str = "";

/// What came of letting the server do it.
pub(crate) struct Tried {
    /// By what means it does it without touching the rows.
    pub means: Option<&'static str>,
    /// Whether the clone is altered now.
    pub is_altered: bool,
}

/// The source and its copy, as far as both can be the same.
pub(crate) struct Outlines {
    pub source: Vec<String>,
    pub copy: Vec<String>,
}

/// Whether all tables and partitions are still there, and none of them has got another index. The
/// numbers are InnoDB's.
pub(crate) fn keeps_its_rows(
    before: &BTreeSet<(String, String)>,
    after: &BTreeSet<(String, String)>,
) -> bool {
    let tables = |parts: &BTreeSet<(String, String)>| -> BTreeSet<String> {
        parts.iter().map(|(table, _)| table.clone()).collect()
    };
    let (kept, now) = (tables(before), tables(after));
    kept.is_subset(&now)
        && after.iter().all(|part| before.contains(part) || !kept.contains(&part.0))
}

impl MySql {
    /// Tries the clauses on an empty clone, which is gone afterwards whatever comes of it.
    pub(crate) async fn try_clauses(
        &self,
        session: &mut Session,
        clauses: &Clauses,
    ) -> Result<Trial> {
        let attempted = || self.doing("try the clauses on an empty clone of");
        self.drop_clone(session).await?;
        let names = self
            .make_copy(session, &self.names.clone)
            .await
            .map_err(|failure| failure.of_clauses(attempted()))?;
        let trial = self.try_on_clone(session, clauses, &names).await;
        let dropped = self.drop_clone(session).await;
        let trial = trial?;
        dropped.map(|()| trial)
    }

    pub(crate) async fn try_on_clone(
        &self,
        session: &mut Session,
        clauses: &Clauses,
        names: &[Renamed],
    ) -> Result<Trial> {
        let mut trial = Trial::default();
        let alter = &*self.change.effective;
        let outlines = self.outlines(session, names).await?;
        trial.refusals.extend(self.refuse_copy_of(&outlines));
        if !trial.refusals.is_empty() {
            return Ok(trial);
        }
        let mut is_altered = false;
        let is_refused = self.is_native_refused.load(Ordering::Relaxed);
        let drops_keys = !self.change.dropped_keys.is_empty();
        if self.target.strategy != Strategy::Copy
            && (!alter.is_empty() || drops_keys)
            && !is_refused
        {
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
                trial.native =
                    Some(sql::ddl::alter_by(means, &self.source, self.change.given.trim()));
                return Ok(trial);
            }
            is_altered = tried.is_altered;
        }
        if self.change.wants_instant() {
            let reason = "they ask for ALGORITHM=INSTANT, and the server cannot do it so";
            trial.refusals.push(refusal(
                "the clauses",
                reason,
                "leave out ALGORITHM=INSTANT, and the table is copied",
            ));
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
        match columns::find(
            names,
            &source,
            &clone,
            clauses,
            self.server.zone(),
            self.server.version.flavour,
        ) {
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
                trial.notes.extend(self.hidden_keys_note(session).await?);
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
    pub(crate) async fn refuse_lookup(
        &self,
        session: &mut Session,
        shape: &Shape,
    ) -> Result<Option<Refusal>> {
        let may_be = shape.key.needs_lookup() && !self.source_keys(session).await?.is_empty();
        let object = format!("index {}", shape.key.index);
        let reason = "the altered table has no index that finds rows by the key's columns, and it \
                      has foreign keys";
        let remedy = "keep an index that begins with them; it may be dropped afterwards";
        Ok(may_be.then(|| refusal(&object, reason, remedy)))
    }

    /// Looks for means by which the server does it without touching the rows.
    pub(crate) async fn try_natively(
        &self,
        session: &mut Session,
        names: &[Renamed],
    ) -> Result<Tried> {
        let attempted = || self.doing("try the clauses on an empty clone of");
        let clone = &self.names.clone;
        // No server drops a foreign key by ALGORITHM=INSTANT.
        let may_be_instant =
            self.change.dropped_keys.is_empty() && self.has_row_versions_left(session).await;
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
            if before.is_empty()
                || !adds_partitions && before.iter().any(|(_, index)| index.is_empty())
            {
                break;
            }
            if self.alter_copy(session, clone, names, means).await.is_err() {
                continue;
            }
            let after = parts(
                session.rows(&query).await.map_err(|failure| failure.of_catalogue(attempted()))?,
            );
            let means = keeps_its_rows(&before, &after).then_some(means);
            return Ok(Tried { means, is_altered: true });
        }
        Ok(Tried { means: None, is_altered: false })
    }

    /// The source, and what a copy of it is at this moment.
    pub(crate) async fn outlines(
        &self,
        session: &mut Session,
        names: &[Renamed],
    ) -> Result<Outlines> {
        let attempted = || self.doing("look at an empty clone of");
        let source = definition_of(session, &self.source)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let copy = definition_of(session, &self.names.clone)
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        Ok(Outlines {
            source: outline(&source, &self.source.name, &[]),
            copy: outline(&copy, &self.names.clone.name, names),
        })
    }

    /// What the server itself loses in a copy of the table.
    pub(crate) fn refuse_copy_of(&self, outlines: &Outlines) -> Option<Refusal> {
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

    pub(crate) async fn drop_clone(&self, session: &mut Session) -> Result<()> {
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
    pub(crate) async fn has_row_versions_left(&self, session: &mut Session) -> bool {
        if self.server.version.flavour == Flavour::MariaDb {
            return true;
        }
        let most = if self.server.version.is_mysql_since((9, 1, 0)) { 255 } else { 64 };
        let versions =
            session.text(&sql::catalogue::row_versions(&self.source)).await.unwrap_or_default();
        versions.parse::<u64>().unwrap_or_default() < most
    }

    /// What the altered table may not be.
    pub(crate) async fn refuse_result(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let attempted = || self.doing("look at the altered clone of");
        let mut refusals = Vec::new();
        let row = session
            .row(&sql::catalogue::table_facts(&self.names.clone))
            .await
            .map_err(|failure| failure.of_catalogue(attempted()))?;
        let engine = row.map(|row| text(&row[1])).unwrap_or_default();
        if engine != "InnoDB" {
            refusals.push(refusal(
                "the clauses",
                format!("they would make the engine {engine}"),
                "stay with InnoDB",
            ));
        }
        Ok(refusals)
    }

    /// The foreign keys that the clauses have added to the clone, unchecked.
    pub(crate) async fn added_keys(&self, session: &mut Session) -> Result<Vec<ForeignKey>> {
        let attempted = || self.doing("look for foreign keys of the altered clone of");
        let keys = foreign_keys(session, &self.names.clone).await;
        keys.map_err(|failure| failure.of_catalogue(attempted()))
    }
}

pub(crate) fn lookup_note(shape: &Shape) -> Option<String> {
    shape.key.needs_lookup().then(|| {
        format!(
            "the altered table has no index over the key {}: it gets one, {LOOKUP}, which is \
             dropped right after the swap",
            shape.key.describe()
        )
    })
}
