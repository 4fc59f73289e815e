//! Checks the expressions of `--set` on an empty clone: does the server accept them, do they read
//! their own row only, and which columns do they need?

use crate::plan::unstable::{self, Unstable};
use crate::schema::altered::CloneRequest;
use crate::schema::set_columns::SetColumn;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Kind, Result};

/// What was found of the expressions.
#[derive(Default)]
pub(crate) struct SetChecks {
    pub(crate) found: Unstable,
    /// Each column of the source that an expression reads, with the column that it computes.
    pub(crate) reads: Vec<(String, String)>,
}

/// Has the server read each expression as a view, and store its value in the clone, which is in
/// `schema`, inside the session's transaction. No row is read.
pub(crate) async fn check(
    session: &Session,
    request: &CloneRequest<'_>,
    schema: &str,
    (set, held): (&SetColumn, &str),
    checks: &mut SetChecks,
) -> Result<()> {
    let attempted = || format!("read {}", set.object());
    let view = format!("{}.ag_set", quote::quoted(schema));
    let (source, alias) = (request.names.source(), quote::quoted(&request.names.table));
    let clone = quote::qualified(schema, &request.names.table);
    session.run(&sql::savepoint("ag_set")).await.trying_clauses(attempted)?;
    session.run(&sql::use_search_path(request.search_path)).await.trying_clauses(attempted)?;
    let as_view = sql::view_of_value(&view, &source, &alias, &set.expression);
    let as_row = sql::explain_set(&clone, held, &source, &alias, &set.expression);
    for statement in [&as_view, &as_row] {
        let Err(error) = session.execute(statement, &[]).await else { continue };
        let answer = error::of_clauses(attempted(), &error);
        if answer.kind != Kind::Refused {
            return Err(answer);
        }
        session.run(&sql::roll_back_to("ag_set")).await.trying_clauses(attempted)?;
        let reason = format!("the server refuses it: {}", answer.reason.trim());
        checks.found.refusals.push(Finding::error(
            Code::ClauseRejected,
            set.object(),
            reason,
            "correct the expression, or cast it to the column's type",
        ));
        return Ok(());
    }
    session.run(&sql::use_own_language()).await.trying_clauses(attempted)?;
    let row = session.one(sql::COMPUTED_COLUMN, &[&view, &request.source]).await;
    let row = row.trying_clauses(attempted)?;
    let (aggregates, windows, many, system): (bool, bool, bool, bool) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let others: Vec<String> = row.get(4);
    let why = match () {
        () if aggregates => Some("it aggregates rows".to_owned()),
        () if windows => Some("it reads other rows through a window".to_owned()),
        () if many => Some("it gives several values for one row".to_owned()),
        () if system => Some("it reads a system column, which any update changes".to_owned()),
        () if !others.is_empty() => Some(format!("it reads rows of {}", others.join(", "))),
        () => None,
    };
    checks.found.refusals.extend(why.map(|why| {
        let remedy = "write an expression over the columns of one row";
        Finding::error(Code::VolatileExpression, set.object(), why, remedy)
    }));
    let reads: Vec<String> = row.get(5);
    checks.reads.extend(reads.into_iter().map(|column| (column, set.name.clone())));
    session.run(&sql::drop_view(&view)).await.trying_clauses(attempted)?;
    session.run(&sql::release("ag_set")).await.trying_clauses(attempted)?;
    let expression = (set.object(), &*set.expression);
    unstable::check(session, request, schema, expression, &mut checks.found).await
}
