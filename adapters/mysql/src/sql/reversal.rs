//! The statements that keep the old table current after the swap. In a mapping of the way back the
//! altered table is the source, and the old table is the shadow.
//!
//! The stash is a temporary table. It holds the old table's rows while they are written again: the
//! key in the source's form, and every column that can be written.

use crate::key::index::KeyIndex;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::convert;
use crate::schema::pair::Pair;
use crate::schema::reverse::Reverse;
use crate::schema::table::{Column, is_same};
use crate::server::names::TableName;
use crate::sql::quote::{quote, sign, string, table};
use crate::sql::rows::{among, among_shadows, columns_of, matched, spelled, spelled_of_shadow};
use altergeist_contract::{Key, Result};

/// The privilege that the stash needs.
pub(crate) const TEMPORARY_TABLES: &str = "CREATE TEMPORARY TABLES";

/// The comment of the table of misfits. It shows that this tool made the table.
pub(crate) const MISFITS: &str = "altergeist: keys of rows that the old table cannot hold";

/// The longest description of what a row does not fit.
const OBJECT_CHARS: usize = 255;

fn places(letter: char, count: usize) -> Vec<String> {
    (1..=count).map(|place| format!("_ag_{letter}{place}")).collect()
}

fn stash_keys(key: &KeyIndex) -> Vec<String> {
    places('k', key.columns.len())
}

/// The stash's column that holds this column of the old table.
fn stashed(reverse: &Reverse, column: &str) -> String {
    let place = reverse.written.iter().position(|written| is_same(&written.name, column));
    format!("_ag_v{}", place.map_or(0, |place| place + 1))
}

fn quoted<'a>(columns: impl IntoIterator<Item = &'a String>) -> String {
    columns.into_iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ")
}

/// The rows of the old table, as the stash holds them.
fn as_stashed(mapping: &ColumnMapping, reverse: &Reverse) -> String {
    let keys = columns_of(&mapping.key, true, "").into_iter();
    let values = reverse.written.iter().map(|column| quote(&column.name));
    keys.chain(values).collect::<Vec<_>>().join(", ")
}

/// A temporary table with these columns and an index over some of them. It takes no defaults over,
/// because MySQL cannot: an expression may name a column that has another name here.
fn create_temporary(
    (name, source): (&TableName, &TableName),
    columns: &[(String, &Column)],
    index: &[String],
) -> String {
    let columns = columns.iter().map(|(name, column)| format!("{name} {} NULL", type_of(column)));
    format!(
        "{}CREATE TEMPORARY TABLE IF NOT EXISTS {} ({}, KEY {ROW_KEY} ({})) ENGINE = InnoDB",
        sign(source),
        table(name),
        columns.collect::<Vec<_>>().join(", "),
        index.join(", ")
    )
}

fn type_of(column: &Column) -> String {
    // A comment says what a version of the server does with it, such as compressing.
    let column_type = column.column_type.split(" /*").next().unwrap_or_default();
    match column.charset.is_empty() {
        true => column_type.to_owned(),
        false => {
            format!("{column_type} CHARACTER SET {} COLLATE {}", column.charset, column.collation)
        }
    }
}

pub(crate) fn create_stash(mapping: &ColumnMapping, reverse: &Reverse) -> String {
    let keys = stash_keys(&mapping.key);
    let values = places('v', reverse.written.len()).into_iter().zip(&reverse.written);
    let columns: Vec<_> = keys.iter().cloned().zip(&reverse.key).chain(values).collect();
    create_temporary((&reverse.stash, &mapping.source), &columns, &keys)
}

pub(crate) fn clear_stash(mapping: &ColumnMapping, reverse: &Reverse) -> String {
    format!("{}DELETE FROM {}", sign(&mapping.source), table(&reverse.stash))
}

