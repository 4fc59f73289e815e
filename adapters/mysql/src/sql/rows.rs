//! Conditions on ranges and sets of keys, and the statements that copy and refresh rows.

use crate::key::index::{KeyColumn, KeyIndex};
use crate::key::mapping::Mapping;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::convert;
use crate::schema::table::is_same;
use crate::sql::computed::values_of;
use crate::sql::quote::{quote, sign, table};
use altergeist_contract::{Chunk, Key, Result, Watermark};

/// The key's columns in one of the tables. The shadow's are converted to the source's form.
pub(crate) fn columns_of(key: &KeyIndex, in_shadow: bool, of: &str) -> Vec<String> {
    let name = |column: &KeyColumn| match in_shadow {
        true => column.mapping.back(&format!("{of}{}", quote(&column.shadow_name))),
        false => format!("{of}{}", quote(&column.name)),
    };
    key.columns.iter().map(name).collect()
}

/// ` ORDER BY` the key. It is empty for an index of prefixes, because the server would sort all
/// rows each time. The server returns them in the index's order anyway, and only the size of chunks
/// depends on it.
pub(crate) fn in_order(key: &KeyIndex, columns: &[String]) -> String {
    if key.has_prefix() { String::new() } else { format!(" ORDER BY {}", order_of(key, columns)) }
}

fn order_of(key: &KeyIndex, columns: &[String]) -> String {
    let ordered = key.columns.iter().zip(columns);
    let ordered =
        ordered.map(
            |(column, name)| if column.descending { format!("{name} DESC") } else { name.clone() },
        );
    ordered.collect::<Vec<_>>().join(", ")
}

/// `(a, b) > (1, 2)` in the form that both servers' range optimizers understand: `(a > 1) OR (a = 1
/// AND b > 2)`. A descending column runs the other way.
fn beyond(key: &KeyIndex, columns: &[String], mark: &Key, is_after: bool) -> Result<String> {
    let literals = key.literals(mark)?;
    let alternatives: Vec<String> = (0..columns.len())
        .map(|place| {
            let column = &key.columns[place];
            let operator =
                match (is_after != column.descending, is_after || place + 1 < columns.len()) {
                    (true, true) => ">",
                    (true, false) => ">=",
                    (false, true) => "<",
                    (false, false) => "<=",
                };
            let mut terms: Vec<String> = (0..place)
                .map(|before| format!("{} = {}", columns[before], literals[before]))
                .collect();
            terms.push(column.spelling.bounded(&columns[place], operator, &literals[place]));
            format!("({})", terms.join(" AND "))
        })
        .collect();
    Ok(format!("({})", alternatives.join(" OR ")))
}

pub(crate) fn range(key: &KeyIndex, columns: &[String], chunk: &Chunk) -> Result<String> {
    let mut bounds = Vec::new();
    match &chunk.after {
        Watermark::Start => {}
        Watermark::At(mark) => bounds.push(beyond(key, columns, mark, true)?),
        Watermark::End => bounds.push("FALSE".to_owned()),
    }
    match &chunk.through {
        Watermark::Start => bounds.push("FALSE".to_owned()),
        Watermark::At(mark) => bounds.push(beyond(key, columns, mark, false)?),
        Watermark::End => {}
    }
    Ok(if bounds.is_empty() { "TRUE".to_owned() } else { bounds.join(" AND ") })
}

/// Whether a row has one of these keys. Composite keys have the same form as in ranges, because
/// MariaDB does not look up row constructors.
pub(crate) fn among(key: &KeyIndex, columns: &[String], keys: &[Key]) -> Result<String> {
    let values = keys.iter().map(|one| key.literals(one)).collect::<Result<Vec<_>>>()?;
    if !key.has_prefix() {
        return Ok(one_of(columns, &values));
    }
    // Some collations call texts equal whose prefixes differ. The prefixes distinguish the rows.
    let one = |value: &Vec<String>| {
        let terms = key.columns.iter().zip(columns).zip(value).map(|((part, column), literal)| {
            let whole = format!("{column} = {literal}");
            part.prefix.map_or(whole.clone(), |length| {
                format!("{whole} AND LEFT({column}, {length}) = LEFT({literal}, {length})")
            })
        });
        format!("({})", terms.collect::<Vec<_>>().join(" AND "))
    };
    Ok(format!("({})", values.iter().map(one).collect::<Vec<_>>().join(" OR ")))
}

