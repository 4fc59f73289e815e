//! Chooses the key that the rows are followed by: the best index of the source whose columns can be
//! found again in the shadow. Pure.

use crate::key::index::{self, KeyColumn, KeyIndex};
use crate::key::mapping::Mapping;
use crate::key::{kept, missing_key};
use crate::schema::pair::Pair;
use crate::schema::table::{Column, Index, Table, is_same};
use crate::server::names::TableName;
use crate::sql::quote;
use altergeist_contract::{Code, Finding};

pub(crate) fn followed(
    (name, source): (&TableName, &Table),
    shadow: &Table,
    pairs: &[Pair],
    is_zone_fixed: bool,
) -> std::result::Result<(KeyIndex, Vec<Pair>), Finding> {
    let no_key = |reasons: Vec<String>| {
        Finding::error(
            Code::NoKey,
            "the table's keys",
            match reasons.is_empty() {
                true => "the table has no unique index".into(),
                false => format!("no unique index can follow the rows: {}", reasons.join("; ")),
            },
            missing_key::remedy(name, source),
        )
    };
    let mut by_kept = None;
    let mut by_lookup = None;
    for (index, columns) in index::candidates(source).map_err(no_key)? {
        match followed_by(&index, columns, shadow, pairs, is_zone_fixed) {
            Ok(key) if key.needs_lookup() => {
                by_lookup.get_or_insert(key);
            }
            Ok(key) => return Ok((key, Vec::new())),
            Err(columns) => {
                by_kept.get_or_insert_with(|| kept::key(&index.name, columns, source));
            }
        }
    }
    let by_lookup = by_lookup.map(|key| (key, Vec::new()));
    Ok(by_lookup.or(by_kept).expect("there is a candidate, or there was a reason"))
}

/// Returns the key by this index. If rows of the shadow cannot be found by some of its columns,
/// returns the columns; those have no name in the shadow.
fn followed_by(
    index: &Index,
    mut columns: Vec<KeyColumn>,
    shadow: &Table,
    pairs: &[Pair],
    is_zone_fixed: bool,
) -> std::result::Result<KeyIndex, Vec<KeyColumn>> {
    for column in &mut columns {
        let pair = pairs.iter().find(|pair| pair.source.name == column.name);
        let pair =
            pair.filter(|pair| !pair.shadow.generated || is_computed_alike(pair, shadow, pairs));
        let Some(pair) = pair else { continue };
        let mapping = match column.prefix {
            None => Mapping::of(&pair.source, &pair.shadow, is_zone_fixed),
            Some(_) => Mapping::of_prefix(&pair.source, &pair.shadow),
        };
        let Some(mapping) = mapping else { continue };
        column.mapping = mapping;
        column.shadow_name = pair.shadow.name.clone();
    }
    if columns.iter().any(|column| column.shadow_name.is_empty()) {
        return Err(columns);
    }
    let shadow_index =
        index::lookup_index(shadow, &columns).unwrap_or_else(|| index::LOOKUP.to_owned());
    Ok(KeyIndex { index: index.name.clone(), shadow_index, columns })
}

/// Returns whether the server computes the same value for a row of the shadow as for the source's.
fn is_computed_alike(pair: &Pair, shadow: &Table, pairs: &[Pair]) -> bool {
    let expression = pair.shadow.expression.to_lowercase();
    let is_input = |column: &&Column| expression.contains(&quote(&column.name).to_lowercase());
    let stays = |column: &Column| {
        let before = pairs
            .iter()
            .find(|pair| is_same(&pair.shadow.name, &column.name))
            .map(|pair| &pair.source);
        before.is_some_and(|before| {
            is_same(&before.name, &column.name)
                && before.is_alike(column)
                && before.expression == column.expression
        })
    };
    pair.source.generated
        && pair.source.expression == pair.shadow.expression
        && pair.source.is_alike(&pair.shadow)
        && shadow.columns.iter().filter(is_input).all(stays)
}
