//! Tries the clauses on an empty clone: natively first, then as a copy would run them.

use crate::change::Change;
use crate::cutover::triggers::refuse_triggers;
use crate::facts::NativeChange;
use crate::key::index::LOOKUP;
use crate::plan::data::refuse_rows;
use crate::plan::foreign_keys::{foreign_key_notes, refuse_added_keys, refuse_foreign_keys};
use crate::plan::full_text::check_own_documents;
use crate::plan::hidden_keys::hidden_keys_note;
use crate::plan::losses::look_for_losses;
use crate::plan::partitions::measure_swap;
use crate::plan::relation_privileges::refuse_privileges_on_relations;
use crate::schema::carried_keys::source_keys;
use crate::schema::check_names::Renamed;
use crate::schema::clauses::Clauses;
use crate::schema::columns::{self, Shape};
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::lookup::{read_table, table_exists};
use crate::schema::table::{definition_of, outline};
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::shadow::clone::{alter_copy, make_copy};
use crate::shadow::early_keys::needed_indexes;
use crate::shadow::indexes::predict_deferred;
use crate::shadow::kept_columns::refuse_kept;
use crate::shadow::late_index::late_index;
use crate::shadow::{kept_columns, late_index};
use crate::sql;
use crate::sql::ddl::{IN_PLACE, INSTANT};
use crate::state::NativeState;
use altergeist_contract::{Error, Kind, Refusal, Result, Strategy};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The outcome of trying the clauses.
#[derive(Default)]
pub(crate) struct Trial {
    /// The statement that needs no copy.
    pub native: Option<String>,
    pub shape: Option<Shape>,
    /// Indexes that are built after the copy.
    pub deferred: Vec<String>,
    /// FULLTEXT indexes that are built last.
    pub full_text: Vec<String>,
    pub refusals: Vec<Refusal>,
    pub notes: Vec<String>,
    /// The definition of the clone after the clauses.
    pub definition: String,
}

/// Leaves it to the server how it alters the table.
const BY_ANY_MEANS: &str = "";

/// The outcome of a native attempt.
pub(crate) struct Tried {
    /// How the server does it without touching the rows: ALGORITHM and LOCK.
    pub means: Option<&'static str>,
    /// Whether the clone is altered now.
    pub is_altered: bool,
}

/// The definitions of the source and its copy, without what must differ.
pub(crate) struct Outlines {
    pub source: Vec<String>,
    pub copy: Vec<String>,
}

/// Returns whether all tables and partitions still exist, and none has a new index. The numbers are
/// InnoDB's.
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

/// Tries the clauses on an empty clone, and drops the clone whatever the outcome.
pub(crate) async fn try_clauses(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
    session: &mut Session,
    clauses: &Clauses,
) -> Result<Trial> {
    let attempted = || change.doing("try the clauses on an empty clone of");
    drop_clone(change, session).await?;
    let names = make_copy(change, session, &change.names.clone).await.trying_clauses(attempted)?;
    let trial = try_on_clone(change, pool, native, session, clauses, &names).await;
    let altered = read_outlines(change, session, &names).await;
    let dropped = drop_clone(change, session).await;
    let mut trial = trial?;
    trial.definition = altered.map(|outlines| outlines.copy.join("\n")).unwrap_or_default();
    dropped.map(|()| trial)
}

