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
    let mut findings = Vec::new();
    for column in dropped.iter().filter(|column| !column.generated) {
        let query = sql::catalogue::count_values(&change.source, &column.name, ROWS_MAX);
        let row = session.row(&query).await.doing(change.doing("count dropped values of"))?;
        let mut cells = row.iter().flatten().map(|cell| number(cell).unwrap_or_default());
        let (seen, count) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        findings.extend(lost(column, Count { count, is_least: seen >= ROWS_MAX }));
    }
    findings.extend(renames(&dropped, clauses, source, altered));
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
