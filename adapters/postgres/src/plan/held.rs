//! What the user should know of columns that `--hold` keeps.

use crate::change::Change;
use crate::schema::definition;
use crate::schema::set_columns::name_of;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Returns a finding for each column that stays, with the command that drops it later.
pub(crate) async fn find(session: &Session, change: &Change, source: u32) -> Result<Vec<Finding>> {
    if change.target.holds.is_empty() {
        return Ok(Vec::new());
    }
    let mut findings = Vec::new();
    let columns = definition::attributes(session, source).await?;
    for hold in change.target.holds.iter().filter_map(|hold| name_of(hold)) {
        let Some(column) = columns.iter().find(|column| column.name == hold) else { continue };
        let later = sql::drop_columns(&change.names.source(), [&*hold].into_iter());
        findings.push(Finding::held(&hold, later));
        let needs_value = column.not_null && column.default.is_none() && !column.identity;
        if needs_value && !column.generated {
            findings.push(Finding::warning(
                Code::Left,
                format!("column {hold}"),
                "it is NOT NULL without a default: an application that no longer writes it fails",
                "let the column be NULL in the same change, or give it a default",
            ));
        }
    }
    Ok(findings)
}
