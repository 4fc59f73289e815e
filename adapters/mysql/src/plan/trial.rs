//! Tries the clauses on an empty clone: natively first, then as a copy would run them.

use crate::change::Change;
use crate::facts::NativeChange;
use crate::key::index::LOOKUP;
use crate::plan::computed;
use crate::plan::data::refuse_rows;
use crate::plan::dropped::find_dropped;
use crate::plan::foreign_keys::{foreign_key_notes, refuse_added_keys, refuse_foreign_keys};
use crate::plan::full_text::check_own_documents;
use crate::plan::hidden_keys::hidden_keys_note;
use crate::plan::partitions::measure_swap;
use crate::plan::relation_privileges::refuse_privileges_on_relations;
use crate::plan::reversible::judge_way_back;
use crate::plan::triggers::refuse_triggers;
use crate::schema::carried_keys::source_keys;
use crate::schema::check_names::Renamed;
use crate::schema::clauses::Clauses;
use crate::schema::column_mapping::{self, ColumnMapping};
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::lookup::{read_table, table_exists};
use crate::schema::table::{Table, definition_of, outline};
use crate::server::doing::Doing;
use crate::server::error::Failure;
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
use altergeist_contract::{Code, Error, Finding, Kind, Result, Strategy};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The outcome of trying the clauses.
#[derive(Default)]
pub(crate) struct Trial {
    /// The statement that needs no copy.
    pub native: Option<String>,
    pub mapping: Option<ColumnMapping>,
    /// Indexes that are built after the copy.
    pub deferred: Vec<String>,
    /// FULLTEXT indexes that are built last.
    pub full_text: Vec<String>,
    pub findings: Vec<Finding>,
    /// The definition of the clone after the clauses.
    pub definition: String,
}