pub(crate) async fn try_on_clone(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
    session: &mut Session,
    clauses: &Clauses,
    names: &[Renamed],
) -> Result<Trial> {
    let mut trial = Trial::default();
    let alter = &*change.request.effective;
    let outlines = read_outlines(change, session, names).await?;
    trial.refusals.extend(refuse_incomplete_copy(change, &outlines));
    if !trial.refusals.is_empty() {
        return Ok(trial);
    }
    let mut is_altered = false;
    let is_refused = native.is_refused.load(Ordering::Relaxed);
    let drops_keys = !change.request.dropped_keys.is_empty();
    if change.target.strategy != Strategy::Copy && (!alter.is_empty() || drops_keys) && !is_refused
    {
        let tried = match alter.is_empty() {
            // The clone has no foreign keys, so their drop changes nothing there.
            true => Tried { means: Some(IN_PLACE), is_altered: false },
            false => try_natively(change, session, names).await?,
        };
        let adds_keys = tried.is_altered && !added_keys(change, session).await?.is_empty();
        if let Some(means) = tried.means.filter(|_| !adds_keys) {
            let after = read_outlines(change, session, names).await?.copy;
            *native.expected.lock().expect("not poisoned") =
                Some(NativeChange { before: outlines.source, after, drops_keys });
            trial.native =
                Some(sql::ddl::alter_by(means, &change.source, change.request.given.trim()));
            return Ok(trial);
        }
        is_altered = tried.is_altered;
    }
    if change.request.wants_instant() {
        let reason = "they ask for ALGORITHM=INSTANT, and the server cannot do them instantly";
        trial.refusals.push(Refusal::new(
            "the clauses",
            reason,
            "leave out ALGORITHM=INSTANT; then the run copies the table",
        ));
        return Ok(trial);
    }
    if change.target.strategy == Strategy::Native {
        let remedy = "leave out --strategy native; then the run copies the table";
        trial.refusals.push(Refusal::new(
            "the clauses",
            "the server must copy or scan the table for them",
            remedy,
        ));
        return Ok(trial);
    }
    if !alter.is_empty() && !is_altered {
        let tried = alter_copy(change, session, &change.names.clone, names, "").await;
        if let Err(failure) = tried {
            let is_about_dates = failure.is_about_dates();
            let error = failure.of_clauses("alter an empty clone");
            if error.kind != Kind::Refused {
                return Err(error);
            }
            let remedy = match is_about_dates && !change.target.allow_zero_dates {
                true => "correct them, or allow zero dates with --allow-zero-dates",
                false => "correct them",
            };
            trial.refusals.push(Refusal::new("the clauses", error.reason, remedy));
            return Ok(trial);
        }
    }
    let source = read_table(change, session, &change.source).await?;
    let clone = read_table(change, session, &change.names.clone).await?;
    trial.refusals = refuse_result(change, session).await?;
    trial.refusals.extend(refuse_triggers(change, pool).await?);
    let names = (&change.source, &change.names.shadow);
    match columns::find(
        names,
        &source,
        &clone,
        clauses,
        change.server.zone(),
        change.server.version.flavour,
    ) {
        Ok(shape) => {
            trial.refusals.extend(refuse_rows(change, session, &shape).await?);
            let (lossy, rounded) = look_for_losses(change, session, &shape).await?;
            trial.refusals.extend(lossy);
            let kept = needed_indexes(change, pool, session, &change.names.clone, &shape).await?;
            trial.deferred = predict_deferred(change, session, &change.names.clone, &kept).await?;
            trial.refusals.extend(refuse_foreign_keys(change, session, &shape, &clone).await?);
            trial.refusals.extend(refuse_added_keys(change, session, &shape).await?);
            trial.refusals.extend(refuse_privileges_on_relations(change, session).await?);
            trial.refusals.extend(refuse_lookup(change, session, &shape).await?);
            trial.refusals.extend(refuse_kept(change, session, &shape).await?);
            let documents = check_own_documents(change, session, &shape, [&source, &clone]).await?;
            trial.refusals.extend(documents.refusals);
            trial.full_text = documents.built_last;
            let late = late_index(change, session, &change.names.clone, &shape).await?;
            let late = late.unwrap_or_else(|refusal| {
                trial.refusals.push(refusal);
                None
            });
            trial.deferred.retain(|text| late.as_ref().is_none_or(|late| late.text != *text));
            trial.notes = foreign_key_notes(change, session, &shape).await?;
            trial.notes.extend(hidden_keys_note(change, session).await?);
            trial.notes.extend(lookup_note(&shape));
            trial.notes.extend(kept_columns::note(&shape));
            trial.notes.extend(late.iter().map(late_index::note));
            trial.notes.extend(documents.note);
            trial.notes.extend(rounded);
            let (measured, too_long) = measure_swap(change, session).await?;
            trial.notes.extend(measured);
            trial.refusals.extend(too_long);
            trial.shape = Some(shape);
        }
        Err(mut refusals) => trial.refusals.append(&mut refusals),
    }
    Ok(trial)
}

/// Refuses the change if the server might use our own index for a foreign key: the run drops that
/// index.
pub(crate) async fn refuse_lookup(
    change: &Change,
    session: &mut Session,
    shape: &Shape,
) -> Result<Option<Refusal>> {
    let may_be = shape.key.needs_lookup() && !source_keys(change, session).await?.is_empty();
    let object = format!("index {}", shape.key.index);
    let reason = "the altered table has foreign keys, and no index that finds rows by the key's \
                  columns";
    let remedy = "keep an index that begins with these columns, and drop it after the change";
    Ok(may_be.then(|| Refusal::new(&object, reason, remedy)))
}

