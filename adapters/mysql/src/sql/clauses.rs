//! Clauses of ALTER TABLE, and how definitions of tables begin.

use crate::server::names::TableName;
use crate::sql::quote::{quote, table};

/// The statement that drops a column.
pub(crate) fn drop_column(of: &TableName, column: &str) -> String {
    format!("ALTER TABLE {} DROP COLUMN {}", table(of), quote(column))
}

pub(crate) fn drop_check(name: &str) -> String {
    format!("DROP CHECK {}", quote(name))
}

pub(crate) fn add_constraint(name: &str, clause: &str) -> String {
    format!("ADD CONSTRAINT {} {clause}", quote(name))
}

pub(crate) fn rename_index(from: &str, to: &str) -> String {
    format!("RENAME INDEX {} TO {}", quote(from), quote(to))
}

/// How the server's definitions of tables begin.
pub(crate) const DEFINITION: &str = "CREATE TABLE ";

/// Whether a column holds NULL.
pub(crate) fn is_null(column: &str) -> String {
    format!("{} IS NULL", quote(column))
}

/// Whether a column holds a date with a zero in it.
pub(crate) fn is_zero_date(column: &str) -> String {
    let column = quote(column);
    format!("(MONTH({column}) = 0 OR DAY({column}) = 0)")
}

pub(crate) fn rename(old: &str, new: &str) -> String {
    format!("RENAME COLUMN {} TO {}", quote(old), quote(new))
}
