//! What the altered table demands of rows, asked of the source's rows before anything is copied: that values fit their new
//! types, that checks hold, that foreign keys find their parents.

use crate::alteration::{News, refuse};
use crate::definition::Attribute;
use crate::duplicates;
use crate::error;
use crate::layout::Layout;
use crate::names::quoted;
use crate::session::Session;
use crate::sql;
use altergeist_contract::{Refusal, Result};
use std::collections::BTreeSet;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// A column whose values may not fit its new type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Risk {
    column: String,
    /// The value, cast.
    cast: String,
    /// Whether a value is too long, where a cast would cut it off.
    too_long: Option<String>,
}

impl Risk {
    /// The risk of a column, given the value it gets; None if every value fits.
    pub(crate) fn of(column: &Attribute, value: &str, keeps_values: bool) -> Option<Risk> {
        let (base, modifier) = column.stored_type();
        let is_text = [Type::VARCHAR.oid(), Type::BPCHAR.oid()].contains(&base);
        let is_bounded = is_text && modifier >= 4;
        if keeps_values && !is_bounded && column.base_type.is_none() && !is_narrow(base) {
            return None;
        }
        Some(Risk {
            column: column.name.clone(),
            cast: format!("CAST(({value}\n) AS {})", column.type_name),
            too_long: is_bounded
                .then(|| format!("char_length(rtrim(CAST(({value}\n) AS text), ' ')) > {}", modifier - 4)),
        })
    }
}

/// Whether a type may be narrower than another that keeps the order.
fn is_narrow(base: u32) -> bool {
    [Type::INT2.oid(), Type::INT4.oid()].contains(&base)
}

/// A foreign key whose rows may have no parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphans {
    pub(crate) name: String,
    /// The parent, qualified.
    pub(crate) parent: String,
    pub(crate) columns: Vec<String>,
    pub(crate) parent_columns: Vec<String>,
    pub(crate) is_to_itself: bool,
}

impl Orphans {
    /// Reads one from the columns of a row that begin at a place.
    pub(crate) fn of_row(row: &Row, at: usize) -> Orphans {
        Orphans {
            name: row.get(at),
            parent: row.get(at + 1),
            columns: row.get(at + 2),
            parent_columns: row.get(at + 3),
            is_to_itself: row.get(at + 4),
        }
    }

    /// The columns that are the table's own.
    pub(crate) fn own_columns(&mut self) -> impl Iterator<Item = &mut String> {
        let parents = self.is_to_itself.then_some(&mut self.parent_columns);
        self.columns.iter_mut().chain(parents.into_iter().flatten())
    }
}

/// A constraint of the altered table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constraint {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) definition: String,
    /// Its index, as the statement that makes it; empty if it has none.
    pub(crate) index: String,
    pub(crate) is_deferrable: bool,
    pub(crate) is_deferred: bool,
    pub(crate) column: String,
    /// Where its index is stored; empty for the database's own place.
    pub(crate) tablespace: String,
    pub(crate) expression: Option<String>,
    pub(crate) is_validated: bool,
    columns: Vec<String>,
}

impl Constraint {
    fn of_row(row: &Row) -> Constraint {
        Constraint {
            name: row.get(0),
            kind: row.get(1),
            definition: row.get(2),
            index: row.get::<_, Option<String>>(3).unwrap_or_default(),
            is_deferrable: row.get(4),
            is_deferred: row.get(5),
            column: row.get::<_, Option<String>>(6).unwrap_or_default(),
            tablespace: row.get(7),
            expression: row.get(8),
            is_validated: row.get(9),
            columns: row.get(10),
        }
    }
}

/// Reads a table's constraints.
pub(crate) async fn constraints(session: &Session, table: u32) -> Result<Vec<Constraint>> {
    let rows = session.query(sql::CONSTRAINTS, &[&table]).await;
    let rows = rows.map_err(|error| error::of("read the constraints", &error))?;
    Ok(rows.iter().map(Constraint::of_row).collect())
}

/// A question about the rows: how many are not as they must be.
pub(crate) struct Question {
    statement: String,
    object: String,
    /// What is wrong with that many rows.
    complaint: String,
}

/// The questions about checks the source does not already hold to, and about foreign keys that are added.
pub(crate) fn questions(
    source: &[Constraint],
    demanded: &[Constraint],
    orphans: &[Orphans],
    layout: &Layout,
    news: &News,
) -> Vec<Question> {
    let checks = demanded.iter().filter(|check| check.kind == "c" && check.is_validated);
    let new = checks.filter(|check| !is_held(check, source, layout));
    let checks = new.filter_map(|check| violated(check, layout, news));
    checks.chain(orphans.iter().filter_map(|orphans| orphaned(orphans, layout, news))).collect()
}

