//! What the altered table demands of rows. The plan asks the source's rows before it copies
//! anything: do values fit their new types, do checks hold, do foreign keys find their parents?

use crate::change::Change;
use crate::plan::row_counts;
use crate::schema::altered::{ColumnChanges, ConversionRisk, UnvalidatedKey};
use crate::schema::columns::Layout;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::limited;
use crate::server::session::Session;
use crate::server::version::Version;
use crate::shadow::duplicates;
use crate::sql;
use crate::sql::quote::quoted;
use altergeist_contract::{Code, Finding, Look, Result};
use std::collections::BTreeSet;
use tokio_postgres::Row;

/// A constraint of the altered table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constraint {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) definition: String,
    /// The statement that creates its index. Empty if it has none.
    pub(crate) index: String,
    pub(crate) is_deferrable: bool,
    pub(crate) is_deferred: bool,
    pub(crate) column: String,
    /// The tablespace of its index. Empty for the database's own.
    pub(crate) tablespace: String,
    pub(crate) expression: Option<String>,
    pub(crate) is_validated: bool,
    pub(crate) columns: Vec<String>,
    /// Whether it reads the row as a whole. Then any change of the columns concerns it.
    pub(crate) reads_whole_row: bool,
}

impl Constraint {
    pub(crate) fn of_row(row: &Row) -> Constraint {
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
            reads_whole_row: row.get(11),
        }
    }
}

/// Reads a table's constraints.
pub(crate) async fn constraints(session: &Session, table: u32) -> Result<Vec<Constraint>> {
    let rows = session.query(sql::CONSTRAINTS, &[&table]).await;
    let rows = rows.doing("read the constraints")?;
    Ok(rows.iter().map(Constraint::of_row).collect())
}

/// A question about the rows: how many violate a demand?
pub(crate) struct Question {
    pub(crate) statement: String,
    pub(crate) code: Code,
    pub(crate) object: String,
    /// What is wrong with that many rows.
    pub(crate) complaint: String,
}

/// Returns the questions about new checks, and about foreign keys to prove.
pub(crate) fn questions(
    source: &[Constraint],
    demanded: &[Constraint],
    unvalidated: &[UnvalidatedKey],
    layout: &Layout,
    changes: &ColumnChanges,
) -> Vec<Question> {
    let checks = demanded.iter().filter(|check| check.kind == "c" && check.is_validated);
    let new = checks.filter(|check| !is_held(check, source, layout));
    let checks = new.filter_map(|check| violated(check, layout, changes));
    checks
        .chain(
            unvalidated
                .iter()
                .filter_map(|unvalidated| without_parent(unvalidated, layout, changes)),
        )
        .collect()
}

/// Whether every row of the source satisfies a check already, and its columns stay the same.
fn is_held(check: &Constraint, source: &[Constraint], layout: &Layout) -> bool {
    let stays =
        |name: &String| layout.columns.iter().any(|column| column.name == *name && !column.changed);
    !check.reads_whole_row
        && check.columns.iter().all(stays)
        && source.iter().any(|known| {
            known.is_validated && known.definition == check.definition && known.kind == "c"
        })
}

fn violated(check: &Constraint, layout: &Layout, changes: &ColumnChanges) -> Option<Question> {
    let rows = known_rows(&check.columns, layout, changes)?;
    let expression = check.expression.as_ref()?;
    Some(Question {
        statement: sql::count_violations(&rows, expression),
        code: Code::CheckViolated,
        object: format!("constraint {}", check.name),
        complaint: "violate it".to_owned(),
    })
}

fn without_parent(
    key: &UnvalidatedKey,
    layout: &Layout,
    changes: &ColumnChanges,
) -> Option<Question> {
    let rows = known_rows(&key.columns, layout, changes)?;
    let parent_column = |name: &String| match key.is_to_itself {
        false => Some(name.clone()),
        true => layout
            .columns
            .iter()
            .find(|column| column.name == *name)
            .map(|column| column.source.clone()),
    };
    let parent_columns =
        key.parent_columns.iter().map(parent_column).collect::<Option<Vec<_>>>()?;
    let child = |column: &String| format!("{}.{}", layout.alias, quoted(column));
    let present: Vec<String> =
        key.columns.iter().map(|column| format!("{} IS NOT NULL", child(column))).collect();
    let pairs = key.columns.iter().zip(&parent_columns);
    let found: Vec<String> = pairs
        .map(|(column, parent)| format!("altergeist_parent.{} = {}", quoted(parent), child(column)))
        .collect();
    let parent = if key.is_to_itself { &layout.source } else { &key.parent };
    Some(Question {
        statement: sql::count_without_parent(
            &rows,
            &present.join(" AND "),
            parent,
            &found.join(" AND "),
        ),
        code: Code::ForeignKeyViolated,
        object: format!("foreign key {}", key.name),
        complaint: format!("have no parent in {parent}"),
    })
}

