//! Asks a server what the operator wants to know, in the operator's own SQL.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Result};

/// Returns the one value of the answer; see [`altergeist_contract::Inquiry`]. The session has the
/// settings of [`sql::inquiry_settings`].
pub(crate) async fn ask(
    session: &Session,
    change: &Change,
    question: &str,
) -> Result<Option<String>> {
    let attempted = "ask the operator's question";
    let names = &change.names;
    let question = question.replace("{old}", &names.source()).replace("{new}", &names.shadow());
    let columns = session.columns(&question).await.trying_clauses(attempted)?;
    let rows = session.query(&sql::first_values(&question), &[]).await.trying_clauses(attempted)?;
    if columns > 1 || rows.len() > 1 {
        let reason = "the answer has more than one value, and only one would count";
        return Err(Error::refused(attempted, reason));
    }
    match rows.first() {
        Some(row) => row.try_get(0).trying_clauses(attempted),
        None => Ok(None),
    }
}