/// Whether every row of the source satisfies a check, over values that stay the same.
fn is_held(check: &Constraint, source: &[Constraint], layout: &Layout) -> bool {
    let stays = |name: &String| layout.columns.iter().any(|column| column.name == *name && !column.changed);
    check.columns.iter().all(stays)
        && source.iter().any(|known| known.is_validated && known.definition == check.definition && known.kind == "c")
}

fn violated(check: &Constraint, layout: &Layout, news: &News) -> Option<Question> {
    let rows = known_rows(&check.columns, layout, news)?;
    let expression = check.expression.as_ref()?;
    Some(Question {
        statement: format!("SELECT count(*) FROM {rows} WHERE ({expression}) IS FALSE"),
        object: format!("constraint {}", check.name),
        complaint: "violate it".to_owned(),
    })
}

fn orphaned(key: &Orphans, layout: &Layout, news: &News) -> Option<Question> {
    let rows = known_rows(&key.columns, layout, news)?;
    let parent_column = |name: &String| match key.is_to_itself {
        false => Some(name.clone()),
        true => layout.columns.iter().find(|column| column.name == *name).map(|column| column.source.clone()),
    };
    let parent_columns = key.parent_columns.iter().map(parent_column).collect::<Option<Vec<_>>>()?;
    let child = |column: &String| format!("{}.{}", layout.alias, quoted(column));
    let present: Vec<String> = key.columns.iter().map(|column| format!("{} IS NOT NULL", child(column))).collect();
    let pairs = key.columns.iter().zip(&parent_columns);
    let found: Vec<String> =
        pairs.map(|(column, parent)| format!("altergeist_parent.{} = {}", quoted(parent), child(column))).collect();
    let parent = if key.is_to_itself { &layout.source } else { &key.parent };
    Some(Question {
        statement: format!(
            "SELECT count(*) FROM {rows} WHERE {} AND NOT EXISTS (
                SELECT FROM {parent} AS altergeist_parent WHERE {})",
            present.join(" AND "),
            found.join(" AND ")
        ),
        object: format!("foreign key {}", key.name),
        complaint: format!("have no parent in {parent}"),
    })
}

/// The rows as they will be; None if one of these columns gets a value of its own in every row.
fn known_rows(columns: &[String], layout: &Layout, news: &News) -> Option<String> {
    let wanted: BTreeSet<String> = columns.iter().cloned().collect();
    let is_made_up = |column: &String| news.added.iter().any(|(name, value)| name == column && value.is_none());
    (!wanted.iter().any(is_made_up)).then(|| duplicates::future_rows(&wanted, layout, news))
}

/// Asks.
pub(crate) async fn refusals(session: &Session, table: &str, questions: &[Question]) -> Result<Vec<Refusal>> {
    let mut refusals = Vec::new();
    for question in questions {
        let answer = session.one(&question.statement, &[]).await;
        let answer = answer.map_err(|error| error::of(format!("look at the rows of {table}"), &error))?;
        let rows: i64 = answer.get(0);
        if rows > 0 {
            let many = if rows == 1 { "row" } else { "rows" };
            let reason = format!("{rows} {many} {}", question.complaint);
            refusals.push(refuse(question.object.clone(), reason, "correct these rows first"));
        }
    }
    Ok(refusals)
}

/// The columns into whose new type a value does not fit.
pub(crate) async fn misfits(session: &Session, layout: &Layout, risks: &[Risk]) -> Result<Vec<Refusal>> {
    let mut refusals = Vec::new();
    for risk in risks {
        let attempted = || format!("look whether the values of column {} fit its new type", risk.column);
        let too_long = risk.too_long.as_deref().unwrap_or("false");
        let statement = format!(
            "SELECT count({}), coalesce(bool_or({too_long}), false) FROM ONLY {} AS {}",
            risk.cast, layout.source, layout.alias
        );
        let reason = match session.one(&statement, &[]).await {
            Ok(row) if row.get::<_, bool>(1) => "a value is too long for its new type".to_owned(),
            Ok(_) => continue,
            Err(error) if error::is_of_value(&error) => error::of(attempted(), &error).reason,
            Err(error) => return Err(error::of(attempted(), &error)),
        };
        refusals.push(refuse(
            format!("column {}", risk.column),
            reason,
            "correct these rows first, or give a USING that does",
        ));
    }
    Ok(refusals)
}
