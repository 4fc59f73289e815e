//! How the shadow's columns come from the source's. Every statement that moves rows is made from
//! this map.

use crate::key::index::KeyIndex;
use crate::key::kept;
use crate::schema::clauses::Clauses;
use crate::schema::computed;
use crate::schema::convert;
use crate::schema::foreign_key::OwnKey;
use crate::schema::key_choice::followed;
use crate::schema::moments;
use crate::schema::pair::{Formula, Given, Pair};
use crate::schema::reverse::Reverse;
use crate::schema::table::{Column, Table, is_same};
use crate::server::about::Zone;
use crate::server::names::TableName;
use crate::server::version::Flavour;
use crate::sql::quote;
use altergeist_contract::{Code, Error, Finding, Result};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Source and shadow, and which column of one becomes which of the other.
#[derive(Clone, Debug)]
pub(crate) struct ColumnMapping {
    pub source: TableName,
    pub shadow: TableName,
    pub key: KeyIndex,
    /// Columns that a copy of a row writes.
    pub columns: Vec<Pair>,
    /// Key columns that the altered table does not have. The shadow keeps their values in columns
    /// of ours.
    pub kept: Vec<Pair>,
    /// Columns that are added without a value for existing rows.
    pub given: Vec<Given>,
    /// Whether sessions that move rows run in UTC, so that no two moments get mixed up.
    pub in_utc: bool,
    /// Whether the clauses set the next AUTO_INCREMENT number, so that the source's is not carried.
    pub sets_row_number: bool,
    /// Foreign keys of the table to itself whose actions are not in the log.
    pub own_keys: Vec<OwnKey>,
    /// Whether the log has every change of rows, so that no other row's change changes one
    /// silently.
    pub log_tells_all: bool,
    /// Whether values may be rounded where the server's own ALTER would round them, with a note.
    pub rounds: bool,
    /// Whether rows are refreshed by their documents: InnoDB takes only growing numbers into the
    /// shadow now.
    pub by_document: Arc<AtomicBool>,
    /// What only the mapping of the way back has.
    pub reverse: Option<Reverse>,
}

impl ColumnMapping {
    /// Returns the name that a column of the source has in the shadow. Another name stays.
    pub(crate) fn name_after(&self, column: &str) -> String {
        let is_it =
            |pair: &&Pair| pair.before().is_some_and(|before| is_same(&before.name, column));
        let pair = self.columns.iter().find(is_it);
        pair.map_or_else(|| column.to_owned(), |pair| pair.shadow.name.clone())
    }

    /// Returns the condition that a row `s` of the source and a row `d` of the shadow are equal.
    pub(crate) fn equality(&self) -> Result<String> {
        let terms: Option<Vec<String>> = match &self.reverse {
            None => self.columns.iter().map(|pair| convert::equal(pair, "s.", "d.")).collect(),
            Some(reverse) => {
                reverse.compared.iter().map(|pair| convert::equal(pair, "d.", "s.")).collect()
            }
        };
        terms.map(|terms| terms.join(" AND ")).ok_or_else(|| {
            Error::fatal(
                format!("compare {} with its shadow", self.source.plain()),
                "the server cannot compare a column with its new type",
            )
        })
    }
}

/// Finds the mapping, or all reasons against it.
pub(crate) fn find(
    names: (&TableName, &TableName),
    source: &Table,
    shadow: &Table,
    clauses: &Clauses,
    zone: Zone,
    flavour: Flavour,
) -> std::result::Result<ColumnMapping, Vec<Finding>> {
    let shadow = &without_kept(shadow);
    let mut columns = pairs(source, shadow, clauses, flavour).map_err(|refusal| vec![refusal])?;
    let key = followed((names.0, source), shadow, &columns, zone == Zone::Fixed);
    let (key, kept) =
        key.map_or_else(|refusal| (Err(refusal), Vec::new()), |(key, kept)| (Ok(key), kept));
    let mut refusals = compute(&mut columns, shadow, clauses, key.as_ref().ok(), flavour);
    refusals.extend(incomparable(&columns));
    let is_moment = |column: &Column| column.data_type == "timestamp";
    let moments = columns.iter().any(|pair| is_moment(&pair.source) && is_moment(&pair.shadow));
    let in_utc = match zone {
        Zone::Fixed => false,
        Zone::HidesMoments => key.as_ref().is_ok_and(KeyIndex::has_moments),
        Zone::LosesMoments => moments,
    };
    if in_utc {
        refusals.extend(zoned(shadow, &columns));
        refusals.extend(zoned_expressions(source, clauses));
    }
    let given = given(shadow, &columns).unwrap_or_else(|refusal| {
        refusals.push(refusal);
        Vec::new()
    });
    match key {
        Ok(key) if refusals.is_empty() => {
            let columns = columns.into_iter().filter(|pair| !pair.shadow.generated).collect();
            return Ok(ColumnMapping {
                source: names.0.clone(),
                shadow: names.1.clone(),
                key,
                columns,
                kept,
                given,
                in_utc,
                sets_row_number: clauses.sets_row_number(),
                own_keys: Vec::new(),
                log_tells_all: true,
                rounds: false,
                by_document: Arc::default(),
                reverse: None,
            });
        }
        Ok(_) => {}
        Err(refusal) => refusals.push(refusal),
    }
    Err(refusals)
}

