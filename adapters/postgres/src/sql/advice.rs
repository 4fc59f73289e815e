//! Statements that the user is advised to run, and those that the plan shows.

use crate::server::names::Names;
use crate::sql::quote::quoted;

/// Gives a table a key that the server numbers.
pub(crate) fn add_numbered_key(table: &str, column: &str, constraint: &str) -> String {
    format!(
        "ALTER TABLE {table} ADD COLUMN {column} bigint GENERATED ALWAYS AS IDENTITY {constraint}"
    )
}

/// Rebuilds a table while it is written to, by the server itself.
pub(crate) fn repack(table: &str) -> String {
    format!("REPACK (CONCURRENTLY) {table}")
}

/// Rebuilds an index while the table is written to.
pub(crate) fn reindex(index: &str) -> String {
    format!("REINDEX INDEX CONCURRENTLY {index}")
}

/// Creates a unique index while the table is written to.
pub(crate) fn create_unique_index(table: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    format!("CREATE UNIQUE INDEX CONCURRENTLY ON {table} ({})", columns.join(", "))
}

/// How a CREATE INDEX or DROP INDEX begins that blocks nobody.
pub(crate) fn index_statement(is_made: bool, is_unique: bool, is_concurrent: bool) -> String {
    let begin = match (is_made, is_unique) {
        (true, true) => "CREATE UNIQUE INDEX",
        (true, false) => "CREATE INDEX",
        _ => "DROP INDEX",
    };
    format!("{begin}{}", if is_concurrent { " CONCURRENTLY" } else { "" })
}

/// How the plan shows the publication.
pub(crate) fn shown_publication(publication: &str, table: &str) -> String {
    format!("CREATE PUBLICATION {publication} FOR TABLE {table} (key columns)")
}

/// How the plan shows the creation of the shadow.
pub(crate) fn shown_shadow(shadow: &str, clauses: &str) -> String {
    format!("CREATE TABLE {shadow} like the table; ALTER TABLE {shadow} {clauses}")
}

/// How the plan shows the copy.
pub(crate) fn shown_copy(names: &Names) -> String {
    format!("INSERT INTO {} SELECT … FROM {}, chunk by chunk", names.shadow(), names.display)
}

/// How the plan shows the builds of indexes.
pub(crate) const SHOWN_INDEXES: &str =
    "CREATE INDEX on the shadow, for the indexes left out while copying";

/// How the plan shows the vacuum.
pub(crate) const SHOWN_VACUUM: &str = "VACUUM (ANALYZE) of the shadow";

/// How the plan shows the swap.
pub(crate) fn shown_swap(names: &Names) -> String {
    format!(
        "ALTER TABLE {} SET SCHEMA {}; ALTER TABLE {} SET SCHEMA {}",
        names.display,
        names.old_schema,
        names.shadow(),
        names.schema
    )
}

/// How the plan shows the proof of carried foreign keys.
pub(crate) const SHOWN_VALIDATION: &str =
    "VALIDATE CONSTRAINT for the foreign keys that were valid";
