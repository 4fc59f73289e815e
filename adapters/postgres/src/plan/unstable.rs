//! Refuses an expression of USING or --set when it may give another value each time: the copy, the
//! refresh and the verification compute it at different moments and must agree.

use crate::schema::altered::CloneRequest;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result};

const REMEDY: &str = "write an expression that gives the same value for the same row each time";

/// What was found: refusals, and what people should know.
#[derive(Default)]
pub(crate) struct Unstable {
    pub(crate) refusals: Vec<Finding>,
    pub(crate) notes: Vec<Finding>,
}

/// Checks each expression of USING.
pub(crate) async fn unstable(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
) -> Result<Unstable> {
    let mut found = Unstable::default();
    for using in &request.clauses.using {
        let object = format!("USING for column {}", using.column);
        check(session, request, schema, (object, &using.expression), &mut found).await?;
    }
    Ok(found)
}

/// Asks the server what an expression calls: it reads it as a view in `schema`, inside the
/// session's transaction.
pub(crate) async fn check(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    (object, expression): (String, &str),
    found: &mut Unstable,
) -> Result<()> {
    let attempted = || format!("read {object}");
    let view = format!("{}.ag_using", quote::quoted(schema));
    let (source, alias) = (request.names.source(), quote::quoted(&request.names.table));
    session.run(&sql::use_search_path(request.search_path)).await.trying_clauses(attempted)?;
    let text = sql::view_of_value(&view, &source, &alias, expression);
    session.run(&text).await.trying_clauses(attempted)?;
    session.run(&sql::use_own_language()).await.trying_clauses(attempted)?;
    let calls = session.query(sql::UNSTABLE, &[&view]).await.trying_clauses(attempted)?;
    let reading: String =
        session.one(sql::QUERY_OF, &[&view]).await.trying_clauses(attempted)?.get(0);
    for row in calls {
        let (call, is_certain): (String, bool) = (row.get(0), row.get(1));
        if is_certain {
            let reason = format!("{call} may give another value each time it is asked");
            found.refusals.push(Finding::error(Code::VolatileExpression, &object, reason, REMEDY));
        } else {
            let message = format!("it calls {call}, which may read other tables");
            let remedy = "change none of these tables before the swap";
            found.notes.push(Finding::warning(Code::VolatileExpression, &object, message, remedy));
        }
    }
    let kept = words_of_time(&reading);
    if let Some(word) = words_of_time(expression).into_iter().find(|word| !kept.contains(word)) {
        let reason = format!("'{word}' is another moment each time it is read");
        found.refusals.push(Finding::error(Code::VolatileExpression, &object, reason, REMEDY));
    }
    session.run(&sql::drop_view(&view)).await.trying_clauses(attempted)?;
    Ok(())
}

/// Literals that the server turns into a moment when it reads them.
fn words_of_time(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let stands = |word: &&str| text.contains(&format!("'{word}'"));
    ["now", "today", "tomorrow", "yesterday"].into_iter().filter(stands).collect()
}

#[cfg(test)]
mod tests {
    use super::words_of_time;

    #[test]
    fn a_literal_of_time_is_found_by_its_word() {
        assert_eq!(words_of_time("v || 'Now'::text"), ["now"]);
        assert_eq!(words_of_time("a + 'today'::date - 'yesterday'"), ["today", "yesterday"]);
        assert!(words_of_time("v || 'nowhere' || now").is_empty());
    }
}
