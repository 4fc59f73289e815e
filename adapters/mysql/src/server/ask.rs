//! Asks the server what the operator wants to know, in the operator's own SQL.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::text;
use crate::sql;
use altergeist_contract::Result;
use std::sync::Arc;

/// Returns the first cell of the answer; see [`altergeist_contract::Inquiry`].
pub(crate) async fn ask(
    change: &Change,
    pool: &Arc<SessionPool>,
    question: &str,
) -> Result<Option<String>> {
    let attempted = "ask the operator's question";
    let question = question
        .replace("{old}", &sql::table(&change.source))
        .replace("{new}", &sql::table(&change.names.shadow));
    let mut session = pool.reader().await?;
    let limit = sql::session::question_limit(change.server.version);
    let prepare =
        [limit, sql::session::READ_ONLY, &sql::session::use_schema(&change.source.schema)];
    for statement in prepare {
        session.execute(statement).await.doing_in_catalogue(attempted)?;
    }
    for statement in sql::session::prepare_question(&question) {
        session.execute(&statement).await.trying_clauses(attempted)?;
    }
    let row = session.row(sql::session::ASK).await.trying_clauses(attempted)?;
    Ok(row.and_then(|row| row.first().cloned()).filter(Option::is_some).map(|cell| text(&cell)))
}
