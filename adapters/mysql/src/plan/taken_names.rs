//! Checks whether other objects have the names that a change needs.

use crate::change::Change;
use crate::journal::read_entry;
use crate::schema::lookup::table_exists;
use crate::server::doing::Doing;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Code, Finding, Result, Stage};

/// Refuses a change if other objects have the names that it needs.
pub(crate) async fn refuse_names(change: &Change, session: &mut Session) -> Result<Vec<Finding>> {
    let entry = read_entry(change, session).await?;
    let mut refusals = Vec::new();
    if table_exists(session, &change.names.shadow).await? && !entry.facts.has_shadow {
        let object = format!("table {}", change.names.shadow.plain());
        refusals.push(Finding::error(
            Code::NameTaken,
            object,
            "it has the shadow's name, and the journal does not list it",
            "drop it if a change left it whose journal is lost; else rename it",
        ));
    }
    if table_exists(session, &change.names.old).await? {
        let object = format!("table {}", change.names.old.plain());
        refusals.push(match entry.record.is_some_and(|record| record.stage == Stage::Done) {
            true => Finding::error(
                Code::NameTaken,
                object,
                "it is the old table of an earlier change",
                "drop it, or run altergeist cleanup --drop-old",
            ),
            false => Finding::error(
                Code::NameTaken,
                object,
                "the old table needs this name, and the journal does not list it",
                "drop it if an earlier change left it; else rename it",
            ),
        });
    }
    for name in [&change.names.sentry, &change.names.used_sentry] {
        if table_exists(session, name).await? && !is_sentry(session, name).await? {
            refusals.push(Finding::error(
                Code::NameTaken,
                format!("table {}", name.plain()),
                "the cut-over needs this name",
                "rename it",
            ));
        }
    }
    Ok(refusals)
}

pub(crate) async fn is_sentry(session: &mut Session, name: &TableName) -> Result<bool> {
    let row = session
        .row(&sql::catalogue::table_facts(name))
        .await
        .doing_in_catalogue(format!("look at {}", name.plain()))?;
    Ok(row.is_some_and(|row| text(&row[5]) == sql::cutover::SENTRY))
}