/// Whether columns hold one of these lists of values, given as literals.
pub(crate) fn one_of(columns: &[String], values: &[Vec<String>]) -> String {
    if let [column] = columns {
        return format!(
            "{column} IN ({})",
            values.iter().flatten().cloned().collect::<Vec<_>>().join(", ")
        );
    }
    let one = |value: &Vec<String>| {
        let terms =
            columns.iter().zip(value).map(|(column, literal)| format!("{column} = {literal}"));
        format!("({})", terms.collect::<Vec<_>>().join(" AND "))
    };
    format!("({})", values.iter().map(one).collect::<Vec<_>>().join(" OR "))
}

/// Whether a row of the shadow has one of these keys. If values are mapped, the index finds them in
/// the shadow's form, and the source's form decides.
pub(crate) fn among_shadows(key: &KeyIndex, of: &str, keys: &[Key]) -> Result<String> {
    let columns = columns_of(key, true, of);
    if !key.is_mapped() {
        return among(key, &columns, keys);
    }
    let alternatives: Vec<String> = keys
        .iter()
        .map(|one| {
            let literals = key.literals(one)?;
            let term = |((column, back), literal): ((&KeyColumn, &String), &String)| match &column
                .mapping
            {
                Mapping::Same => format!("{back} = {literal}"),
                mapping => {
                    let found = format!(
                        "{of}{} = {}",
                        quote(&column.shadow_name),
                        mapping.to_shadow(literal)
                    );
                    format!("{found} AND {back} = {literal}")
                }
            };
            let terms: Vec<String> =
                key.columns.iter().zip(&columns).zip(&literals).map(term).collect();
            Ok(format!("({})", terms.join(" AND ")))
        })
        .collect::<Result<_>>()?;
    Ok(format!("({})", alternatives.join(" OR ")))
}

/// Whether a row of the source and a row of the shadow have the same key. The tables' names are
/// given.
pub(crate) fn matched(mapping: &ColumnMapping, (s, d): (&str, &str)) -> String {
    let source = columns_of(&mapping.key, false, &format!("{s}."));
    let shadow = columns_of(&mapping.key, true, &format!("{d}."));
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
    mapping.key.columns.iter().zip(&source).zip(&shadow).map(term).collect::<Vec<_>>().join(" AND ")
}

/// Selects the key columns in the forms that
/// [`Spelling::of_query`](crate::key::spelling::Spelling::of_query) reads.
pub(crate) fn spelled(key: &KeyIndex, columns: &[String]) -> String {
    let spelled = key.columns.iter().zip(columns).map(|(column, name)| column.spelling.asked(name));
    spelled.collect::<Vec<_>>().join(", ")
}

/// Selects the shadow's columns in the same forms.
pub(crate) fn spelled_of_shadow(key: &KeyIndex, of: &str) -> String {
    let columns = columns_of(key, true, of);
    let spelled = key
        .columns
        .iter()
        .zip(&columns)
        .map(|(column, name)| column.spelling.asked_of_shadow(name));
    spelled.collect::<Vec<_>>().join(", ")
}

pub(crate) fn range_end(mapping: &ColumnMapping, mark: &Watermark, rows: u64) -> Result<String> {
    let columns = columns_of(&mapping.key, false, "");
    let chunk = Chunk { after: mark.clone(), through: Watermark::End };
    Ok(format!(
        "{}SELECT {} FROM {} FORCE INDEX ({}) WHERE {}{} LIMIT 1 OFFSET {}",
        sign(&mapping.source),
        spelled(&mapping.key, &columns),
        table(&mapping.source),
        quote(&mapping.key.index),
        range(&mapping.key, &columns, &chunk)?,
        in_order(&mapping.key, &columns),
        rows.max(1) - 1
    ))
}

/// Some of the source's keys.
pub(crate) fn first_keys(mapping: &ColumnMapping) -> String {
    const SAMPLE: u64 = 100;
    format!(
        "{}{} LIMIT {SAMPLE}",
        keys_of(mapping),
        in_order(&mapping.key, &columns_of(&mapping.key, false, ""))
    )
}

/// Returns which of these keys the source has.
pub(crate) fn keys_among(mapping: &ColumnMapping, keys: &[Key]) -> Result<String> {
    Ok(format!(
        "{} WHERE {}",
        keys_of(mapping),
        among(&mapping.key, &columns_of(&mapping.key, false, ""), keys)?
    ))
}

