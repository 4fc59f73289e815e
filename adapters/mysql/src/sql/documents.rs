//! The statements that keep a shadow with document numbers of its own current, see
//! [`crate::shadow::documents`].

use crate::schema::column_mapping::ColumnMapping;
use crate::schema::full_text::DOCUMENT;
use crate::server::names::TableName;
use crate::sql::quote::{quote, sign, table};
use crate::sql::rows::{among, among_shadows, columns_of, insert_select};
use altergeist_contract::{Key, Result};

/// For a session that sees what other transactions have not committed yet.
pub(crate) const SEE_UNCOMMITTED: &str =
    "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED, READ ONLY";

/// The index that finds a row by its number, as InnoDB wants it named.
pub(crate) const ADD_INDEX: &str = "ADD UNIQUE KEY FTS_DOC_ID_INDEX (FTS_DOC_ID)";

/// The documents of the source's rows with these keys.
pub(crate) fn of_keys(mapping: &ColumnMapping, keys: &[Key]) -> Result<String> {
    Ok(format!(
        "{}SELECT {DOCUMENT} FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&mapping.source),
        table(&mapping.source),
        quote(&mapping.key.index),
        among(&mapping.key, &columns_of(&mapping.key, false, ""), keys)?
    ))
}

/// The documents of the shadow's rows with these keys.
pub(crate) fn of_keys_in_shadow(mapping: &ColumnMapping, keys: &[Key]) -> Result<String> {
    Ok(format!(
        "{}SELECT {DOCUMENT} FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&mapping.source),
        table(&mapping.shadow),
        quote(&mapping.key.shadow_index),
        among_shadows(&mapping.key, "", keys)?
    ))
}

/// The shadow's greatest document number.
pub(crate) fn greatest(mapping: &ColumnMapping) -> String {
    format!("{}SELECT MAX({DOCUMENT}) FROM {}", sign(&mapping.source), table(&mapping.shadow))
}

/// The source's documents after one number, up to another.
pub(crate) fn between(mapping: &ColumnMapping, after: u64, through: u64) -> String {
    format!(
        "{}SELECT {DOCUMENT} FROM {} WHERE {DOCUMENT} > {after} AND {DOCUMENT} <= {through}",
        sign(&mapping.source),
        table(&mapping.source)
    )
}

/// Which of these documents a table has.
pub(crate) fn present(mapping: &ColumnMapping, name: &TableName, documents: &[u64]) -> String {
    format!(
        "{}SELECT {DOCUMENT} FROM {} WHERE {}",
        sign(&mapping.source),
        table(name),
        one_of(documents)
    )
}

/// The source's documents up to a number that the shadow lacks.
pub(crate) fn missing(mapping: &ColumnMapping, after: u64, through: u64, limit: u64) -> String {
    format!(
        "{}SELECT s.{DOCUMENT} FROM {} s LEFT JOIN {} d ON d.{DOCUMENT} = s.{DOCUMENT} WHERE \
         s.{DOCUMENT} > {after} AND s.{DOCUMENT} <= {through} AND d.{DOCUMENT} IS NULL ORDER BY \
         s.{DOCUMENT} LIMIT {limit}",
        sign(&mapping.source),
        table(&mapping.source),
        table(&mapping.shadow)
    )
}

pub(crate) fn delete(mapping: &ColumnMapping, documents: &[u64]) -> String {
    format!(
        "{}DELETE FROM {} WHERE {}",
        sign(&mapping.source),
        table(&mapping.shadow),
        one_of(documents)
    )
}

/// Adds documents that the shadow lacks.
pub(crate) fn insert(mapping: &ColumnMapping, documents: &[u64]) -> String {
    insert_select(mapping, "", &one_of(documents))
}

/// Updates documents that the shadow has, in place. It is an INSERT because the server reads the
/// source without locks only for that. Each row finds itself by its number. If it finds another
/// document by another unique index, the number gets out of range and the statement fails.
pub(crate) fn update(mapping: &ColumnMapping, documents: &[u64]) -> String {
    let columns = mapping.columns.iter().chain(&mapping.kept).map(|pair| &pair.shadow.name);
    let set = |column: &String| format!("{0} = VALUES({0})", quote(column));
    let sets: Vec<String> = columns.filter(|column| *column != DOCUMENT).map(set).collect();
    let number = format!("{}.{DOCUMENT}", table(&mapping.shadow));
    format!(
        "{} ON DUPLICATE KEY UPDATE {DOCUMENT} = {number} - IF({number} = VALUES({DOCUMENT}), 0, \
         {number} + 1){}",
        insert(mapping, documents),
        sets.iter().map(|set| format!(", {set}")).collect::<String>()
    )
}

fn one_of(documents: &[u64]) -> String {
    let numbers: Vec<String> = documents.iter().map(u64::to_string).collect();
    format!("{DOCUMENT} IN ({})", numbers.join(", "))
}
