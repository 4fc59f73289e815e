//! The statements that compare the shadow with its source.

use crate::key::index::{KeyColumn, KeyIndex};
use crate::key::mapping::Mapping;
use crate::schema::columns::Shape;
use crate::schema::foreign_key::OwnKey;
use crate::sql::quote::{quote, sign, table};
use crate::sql::rows::{
    among, among_shadows, columns_of, one_of, range, spelled, spelled_of_shadow,
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

/// Whether a row of the source and a row of the shadow have the same key. The tables' names are
/// given.
fn matched(shape: &Shape, (s, d): (&str, &str)) -> String {
    let source = columns_of(&shape.key, false, &format!("{s}."));
    let shadow = columns_of(&shape.key, true, &format!("{d}."));
    let term = |((column, s), back): ((&KeyColumn, &String), &String)| match &column.mapping {
        Mapping::Same => match column.prefix {
            None => format!("{back} = {s}"),
            Some(length) => {
                format!("{back} = {s} AND LEFT({back}, {length}) = LEFT({s}, {length})")
            }
        },
        mapping => format!(
            "{d}.{} = {} AND {back} = {s}",
            quote(&column.shadow_name),
            mapping.to_shadow(s)
        ),
    };
    shape.key.columns.iter().zip(&source).zip(&shadow).map(term).collect::<Vec<_>>().join(" AND ")
}

pub(crate) fn count_rows(shape: &Shape, chunk: &Chunk) -> Result<String> {
    Ok(format!(
        "{}SELECT COUNT(*) FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&shape.source),
        table(&shape.source),
        quote(&shape.key.index),
        range(&shape.key, &columns_of(&shape.key, false, ""), chunk)?
    ))
}

/// How many rows of the shadow belong to this range. It is a number only if the shadow's order is
/// the source's.
pub(crate) fn count_in_shadow(shape: &Shape, chunk: &Chunk) -> Result<String> {
    if shape.key.is_mapped() || is_last_of_prefixes(&shape.key, chunk) {
        return Ok("SELECT NULL".to_owned());
    }
    Ok(format!(
        "{}SELECT COUNT(*) FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&shape.source),
        table(&shape.shadow),
        quote(&shape.key.shadow_index),
        range(&shape.key, &columns_of(&shape.key, true, ""), chunk)?
    ))
}

/// Keys of the source's rows that the shadow lacks, or has with another value in any column.
pub(crate) fn missing_or_different(
    shape: &Shape,
    compared: &Compared,
    limit: u64,
) -> Result<String> {
    let columns = columns_of(&shape.key, false, "s.");
    let first = &columns_of(&shape.key, true, "d.")[0];
    Ok(format!(
        "{}SELECT {} FROM {} s FORCE INDEX ({}) LEFT JOIN {} d FORCE INDEX ({}) ON {} \
         WHERE {} AND ({first} IS NULL OR NOT ({})) LIMIT {limit}",
        sign(&shape.source),
        spelled(&shape.key, &columns),
        table(&shape.source),
        quote(&shape.key.index),
        table(&shape.shadow),
        quote(&shape.key.shadow_index),
        matched(shape, ("s", "d")),
        condition(&shape.key, &columns, compared)?,
        shape.equality()?
    ))
}

/// Keys of the shadow's rows that the source lacks.
pub(crate) fn surplus(shape: &Shape, compared: &Compared, limit: u64) -> Result<String> {
    Ok(format!(
        "{}SELECT {} FROM {} d FORCE INDEX ({}) WHERE {} \
         AND NOT EXISTS (SELECT 1 FROM {} s FORCE INDEX ({}) WHERE {}) LIMIT {limit}",
        sign(&shape.source),
        spelled_of_shadow(&shape.key, "d."),
        table(&shape.shadow),
        quote(&shape.key.shadow_index),
        condition_on_shadow(&shape.key, "d.", compared)?,
        table(&shape.source),
        quote(&shape.key.index),
        matched(shape, ("s", "d"))
    ))
}

/// Keys of rows with one of these values in some columns. The columns have the source's names.
pub(crate) fn rows_that_hold(
    shape: &Shape,
    in_shadow: bool,
    columns: &[String],
    values: &[Vec<String>],
) -> String {
    let asked = match in_shadow {
        true => spelled_of_shadow(&shape.key, ""),
        false => spelled(&shape.key, &columns_of(&shape.key, false, "")),
    };
    let names: Vec<String> = columns
        .iter()
        .map(|column| quote(&if in_shadow { shape.name_after(column) } else { column.clone() }))
        .collect();
    let condition = one_of(&names, values);
    let of = table(if in_shadow { &shape.shadow } else { &shape.source });
    format!("{}SELECT {asked} FROM {of} WHERE {condition}", sign(&shape.source))
}

/// Keys of the shadow's rows that refer by this foreign key to one of these rows, or to any row of
/// this range. The source has no such row that refers to the same. The statement names each table
/// once, as a session that has locked them must.
pub(crate) fn stale_children(shape: &Shape, own: &OwnKey, of: &Compared) -> Result<String> {
    let (source, shadow) = (table(&shape.source), table(&shape.shadow));
    let columns: Vec<String> = own
        .columns
        .iter()
        .map(|column| format!("{shadow}.{}", quote(&shape.name_after(column))))
        .collect();
    let condition = match of {
        Compared::Keys(keys) => among(&shape.key, &columns, keys)?,
        Compared::Range(_) => {
            let present = columns.iter().map(|column| format!("{column} IS NOT NULL"));
            let present = present.collect::<Vec<_>>().join(" AND ");
            format!("{} AND {present}", condition_on_shadow(&shape.key, &format!("{shadow}."), of)?)
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
        sign(&shape.source),
        spelled_of_shadow(&shape.key, &format!("{shadow}.")),
        quote(&shape.key.index),
        matched(shape, (&source, &shadow)),
        same.collect::<Vec<_>>().join(" AND ")
    ))
}

/// Keys of the rows that these rows of the shadow refer to by this foreign key.
pub(crate) fn parents(shape: &Shape, own: &OwnKey, of: &[Key]) -> Result<String> {
    let names: Vec<String> =
        own.columns.iter().map(|column| quote(&shape.name_after(column))).collect();
    let asked = shape
        .key
        .columns
        .iter()
        .zip(&names)
        .map(|(column, name)| column.spelling.asked_of_shadow(name));
    let present: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
    Ok(format!(
        "{}SELECT {} FROM {} WHERE {} AND {}",
        sign(&shape.source),
        asked.collect::<Vec<_>>().join(", "),
        table(&shape.shadow),
        among_shadows(&shape.key, "", of)?,
        present.join(" AND ")
    ))
}
