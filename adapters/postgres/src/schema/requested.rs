//! The requested change: its clauses, and what the user asks for beyond them.

use crate::change::Change;
use crate::key::candidates::Candidate;
use crate::key::order;
use crate::schema::altered::{CloneRequest, UserTable};
use crate::schema::clauses::Clauses;
use crate::schema::columns::KeyColumn;
use crate::schema::user_definition;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Finding, Result, Target};

/// Returns the request for a clone of this source.
pub(crate) fn clone_request<'a>(
    change: &'a Change,
    source: u32,
    key: Option<&'a Candidate>,
    clauses: &'a Clauses,
) -> CloneRequest<'a> {
    CloneRequest {
        names: &change.names,
        version: change.version,
        source,
        key,
        clauses,
        sets: change.sets(),
        order: &[],
        user_table: None,
        search_path: &change.search_path,
    }
}

/// Returns the parsed clauses, or why they cannot be parsed.
pub(crate) async fn clauses(
    session: &Session,
    change: &Change,
    source: u32,
) -> Result<std::result::Result<Clauses, Finding>> {
    let keys = session.query(sql::FOREIGN_KEYS, &[&source]).await;
    let keys = keys.doing("read the table's foreign keys")?;
    let keys: Vec<String> = keys.iter().map(|row| row.get(0)).collect();
    Ok(change.alter.clauses(&change.names, &keys))
}

/// Returns the order of the rows and the user's own table, if they are asked for; or why they are
/// not possible.
pub(crate) async fn order_and_table(
    session: &Session,
    target: &Target,
    source: u32,
) -> Result<std::result::Result<(Vec<KeyColumn>, Option<UserTable>), Finding>> {
    let user_table = match user_definition::read(target).transpose() {
        Ok(user_table) => user_table,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(order::find(session, target.order_by.as_deref(), source)
        .await?
        .map(|order| (order, user_table)))
}
