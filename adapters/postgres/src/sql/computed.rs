//! Questions about the columns that `--set` computes.

use crate::sql::counts::is_empty;
use crate::sql::quote::{literal, quoted};

/// How the server reads an expression.
pub(crate) const COMPUTED_COLUMN: &str = include_str!("computed_column.sql");

/// Tells whether the server stores an expression's value in a column of a clone.
pub(crate) fn explain_set(
    clone: &str,
    column: &str,
    table: &str,
    alias: &str,
    value: &str,
) -> String {
    format!(
        "EXPLAIN INSERT INTO {clone} ({}) OVERRIDING SYSTEM VALUE
        SELECT ({value}\n) FROM ONLY {table} AS {alias}",
        quoted(column)
    )
}

/// Counts the rows of a sample: all of them, those for which the value is NULL, and those for which
/// it is empty. `percent` of the table's blocks are read.
pub(crate) fn sample_values(table: &str, alias: &str, value: &str, percent: f64) -> String {
    format!(
        "SELECT count(*), count(*) FILTER (WHERE value IS NULL), count(*) FILTER (WHERE {empty})
        FROM (SELECT {value} AS value FROM ONLY {table} AS {alias} {sample} OFFSET 0) AS sampled",
        empty = is_empty("value"),
        sample = sampled(percent)
    )
}

/// Counts the rows of a sample: all of them, those that give NULL, an empty value, an error.
pub(crate) fn sample_outcomes(table: &str, alias: &str, function: &str, percent: f64) -> String {
    format!(
        "SELECT count(*), count(*) FILTER (WHERE outcome = 1), count(*) FILTER (WHERE outcome = 2),
                count(*) FILTER (WHERE outcome = 3)
        FROM (SELECT {function}({alias}.*) AS outcome
              FROM ONLY {table} AS {alias} {sample} OFFSET 0) AS sampled",
        sample = sampled(percent)
    )
}

fn sampled(percent: f64) -> String {
    if percent >= 100.0 {
        return String::new();
    }
    format!("TABLESAMPLE SYSTEM ({percent}) REPEATABLE (1)")
}

/// A function that computes a value and survives an error: 0 a value, 1 NULL, 2 empty, 3 an error.
pub(crate) fn create_outcome(function: &str, table: &str, alias: &str, value: &str) -> String {
    let body = format!(
        "#variable_conflict use_column
        DECLARE ag_outcome_value text;
        BEGIN
            SELECT CAST({value} AS text) INTO ag_outcome_value
            FROM (SELECT ag_outcome_row.*) AS {alias};
            RETURN CASE WHEN ag_outcome_value IS NULL THEN 1 WHEN {} THEN 2 ELSE 0 END;
        EXCEPTION WHEN others THEN
            RETURN 3;
        END",
        is_empty("ag_outcome_value")
    );
    format!(
        "CREATE FUNCTION {function}(ag_outcome_row {table}) RETURNS int LANGUAGE plpgsql AS {}",
        literal(&body)
    )
}