fn keys_of(mapping: &ColumnMapping) -> String {
    format!(
        "{}SELECT {} FROM {} FORCE INDEX ({})",
        sign(&mapping.source),
        spelled(&mapping.key, &columns_of(&mapping.key, false, "")),
        table(&mapping.source),
        quote(&mapping.key.index)
    )
}

/// Copies rows of the source. `force` names the index that finds them; it may be empty.
pub(crate) fn insert_select(mapping: &ColumnMapping, force: &str, condition: &str) -> String {
    let list = |name: fn(&crate::schema::pair::Pair) -> String,
                given: fn(&crate::schema::pair::Given) -> String| {
        let columns = mapping.columns.iter().chain(&mapping.kept).map(name);
        columns.chain(mapping.given.iter().map(given)).collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}INSERT INTO {} ({}) SELECT {} FROM {}{force} WHERE {condition}",
        sign(&mapping.source),
        table(&mapping.shadow),
        list(|pair| quote(&pair.shadow.name), |given| quote(&given.column.name)),
        list(convert::copied, |given| given.value.to_owned()),
        table(&mapping.source)
    )
}

/// The source's rows under a name, found by the key's index, with the values that `--set` computes
/// as columns. The server merges such a query with the one around it.
pub(crate) fn source_rows(mapping: &ColumnMapping, name: &str) -> String {
    let force = by_key(mapping);
    if mapping.columns.iter().all(|pair| pair.formula.is_none()) {
        return format!("{} {name}{force}", table(&mapping.source));
    }
    format!("({}{force}) {name}", computed_rows(mapping))
}

/// The same rows by any index, as a query.
fn computed_rows(mapping: &ColumnMapping) -> String {
    let mut columns: Vec<String> = Vec::new();
    let copied = mapping.columns.iter().chain(&mapping.kept);
    let copied = copied.filter_map(|pair| pair.before()).map(|column| &column.name);
    for name in mapping.key.columns.iter().map(|column| &column.name).chain(copied) {
        if !columns.iter().any(|known| is_same(known, name)) {
            columns.push(name.clone());
        }
    }
    let computed = mapping.columns.iter().filter_map(|pair| {
        Some((pair.formula.as_ref()?.expression.clone(), pair.source.name.clone()))
    });
    values_of(&mapping.source, &columns, &computed.collect::<Vec<_>>())
}

/// The source as a table to select from: itself, or a query with the computed values.
pub(crate) fn source_as(mapping: &ColumnMapping, name: &str) -> String {
    match mapping.columns.iter().all(|pair| pair.formula.is_none()) {
        true => format!("{} {name}", table(&mapping.source)),
        false => format!("({}) {name}", computed_rows(mapping)),
    }
}

/// Fails if the server does not understand a condition on the rows. Reads none.
pub(crate) fn try_condition(mapping: &ColumnMapping, condition: &str) -> String {
    format!(
        "{}SELECT ({condition}) FROM {} WHERE FALSE",
        sign(&mapping.source),
        source_as(mapping, "ag_source")
    )
}

fn by_key(mapping: &ColumnMapping) -> String {
    format!(" FORCE INDEX ({})", quote(&mapping.key.index))
}

pub(crate) fn copy(mapping: &ColumnMapping, chunk: &Chunk) -> Result<String> {
    Ok(insert_select(
        mapping,
        &by_key(mapping),
        &range(&mapping.key, &columns_of(&mapping.key, false, ""), chunk)?,
    ))
}

/// Counts the rows of a chunk, and those that meet each condition.
pub(crate) fn count_conditions(
    mapping: &ColumnMapping,
    chunk: &Chunk,
    conditions: &[&str],
) -> Result<String> {
    let sums: String =
        conditions.iter().map(|condition| format!(", COALESCE(SUM({condition}), 0)")).collect();
    Ok(format!(
        "{}SELECT COUNT(*){sums} FROM {} WHERE {}",
        sign(&mapping.source),
        source_rows(mapping, "ag_source"),
        range(&mapping.key, &columns_of(&mapping.key, false, ""), chunk)?
    ))
}

pub(crate) fn delete_keys(mapping: &ColumnMapping, keys: &[Key]) -> Result<String> {
    let shadow = table(&mapping.shadow);
    Ok(format!(
        "{}DELETE FROM {shadow} USING {shadow} FORCE INDEX ({}) WHERE {}",
        sign(&mapping.source),
        quote(&mapping.key.shadow_index),
        among_shadows(&mapping.key, "", keys)?
    ))
}

