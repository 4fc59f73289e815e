//! Names and texts in statements. [`quote`] is the one function that quotes identifiers.

use crate::server::names::TableName;

/// An identifier, quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A table's name, quoted.
pub(crate) fn table(name: &TableName) -> String {
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}

/// A text, quoted so that every sql_mode reads it the same way.
pub(crate) fn string(text: &str) -> String {
    if text.contains('\\') {
        return format!("CONVERT(x'{}' USING utf8mb4)", crate::sql::quote::hex(text.as_bytes()));
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// The beginning of all our statements. It makes them easy to find and kill.
pub(crate) fn sign(source: &TableName) -> String {
    format!("/* altergeist {} */ ", source.plain().replace("*/", "* /"))
}

/// Returns whether a statement in the log is ours, for this table.
pub(crate) fn is_signed(statement: &str, source: &TableName) -> bool {
    statement.starts_with(&sign(source))
}

pub(crate) fn as_bytes(text: &str) -> String {
    format!("x'{}'", crate::sql::quote::hex(text.as_bytes()))
}

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
