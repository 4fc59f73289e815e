//! Questions to the source's rows: what would the altered table refuse?

/// Counts the rows that violate a check. `rows` are the rows as they will be.
pub(crate) fn count_violations(rows: &str, expression: &str) -> String {
    format!("SELECT count(*) FROM {rows} WHERE ({expression}) IS FALSE")
}

/// Counts the rows without a parent. `present` says that the row has a key, and `found` that the
/// parent, as `altergeist_parent`, has it too.
pub(crate) fn count_without_parent(rows: &str, present: &str, parent: &str, found: &str) -> String {
    format!(
        "SELECT count(*) FROM {rows} WHERE {present} AND NOT EXISTS (
            SELECT FROM {parent} AS altergeist_parent WHERE {found})"
    )
}

/// Converts every value of a column, and says whether one is too long for its new type.
pub(crate) fn convert_all(cast: &str, too_long: &str, source: &str, alias: &str) -> String {
    format!(
        "SELECT count({cast}), coalesce(bool_or({too_long}), false) FROM ONLY {source} AS {alias}"
    )
}

/// Counts the values that more than one row holds.
pub(crate) fn count_duplicates(rows: &str, condition: &str, expressions: &str) -> String {
    format!(
        "SELECT count(*) FROM (
            SELECT FROM {rows}
            WHERE {condition}
            GROUP BY {expressions}
            HAVING count(*) > 1) AS duplicates"
    )
}

/// The source's rows as they will be in the shadow: its columns, and those the server generates.
pub(crate) fn future_rows(columns: &str, generated: &str, source: &str, alias: &str) -> String {
    format!(
        "(SELECT *{generated} FROM (SELECT {columns} FROM ONLY {source} AS {alias}) AS filled) AS \
         {alias}"
    )
}