pub(crate) fn insert_keys(
    mapping: &ColumnMapping,
    keys: &[Key],
    through: &Watermark,
) -> Result<String> {
    let columns = columns_of(&mapping.key, false, "");
    let chunk = Chunk { after: Watermark::Start, through: through.clone() };
    let condition = format!(
        "{} AND {}",
        among(&mapping.key, &columns, keys)?,
        range(&mapping.key, &columns, &chunk)?
    );
    Ok(insert_select(mapping, &by_key(mapping), &condition))
}

pub(crate) fn delete_beyond(
    mapping: &ColumnMapping,
    mark: &Watermark,
    rows: u64,
) -> Result<String> {
    let chunk = Chunk { after: mark.clone(), through: Watermark::End };
    let columns = columns_of(&mapping.key, true, "");
    Ok(format!(
        "{}DELETE FROM {} WHERE {}{} LIMIT {rows}",
        sign(&mapping.source),
        table(&mapping.shadow),
        range(&mapping.key, &columns, &chunk)?,
        in_order(&mapping.key, &columns)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::names::TableName;
    use crate::sql::quote::quote;
    use crate::sql::quote::sign;
    use crate::sql::quote::string;
    use crate::sql::session::whole_seconds;
    use std::time::Duration;

    #[test]
    fn identifiers_and_texts_are_quoted() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(string("it's"), "'it''s'");
        assert_eq!(string("a\\b"), "CONVERT(x'615c62' USING utf8mb4)");
        assert_eq!(sign(&TableName::new("s", "a*/b")), "/* altergeist s.a* /b */ ");
    }

    fn key(descending: [bool; 2], mapping: Mapping) -> KeyIndex {
        let column = |(name, descending): (&str, bool)| KeyColumn {
            name: name.into(),
            shadow_name: name.into(),
            ordinal: 0,
            spelling: crate::key::spelling::Spelling::Integer { bytes: 4, unsigned: false },
            descending,
            prefix: None,
            mapping: mapping.clone(),
        };
        let columns = ["a", "b"].into_iter().zip(descending).map(column).collect();
        KeyIndex { index: "PRIMARY".into(), shadow_index: "PRIMARY".into(), columns }
    }

    #[test]
    fn a_composite_range_is_a_choice_of_prefixes() {
        let mark = Key::compose([&b"1"[..], b"2"]);
        let range = |key: &KeyIndex, is_after| {
            beyond(key, &columns_of(key, false, ""), &mark, is_after).unwrap()
        };
        let plain = key([false; 2], Mapping::Same);
        assert_eq!(range(&plain, true), "((`a` > 1) OR (`a` = 1 AND `b` > 2))");
        assert_eq!(range(&plain, false), "((`a` < 1) OR (`a` = 1 AND `b` <= 2))");
        let mixed = key([false, true], Mapping::Same);
        assert_eq!(range(&mixed, true), "((`a` > 1) OR (`a` = 1 AND `b` < 2))");
        assert_eq!(range(&mixed, false), "((`a` < 1) OR (`a` = 1 AND `b` >= 2))");
        assert_eq!(order_of(&mixed, &columns_of(&mixed, false, "")), "`a`, `b` DESC");
    }

    #[test]
    fn mapped_keys_are_found_by_the_shadows_terms_and_told_apart_by_the_sources() {
        let mark = Key::compose([&b"1"[..], b"2"]);
        let mapped = key(
            [false; 2],
            Mapping::Digits {
                charset: "latin1".into(),
                collation: "latin1_bin".into(),
                unsigned: true,
            },
        );
        assert_eq!(
            among_shadows(&mapped, "d.", &[mark]).unwrap(),
            "((d.`a` = CONVERT(CAST(1 AS CHAR) USING latin1) COLLATE latin1_bin AND CAST(d.`a` AS \
             UNSIGNED) = 1 AND d.`b` = CONVERT(CAST(2 AS CHAR) USING latin1) COLLATE latin1_bin \
             AND CAST(d.`b` AS UNSIGNED) = 2))"
        );
    }

    #[test]
    fn waits_are_whole_seconds_and_never_none() {
        assert_eq!(whole_seconds(Duration::from_millis(300)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(2001)), 3);
    }
}