/// Puts the old table's rows of these keys aside.
pub(crate) fn fill_stash(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
) -> Result<String> {
    let values = places('v', reverse.written.len());
    let columns: Vec<String> = stash_keys(&mapping.key).into_iter().chain(values).collect();
    Ok(format!(
        "{}INSERT INTO {} ({}) SELECT {} FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&mapping.source),
        table(&reverse.stash),
        columns.join(", "),
        as_stashed(mapping, reverse),
        table(&mapping.shadow),
        quote(&mapping.key.shadow_index),
        among_shadows(&mapping.key, "", keys)?
    ))
}

/// The index of the temporary table of the altered table's rows.
const ROW_KEY: &str = "row_key";

/// The mapping with the temporary table of rows in the altered table's place.
pub(crate) fn of_rows(mapping: &ColumnMapping, reverse: &Reverse) -> ColumnMapping {
    let key = KeyIndex { index: ROW_KEY.to_owned(), ..mapping.key.clone() };
    ColumnMapping { source: reverse.rows.clone(), key, ..mapping.clone() }
}

pub(crate) fn create_rows(mapping: &ColumnMapping, reverse: &Reverse) -> String {
    let columns: Vec<_> =
        reverse.altered.iter().map(|column| (quote(&column.name), column)).collect();
    let key = columns_of(&mapping.key, false, "");
    create_temporary((&reverse.rows, &mapping.source), &columns, &key)
}

pub(crate) fn clear_rows(mapping: &ColumnMapping, reverse: &Reverse) -> String {
    format!("{}DELETE FROM {}", sign(&mapping.source), table(&reverse.rows))
}

/// Copies the altered table's rows of these keys, all as they are at one moment.
pub(crate) fn fill_rows(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
) -> Result<String> {
    let columns = quoted(reverse.altered.iter().map(|column| &column.name));
    Ok(format!(
        "{}INSERT INTO {} ({columns}) SELECT {columns} FROM {} FORCE INDEX ({}) WHERE {}",
        sign(&mapping.source),
        table(&reverse.rows),
        table(&mapping.source),
        quote(&mapping.key.index),
        among(&mapping.key, &columns_of(&mapping.key, false, ""), keys)?
    ))
}

/// Keys of the old table's rows that hold what rows of these keys get in a unique index. None if
/// the server cannot compare them.
pub(crate) fn in_the_way(
    mapping: &ColumnMapping,
    (index, pairs): &(String, Vec<Pair>),
    keys: &[Key],
) -> Result<Option<String>> {
    let term = |pair: &Pair| {
        let value = convert::grouped(pair, "s.")?;
        Some(format!("d.{} = {value}", quote(&pair.shadow.name)))
    };
    let Some(terms) = pairs.iter().map(term).collect::<Option<Vec<String>>>() else {
        return Ok(None);
    };
    Ok(Some(format!(
        "{}SELECT {} FROM {} s FORCE INDEX ({}) JOIN {} d FORCE INDEX ({}) ON {} WHERE {}",
        sign(&mapping.source),
        spelled_of_shadow(&mapping.key, "d."),
        table(&mapping.source),
        quote(&mapping.key.index),
        table(&mapping.shadow),
        quote(index),
        terms.join(" AND "),
        among(&mapping.key, &columns_of(&mapping.key, false, "s."), keys)?
    )))
}

/// Whether a row of the stash has the source's key.
fn is_stashed(mapping: &ColumnMapping) -> String {
    let source = columns_of(&mapping.key, false, "");
    let terms = stash_keys(&mapping.key).into_iter().zip(source);
    terms.map(|(stashed, key)| format!("{stashed} = {key}")).collect::<Vec<_>>().join(" AND ")
}

