//! The indexes that foreign keys need.

use crate::schema::foreign_key::ForeignKey;
use crate::schema::table::{Index, Table, is_same};
use crate::sql;
use std::collections::BTreeSet;

/// Returns the indexes that the server may have made for a foreign key. When a key is added, it
/// rebuilds such an index under another name. An index that was renamed, even to its own name,
/// stays.
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

/// Returns the clauses that make such indexes stay.
pub(crate) fn keep_indexes<'a>(
    table: &Table,
    keys: impl Iterator<Item = &'a ForeignKey>,
) -> Vec<String> {
    let renamed = |index: &&str| sql::clauses::rename_index(index, index);
    own_indexes(table, keys).iter().map(renamed).collect()
}

/// Returns whether the table has an index that begins with these whole columns.
pub(crate) fn has_index(table: &Table, columns: &[String]) -> bool {
    index_over(table, columns).is_some()
}

/// Returns the first index of the table that begins with these whole columns.
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
