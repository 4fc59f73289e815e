//! Whether the change can be undone, and what would be lost then. It is tried on the empty clone,
//! which stands for the altered table.

use crate::change::Change;
use crate::plan::cascade::Cascade;
use crate::schema::altered::Altered;
use crate::schema::columns::Layout;
use crate::schema::definition;
use crate::schema::lookup_index;
use crate::schema::return_key;
use crate::schema::reverse_mapping::Tables;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result, Watermark};

/// The remedy where there is no way back.
const REMEDY: &str = "leave --reversible out";

/// The name of the empty table that stands for the old one: nothing hangs on it.
const OLD: &str = "altergeist_old";

/// Returns what keeps the change from being undone, and notes. `schema` has the clone.
pub(crate) async fn findings(
    session: &Session,
    change: &Change,
    (source, schema): (u32, &str),
    altered: &Altered,
    cascade: &Cascade,
) -> Result<Vec<Finding>> {
    let Some(layout) = &altered.layout else { return Ok(Vec::new()) };
    let mut findings = cascade.irretrievable();
    let old = definition::attributes(session, source).await?;
    let new = definition::attributes(session, altered.clone).await?;
    let number = |columns: &[definition::Attribute], name: &str| {
        columns.iter().find(|column| column.name == name).map(|column| column.number)
    };
    let filled = layout.columns.iter().filter(|column| !lookup_index::is_helper(&column.name));
    let pairs = filled
        .filter_map(|column| Some((number(&old, &column.source)?, number(&new, &column.name)?)));
    let tables = Tables {
        forward: layout,
        old: &old,
        new: &new,
        pairs: pairs.collect(),
        numbers: Vec::new(),
        reverse_sets: &change.target.reverse_sets,
    };
    findings.extend(unfit_kind(session, change, altered, layout).await?);
    findings.extend(computed(&tables));
    findings.extend(stray_sets(&tables));
    if findings.is_empty() {
        match return_key::choose(session, altered.clone, &tables).await? {
            None => findings.push(refusal(change.names.display.clone(), return_key::NONE)),
            Some(key) => {
                let names = change.names.turned();
                let back = tables.layout(&names, &key.index, key.columns, "misfits".to_owned());
                let back = Layout {
                    source: quote::qualified(schema, &names.table),
                    shadow: quote::qualified(schema, OLD),
                    ..back
                };
                findings.extend(untried(session, change, back).await?);
            }
        }
    }
    findings.extend(losses(&tables, altered));
    Ok(findings)
}

fn refusal(object: impl Into<String>, why: impl Into<String>) -> Finding {
    Finding::error(Code::NotRevertible, object, why, REMEDY)
}

/// Refuses altered tables of which the log tells nothing, or not in one stream.
async fn unfit_kind(
    session: &Session,
    change: &Change,
    altered: &Altered,
    layout: &Layout,
) -> Result<Option<Finding>> {
    let is_unlogged = session.one(sql::IS_UNLOGGED, &[&altered.clone]).await;
    let is_unlogged: bool = is_unlogged.trying_clauses("read the clone's definition")?.get(0);
    let table = format!("table {}", change.names.display);
    Ok(match () {
        () if layout.is_partitioned => {
            Some(refusal(table, "a partitioned table cannot be followed on the way back yet"))
        }
        () if is_unlogged => {
            Some(refusal(table, "the altered table is not logged, so nothing could follow it"))
        }
        () => None,
    })
}

/// Refuses columns whose values nothing can compute back.
fn computed(tables: &Tables<'_>) -> Vec<Finding> {
    let is_set = |name: &str| tables.reverse_sets.iter().any(|(column, _)| column == name);
    let lost = tables.both().filter(|(old, _)| tables.is_computed(old) && !is_set(&old.name));
    let refusal = |(old, _): (&definition::Attribute, _)| {
        Finding::error(
            Code::NotRevertible,
            format!("column {}", old.name),
            "an expression computes its new values, and nothing says how to compute the old ones",
            format!("use --reverse-set '{} = …', or {REMEDY}", old.name),
        )
    };
    lost.map(refusal).collect()
}

/// Refuses `--reverse-set` for columns that need none.
fn stray_sets(tables: &Tables<'_>) -> Vec<Finding> {
    let needs = |name: &str| {
        tables.old.iter().any(|old| {
            let is_kept = tables.pairs.iter().all(|(paired, _)| *paired != old.number);
            old.name == name && !old.generated && (is_kept || tables.is_computed(old))
        })
    };
    let stray = tables.reverse_sets.iter().filter(|(column, _)| !needs(column));
    let refusal = |(column, _): &(String, String)| {
        Finding::error(
            Code::NotRevertible,
            format!("--reverse-set {column}"),
            "the old table has no such column, or its values come from the altered table",
            "name a column that the change drops or computes",
        )
    };
    stray.map(refusal).collect()
}

/// Asks the server whether every value can be converted back, and compared.
async fn untried(session: &Session, change: &Change, layout: Layout) -> Result<Option<Finding>> {
    let attempted = || format!("try the way back of {}", change.names.display);
    let Some(back) = layout.back.clone() else { return Ok(None) };
    let write = sql::return_keys(&layout, &back);
    let layout = Layout { back: None, ..layout };
    let compare = sql::compare_range(&layout, &Watermark::Start, &Watermark::End);
    let path = sql::use_search_path(&change.search_path);
    let old = sql::create_like(&layout.shadow, &change.names.source());
    let begin = format!("{}; {old}; {path}", sql::savepoint("back"));
    session.run(&begin).await.trying_clauses(attempted)?;
    let outcome = match session.prepare(&write).await {
        Ok(()) => session.prepare(&compare).await,
        failed => failed,
    };
    session.run(&sql::roll_back_to("back")).await.trying_clauses(attempted)?;
    match outcome {
        Ok(()) => Ok(None),
        Err(error) if error::is_passing(&error) => Err(error::of(attempted(), &error)),
        Err(error) => {
            let why = error::of_clauses(attempted(), &error).reason;
            let reason = format!("the server cannot convert its rows back: {why}");
            Ok(Some(refusal(format!("table {}", change.names.display), reason)))
        }
    }
}

/// Says what would not come back.
fn losses(tables: &Tables<'_>, altered: &Altered) -> Vec<Finding> {
    let note = |columns: Vec<&str>, message: &str| {
        let note = Finding::note(Code::NotRevertible, message);
        (!columns.is_empty()).then(|| note.about(format!("column {}", columns.join(", "))))
    };
    let added = altered.changes.created.iter().map(|(name, _)| name.as_str()).collect();
    let dropped = altered.changes.dropped.iter().filter(|column| !column.generated);
    let dropped = dropped.map(|column| column.name.as_str()).collect();
    let is_cast = |(old, new): &(&definition::Attribute, &definition::Attribute)| {
        old.stored_shape() != new.stored_shape() && !old.generated && !tables.is_computed(old)
    };
    let cast = tables.both().filter(is_cast).map(|(old, _)| old.name.as_str()).collect();
    let notes = [
        note(added, "a revert loses its values"),
        note(
            dropped,
            "a revert restores its values. New rows, and rows whose key changes, get its default \
             or what --reverse-set says",
        ),
        note(
            cast,
            "after the swap, a row with a value that its old type cannot hold blocks the revert",
        ),
    ];
    notes.into_iter().flatten().collect()
}
