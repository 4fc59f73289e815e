//! The mapping of the way back: how the old table's columns come from the altered table's. The
//! altered table is the source here, and the old one is the shadow. Pure.
//!
//! Rows are compared the other way: the old table's value, converted as the change itself converts
//! it, must be the altered table's. Old values always convert, so a comparison never fails because
//! of a value. And a value that lost something on its way back is a difference.

use crate::facts::WayBack;
use crate::key::index::{KeyColumn, KeyIndex};
use crate::schema::clauses::Clauses;
use crate::schema::column_mapping::{ColumnMapping, given};
use crate::schema::convert;
use crate::schema::key_choice::followed;
use crate::schema::pair::Pair;
use crate::schema::reverse::Reverse;
use crate::schema::table::{Column, Index, Part, Table, is_same};
use crate::server::about::Zone;
use crate::server::names::{Names, TableName};
use crate::server::version::Flavour;
use altergeist_contract::{Code, Finding};
use std::sync::Arc;

/// Finds the mapping, or all reasons against it.
pub(crate) fn find(
    (source, names): (&TableName, &Names),
    [altered, old]: [&Table; 2],
    way_back: &WayBack,
    zone: Zone,
    flavour: Flavour,
) -> std::result::Result<ColumnMapping, Vec<Finding>> {
    let pairs = pairs([altered, old], way_back, flavour).map_err(|refusal| vec![refusal])?;
    let is_fixed = zone == Zone::Fixed;
    let relabelled = |finding: Finding| vec![Finding { code: Code::NotRevertible, ..finding }];
    let (key, kept) = followed((source, altered), old, &pairs, is_fixed).map_err(relabelled)?;
    if key.needs_lookup() || !kept.is_empty() || key.has_prefix() {
        return Err(vec![no_common_key(&key)]);
    }
    let is_set = |column: &Column| way_back.sets.iter().any(|(set, _)| is_same(set, &column.name));
    let unset: Vec<Column> = old.columns.iter().filter(|column| !is_set(column)).cloned().collect();
    let unset = Table { columns: unset, indexes: Vec::new() };
    let given = given(&unset, &pairs).map_err(|refusal| vec![no_default(refusal)])?;
    let has_moments = || old.columns.iter().any(|column| column.data_type == "timestamp");
    let in_utc = match zone {
        Zone::Fixed => false,
        Zone::HidesMoments => key.has_moments(),
        Zone::LosesMoments => has_moments(),
    };
    let reverse = reverse(names, [altered, old], way_back, (&pairs, &key), flavour);
    let columns = pairs.into_iter().filter(|pair| !pair.shadow.generated).collect();
    Ok(ColumnMapping {
        source: source.clone(),
        shadow: names.shadow.clone(),
        key,
        columns,
        kept: Vec::new(),
        given,
        in_utc,
        sets_row_number: false,
        own_keys: Vec::new(),
        log_tells_all: true,
        rounds: false,
        by_document: Arc::default(),
        reverse: Some(reverse),
    })
}

fn reverse(
    names: &Names,
    [altered, old]: [&Table; 2],
    way_back: &WayBack,
    (pairs, key): (&[Pair], &KeyIndex),
    flavour: Flavour,
) -> Reverse {
    let written: Vec<Column> =
        old.columns.iter().filter(|column| !column.generated).cloned().collect();
    let is_paired =
        |column: &Column| pairs.iter().any(|pair| is_same(&pair.shadow.name, &column.name));
    let lost = written.iter().filter(|column| !is_paired(column));
    let forward = |pair: &Pair| Pair {
        by_text: convert::goes_by_text(&pair.shadow, &pair.source, flavour),
        source: pair.shadow.clone(),
        shadow: pair.source.clone(),
        formula: None,
    };
    let is_computed =
        |pair: &Pair| way_back.computed.iter().any(|name| is_same(name, &pair.source.name));
    // What the server computes in either table may be another value in the other one.
    let is_generated = |pair: &Pair| pair.shadow.generated || pair.source.generated;
    let is_compared = |pair: &&Pair| !is_generated(pair) && !is_computed(pair);
    let key_column = |column: &KeyColumn| {
        altered.column(&column.name).expect("the key was read from this table").clone()
    };
    Reverse {
        compared: pairs.iter().filter(is_compared).map(forward).collect(),
        lost: lost.map(|column| column.name.clone()).collect(),
        written,
        sets: way_back.sets.clone(),
        unique: other_unique(old, pairs, key),
        key: key.columns.iter().map(key_column).collect(),
        misfits: names.misfits.clone(),
        stash: names.stash.clone(),
        altered: altered.columns.clone(),
        rows: names.rows.clone(),
    }
}

