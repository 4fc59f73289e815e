//! Counts the values that a unique index of the shadow would refuse. It asks the source: each
//! expression of the index is computed from the source's rows, as the copy does, and grouped as the
//! index compares.

use crate::schema::altered::ColumnChanges;
use crate::schema::columns::Layout;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::quoted;
use altergeist_contract::{Duplicates, Result};
use std::collections::BTreeSet;
use tokio_postgres::Row;

/// A question about one index.
pub(crate) struct Count {
    pub(crate) index: String,
    pub(crate) statement: String,
}

/// A unique index, taken apart.
struct UniqueIndex {
    name: String,
    definition: String,
    expressions: Vec<String>,
    predicate: Option<String>,
    nulls_are_equal: bool,
    columns: BTreeSet<String>,
}

impl UniqueIndex {
    fn of_row(row: &Row) -> UniqueIndex {
        UniqueIndex {
            name: row.get(0),
            definition: row.get(1),
            expressions: row.get(2),
            predicate: row.get(3),
            nulls_are_equal: row.get(4),
            columns: row.get::<_, Vec<String>>(5).into_iter().collect(),
        }
    }
}

/// Returns questions for the shadow's unique indexes that the source does not guarantee.
pub(crate) async fn queries(
    session: &Session,
    source: u32,
    shadow: u32,
    layout: &Layout,
    changes: &ColumnChanges,
) -> Result<Vec<Count>> {
    let guaranteed = indexes(session, source).await?;
    let demanded = indexes(session, shadow).await?;
    let is_ours = |index: &UniqueIndex| layout.helper_index.as_ref() == Some(&index.name);
    let demanded = demanded.into_iter().filter(|index| !is_ours(index));
    let new = demanded.filter(|index| !is_guaranteed(index, &guaranteed, layout, changes));
    Ok(new.filter_map(|index| question(&index, layout, changes)).collect())
}

/// Asks the questions. Returns the indexes with duplicates.
pub(crate) async fn count(session: &Session, questions: &[Count]) -> Result<Vec<Duplicates>> {
    let mut found = Vec::new();
    for question in questions {
        let attempted = || format!("look for duplicates over the unique index {}", question.index);
        let row = session.one(&question.statement, &[]).await.doing(attempted)?;
        let values: i64 = row.get(0);
        if values > 0 {
            found.push(Duplicates { index: question.index.clone(), values: values.unsigned_abs() });
        }
    }
    Ok(found)
}

async fn indexes(session: &Session, table: u32) -> Result<Vec<UniqueIndex>> {
    let rows = session.query(sql::UNIQUE_INDEXES, &[&table]).await;
    let rows = rows.doing("read the unique indexes")?;
    Ok(rows.iter().map(UniqueIndex::of_row).collect())
}

/// Whether the source has the same index over columns that stay the same.
fn is_guaranteed(
    index: &UniqueIndex,
    guaranteed: &[UniqueIndex],
    layout: &Layout,
    changes: &ColumnChanges,
) -> bool {
    let touched = |column: &String| {
        let filled = layout.columns.iter().find(|filled| filled.name == *column);
        filled.is_none_or(|filled| filled.changed || filled.source != *column)
            || changes.generated.iter().any(|(name, _)| name == column)
    };
    !index.columns.iter().any(touched)
        && guaranteed
            .iter()
            .any(|known| known.name == index.name && known.definition == index.definition)
}

/// Returns the question how many values of an index occur more than once. None if a value differs
/// between rows.
fn question(index: &UniqueIndex, layout: &Layout, changes: &ColumnChanges) -> Option<Count> {
    let is_made_up = |column: &String| {
        changes.added.iter().any(|(name, value)| name == column && value.is_none())
    };
    if index.columns.iter().any(is_made_up) {
        return None;
    }
    let mut conditions: Vec<String> = index.predicate.iter().cloned().collect();
    if !index.nulls_are_equal {
        conditions.extend(
            index.expressions.iter().map(|expression| format!("({expression}) IS NOT NULL")),
        );
    }
    let condition =
        if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
    let rows = future_rows(&index.columns, layout, changes);
    let statement = sql::count_duplicates(&rows, &condition, &index.expressions.join(", "));
    Some(Count { index: index.name.clone(), statement })
}

/// Returns the source's rows as they will be in the shadow, with some of its new columns. The
/// result has the table's name.
pub(crate) fn future_rows(
    asked: &BTreeSet<String>,
    layout: &Layout,
    changes: &ColumnChanges,
) -> String {
    let filled = layout.columns.iter().map(|column| {
        format!("CAST(({}\n) AS {}) AS {}", column.value, column.type_name, quoted(&column.name))
    });
    let added = changes.added.iter().filter(|(name, _)| asked.contains(name));
    let added = added
        .filter_map(|(name, value)| Some(format!("({}\n) AS {}", value.as_ref()?, quoted(name))));
    let columns = filled.chain(added).collect::<Vec<_>>().join(", ");
    let generated = changes.generated.iter().filter(|(name, _)| asked.contains(name));
    let generated: String = generated
        .map(|(name, expression)| format!(", ({expression}) AS {}", quoted(name)))
        .collect();
    sql::future_rows(&columns, &generated, &layout.source, &layout.alias)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::altered::ColumnChanges;
    use crate::schema::columns::{Column, Layout, Sameness};

    fn index(expressions: &[&str], columns: &[&str]) -> UniqueIndex {
        UniqueIndex {
            name: "u".into(),
            definition: "CREATE UNIQUE INDEX u ON USING btree (a)".into(),
            expressions: expressions.iter().map(|&text| text.to_owned()).collect(),
            predicate: None,
            nulls_are_equal: false,
            columns: columns.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    fn layout(changed: bool) -> Layout {
        let column = Column {
            name: "a".into(),
            source: "a".into(),
            type_name: "bigint".into(),
            value: "t.a".into(),
            changed,
            sameness: Sameness::Equal,
            returns: None,
            counted: None,
        };
        Layout {
            order: Vec::new(),
            is_partitioned: false,
            source: "s.t".into(),
            shadow: "ag_shadow_s.t".into(),
            shadow_schema: "ag_shadow_s".into(),
            alias: "t".into(),
            key_index: "p".into(),
            keys: Vec::new(),
            columns: vec![column],
            helper_index: None,
            back: None,
        }
    }

    #[test]
    fn an_index_over_columns_that_stay_needs_no_question() {
        let same = index(&["a"], &["a"]);
        assert!(is_guaranteed(
            &same,
            &[index(&["a"], &["a"])],
            &layout(false),
            &ColumnChanges::default()
        ));
        assert!(!is_guaranteed(
            &same,
            &[index(&["a"], &["a"])],
            &layout(true),
            &ColumnChanges::default()
        ));
        assert!(!is_guaranteed(&same, &[], &layout(false), &ColumnChanges::default()));
    }

    #[test]
    fn a_value_made_up_row_by_row_is_not_asked_about() {
        let changes = ColumnChanges { added: vec![("b".into(), None)], ..ColumnChanges::default() };
        assert!(question(&index(&["b"], &["b"]), &layout(false), &changes).is_none());
        assert!(question(&index(&["a"], &["a"]), &layout(false), &changes).is_some());
    }
}