/// Writes the rows that the old table had. Columns that only it has keep their values.
pub(crate) fn write_known(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
) -> Result<String> {
    let columns = mapping.columns.iter().map(|pair| &pair.shadow.name).chain(&reverse.lost);
    let values = mapping.columns.iter().map(convert::copied);
    let kept = reverse.lost.iter().map(|column| stashed(reverse, column));
    Ok(format!(
        "{}INSERT INTO {} ({}) SELECT {} FROM {} FORCE INDEX ({}) JOIN {} ON {} WHERE {}",
        sign(&mapping.source),
        table(&mapping.shadow),
        quoted(columns),
        values.chain(kept).collect::<Vec<_>>().join(", "),
        table(&mapping.source),
        quote(&mapping.key.index),
        table(&reverse.stash),
        is_stashed(mapping),
        among(&mapping.key, &columns_of(&mapping.key, false, ""), keys)?
    ))
}

/// Writes the other rows. Columns that only the old table has get what was asked for, or their
/// defaults. `has_stash` says whether there may be rows in it.
pub(crate) fn write_new(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
    has_stash: bool,
) -> Result<String> {
    let columns = mapping.columns.iter().map(|pair| &pair.shadow.name);
    let columns = columns.chain(mapping.given.iter().map(|given| &given.column.name));
    let columns = columns.chain(reverse.sets.iter().map(|(column, _)| column));
    let values = mapping.columns.iter().map(convert::copied);
    let values = values.chain(mapping.given.iter().map(|given| given.value.to_owned()));
    let values = values.chain(reverse.sets.iter().map(|(_, value)| format!("({value})")));
    let others = match has_stash {
        true => format!(
            " AND NOT EXISTS (SELECT 1 FROM {} WHERE {})",
            table(&reverse.stash),
            is_stashed(mapping)
        ),
        false => String::new(),
    };
    Ok(format!(
        "{}INSERT INTO {} ({}) SELECT {} FROM {} FORCE INDEX ({}) WHERE {}{others}",
        sign(&mapping.source),
        table(&mapping.shadow),
        quoted(columns),
        values.collect::<Vec<_>>().join(", "),
        table(&mapping.source),
        quote(&mapping.key.index),
        among(&mapping.key, &columns_of(&mapping.key, false, ""), keys)?
    ))
}

/// Tries such an expression on an empty clone of the altered table.
pub(crate) fn try_set(source: &TableName, clone: &TableName, value: &str) -> String {
    format!("{}SELECT ({value}) FROM {}", sign(source), table(clone))
}

/// Writes rows as they were when they were put aside.
pub(crate) fn write_back(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
) -> Result<String> {
    let values = places('v', reverse.written.len());
    Ok(format!(
        "{}INSERT INTO {} ({}) SELECT {} FROM {} WHERE {}",
        sign(&mapping.source),
        table(&mapping.shadow),
        quoted(reverse.written.iter().map(|column| &column.name)),
        values.join(", "),
        table(&reverse.stash),
        among(&mapping.key, &stash_keys(&mapping.key), keys)?
    ))
}

/// For one of these rows that differs in a column that was converted: which columns are equal. No
/// row if none differs. None if every column has its old type. The columns are in the order of
/// [`converted`].
pub(crate) fn find_lossy(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
) -> Result<Option<String>> {
    let [source, shadow] = [&mapping.source, &mapping.shadow].map(table);
    let [from, into] = [&shadow, &source].map(|name| format!("{name}."));
    let terms: Vec<String> =
        converted(reverse).filter_map(|pair| convert::equal(pair, &from, &into)).collect();
    if terms.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "{}SELECT {} FROM {source} FORCE INDEX ({}) JOIN {shadow} FORCE INDEX ({}) ON {} WHERE {} \
         AND NOT ({}) LIMIT 1",
        sign(&mapping.source),
        terms.join(", "),
        quote(&mapping.key.index),
        quote(&mapping.key.shadow_index),
        matched(mapping, (&source, &shadow)),
        among(&mapping.key, &columns_of(&mapping.key, false, &into), keys)?,
        terms.join(" AND ")
    )))
}