/// Returns the rows as they will be. None if one of these columns gets its own value in every row.
fn known_rows(columns: &[String], layout: &Layout, changes: &ColumnChanges) -> Option<String> {
    let wanted: BTreeSet<String> = columns.iter().cloned().collect();
    let is_made_up = |column: &String| {
        changes.added.iter().any(|(name, value)| name == column && value.is_none())
    };
    (!wanted.iter().any(is_made_up)).then(|| duplicates::future_rows(&wanted, layout, changes))
}

/// Asks the questions. Returns a refusal for each that finds rows.
pub(crate) async fn refusals(
    session: &Session,
    look: Look,
    table: &str,
    questions: &[Question],
) -> Result<Vec<Finding>> {
    let mut refusals = Vec::new();
    for question in questions {
        let answer = match limited::ask(session, look, &question.statement).await {
            Err(error) if error::is_of_statement(&error) => {
                refusals.push(impossible(&question.object, &error));
                continue;
            }
            answer => answer.doing(format!("look at the rows of {table}"))?,
        };
        let Some(answer) = answer else {
            let wanted = format!("rows that {}", question.complaint);
            refusals.push(limited::unanswered(look, &question.object, &wanted));
            continue;
        };
        let rows: i64 = answer.get(0);
        if rows > 0 {
            let count = rows.unsigned_abs();
            let message = format!("{} {}", row_counts::rows(count, true), question.complaint);
            let object = question.object.clone();
            refusals.push(
                Finding::error(question.code, object, message, "correct these rows first")
                    .count(count),
            );
        }
    }
    Ok(refusals)
}

/// Refuses a demand that the server cannot evaluate for the new rows.
fn impossible(object: &str, error: &tokio_postgres::Error) -> Finding {
    let words = error::of_clauses("try it", error).reason;
    let reason = format!("the server cannot evaluate it for the new rows: {words}");
    let remedy = "drop it in the same change, and add it again as the new rows need it";
    Finding::error(Code::CheckViolated, object, reason, remedy)
}

/// Returns refusals for columns with values that do not fit their new type, with their number
/// where the server can count them.
pub(crate) async fn unfit_values(
    session: &Session,
    change: &Change,
    layout: &Layout,
    changes: &ColumnChanges,
) -> Result<Vec<Finding>> {
    let look = change.target.look;
    let mut refusals = Vec::new();
    for risk in &changes.risks {
        let attempted =
            || format!("look whether the values of column {} fit its new type", risk.column);
        let too_long = risk.too_long.as_deref().unwrap_or("false");
        let statement = sql::convert_all(&risk.cast, too_long, &layout.source, &layout.alias);
        let (code, reason) = match limited::ask(session, look, &statement).await {
            Ok(Some(row)) if row.get::<_, bool>(1) => {
                (Code::ValueTooLong, "a value is too long for its new type".to_owned())
            }
            Ok(Some(_)) => continue,
            Ok(None) => {
                let object = format!("column {}", risk.column);
                refusals.push(limited::unanswered(look, &object, "values that do not fit"));
                continue;
            }
            Err(error) if error::is_of_value(&error) => {
                (error::code_of_value(&error), error::of(attempted(), &error).reason)
            }
            Err(error) => return Err(error::of(attempted(), &error)),
        };
        let remedy = "correct these rows first, or give a USING that does";
        let refusal = Finding::error(code, format!("column {}", risk.column), reason, remedy);
        refusals.push(match condition(risk, code, change.version, changes) {
            Some(condition) => counted(session, look, layout, refusal, &condition).await?,
            None => refusal,
        });
    }
    Ok(refusals)
}

/// Returns a condition for the values of a column that do not fit.
fn condition(
    risk: &ConversionRisk,
    code: Code,
    version: Version,
    changes: &ColumnChanges,
) -> Option<String> {
    if code == Code::ValueTooLong && risk.too_long.is_some() {
        return risk.too_long.clone();
    }
    let conversion = changes.conversions.iter().find(|it| it.name == risk.column)?;
    if conversion.is_computed {
        return None;
    }
    sql::does_not_fit(
        &conversion.value,
        conversion.from_type.0,
        conversion.to_type,
        &conversion.to,
        version.has_input_validity(),
    )
}

async fn counted(
    session: &Session,
    look: Look,
    layout: &Layout,
    refusal: Finding,
    condition: &str,
) -> Result<Finding> {
    let table = (layout.source.as_str(), layout.alias.as_str());
    // The condition may see less than the server's own conversion.
    let counted = row_counts::count_up_to_max(session, look, table, condition).await?;
    let Some((count, words)) = counted.filter(|(count, _)| *count > 0) else {
        return Ok(refusal);
    };
    let message = match refusal.code {
        Code::ValueTooLong => format!("{words} hold a value that is too long for its new type"),
        Code::ValueOutOfRange => {
            format!("{words} hold a value outside the range of its new type")
        }
        _ => format!("{words} hold a value that has no meaning in its new type"),
    };
    Ok(Finding { message, ..refusal }.count(count))
}