/// Returns the unique indexes of the old table in which a row of another key may be in the way:
/// those over whole columns that both tables have.
fn other_unique(old: &Table, pairs: &[Pair], key: &KeyIndex) -> Vec<(String, Vec<Pair>)> {
    let pair_of = |part: &Part| {
        let is_of = |pair: &&Pair| is_same(&pair.shadow.name, &part.column);
        let pair = pairs.iter().find(is_of).filter(|pair| !pair.shadow.generated);
        pair.filter(|_| part.prefix.is_none()).cloned()
    };
    let others = old.indexes.iter().filter(|index| index.unique && index.usable);
    let others = others.filter(|index| !is_same(&index.name, &key.shadow_index));
    let pairs_of = |index: &Index| {
        let pairs = index.parts.iter().map(pair_of).collect::<Option<Vec<Pair>>>()?;
        Some((index.name.clone(), pairs))
    };
    others.filter_map(pairs_of).collect()
}

/// Returns the columns that both tables have: the name in the old one, then in the altered one.
pub(crate) fn common_columns(
    clauses: &Clauses,
    [old, altered]: [&Table; 2],
) -> Vec<(String, String)> {
    let both = old.columns.iter().filter_map(|column| {
        let after = altered.column(&clauses.name_after(&column.name)?)?;
        Some((column.name.clone(), after.name.clone()))
    });
    both.collect()
}

/// Returns the columns of the altered table that `--set` computes.
pub(crate) fn computed_columns(clauses: &Clauses) -> Vec<String> {
    clauses.computed.iter().map(|computed| computed.name.clone()).collect()
}

/// Pairs the columns that both tables have.
fn pairs(
    [altered, old]: [&Table; 2],
    way_back: &WayBack,
    flavour: Flavour,
) -> std::result::Result<Vec<Pair>, Finding> {
    let pair = |(before, after): &(String, String)| {
        let (Some(source), Some(shadow)) = (altered.column(after), old.column(before)) else {
            return Err(Finding::error(
                Code::NotRevertible,
                format!("column {before}"),
                format!("it is {after} in the altered table, and one of both is gone"),
                "keep both tables as the change left them",
            ));
        };
        // What the change read as a text is written as one, too.
        let by_text = convert::goes_by_text(source, shadow, flavour)
            || convert::goes_by_text(shadow, source, flavour);
        Ok(Pair { source: source.clone(), shadow: shadow.clone(), by_text, formula: None })
    };
    way_back.columns.iter().map(pair).collect()
}

fn no_default(refusal: Finding) -> Finding {
    Finding::error(
        Code::NotRevertible,
        refusal.object,
        "the clauses drop it, it is NOT NULL, and new rows have no value for it",
        "give their value with --reverse-set, or leave out --reversible",
    )
}

fn no_common_key(key: &KeyIndex) -> Finding {
    Finding::error(
        Code::NotRevertible,
        format!("key {}", key.describe()),
        "the old table has no index that finds its rows by this key of the altered table",
        "keep a unique key over whole NOT NULL columns that both tables have, or leave out \
         --reversible",
    )
}