/// The columns that the change converted.
pub(crate) fn converted(reverse: &Reverse) -> impl Iterator<Item = &Pair> {
    let is_converted = |pair: &&Pair| {
        !pair.source.is_alike(&pair.shadow) && convert::equal(pair, "", "").is_some()
    };
    reverse.compared.iter().filter(is_converted)
}

/// Makes the table of misfits, with the key as the altered table has it.
pub(crate) fn create_misfits(mapping: &ColumnMapping, reverse: &Reverse) -> String {
    let names = stash_keys(&mapping.key);
    let columns = reverse.key.iter().zip(&names);
    let columns = columns.map(|(column, name)| format!("{name} {} NOT NULL, ", type_of(column)));
    format!(
        "{}CREATE TABLE IF NOT EXISTS {} ({}object VARCHAR({OBJECT_CHARS}) CHARACTER SET utf8mb4 \
         NOT NULL, is_blocked BOOLEAN NOT NULL, tried_at DATETIME(6) NOT NULL, PRIMARY KEY ({}), \
         KEY by_object (object), KEY to_try (is_blocked, tried_at)) ENGINE = InnoDB COMMENT = '{}'",
        sign(&mapping.source),
        table(&reverse.misfits),
        columns.collect::<String>(),
        names.join(", "),
        MISFITS
    )
}

/// Notes rows that do not fit: each with the object, and whether another row is in the way.
pub(crate) fn note_misfits(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    misfits: &[(Key, String, bool)],
) -> Result<String> {
    let row = |(key, object, is_blocked): &(Key, String, bool)| {
        let object: String = object.chars().take(OBJECT_CHARS).collect();
        let mut values = mapping.key.literals(key)?;
        values.extend([string(&object), u8::from(*is_blocked).to_string(), "NOW(6)".to_owned()]);
        Ok(format!("({})", values.join(", ")))
    };
    let rows: Vec<String> = misfits.iter().map(row).collect::<Result<_>>()?;
    Ok(format!(
        "{}INSERT INTO {} ({}, object, is_blocked, tried_at) VALUES {}",
        sign(&mapping.source),
        table(&reverse.misfits),
        stash_keys(&mapping.key).join(", "),
        rows.join(", ")
    ))
}

/// Removes the notes about these keys.
pub(crate) fn forget_misfits(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
) -> Result<String> {
    Ok(format!(
        "{}DELETE FROM {} WHERE {}",
        sign(&mapping.source),
        table(&reverse.misfits),
        among(&mapping.key, &stash_keys(&mapping.key), keys)?
    ))
}

/// How many rows do not fit each object.
pub(crate) fn count_misfits(source: &TableName, misfits: &TableName) -> String {
    format!(
        "{}SELECT object, COUNT(*) FROM {} GROUP BY object ORDER BY object",
        sign(source),
        table(misfits)
    )
}

/// Keys of misfits that another row is in the way of, those tried the longest ago first.
pub(crate) fn blocked_misfits(mapping: &ColumnMapping, reverse: &Reverse, most: usize) -> String {
    format!(
        "{}SELECT {} FROM {} WHERE is_blocked ORDER BY tried_at LIMIT {most}",
        sign(&mapping.source),
        spelled(&mapping.key, &stash_keys(&mapping.key)),
        table(&reverse.misfits)
    )
}

/// Whether a row `s` of the altered table is no misfit. Empty for any other mapping.
pub(crate) fn is_no_misfit(mapping: &ColumnMapping) -> String {
    let Some(reverse) = &mapping.reverse else { return String::new() };
    let source = columns_of(&mapping.key, false, "s.");
    let terms = stash_keys(&mapping.key).into_iter().zip(source);
    let terms: Vec<String> = terms.map(|(noted, key)| format!("m.{noted} = {key}")).collect();
    format!(
        " AND NOT EXISTS (SELECT 1 FROM {} m WHERE {})",
        table(&reverse.misfits),
        terms.join(" AND ")
    )
}
