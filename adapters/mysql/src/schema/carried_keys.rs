//! The foreign keys that the swap carries, with the names that they and their columns get. Only
//! [`source_keys`] asks the server.

use crate::change::Change;
use crate::facts::CarriedKey;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::schema::table::is_same;
use crate::server::doing::Doing;
use crate::server::names::{TableName, hash};
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{ForeignKeys, Result};

/// Returns the foreign keys of the table, and those that refer to it.
pub(crate) async fn source_keys(change: &Change, session: &mut Session) -> Result<Vec<ForeignKey>> {
    foreign_keys(session, &change.source)
        .await
        .doing_in_catalogue(change.doing("look for foreign keys of"))
}

/// Returns the foreign keys that the swap will carry, with the columns' names after the change, and
/// those that the clauses add.
pub(crate) fn carried_keys(
    change: &Change,
    keys: &[ForeignKey],
    added: &[ForeignKey],
    mapping: &ColumnMapping,
) -> Vec<CarriedKey> {
    let hash = hash(&change.title);
    keys.iter()
        .filter(|key| !is_key_left(change, key))
        .map(|key| (key_after_change(change, key, mapping), false))
        .chain(name_added_keys(change, added, keys).into_iter().map(|key| (key, true)))
        .zip(1..)
        .map(|((key, is_new), number)| CarriedKey {
            temporary: format!("_ag_{hash:016x}_{number}"),
            key,
            is_new,
        })
        .collect()
}

/// Returns the keys that the clauses gave to a copy, as keys of the source. Keys without a name get
/// the number after the highest, as the server does it.
pub(crate) fn name_added_keys(
    change: &Change,
    added: &[ForeignKey],
    keys: &[ForeignKey],
) -> Vec<ForeignKey> {
    let generated =
        |table: &str, name: &str| name.strip_prefix(&format!("{table}_ibfk_"))?.parse::<u64>().ok();
    let own = keys.iter().filter(|key| key.child == change.source);
    let highest =
        own.filter_map(|key| generated(&change.source.name, &key.name)).max().unwrap_or(0);
    let name = |key: &ForeignKey| match generated(&key.child.name, &key.name) {
        Some(number) => format!("{}_ibfk_{}", change.source.name, highest + number),
        None => key.name.clone(),
    };
    added
        .iter()
        .map(|key| ForeignKey { child: change.source.clone(), name: name(key), ..key.clone() })
        .collect()
}

/// Returns whether a key of the table stays behind: the clauses drop it, or the user wants none.
pub(crate) fn is_key_left(change: &Change, key: &ForeignKey) -> bool {
    let wants_none = change.target.foreign_keys != ForeignKeys::Carry;
    key.child == change.source && (wants_none || is_key_dropped(change, key))
}

/// Returns whether the clauses drop a key.
pub(crate) fn is_key_dropped(change: &Change, key: &ForeignKey) -> bool {
    key.child == change.source && change.request.dropped_keys.contains(&key.name)
}

/// Returns a key with the columns' names after the change.
pub(crate) fn key_after_change(
    change: &Change,
    key: &ForeignKey,
    mapping: &ColumnMapping,
) -> ForeignKey {
    let after = |table: &TableName, columns: &[String]| match *table == change.source {
        true => columns.iter().map(|column| mapping.name_after(column)).collect(),
        false => columns.to_vec(),
    };
    ForeignKey {
        columns: after(&key.child, &key.columns),
        parent_columns: after(&key.parent, &key.parent_columns),
        ..key.clone()
    }
}

/// Returns an added key as a key of the source of today. None if its columns are new or change:
/// then only the new table shows whether its rows obey it.
pub(crate) fn before_change(key: &ForeignKey, mapping: &ColumnMapping) -> Option<ForeignKey> {
    let before = |column: &String| {
        let pair = mapping.columns.iter().find(|pair| is_same(&pair.shadow.name, column))?;
        pair.source.is_alike(&pair.shadow).then(|| pair.source.name.clone())
    };
    Some(ForeignKey {
        columns: key.columns.iter().map(before).collect::<Option<_>>()?,
        ..key.clone()
    })
}

pub(crate) fn orphans_query(change: &Change, key: &ForeignKey) -> String {
    sql::catalogue::has_orphans(
        &change.source,
        &key.child,
        &key.columns,
        &key.parent,
        &key.parent_columns,
    )
}
