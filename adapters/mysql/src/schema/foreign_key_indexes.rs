//! The indexes that foreign keys rest on.

use crate::schema::foreign_key::ForeignKey;
use crate::schema::table::{Index, Table, is_same};
use crate::sql;
use std::collections::BTreeSet;

/// The indexes that the server may have made for a foreign key by itself. It replaces such an
/// index, rebuilding it and under another name, when a key is added; an index that was renamed,
/// even to its own name, is ours to keep.
pub(crate) fn own_indexes<'t, 'k>(
    table: &'t Table,
    keys: impl Iterator<Item = &'k ForeignKey>,
) -> BTreeSet<&'t str> {
    let lists: Vec<&[String]> = keys.map(|key| &key.columns[..]).collect();
    let may_be_made = |index: &&crate::schema::table::Index| {
        !index.unique
            && lists.iter().any(|columns| {
                columns.len() == index.parts.len()
                    && index
                        .parts
                        .iter()
                        .zip(*columns)
                        .all(|(part, column)| is_same(&part.column, column))
            })
    };
    table.indexes.iter().filter(may_be_made).map(|index| &*index.name).collect()
}

/// Clauses that make such indexes ours to keep.
pub(crate) fn keep_indexes<'a>(
    table: &Table,
    keys: impl Iterator<Item = &'a ForeignKey>,
) -> Vec<String> {
    let renamed =
        |index: &&str| format!("RENAME INDEX {} TO {}", sql::quote(index), sql::quote(index));
    own_indexes(table, keys).iter().map(renamed).collect()
}

/// Whether the table has an index that begins with these columns, whole.
pub(crate) fn has_index(table: &Table, columns: &[String]) -> bool {
    index_over(table, columns).is_some()
}

/// The first index of the table that begins with these columns, whole.
pub(crate) fn index_over<'t>(table: &'t Table, columns: &[String]) -> Option<&'t Index> {
    table.indexes.iter().find(|index| {
        index.parts.len() >= columns.len()
            && index
                .parts
                .iter()
                .zip(columns)
                .all(|(part, column)| part.prefix.is_none() && is_same(&part.column, column))
    })
}