/// Puts the columns that `--set` computes in the place of those that are only copied. Returns why
/// one of them cannot be computed.
fn compute(
    columns: &mut Vec<Pair>,
    shadow: &Table,
    clauses: &Clauses,
    key: Option<&KeyIndex>,
    flavour: Flavour,
) -> Vec<Finding> {
    let mut refusals = Vec::new();
    for computed in &clauses.computed {
        let Some(column) = shadow.column(&computed.name) else {
            let why = "the altered table has no such column";
            refusals.push(computed::rejected(&computed.name, why));
            continue;
        };
        if column.generated {
            let why = "the server generates the column by an expression of its own";
            refusals.push(computed::rejected(&computed.name, why));
            continue;
        }
        let place = columns.iter().position(|pair| is_same(&pair.shadow.name, &column.name));
        let before = place.map(|place| columns[place].source.clone());
        let follows = |before: &Column| {
            key.is_some_and(|key| key.columns.iter().any(|it| is_same(&it.name, &before.name)))
        };
        if before.as_ref().is_some_and(follows) {
            refusals.push(Finding::error(
                Code::KeyChoice,
                computed::object(&computed.name),
                "the run follows the rows by this column, so it cannot compute it",
                "give the table another unique index over NOT NULL columns, or leave the column as \
                 it is",
            ));
            continue;
        }
        let by_text = computed.by_text || convert::goes_by_text(&computed.value, column, flavour);
        let pair = Pair {
            source: computed.value.clone(),
            shadow: column.clone(),
            by_text,
            formula: Some(Formula { expression: computed.expression.clone(), replaces: before }),
        };
        match place {
            Some(place) => columns[place] = pair,
            None => columns.push(pair),
        }
    }
    refusals
}

/// Refuses expressions over moments, if sessions do not use the server's own time zone.
fn zoned_expressions(source: &Table, clauses: &Clauses) -> Vec<Finding> {
    let zoned = clauses.computed.iter().filter(|it| computed::depends_on_zone(it, &source.columns));
    zoned
        .map(|it| {
            Finding::error(
                Code::ValueLossy,
                computed::object(&it.name),
                "it depends on the server's time zone, and that zone has hours that come twice. \
                 The run must copy TIMESTAMP columns in UTC, or they lose these hours",
                "run SET GLOBAL time_zone = '+00:00' until the change is done, or leave it out",
            )
        })
        .collect()
}

/// The altered table without our own columns.
fn without_kept(shadow: &Table) -> Table {
    let columns =
        shadow.columns.iter().filter(|column| !kept::is_kept(&column.name)).cloned().collect();
    Table { columns, indexes: shadow.indexes.clone() }
}

/// Pairs every remaining column, and proves that the clauses explain every column of the shadow.
fn pairs(
    source: &Table,
    shadow: &Table,
    clauses: &Clauses,
    flavour: Flavour,
) -> std::result::Result<Vec<Pair>, Finding> {
    let mut pairs = Vec::new();
    for column in &source.columns {
        let Some(name) = clauses.name_after(&column.name) else { continue };
        let Some(after) = shadow.column(&name) else {
            return Err(unexplained(
                &format!("column {}", column.name),
                "it has no counterpart in the altered table",
            ));
        };
        let by_text = convert::goes_by_text(column, after, flavour);
        pairs.push(Pair { source: column.clone(), shadow: after.clone(), by_text, formula: None });
    }
    for column in &shadow.columns {
        let kept = pairs.iter().filter(|pair| is_same(&pair.shadow.name, &column.name)).count();
        let added =
            clauses.adds(&column.name) && !(clauses.adds_if_missing(&column.name) && kept > 0);
        if kept + usize::from(added) != 1 {
            return Err(unexplained(
                &format!("column {}", column.name),
                "the clauses do not say which column of the table it comes from",
            ));
        }
    }
    Ok(pairs)
}

