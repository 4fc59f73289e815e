//! Counts rows that a new CHECK constraint refuses.

use crate::change::Change;
use crate::plan::count::Count;
use crate::schema::check_names::{Check, checks, column_checks};
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::table::{Table, definition_of};
use crate::server::doing::Doing;
use crate::server::session::{Session, number};
use crate::shadow::duplicates::{Defined, altered_rows};
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Rows that are looked at.
const ROWS_MAX: u64 = 1_000_000;

/// Refuses each new constraint of the clone that rows violate.
pub(crate) async fn refuse_new_checks(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    altered: &Table,
) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look for CHECK constraints of");
    let source = definition_of(session, &change.source).await.doing_in_catalogue(attempted)?;
    let definition = definition_of(session, &change.names.clone).await;
    let definition = definition.doing_in_catalogue(attempted)?;
    let all = |definition: &str| {
        let own = column_checks(definition).into_iter().map(|it| (column(&it), it));
        own.chain(checks(definition).into_iter().map(|it| (constraint(&it), it)))
            .collect::<Vec<_>>()
    };
    let known: Vec<String> = all(&source).into_iter().map(|(_, check)| check.clause).collect();
    let altered = Defined { table: altered, definition: &definition };
    let flavour = change.server.version.flavour;
    let mut refusals = Vec::new();
    for (object, check) in all(&definition) {
        let expression = check.clause.strip_prefix("CHECK ").unwrap_or_default();
        if known.contains(&check.clause) || expression.contains("NOT ENFORCED") {
            continue;
        }
        let Some(rows) = altered_rows(mapping, flavour, &altered) else { continue };
        let most = change.target.look.most(ROWS_MAX);
        let query = sql::catalogue::count_violations(&change.source, &rows, expression, most);
        let row = match session.row(&query).await {
            Ok(row) => row.unwrap_or_default(),
            Err(failure) if failure.ends_session() => return Err(failure.of_rows(attempted())),
            // The server cannot compute it over the source. The copy will.
            Err(_) => continue,
        };
        let mut cells = row.iter().map(|cell| number(cell).unwrap_or_default());
        let (seen, count) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        if count > 0 {
            let rows = Count { count, is_least: seen >= most };
            let finding = Finding::error(
                Code::CheckViolated,
                object,
                rows.rows("violate it"),
                "correct these rows first, or leave the constraint out",
            );
            refusals.push(finding.count(count));
        }
    }
    Ok(refusals)
}

fn constraint(check: &Check) -> String {
    format!("constraint {}", check.name)
}

fn column(check: &Check) -> String {
    format!("column {}", check.name)
}
