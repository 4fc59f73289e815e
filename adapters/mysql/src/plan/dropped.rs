//! Names the values that the clauses throw away, and columns that may be meant as a rename.

use crate::change::Change;
use crate::plan::count::Count;
use crate::schema::clauses::Clauses;
use crate::schema::table::{Column, Table, is_same};
use crate::server::doing::Doing;
use crate::server::session::{Session, number};
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Rows that are looked at.
const ROWS_MAX: u64 = 1_000_000;

/// Returns a warning for each dropped column that holds values.
pub(crate) async fn find_dropped(
    change: &Change,
    session: &mut Session,
    clauses: &Clauses,
    [source, altered]: [&Table; 2],
) -> Result<Vec<Finding>> {
    let dropped: Vec<&Column> =
        source.columns.iter().filter(|it| clauses.name_after(&it.name).is_none()).collect();
    let most = change.target.look.most(ROWS_MAX);
    let (mut findings, mut holds_values) = (Vec::new(), Vec::new());
    for column in dropped.iter().filter(|column| !column.generated) {
        let query = sql::catalogue::count_values(&change.source, &column.name, most);
        let row = session.row(&query).await.doing(change.doing("count dropped values of"))?;
        let mut cells = row.iter().flatten().map(|cell| number(cell).unwrap_or_default());
        let (seen, count) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        findings.extend(lost(column, Count { count, is_least: seen >= most }));
        holds_values.extend((count > 0).then_some(&*column.name));
    }
    let renames = renames(&dropped, clauses, source, altered);
    let is_named =
        |column: &&&str| renames.iter().any(|it| it.object == format!("column {column}"));
    let others = holds_values.iter().filter(|column| !is_named(column));
    let early: Vec<Finding> =
        others.filter_map(|column| too_early(column, clauses, source, altered)).collect();
    findings.extend(renames);
    findings.extend(early);
    Ok(findings)
}

fn lost(column: &Column, rows: Count) -> Option<Finding> {
    let message = match (rows.count, rows.is_least) {
        (0, false) => return None,
        (0, true) => format!("the clauses drop it. The first {ROWS_MAX} rows hold no value in it"),
        _ => format!("the clauses drop it, and {}", rows.rows("hold a value in it")),
    };
    let remedy = "make sure that nobody needs these values. The old table keeps them until you \
                  drop it, if the run copies the table";
    let object = format!("column {}", column.name);
    Some(Finding::warning(Code::DropsData, object, message, remedy).count(rows.count))
}

/// Warns of a column that goes at the moment when another one comes.
fn too_early(column: &str, clauses: &Clauses, source: &Table, altered: &Table) -> Option<Finding> {
    let is_new = |new: &&Column| {
        clauses.adds(&new.name)
            && !new.generated
            && source.column(&new.name).is_none()
            && !clauses.computed.iter().any(|it| is_same(&it.name, &new.name))
    };
    let new = altered.columns.iter().find(is_new)?;
    let message = format!(
        "the clauses drop it at the moment when they add column {}: a version of the application \
         that still reads it fails",
        new.name
    );
    let remedy = format!("keep it for now: --hold {column}");
    let object = format!("column {column}");
    Some(Finding::warning(Code::ContractTooEarly, object, message, remedy))
}

/// Returns a warning for each dropped column with an added one of the same type.
fn renames(
    dropped: &[&Column],
    clauses: &Clauses,
    source: &Table,
    altered: &Table,
) -> Vec<Finding> {
    let stays = |name: &str| {
        let after = source.columns.iter().filter_map(|column| clauses.name_after(&column.name));
        after.into_iter().any(|after| is_same(&after, name))
    };
    let mut added: Vec<&Column> =
        altered.columns.iter().filter(|column| !stays(&column.name) && !column.generated).collect();
    added.retain(|new| !dropped.iter().any(|old| is_same(&old.name, &new.name)));
    added.retain(|new| !clauses.computed.iter().any(|it| is_same(&it.name, &new.name)));
    let mut findings = Vec::new();
    for old in dropped.iter().filter(|column| !column.generated) {
        let Some(place) = added.iter().position(|new| new.column_type == old.column_type) else {
            continue;
        };
        let new = added.remove(place);
        findings.push(Finding::warning(
            Code::RenameLost,
            format!("column {}", old.name),
            format!(
                "the clauses drop it and add {} of the same type. Its values do not go there",
                new.name
            ),
            format!("{} if you mean a rename", sql::clauses::rename(&old.name, &new.name)),
        ));
    }
    findings
}
