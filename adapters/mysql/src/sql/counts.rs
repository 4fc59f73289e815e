//! What a comparison counts of the columns whose values change, beside the rows.

use crate::schema::column_mapping::ColumnMapping;
use crate::schema::pair::Pair;
use crate::schema::table::Column;
use crate::sql::computed::is_empty;
use crate::sql::quote::quote;

/// How many numbers are selected for a column.
pub(crate) const COUNTS_OF_COLUMN: usize = 4;

/// Returns the columns to count: those that are computed or converted.
pub(crate) fn counted(mapping: &ColumnMapping) -> Vec<&Pair> {
    let changes = |pair: &&Pair| {
        mapping.reverse.is_none() && (pair.formula.is_some() || !pair.source.is_alike(&pair.shadow))
    };
    mapping.columns.iter().filter(changes).collect()
}

/// What is counted of the source's columns, to follow `SELECT COUNT(*)`.
pub(crate) fn before(mapping: &ColumnMapping) -> String {
    let counts = |pair: &&Pair| match pair.before() {
        Some(column) => counts(column, pair),
        None => ", NULL, NULL, NULL, NULL".to_owned(),
    };
    counted(mapping).iter().map(counts).collect()
}

/// The same of the shadow's.
pub(crate) fn after(mapping: &ColumnMapping) -> String {
    counted(mapping).iter().map(|pair| counts(&pair.shadow, pair)).collect()
}

/// NULLs, empty values, different values, and a digest of the least and the greatest.
fn counts(column: &Column, pair: &Pair) -> String {
    let name = quote(&column.name);
    let empties = match may_be_empty(column) {
        true => format!("COALESCE(SUM(LENGTH({name}) <= 2 AND {}), 0)", is_empty(&name)),
        false => "0".to_owned(),
    };
    let distinct = match is_integer(column) && pair.formula.is_none() {
        true => "NULL".to_owned(),
        false => format!("COUNT(DISTINCT CRC32({name}))"),
    };
    let keeps_type = pair.before().is_some_and(|before| before.is_alike(&pair.shadow));
    let ends = match keeps_type && has_ends(column) {
        true => format!("CRC32(CONCAT_WS('/', MIN({name}), MAX({name})))"),
        false => "NULL".to_owned(),
    };
    format!(", COALESCE(SUM({name} IS NULL), 0), {empties}, {distinct}, {ends}")
}

fn is_integer(column: &Column) -> bool {
    column.data_type.ends_with("int")
}

fn may_be_empty(column: &Column) -> bool {
    let kind = &*column.data_type;
    kind == "json" || ["char", "text", "binary", "blob"].iter().any(|suffix| kind.ends_with(suffix))
}

fn has_ends(column: &Column) -> bool {
    let kind = &*column.data_type;
    is_integer(column)
        || matches!(kind, "decimal" | "double" | "date" | "datetime" | "timestamp" | "year")
        || kind.ends_with("char")
}
