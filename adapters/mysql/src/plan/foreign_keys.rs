//! Finds what prevents carrying a foreign key, and says in `plan` what happens to the keys.

use crate::change::Change;
use crate::log::cascades::Parent;
use crate::plan::count::Count;
use crate::plan::hidden_keys::refuse_hidden_keys;
use crate::schema::carried_keys::{
    before_change, carried_keys, is_key_dropped, name_added_keys, source_keys,
};
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::{ForeignKey, OwnKey, foreign_keys};
use crate::schema::foreign_key_indexes::has_index;
use crate::schema::table::{Table, is_same};
use crate::server::doing::Doing;
use crate::server::limited;
use crate::server::session::Session;
use crate::server::version::Flavour;
use crate::shadow::early_keys::{CascadeSource, cascade_source, parent_of};
use crate::sql;
use altergeist_contract::{Code, Finding, ForeignKeys, Result};

/// Rows without a parent are counted up to this number.
const ORPHANS_MAX: u64 = 10_000;

/// Refuses the keys that the clauses add to the clone and that the new table cannot have.
pub(crate) async fn refuse_added_keys(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look for foreign keys of the altered clone of");
    let added = foreign_keys(session, &change.names.clone).await.doing_in_catalogue(attempted)?;
    let keys = source_keys(change, session).await?;
    let mut refusals = Vec::new();
    for key in name_added_keys(change, &added, &keys) {
        let mut refuse = |reason: &str, remedy: &str| {
            refusals.push(Finding::error(Code::ForeignKey, key.describe(), reason, remedy))
        };
        if change.target.foreign_keys == ForeignKeys::Refuse {
            refuse(
                "the clauses add a foreign key, and --foreign-keys refuse is set",
                "leave out --foreign-keys refuse",
            );
            continue;
        }
        let parent = parent_of(change, session, &key).await?;
        if key.parent != change.source
            && !parent.is_some_and(|parent| has_index(&parent, &key.parent_columns))
        {
            refuse(
                "the columns it refers to do not exist, or have no index",
                "create them with an index, or leave the foreign key out",
            );
            continue;
        }
        let Some(before) = before_change(&key, mapping) else { continue };
        refusals.extend(find_orphans(change, session, &before, &key).await?);
    }
    Ok(refusals)
}

/// Counts rows whose parent is missing, up to a limit. `named` is what the finding names.
async fn find_orphans(
    change: &Change,
    session: &mut Session,
    key: &ForeignKey,
    named: &ForeignKey,
) -> Result<Option<Finding>> {
    let most = change.target.look.most(ORPHANS_MAX);
    let query = sql::catalogue::count_orphans(
        (&change.source, &key.child),
        &key.columns,
        (&key.parent, &key.parent_columns),
        most,
    );
    let found = limited::ask(change, session, &query).await;
    let found = found.doing(change.doing("look for rows without a parent in"))?;
    let Some(found) = found else {
        let object = named.describe();
        return Ok(Some(limited::unanswered(change, &object, "rows without a parent")));
    };
    let count = found.parse().unwrap_or_default();
    let orphans = Count { count, is_least: count >= most };
    Ok((count > 0).then(|| orphans_refusal(named, orphans)))
}

fn orphans_refusal(key: &ForeignKey, orphans: Count) -> Finding {
    let reason = orphans.rows("refer to a parent that is not there");
    let remedy = "give these rows a parent, or delete them";
    Finding::error(Code::ForeignKeyViolated, key.describe(), reason, remedy).count(orphans.count)
}

/// Refuses, by name, the foreign keys that the swap cannot carry or must not carry.
pub(crate) async fn refuse_foreign_keys(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    altered: &Table,
) -> Result<Vec<Finding>> {
    let keys = source_keys(change, session).await?;
    let told_by = cascade_source(change, session, &keys).await;
    let mut refusals = Vec::new();
    for key in &keys {
        let found = match told_by {
            _ if key.child != change.source || !key.writes() => None,
            CascadeSource::Log => None,
            CascadeSource::EarlyKeys if change.target.foreign_keys == ForeignKeys::Carry => None,
            CascadeSource::EarlyKeys => {
                Some(unlogged(key, "without it the new table could not be kept current"))
            }
            CascadeSource::Parents => unlogged_obstacle(change, session, key, mapping).await?,
        };
        let is_early =
            told_by == CascadeSource::EarlyKeys && key.child == change.source && key.writes();
        let found = found.or_else(|| obstacle(change, key, mapping, altered, is_early));
        refusals.extend(found.map(|(reason, remedy)| {
            Finding::error(Code::ForeignKey, key.describe(), reason, remedy)
        }));
    }
    refusals.extend(refuse_hidden_keys(change, session, &keys).await?);
    if told_by == CascadeSource::EarlyKeys {
        for key in keys.iter().filter(|key| key.child == change.source && key.writes()) {
            refusals.extend(find_orphans(change, session, key, key).await?);
        }
    }
    Ok(refusals)
}