/// Tries which ALGORITHM lets the server do it without touching the rows.
pub(crate) async fn try_natively(
    change: &Change,
    session: &mut Session,
    names: &[Renamed],
) -> Result<Tried> {
    let attempted = || change.doing("try the clauses on an empty clone of");
    let clone = &change.names.clone;
    // No server drops a foreign key by ALGORITHM=INSTANT.
    let may_be_instant =
        change.request.dropped_keys.is_empty() && has_row_versions_left(change, session).await;
    if may_be_instant && alter_copy(change, session, clone, names, INSTANT).await.is_ok() {
        return Ok(Tried { means: Some(INSTANT), is_altered: true });
    }
    // A clause about partitions is alone in its statement, and MariaDB takes no ALGORITHM with it.
    let adds_partitions = change.clauses()?.adds_partitions();
    let all = [Some(IN_PLACE), adds_partitions.then_some(BY_ANY_MEANS)];
    for means in all.into_iter().flatten() {
        let parts = |rows: Vec<crate::server::session::Cells>| -> BTreeSet<(String, String)> {
            rows.iter().map(|row| (text(&row[0]), text(&row[1]))).collect()
        };
        let query = sql::catalogue::innodb_parts(change.server.version, clone);
        // Without the numbers nothing is known.
        let before = parts(session.rows(&query).await.unwrap_or_default());
        if before.is_empty() || !adds_partitions && before.iter().any(|(_, index)| index.is_empty())
        {
            break;
        }
        if alter_copy(change, session, clone, names, means).await.is_err() {
            continue;
        }
        let after = parts(session.rows(&query).await.doing_in_catalogue(attempted)?);
        let means = keeps_its_rows(&before, &after).then_some(means);
        return Ok(Tried { means, is_altered: true });
    }
    Ok(Tried { means: None, is_altered: false })
}

/// Reads the definitions of the source and of the copy, as it is now.
pub(crate) async fn read_outlines(
    change: &Change,
    session: &mut Session,
    names: &[Renamed],
) -> Result<Outlines> {
    let attempted = || change.doing("look at an empty clone of");
    let source = definition_of(session, &change.source).await.doing_in_catalogue(attempted)?;
    let copy = definition_of(session, &change.names.clone).await.doing_in_catalogue(attempted)?;
    Ok(Outlines {
        source: outline(&source, &change.source.name, &[]),
        copy: outline(&copy, &change.names.clone.name, names),
    })
}

/// Refuses a table if the server's own copy of it loses something.
pub(crate) fn refuse_incomplete_copy(change: &Change, outlines: &Outlines) -> Option<Refusal> {
    if outlines.source == outlines.copy {
        return None;
    }
    let lost = outlines.source.iter().find(|line| !outlines.copy.contains(line));
    let line = lost.map_or("the order of its parts", |line| line.trim());
    let reason = format!("CREATE TABLE … LIKE does not keep: {line}");
    Some(Refusal::new(
        format!("table {}", change.title),
        reason,
        "drop this part before the change, and add it again afterwards",
    ))
}

pub(crate) async fn drop_clone(change: &Change, session: &mut Session) -> Result<()> {
    for clone in change.clones() {
        let attempted = || format!("drop the empty clone {}", clone.plain());
        if !table_exists(session, clone).await? {
            continue;
        }
        let row = session.row(&sql::catalogue::has_rows(clone)).await;
        if row.doing_in_catalogue(attempted)?.is_some() {
            return Err(Error::refused(attempted(), "it has rows, so it is not ours"));
        }
        let dropped = session.execute(&sql::ddl::drop_table(&change.source, clone)).await;
        dropped.doing_in_catalogue(attempted)?;
    }
    Ok(())
}

/// MariaDB has no such limit. If the count may not be read, the server itself will refuse.
pub(crate) async fn has_row_versions_left(change: &Change, session: &mut Session) -> bool {
    if change.server.version.flavour == Flavour::MariaDb {
        return true;
    }
    let most = if change.server.version.is_mysql_since((9, 1, 0)) { 255 } else { 64 };
    let versions =
        session.text(&sql::catalogue::row_versions(&change.source)).await.unwrap_or_default();
    versions.parse::<u64>().unwrap_or_default() < most
}

/// Refuses what the altered table must not be.
pub(crate) async fn refuse_result(change: &Change, session: &mut Session) -> Result<Vec<Refusal>> {
    let attempted = || change.doing("look at the altered clone of");
    let mut refusals = Vec::new();
    let row = session
        .row(&sql::catalogue::table_facts(&change.names.clone))
        .await
        .doing_in_catalogue(attempted)?;
    let engine = row.map(|row| text(&row[1])).unwrap_or_default();
    if engine != "InnoDB" {
        refusals.push(Refusal::new(
            "the clauses",
            format!("they change the engine to {engine}"),
            "leave the ENGINE clause out",
        ));
    }
    Ok(refusals)
}

/// Returns the foreign keys that the clauses have added to the clone. They are not checked yet.
pub(crate) async fn added_keys(change: &Change, session: &mut Session) -> Result<Vec<ForeignKey>> {
    let attempted = || change.doing("look for foreign keys of the altered clone of");
    let keys = foreign_keys(session, &change.names.clone).await;
    keys.doing_in_catalogue(attempted)
}

pub(crate) fn lookup_note(shape: &Shape) -> Option<String> {
    shape.key.needs_lookup().then(|| {
        format!(
            "the altered table has no index over the key {}. The run adds one, {LOOKUP}, and \
             drops it right after the swap",
            shape.key.describe()
        )
    })
}
