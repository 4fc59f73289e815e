//! Questions about the columns that `--set` computes.

use crate::server::names::TableName;
use crate::sql::quote::{quote, sign, string, table};

/// The type of an expression over a table's columns; no row.
pub(crate) fn describe(source: &TableName, expression: &str) -> String {
    format!("{}SELECT {expression} AS value FROM {} LIMIT 0", sign(source), table(source))
}

/// How many stored functions of a name may give another value each time.
pub(crate) fn unsafe_functions(name: &str) -> String {
    format!(
        "SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' \
         AND ROUTINE_NAME = {} AND (IS_DETERMINISTIC <> 'YES' OR SQL_DATA_ACCESS NOT IN ('NO SQL', \
         'CONTAINS SQL'))",
        string(name)
    )
}

/// The stored functions of a name: their schemas and bodies.
pub(crate) fn stored_functions(name: &str) -> String {
    format!(
        "SELECT ROUTINE_SCHEMA, ROUTINE_DEFINITION FROM information_schema.ROUTINES WHERE \
         ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_NAME = {}",
        string(name)
    )
}

/// How many functions of loaded libraries have a name: MySQL's list, and MariaDB's.
pub(crate) fn loaded_functions(name: &str) -> [String; 2] {
    let name = string(name);
    [
        format!(
            "SELECT COUNT(*) FROM performance_schema.user_defined_functions WHERE UDF_NAME = {name}"
        ),
        format!("SELECT COUNT(*) FROM mysql.func WHERE name = {name}"),
    ]
}

/// Makes the session's clock stand still at a moment, or go on.
pub(crate) const CLOCKS: [&str; 2] =
    ["SET SESSION timestamp = 946771200", "SET SESSION timestamp = 1709251199"];
pub(crate) const CLOCK_GOES_ON: &str = "SET SESSION timestamp = DEFAULT";

/// A digest of the values of a sample.
pub(crate) fn digest_of_values(source: &TableName, expression: &str, limit: u64) -> String {
    format!(
        "{}SELECT CONCAT(COUNT(value), '/', COALESCE(SUM(CRC32(value)), 0)) FROM (SELECT \
         {expression} AS value FROM {} LIMIT {limit}) sampled",
        sign(source),
        table(source)
    )
}

/// Rows of a sample: all of them, those for which the value is NULL, and those for which it is
/// empty. Each value is computed once, so each error is one warning.
pub(crate) fn sample_values(source: &TableName, expression: &str, limit: u64) -> String {
    format!(
        "{}SELECT COUNT(*), COALESCE(SUM(value IS NULL), 0), COALESCE(SUM({}), 0) \
         FROM (SELECT {expression} AS value FROM {} LIMIT {limit}) sampled",
        sign(source),
        is_empty("value"),
        table(source)
    )
}

/// A value is empty and not NULL: `''`, `{}`, `[]`.
pub(crate) fn is_empty(value: &str) -> String {
    format!("HEX({value}) IN ('', '7B7D', '5B5D')")
}

/// Stores a value in a column of a table that has no rows: whether the server accepts the type.
pub(crate) fn values_of(
    source: &TableName,
    columns: &[String],
    computed: &[(String, String)],
) -> String {
    let columns = columns.iter().map(|column| quote(column));
    let computed =
        computed.iter().map(|(expression, name)| format!("{expression} AS {}", quote(name)));
    let list: Vec<String> = columns.chain(computed).collect();
    format!("SELECT {} FROM {}", list.join(", "), table(source))
}