/// Returns the server's implicit defaults. It uses them in ALTER TABLE, but in strict modes not in
/// INSERT.
pub(crate) fn given(shadow: &Table, pairs: &[Pair]) -> std::result::Result<Vec<Given>, Finding> {
    let is_added =
        |column: &&Column| !pairs.iter().any(|pair| is_same(&pair.shadow.name, &column.name));
    let needs_one = |column: &&Column| {
        !column.nullable
            && !column.has_default
            && !column.generated
            && !column.extra.contains("AUTO_INCREMENT")
    };
    let value = |column: &Column| {
        Some(match &*column.data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "float"
            | "double" | "bit" | "year" => "0",
            // The first member.
            "enum" => "1",
            "date" | "datetime" | "timestamp" => "'0000-00-00'",
            "time" => "'00:00:00'",
            "json" => "CAST('null' AS JSON)",
            "uuid" => "'00000000-0000-0000-0000-000000000000'",
            "inet4" => "'0.0.0.0'",
            "inet6" => "'::'",
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
            | "multipolygon" | "geomcollection" | "geometrycollection" | "vector" => return None,
            _ => "''",
        })
    };
    let columns = shadow.columns.iter().filter(is_added).filter(needs_one);
    columns
        .map(|column| match value(column) {
            Some(value) => Ok(Given { column: column.clone(), value }),
            None => Err(Finding::error(
                Code::NoDefault,
                format!("column {}", column.name),
                "it is NOT NULL, and existing rows have no value for it",
                "give it a default, or make it nullable",
            )),
        })
        .collect()
}

fn unexplained(object: &str, reason: &str) -> Finding {
    Finding::error(
        Code::ClauseNotCarried,
        object,
        reason,
        "name its column with --rename old=new, or rewrite the clause",
    )
}

fn incomparable(pairs: &[Pair]) -> Vec<Finding> {
    let odd = pairs
        .iter()
        .filter(|pair| !pair.shadow.generated && convert::equal(pair, "s.", "d.").is_none());
    odd.map(|pair| {
        if let Some(refusal) = moments::completed_by_today(pair) {
            return refusal;
        }
        Finding::error(
            Code::ClauseNotCarried,
            format!("column {}", pair.title()),
            format!(
                "the run cannot verify a change from {} to {}",
                pair.source.column_type, pair.shadow.column_type
            ),
            "change it in several steps, or keep its type",
        )
    })
    .collect()
}

