//! The statements that compare the shadow with its source.

use crate::key::index::KeyIndex;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::OwnKey;
use crate::sql::counts;
use crate::sql::quote::{quote, sign, table};
use crate::sql::reversal::is_no_misfit;
use crate::sql::rows::{
    among, among_shadows, columns_of, matched, one_of, range, source_rows, spelled,
    spelled_of_shadow,
};
use altergeist_contract::{Chunk, Key, Result, Watermark};

/// Opens one snapshot for several queries; READ COMMITTED has none.
pub(crate) const OPEN_SNAPSHOT: [&str; 2] = [
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
];

/// Which rows are compared.
pub(crate) enum Compared<'a> {
    Range(&'a Chunk),
    Keys(&'a [Key]),
}

fn condition(key: &KeyIndex, columns: &[String], compared: &Compared) -> Result<String> {
    match compared {
        Compared::Range(chunk) if is_last_of_prefixes(key, chunk) => Ok("TRUE".into()),
        Compared::Range(chunk) => range(key, columns, chunk),
        Compared::Keys(keys) => among(key, columns, keys),
    }
}

/// Returns whether this chunk compares the whole table. A range over an index of prefixes may miss
/// rows, if a collation sorts texts in another order than their prefixes. All chunks before use
/// such ranges, so the last look uses none.
fn is_last_of_prefixes(key: &KeyIndex, chunk: &Chunk) -> bool {
    key.has_prefix() && chunk.through == Watermark::End
}

/// Returns the shadow's part of a comparison. If values are mapped, no index of the shadow has the
/// source's order. Then the last chunk scans the whole shadow once.
fn condition_on_shadow(key: &KeyIndex, of: &str, compared: &Compared) -> Result<String> {
    match compared {
        Compared::Keys(keys) => among_shadows(key, of, keys),
        Compared::Range(chunk) if is_last_of_prefixes(key, chunk) => Ok("TRUE".into()),
        Compared::Range(chunk) if !key.is_mapped() => range(key, &columns_of(key, true, of), chunk),
        Compared::Range(chunk) if chunk.through == Watermark::End => Ok("TRUE".into()),
        Compared::Range(_) => Ok("FALSE".into()),
    }
}

pub(crate) fn count_rows(mapping: &ColumnMapping, chunk: &Chunk) -> Result<String> {
    Ok(format!(
        "{}SELECT COUNT(*){} FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&mapping.source),
        counts::before(mapping),
        table(&mapping.source),
        quote(&mapping.key.index),
        range(&mapping.key, &columns_of(&mapping.key, false, ""), chunk)?
    ))
}

/// How many rows of the shadow belong to this range. It is a number only if the shadow's order is
/// the source's, and if every row of the source fits into the shadow.
pub(crate) fn count_in_shadow(mapping: &ColumnMapping, chunk: &Chunk) -> Result<String> {
    let is_countable = !mapping.key.is_mapped() && mapping.reverse.is_none();
    if !is_countable || is_last_of_prefixes(&mapping.key, chunk) {
        return Ok("SELECT NULL".to_owned());
    }
    Ok(format!(
        "{}SELECT COUNT(*){} FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&mapping.source),
        counts::after(mapping),
        table(&mapping.shadow),
        quote(&mapping.key.shadow_index),
        range(&mapping.key, &columns_of(&mapping.key, true, ""), chunk)?
    ))
}

/// Keys of the source's rows that the shadow lacks, or has with another value in any column.
pub(crate) fn missing_or_different(
    mapping: &ColumnMapping,
    compared: &Compared,
    limit: u64,
) -> Result<String> {
    let columns = columns_of(&mapping.key, false, "s.");
    let first = &columns_of(&mapping.key, true, "d.")[0];
    Ok(format!(
        "{}SELECT {} FROM {} LEFT JOIN {} d FORCE INDEX ({}) ON {} \
         WHERE {} AND ({first} IS NULL OR NOT ({})){} LIMIT {limit}",
        sign(&mapping.source),
        spelled(&mapping.key, &columns),
        source_rows(mapping, "s"),
        table(&mapping.shadow),
        quote(&mapping.key.shadow_index),
        matched(mapping, ("s", "d")),
        condition(&mapping.key, &columns, compared)?,
        mapping.equality()?,
        is_no_misfit(mapping)
    ))
}

/// Keys of the shadow's rows that the source lacks.
pub(crate) fn surplus(mapping: &ColumnMapping, compared: &Compared, limit: u64) -> Result<String> {
    Ok(format!(
        "{}SELECT {} FROM {} d FORCE INDEX ({}) WHERE {} \
         AND NOT EXISTS (SELECT 1 FROM {} s FORCE INDEX ({}) WHERE {}) LIMIT {limit}",
        sign(&mapping.source),
        spelled_of_shadow(&mapping.key, "d."),
        table(&mapping.shadow),
        quote(&mapping.key.shadow_index),
        condition_on_shadow(&mapping.key, "d.", compared)?,
        table(&mapping.source),
        quote(&mapping.key.index),
        matched(mapping, ("s", "d"))
    ))
}

/// Keys of rows with one of these values in some columns. The columns have the source's names.
pub(crate) fn rows_that_hold(
    mapping: &ColumnMapping,
    in_shadow: bool,
    columns: &[String],
    values: &[Vec<String>],
) -> String {
    let asked = match in_shadow {
        true => spelled_of_shadow(&mapping.key, ""),
        false => spelled(&mapping.key, &columns_of(&mapping.key, false, "")),
    };
    let names: Vec<String> = columns
        .iter()
        .map(|column| quote(&if in_shadow { mapping.name_after(column) } else { column.clone() }))
        .collect();
    let condition = one_of(&names, values);
    let of = table(if in_shadow { &mapping.shadow } else { &mapping.source });
    format!("{}SELECT {asked} FROM {of} WHERE {condition}", sign(&mapping.source))
}

/// Keys of the shadow's rows that refer by this foreign key to one of these rows, or to any row of
/// this range. The source has no such row that refers to the same. The statement names each table
/// once, as a session that has locked them must.
pub(crate) fn stale_children(
    mapping: &ColumnMapping,
    own: &OwnKey,
    of: &Compared,
) -> Result<String> {
    let (source, shadow) = (table(&mapping.source), table(&mapping.shadow));
    let columns: Vec<String> = own
        .columns
        .iter()
        .map(|column| format!("{shadow}.{}", quote(&mapping.name_after(column))))
        .collect();
    let condition = match of {
        Compared::Keys(keys) => among(&mapping.key, &columns, keys)?,
        Compared::Range(_) => {
            let present = columns.iter().map(|column| format!("{column} IS NOT NULL"));
            let present = present.collect::<Vec<_>>().join(" AND ");
            format!(
                "{} AND {present}",
                condition_on_shadow(&mapping.key, &format!("{shadow}."), of)?
            )
        }
    };
    let same = own
        .columns
        .iter()
        .zip(&columns)
        .map(|(column, held)| format!("{source}.{} = {held}", quote(column)));
    Ok(format!(
        "{}SELECT {} FROM {shadow} WHERE {condition} \
         AND NOT EXISTS (SELECT 1 FROM {source} FORCE INDEX ({}) WHERE {} AND {})",
        sign(&mapping.source),
        spelled_of_shadow(&mapping.key, &format!("{shadow}.")),
        quote(&mapping.key.index),
        matched(mapping, (&source, &shadow)),
        same.collect::<Vec<_>>().join(" AND ")
    ))
}

/// Keys of the rows that these rows of the shadow refer to by this foreign key.
pub(crate) fn parents(mapping: &ColumnMapping, own: &OwnKey, of: &[Key]) -> Result<String> {
    let names: Vec<String> =
        own.columns.iter().map(|column| quote(&mapping.name_after(column))).collect();
    let asked = mapping
        .key
        .columns
        .iter()
        .zip(&names)
        .map(|(column, name)| column.spelling.asked_of_shadow(name));
    let present: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    Ok(format!(
        "{}SELECT {} FROM {} WHERE {} AND {}",
        sign(&mapping.source),
        asked.collect::<Vec<_>>().join(", "),
        table(&mapping.shadow),
        among_shadows(&mapping.key, "", of)?,
        present.join(" AND ")
    ))
}