impl Trial {
    fn found(finding: Finding) -> Trial {
        Trial { findings: vec![finding], ..Trial::default() }
    }
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

/// How long a plan waits for its turn on the clone.
const TURN_SECONDS: u64 = 60;

/// Tries the clauses on an empty clone, and drops the clone whatever the outcome.
pub(crate) async fn try_clauses(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
    session: &mut Session,
    clauses: &Clauses,
) -> Result<Trial> {
    let attempted = || change.doing("try the clauses on an empty clone of");
    // Plans of one table share the clone's name: they take turns. The lock goes with the session.
    let turn = format!("{}_plan", change.names.lock);
    let taken = session.text(&sql::session::get_lock(&turn, TURN_SECONDS)).await;
    if taken.doing_in_catalogue(attempted)? != "1" {
        let reason = "other plans of this table have used the clone for a minute; try again";
        return Err(Error::new(Kind::Busy, attempted(), reason));
    }
    drop_clone(change, session).await?;
    let names = make_copy(change, session, &change.names.clone).await.trying_clauses(attempted)?;
    let trial = try_on_clone(change, pool, native, session, clauses, &names).await;
    let altered = read_outlines(change, session, &names).await;
    let dropped = drop_clone(change, session).await;
    let released = session.execute(&sql::session::release_lock(&turn)).await;
    released.doing_in_catalogue(attempted)?;
    let mut trial = trial?;
    trial.definition = altered.map(|outlines| outlines.copy.join("\n")).unwrap_or_default();
    dropped.map(|()| trial)
}

async fn try_on_clone(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
    session: &mut Session,
    clauses: &Clauses,
    names: &[Renamed],
) -> Result<Trial> {
    let outlines = read_outlines(change, session, names).await?;
    if let Some(refusal) = refuse_incomplete_copy(change, &outlines) {
        return Ok(Trial::found(refusal));
    }
    let source = read_table(change, session, &change.source).await?;
    let tried = try_to_spare_the_copy(change, native, session, &outlines, names).await?;
    if let Some(means) = tried.means {
        let statement = sql::ddl::alter_by(means, &change.source, change.request.given.trim());
        let clone = read_table(change, session, &change.names.clone).await?;
        let mut findings = find_dropped(change, session, clauses, [&source, &clone]).await?;
        findings.extend(computed::held(change, &source));
        return Ok(Trial { native: Some(statement), findings, ..Trial::default() });
    }
    if let Some(refusal) = refuse_a_copy(change) {
        return Ok(Trial::found(refusal));
    }
    if !change.request.effective.is_empty() && !tried.is_altered {
        let tried = alter_copy(change, session, &change.names.clone, names, "").await;
        if let Err(failure) = tried {
            return refuse_clauses(change, failure).map(Trial::found);
        }
    }
    let clone = read_table(change, session, &change.names.clone).await?;
    let mut trial = judge_clone(change, pool, session, clauses, [&source, &clone]).await?;
    trial.findings.extend(find_dropped(change, session, clauses, [&source, &clone]).await?);
    trial.findings.extend(computed::still_read(clauses, &source));
    trial.findings.extend(computed::held(change, &source));
    trial.findings.extend(computed::loaded(clauses));
    Ok(trial)
}

/// Tries whether the server can make the change without a copy. If so, notes what the table will
/// look like.
async fn try_to_spare_the_copy(
    change: &Change,
    native: &NativeState,
    session: &mut Session,
    outlines: &Outlines,
    names: &[Renamed],
) -> Result<Tried> {
    let alter = &*change.request.effective;
    let is_refused = native.is_refused.load(Ordering::Relaxed);
    let drops_keys = !change.request.dropped_keys.is_empty();
    let is_nothing = alter.is_empty() && !drops_keys;
    if change.target.strategy == Strategy::Copy || is_nothing || is_refused {
        return Ok(Tried { means: None, is_altered: false });
    }
    let tried = match alter.is_empty() {
        // The clone has no foreign keys, so their drop changes nothing there.
        true => Tried { means: Some(IN_PLACE), is_altered: false },
        false => try_natively(change, session, names).await?,
    };
    let adds_keys = tried.is_altered && !added_keys(change, session).await?.is_empty();
    if tried.means.is_none() || adds_keys {
        return Ok(Tried { means: None, ..tried });
    }
    let after = read_outlines(change, session, names).await?.copy;
    let before = outlines.source.clone();
    *native.expected.lock().expect("not poisoned") =
        Some(NativeChange { before, after, drops_keys });
    Ok(tried)
}

/// Refuses a copy of the table where the user allows none.
fn refuse_a_copy(change: &Change) -> Option<Finding> {
    let (reason, remedy) = if change.request.wants_instant() {
        (
            "they ask for ALGORITHM=INSTANT, and the server cannot do them instantly",
            "leave out ALGORITHM=INSTANT; then the run copies the table",
        )
    } else if change.target.strategy == Strategy::Native {
        (
            "the server must copy or scan the table for them",
            "leave out --strategy native; then the run copies the table",
        )
    } else {
        return None;
    };
    Some(Finding::error(Code::NotNative, "the clauses", reason, remedy))
}

/// Refuses clauses that the server did not accept. Other failures are errors.
fn refuse_clauses(change: &Change, failure: Failure) -> Result<Finding> {
    let is_about_dates = failure.is_about_dates();
    let error = failure.of_clauses("alter an empty clone");
    if error.kind != Kind::Refused {
        return Err(error);
    }
    let (code, remedy) = match is_about_dates && !change.target.allow_zero_dates {
        true => (Code::ZeroDates, "correct them, or allow zero dates with --allow-zero-dates"),
        false => (Code::ClauseRejected, "correct them"),
    };
    Ok(Finding::error(code, "the clauses", error.reason, remedy))
}

/// Judges the altered clone: what is in the way of a copy, and what the user should know.
async fn judge_clone(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
    clauses: &Clauses,
    [source, clone]: [&Table; 2],
) -> Result<Trial> {
    let mut trial = Trial { findings: refuse_result(change, session).await?, ..Trial::default() };
    trial.findings.extend(refuse_triggers(change, pool).await?);
    let names = (&change.source, &change.names.shadow);
    let (zone, flavour) = (change.server.zone(), change.server.version.flavour);
    let mapping = match column_mapping::find(names, source, clone, clauses, zone, flavour) {
        Ok(mapping) => mapping,
        Err(refusals) => {
            trial.findings.extend(refusals);
            return Ok(trial);
        }
    };
    let findings = &mut trial.findings;
    findings.extend(refuse_rows(change, session, &mapping, clone).await?);
    findings.extend(refuse_foreign_keys(change, session, &mapping, clone).await?);
    findings.extend(refuse_added_keys(change, session, &mapping).await?);
    findings.extend(refuse_privileges_on_relations(change, session).await?);
    findings.extend(refuse_lookup(change, session, &mapping).await?);
    findings.extend(refuse_kept(change, session, &mapping).await?);
    let documents = check_own_documents(change, session, &mapping, [source, clone]).await?;
    findings.extend(documents.findings);
    trial.full_text = documents.built_last;
    let kept = needed_indexes(change, pool, session, &change.names.clone, &mapping).await?;
    trial.deferred = predict_deferred(change, session, &change.names.clone, &kept).await?;
    match late_index(change, session, &change.names.clone, &mapping).await? {
        Ok(late) => {
            trial.deferred.retain(|text| late.as_ref().is_none_or(|late| late.text != *text));
            findings.extend(late.iter().map(late_index::note));
        }
        Err(refusal) => findings.push(refusal),
    }
    findings.extend(foreign_key_notes(change, session, &mapping).await?);
    findings.extend(hidden_keys_note(change, session).await?);
    findings.extend(lookup_note(&mapping));
    findings.extend(kept_columns::note(&mapping));
    findings.extend(measure_swap(change, session).await?);
    let tables = [source, clone];
    findings.extend(judge_way_back(change, session, clauses, tables, &mapping).await?);
    findings.extend(computed::sample(change, session, &mapping).await?);
    trial.mapping = Some(mapping);
    Ok(trial)
}

/// Refuses the change if the server might use our own index for a foreign key: the run drops that
/// index.
pub(crate) async fn refuse_lookup(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Option<Finding>> {
    let may_be = mapping.key.needs_lookup() && !source_keys(change, session).await?.is_empty();
    let object = format!("index {}", mapping.key.index);
    let reason = "the altered table has foreign keys, and no index that finds rows by the key's \
                  columns";
    let remedy = "keep an index that begins with these columns, and drop it after the change";
    Ok(may_be.then(|| Finding::error(Code::KeyChoice, &object, reason, remedy)))
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
pub(crate) fn refuse_incomplete_copy(change: &Change, outlines: &Outlines) -> Option<Finding> {
    if outlines.source == outlines.copy {
        return None;
    }
    let lost = outlines.source.iter().find(|line| !outlines.copy.contains(line));
    let line = lost.map_or("the order of its parts", |line| line.trim());
    let reason = format!("CREATE TABLE … LIKE does not keep: {line}");
    Some(Finding::error(
        Code::TableKind,
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
pub(crate) async fn refuse_result(change: &Change, session: &mut Session) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look at the altered clone of");
    let mut refusals = Vec::new();
    let row = session
        .row(&sql::catalogue::table_facts(&change.names.clone))
        .await
        .doing_in_catalogue(attempted)?;
    let engine = row.map(|row| text(&row[1])).unwrap_or_default();
    if engine != "InnoDB" {
        refusals.push(Finding::error(
            Code::TableKind,
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

pub(crate) fn lookup_note(mapping: &ColumnMapping) -> Option<Finding> {
    mapping.key.needs_lookup().then(|| {
        let note = format!(
            "the altered table has no index over the key {}. The run adds one, {LOOKUP}, and drops \
             it right after the swap",
            mapping.key.describe()
        );
        Finding::note(Code::KeyChoice, note)
    })
}