/// Refuses what cannot be computed in UTC. Sessions use UTC if the server's own zone would change
/// moments.
fn zoned(shadow: &Table, pairs: &[Pair]) -> Vec<Finding> {
    let refused = |column: &Column, what: &str| {
        Finding::error(
            Code::ValueLossy,
            format!("column {}", column.name),
            format!(
                "{what} depends on the server's time zone, and that zone has hours that come \
                 twice. The run must copy other TIMESTAMP columns in UTC, or they lose these hours"
            ),
            "run SET GLOBAL time_zone = '+00:00' until the change is done, or leave the column out",
        )
    };
    let is_moment = |column: &Column| column.data_type == "timestamp";
    let converted = pairs.iter().filter(|pair| is_moment(&pair.source) != is_moment(&pair.shadow));
    let mut refusals: Vec<Finding> =
        converted.map(|pair| refused(&pair.source, "its conversion")).collect();
    for column in &shadow.columns {
        let is_added = !pairs.iter().any(|pair| is_same(&pair.shadow.name, &column.name));
        let default = column.default.to_uppercase();
        let tells_time =
            ["NOW", "CURRENT_", "CURDATE", "CURTIME", "SYSDATE", "LOCALTIME", "FROM_UNIXTIME"];
        if is_added && !is_moment(column) && tells_time.iter().any(|word| default.contains(word)) {
            refusals.push(refused(column, "its default"));
        }
        let expression = column.expression.to_lowercase();
        let mut moments = pairs.iter().filter(|pair| is_moment(&pair.shadow));
        if moments.any(|pair| expression.contains(&quote(&pair.shadow.name).to_lowercase())) {
            refusals.push(refused(column, "what it is computed from"));
        }
    }
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::index;
    use crate::schema::table::{Index, Part};

    fn table(columns: &[&str]) -> Table {
        let column = |(ordinal, name): (usize, &&str)| Column {
            name: (*name).into(),
            ordinal,
            data_type: "int".into(),
            column_type: "int".into(),
            ..Column::default()
        };
        let key = Index {
            name: "PRIMARY".into(),
            unique: true,
            usable: true,
            parts: vec![Part { column: columns[0].into(), ..Part::default() }],
        };
        Table { columns: columns.iter().enumerate().map(column).collect(), indexes: vec![key] }
    }

    fn found(
        source: &[&str],
        shadow: &[&str],
        clauses: &str,
    ) -> std::result::Result<Vec<(String, String)>, Vec<Finding>> {
        let names = (TableName::new("s", "t"), TableName::new("s", "_t"));
        let clauses = Clauses::read(clauses, false, &[]).unwrap();
        let mapping = find(
            (&names.0, &names.1),
            &table(source),
            &table(shadow),
            &clauses,
            Zone::Fixed,
            Flavour::MySql,
        )?;
        Ok(mapping.columns.into_iter().map(|pair| (pair.source.name, pair.shadow.name)).collect())
    }

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
    }

    #[test]
    fn names_that_swap_take_their_values_along() {
        let clauses = "RENAME COLUMN a TO b, RENAME COLUMN b TO a";
        assert_eq!(
            found(&["id", "a", "b"], &["id", "b", "a"], clauses).unwrap(),
            named(&[("id", "id"), ("a", "b"), ("b", "a")])
        );
    }

    #[test]
    fn a_name_given_away_and_added_again_is_another_column() {
        let clauses = "CHANGE a b INT, ADD a INT";
        assert_eq!(
            found(&["id", "a"], &["id", "b", "a"], clauses).unwrap(),
            named(&[("id", "id"), ("a", "b")])
        );
        assert_eq!(
            found(&["id", "a"], &["id", "a"], "DROP a, ADD a INT").unwrap(),
            named(&[("id", "id")])
        );
    }

    #[test]
    fn a_column_nobody_explains_is_refused() {
        assert!(found(&["id", "a"], &["id", "b"], "").is_err());
        assert!(found(&["id", "a"], &["id", "a", "b"], "").is_err());
    }

    #[test]
    fn letter_case_makes_no_other_column() {
        assert_eq!(
            found(&["id", "A"], &["ID", "a"], "MODIFY a INT").unwrap(),
            named(&[("id", "ID"), ("A", "a")])
        );
    }

    #[test]
    fn rows_are_found_by_an_index_of_ours_only_where_the_altered_table_has_none() {
        let unique = |name: &str, column: &str| Index {
            name: name.into(),
            unique: true,
            usable: true,
            parts: vec![Part { column: column.into(), ..Part::default() }],
        };
        let names = (TableName::new("s", "t"), TableName::new("s", "_t"));
        let index_of = |source: &Table, shadow: &Table| {
            let clauses = Clauses::default();
            let key =
                find((&names.0, &names.1), source, shadow, &clauses, Zone::Fixed, Flavour::MySql)
                    .unwrap()
                    .key;
            (key.index, key.shadow_index)
        };
        let mut source = table(&["id", "a"]);
        let mut shadow = source.clone();
        shadow.indexes = vec![unique("PRIMARY", "a")];
        assert_eq!(index_of(&source, &shadow), ("PRIMARY".into(), index::LOOKUP.into()));
        source.indexes.push(unique("by_a", "a"));
        assert_eq!(index_of(&source, &shadow), ("by_a".into(), "PRIMARY".into()));
        // The shadow as it is made then.
        source.indexes.pop();
        shadow.indexes.push(unique(index::LOOKUP, "id"));
        assert_eq!(index_of(&source, &shadow), ("PRIMARY".into(), index::LOOKUP.into()));
    }

    #[test]
    fn a_key_that_goes_is_kept_in_a_column_of_ours() {
        let names = (TableName::new("s", "t"), TableName::new("s", "_t"));
        let clauses = Clauses::read("DROP id", false, &[]).unwrap();
        let mapping_of = |shadow: &Table| {
            let source = table(&["id", "a"]);
            find((&names.0, &names.1), &source, shadow, &clauses, Zone::Fixed, Flavour::MySql)
                .unwrap()
        };
        let mut shadow = table(&["a"]);
        let before = mapping_of(&shadow);
        // The same when the shadow has it.
        shadow.columns.push(Column { name: "_ag_key_1".into(), ..Column::default() });
        for mapping in [before, mapping_of(&shadow)] {
            assert_eq!(
                mapping.kept.iter().map(|pair| &*pair.shadow.name).collect::<Vec<_>>(),
                ["_ag_key_1"]
            );
            assert_eq!(
                (&*mapping.key.columns[0].name, &*mapping.key.columns[0].shadow_name),
                ("id", "_ag_key_1")
            );
            assert!(mapping.key.needs_lookup());
            assert_eq!(mapping.columns.len(), 1);
        }
    }
}
