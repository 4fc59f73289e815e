//! Asks about rows no longer than the plan may. A question without an answer is a finding.

use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Finding, Look};
use tokio_postgres::{Error, Row};

/// Asks for one row. None if the time was up.
pub(crate) async fn ask(
    session: &Session,
    look: Look,
    statement: &str,
) -> Result<Option<Row>, Error> {
    let Some(limit) = look.question_limit() else {
        return session.one(statement, &[]).await.map(Some);
    };
    session.run(&sql::set_statement_timeout(limit.as_millis())).await?;
    let answer = session.one(statement, &[]).await;
    session.run(&sql::set_statement_timeout(0)).await?;
    match answer {
        Err(error) if error::is_timeout(&error) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Says which question has no answer.
pub(crate) fn unanswered(look: Look, object: &str, question: &str) -> Finding {
    Finding::not_counted(object, question, look.question_limit().unwrap_or_default())
}