/// Returns why the run cannot follow an unlogged foreign key of the table.
pub(crate) async fn unlogged_obstacle(
    change: &Change,
    session: &mut Session,
    key: &ForeignKey,
    mapping: &ColumnMapping,
) -> Result<Option<(String, &'static str)>> {
    let because = |why: &str| Ok(Some(unlogged(key, why)));
    let is_alike = |column: &String| {
        let pair = mapping.columns.iter().find(|pair| is_same(&pair.source.name, column));
        pair.is_some_and(|pair| pair.source.is_alike(&pair.shadow))
    };
    if !key.columns.iter().all(is_alike) {
        return because("the clauses change one of its columns");
    }
    if key.parent == change.source {
        return match OwnKey::of(key, &mapping.key) {
            Some(_) => Ok(None),
            None => because(&format!(
                "it does not refer to the columns of {}, by which rows are followed",
                mapping.key.index
            )),
        };
    }
    let parent = &key.parent.plain();
    let Some(table) = parent_of(change, session, key).await? else {
        return because(&format!("this user may not see {parent}"));
    };
    if Parent::of(key, &table).is_none() {
        return because(&format!("the log does not show the values of {parent}"));
    }
    let above = foreign_keys(session, &key.parent)
        .await
        .doing_in_catalogue(format!("look for foreign keys of {parent}"))?;
    if let Some(above) = above.iter().find(|above| above.changes_parents_of(key)) {
        return because(&format!(
            "{} changes rows of {parent} in the same way, and the log does not show it",
            above.describe()
        ));
    }
    let image =
        session.text(sql::log::ROW_IMAGE).await.doing_in_catalogue("look at binlog_row_image")?;
    let is_primary = table.indexes.iter().any(|index| {
        let refers_to =
            |column: &String| index.parts.iter().any(|part| is_same(&part.column, column));
        index.name == "PRIMARY" && key.parent_columns.iter().all(refers_to)
    });
    if image == "MINIMAL" && !is_primary {
        return because(&format!(
            "binlog_row_image is MINIMAL, so the log does not show which rows of {parent} changed"
        ));
    }
    Ok(None)
}

pub(crate) fn obstacle(
    change: &Change,
    key: &ForeignKey,
    mapping: &ColumnMapping,
    altered: &Table,
    is_early: bool,
) -> Option<(String, &'static str)> {
    const AFTERWARDS: &str = "drop it before the change, and add it again afterwards";
    let is_own = key.child == change.source;
    if is_key_dropped(change, key) && !is_early {
        return None;
    }
    match change.target.foreign_keys {
        ForeignKeys::Refuse => {
            return Some((
                "the table has foreign keys, and --foreign-keys refuse is set".into(),
                "leave out --foreign-keys refuse",
            ));
        }
        ForeignKeys::Discard if is_own => return None,
        ForeignKeys::Discard => {
            return Some((
                "only the table's own foreign keys can be left out".into(),
                "drop it first, or leave out --foreign-keys discard",
            ));
        }
        ForeignKeys::Carry => {}
    }
    let mut ends: Vec<&[String]> = Vec::new();
    if is_own {
        ends.push(&key.columns);
    }
    if key.parent == change.source {
        ends.push(&key.parent_columns);
    }
    for columns in ends {
        for column in columns {
            let pair = mapping.columns.iter().find(|pair| is_same(&pair.source.name, column));
            if !pair.is_some_and(|pair| pair.source.is_alike(&pair.shadow)) {
                return Some((
                    format!("column {column} would not be the same afterwards"),
                    AFTERWARDS,
                ));
            }
        }
        let after: Vec<String> = columns.iter().map(|column| mapping.name_after(column)).collect();
        if !has_index(altered, &after) {
            return Some((format!("no index would begin with {}", after.join(", ")), AFTERWARDS));
        }
    }
    None
}

/// Returns what users should know of the foreign keys before the change. The clone has those that
/// the clauses add.
pub(crate) async fn foreign_key_notes(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Vec<Finding>> {
    let keys = source_keys(change, session).await?;
    let added = foreign_keys(session, &change.names.clone)
        .await
        .doing_in_catalogue(change.doing("look for foreign keys of the altered clone of"))?;
    if keys.is_empty() && added.is_empty() {
        return Ok(Vec::new());
    }
    let mut notes: Vec<String> = Vec::new();
    let old = &change.names.old;
    let own: Vec<String> = keys
        .iter()
        .filter(|key| key.child == change.source)
        .map(|key| sql::ddl::add(&key.definition(change.server.version)))
        .collect();
    if !own.is_empty() {
        notes.push(format!(
            "after the swap the old table {} has no foreign keys. To give them back: ALTER TABLE \
             {} {}",
            old.plain(),
            sql::table(old),
            own.join(", ")
        ));
    }
    for carried in carried_keys(change, &keys, &added, mapping) {
        let (key, meanwhile) = (carried.key.describe(), &carried.temporary);
        notes.push(match carried.is_new {
            true => format!(
                "the server enforces {key} from the cut-over on. The run checks the rows before \
                 and after it"
            ),
            false => {
                format!("the cut-over carries {key}. Its name is {meanwhile} for a moment")
            }
        });
    }
    if keys.iter().any(|key| key.child != change.source) {
        notes.push("the swap also locks the tables whose foreign keys refer to this one".into());
    }
    if change.server.version.flavour == Flavour::MariaDb
        && keys.iter().any(|key| key.parent != change.source)
    {
        notes.push(
            "the swap also locks the tables that its foreign keys refer to, against writes".into(),
        );
    }
    if !added.is_empty() {
        notes.push("the swap also locks the tables that added foreign keys refer to".into());
    }
    if change.target.foreign_keys == ForeignKeys::Discard {
        notes.push(
            "the new table has no foreign keys of its own, as --foreign-keys discard asks".into(),
        );
    }
    Ok(notes.into_iter().map(|note| Finding::note(Code::ForeignKey, note)).collect())
}

/// Returns why an unlogged key is refused, and what to do.
pub(crate) fn unlogged(key: &ForeignKey, why: &str) -> (String, &'static str) {
    let actions = format!("it is ON DELETE {} ON UPDATE {}", key.on_delete, key.on_update);
    let reason =
        format!("{actions}. The server does not log what this does to the table's rows, and {why}");
    (reason, "drop it, or change its action to NO ACTION, until the change is done")
}
