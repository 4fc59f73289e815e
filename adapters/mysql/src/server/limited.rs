//! Asks about rows no longer than the plan may. A question without an answer is a finding.

use crate::change::Change;
use crate::server::error::Failure;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Finding;
use std::time::Duration;

/// Asks for one value. None if the time was up.
pub(crate) async fn ask(
    change: &Change,
    session: &mut Session,
    statement: &str,
) -> Result<Option<String>, Failure> {
    let Some(most) = change.target.look.question_limit() else {
        return session.text(statement).await.map(Some);
    };
    let limit = |most| sql::session::statement_limit(change.server.version, most);
    session.execute(&limit(most)).await?;
    let answer = session.text(statement).await;
    if answer.as_ref().is_err_and(Failure::ends_session) {
        return answer.map(Some);
    }
    session.execute(&limit(Duration::ZERO)).await?;
    match answer {
        Err(failure) if failure.is_too_late() => Ok(None),
        answer => answer.map(Some),
    }
}

/// Says which question has no answer.
pub(crate) fn unanswered(change: &Change, object: &str, question: &str) -> Finding {
    let limit = change.target.look.question_limit().unwrap_or_default();
    Finding::not_counted(object, question, limit)
}
