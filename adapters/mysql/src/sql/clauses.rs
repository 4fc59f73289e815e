//! Clauses of ALTER TABLE, and how definitions of tables begin.

use crate::sql::quote::quote;

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
