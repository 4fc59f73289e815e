//! Key columns that the clauses drop, or change so that their values cannot be turned back. The
//! shadow keeps the source's values in columns of ours until the run ends.
//!
//! They are invisible, may be NULL, and come last. So no statement of the application meets them
//! between the swap and the end. The server adds and drops them without touching a row
//! (`ALGORITHM=INSTANT`). `plan` has tried that on the empty clone.

use crate::key::index::{KeyColumn, KeyIndex, LOOKUP};
use crate::key::mapping::Mapping;
use crate::schema::pair::Pair;
use crate::schema::table::{Column, Table};

/// How the names of these columns begin.
const KEPT: &str = "_ag_key_";

/// Returns whether a column of the shadow is one of ours.
pub(crate) fn is_kept(column: &str) -> bool {
    column.starts_with(KEPT)
}

/// Builds a key, although some of its columns have no counterpart in the shadow.
pub(crate) fn key(
    index: &str,
    mut columns: Vec<KeyColumn>,
    source: &Table,
) -> (KeyIndex, Vec<Pair>) {
    let mut kept = Vec::new();
    for column in columns.iter_mut().filter(|column| column.shadow_name.is_empty()) {
        column.shadow_name = format!("{KEPT}{}", kept.len() + 1);
        column.mapping = Mapping::Same;
        let source = source.column(&column.name).expect("the key was read from this table").clone();
        let shadow = Column {
            name: column.shadow_name.clone(),
            nullable: true,
            generated: false,
            expression: String::new(),
            extra: String::new(),
            ..source.clone()
        };
        kept.push(Pair { source, shadow, by_text: false, formula: None });
    }
    (KeyIndex { index: index.to_owned(), shadow_index: LOOKUP.to_owned(), columns }, kept)
}
