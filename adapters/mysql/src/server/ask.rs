//! Asks the server what the operator wants to know, in the operator's own SQL.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Error, Result};
use std::sync::Arc;

/// Returns the one value of the answer; see [`altergeist_contract::Inquiry`].
pub(crate) async fn ask(
    change: &Change,
    pool: &Arc<SessionPool>,
    question: &str,
) -> Result<Option<String>> {
    let mut session = pool.reader().await?;
    ask_in(&mut session, change, question).await
}

/// Asks in a session that serves for nothing else: its transactions read only, and its answers are
/// short.
pub(crate) async fn ask_in(
    session: &mut Session,
    change: &Change,
    question: &str,
) -> Result<Option<String>> {
    let attempted = "ask the operator's question";
    let question = question
        .replace("{old}", &sql::table(&change.source))
        .replace("{new}", &sql::table(&change.names.shadow));
    let limit = sql::session::question_limit(change.server.version);
    let schema = sql::session::use_schema(&change.source.schema);
    for statement in [limit, sql::session::READ_ONLY, sql::session::TWO_ROWS, &schema] {
        session.execute(statement).await.doing_in_catalogue(attempted)?;
    }
    for statement in sql::session::prepare_question(&question) {
        session.execute(&statement).await.trying_clauses(attempted)?;
    }
    let rows = session.rows(sql::session::ASK).await.trying_clauses(attempted)?;
    if rows.len() > 1 || rows.first().is_some_and(|row| row.len() > 1) {
        let reason = "the answer has more than one value, and only one would count";
        return Err(Error::refused(attempted, reason));
    }
    let row = rows.first();
    Ok(row.and_then(|row| row.first().cloned()).filter(Option::is_some).map(|cell| text(&cell)))
}
