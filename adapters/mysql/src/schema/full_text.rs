//! FULLTEXT indexes and document numbers, read from SHOW CREATE TABLE. Pure.
//!
//! InnoDB numbers the rows of a table with a FULLTEXT index. A table may number them itself, in a
//! column of this name ([`DOCUMENT`]). Then InnoDB takes only growing numbers.

use crate::schema::index_definition::{Definition, quoted};
use crate::schema::table::{Part, Table, is_same};

/// The column that holds a table's own document numbers. InnoDB knows it by this name alone.
pub(crate) const DOCUMENT: &str = "FTS_DOC_ID";

/// Returns the FULLTEXT indexes.
pub(crate) fn full_text(definition: &str) -> Vec<Definition> {
    let of_line = |line: &str| {
        let text = line.strip_prefix("  ")?;
        let text = text.strip_suffix(',').unwrap_or(text);
        let name = quoted(text.strip_prefix("FULLTEXT KEY ")?)?;
        Some(Definition { name, text: text.to_owned() })
    };
    definition.lines().filter_map(of_line).collect()
}

/// Returns whether the table has a FULLTEXT index and numbers its documents itself.
pub(crate) fn has_own_documents(definition: &str) -> bool {
    let column = format!("  `{DOCUMENT}` ");
    definition.lines().any(|line| line.starts_with(&column)) && !full_text(definition).is_empty()
}

/// Returns the columns that the table's FULLTEXT indexes cover.
pub(crate) fn full_text_columns(definition: &str) -> Vec<String> {
    full_text(definition).iter().flat_map(columns_of).collect()
}

fn columns_of(index: &Definition) -> Vec<String> {
    let name = index.name.replace('`', "``");
    let begin = format!("FULLTEXT KEY `{name}` (");
    let mut rest = index.text.strip_prefix(&begin).unwrap_or_default();
    let mut columns = Vec::new();
    while let Some(column) = quoted(rest) {
        // The name, its doubled quotes, and the two around it.
        let spelled = column.len() + column.matches('`').count() + 2;
        rest = rest[spelled..].strip_prefix(',').unwrap_or_default();
        columns.push(column);
    }
    columns
}

/// Returns whether an index that the server may use finds a document by its number.
pub(crate) fn finds_documents(table: &Table) -> bool {
    let is_it = |parts: &[Part]| match parts {
        [part] => is_same(&part.column, DOCUMENT) && part.prefix.is_none(),
        _ => false,
    };
    table.indexes.iter().any(|index| index.unique && index.usable && is_it(&index.parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_numbers_its_documents_if_it_has_the_column_and_an_index_of_full_texts() {
        let of = |column: &str, key: &str| {
            has_own_documents(&format!(
                "CREATE TABLE `t` (\n  `{column}` bigint,\n  {key} (`body`)\n) ENGINE=InnoDB"
            ))
        };
        assert!(of("FTS_DOC_ID", "FULLTEXT KEY `f`"));
        assert!(!of("FTS_DOC_ID", "KEY `f`"));
        assert!(!of("id", "FULLTEXT KEY `f`"));
    }

    #[test]
    fn columns_under_full_text_indexes_are_read_from_the_servers_own_words() {
        let definition = "CREATE TABLE `t` (\n  `a` text,\n  FULLTEXT KEY `x``(` (`a`,`b``)`),\n  \
                          FULLTEXT KEY `y` (`c`) /*!50100 WITH PARSER `ngram` */ \n) ENGINE=InnoDB";
        assert_eq!(full_text_columns(definition), ["a", "b`)", "c"]);
    }
}
