//! Orders given by SQL, and the history of runs: two tables beside the journal.

use crate::journal;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::order_table as statements;
use altergeist_contract::order_table::KEPT;
use altergeist_contract::{Error, GivenOrder, Moment, NotedOrder, OrderAnswer, Result};
use tokio_postgres::{Row, SimpleQueryMessage, SimpleQueryRow};

/// Makes the tables if they are missing, and forgets what is old.
pub(crate) async fn make_tables(session: &Session) -> Result<()> {
    const ATTEMPTED: &str = "make the tables of orders and history";
    journal::ensure_tables(session).await?;
    if !session.one(statements::TABLES_EXIST, &[]).await.doing(ATTEMPTED)?.get::<_, bool>(0) {
        session.run(sql::BEGIN).await.doing(ATTEMPTED)?;
        let made = journal::make_as_ours(session, statements::CREATE).await;
        let end = if made.is_ok() { sql::COMMIT } else { sql::ROLLBACK };
        session.run(end).await.doing(ATTEMPTED)?;
        made.trying_clauses(ATTEMPTED)?;
    }
    let rows = session.query(statements::STRANGERS, &[]).await.doing(ATTEMPTED)?;
    if let Some(row) = rows.first() {
        return Err(refused(row));
    }
    let forget = statements::forget(KEPT.as_secs());
    use_table(session, "orders", &forget, "forget old orders").await.map(drop)
}

/// The account of this process.
pub(crate) async fn account(session: &Session) -> Result<String> {
    let row = session.one(statements::ACCOUNT, &[]).await;
    Ok(row.doing("ask which account this is")?.get(0))
}

/// Takes the orders for a run.
pub(crate) async fn take(session: &Session, run: &str, begins: bool) -> Result<Vec<GivenOrder>> {
    const ATTEMPTED: &str = "take orders";
    let rows = use_table(session, "orders", &statements::take(run, begins), ATTEMPTED).await?;
    rows.iter()
        .filter(|row| row.columns().len() == 5)
        .map(|row| {
            Some(GivenOrder {
                id: row.get(0)?.parse().ok()?,
                word: row.get(1)?.to_owned(),
                given_by: row.get(2)?.to_owned(),
                is_answered: row.get(3)? == "t",
                is_standing: row.get(4)? == "t",
            })
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Error::fatal(ATTEMPTED, "an order has no number"))
}

/// Answers an order.
pub(crate) async fn answer(session: &Session, id: u64, answer: &OrderAnswer) -> Result<()> {
    use_table(session, "orders", &statements::answer(id, answer), "answer an order").await.map(drop)
}

/// Notes an order that was carried out.
pub(crate) async fn note_order(session: &Session, run: &str, order: &NotedOrder) -> Result<()> {
    use_table(session, "orders", &statements::note_order(run, order), "note an order")
        .await
        .map(drop)
}

/// Refuses tables that could run the code of another user as this one. Whoever gives orders need
/// not own the tables.
async fn refuse_code(session: &Session) -> Result<()> {
    let rows = session.query(statements::STRANGERS, &[]).await;
    let rows = rows.doing("look at the tables of orders and history")?;
    match rows.iter().find(|row| row.get::<_, bool>(2)) {
        None => Ok(()),
        Some(row) => Err(refused(row)),
    }
}

fn refused(row: &Row) -> Error {
    let (object, why): (String, String) = (row.get(0), row.get(1));
    let reason = format!("{object}: {why}; drop it, or the whole table");
    Error::refused("use the tables of orders and history", reason)
}

/// Gives an order.
pub(crate) async fn give(
    session: &Session,
    run: &str,
    word: &str,
    is_standing: bool,
) -> Result<u64> {
    refuse_code(session).await?;
    let row = session.one(statements::give(is_standing), &[&run, &word]).await;
    let id: i64 = row.doing("give an order")?.get(0);
    Ok(id.unsigned_abs())
}

/// The last run of a table, by its history.
pub(crate) async fn last_run(session: &Session, table: &str) -> Result<Option<String>> {
    let attempted = || format!("look for the run of {table}");
    if !session.one(statements::TABLES_EXIST, &[]).await.doing(attempted)?.get::<_, bool>(0) {
        return Ok(None);
    }
    refuse_code(session).await?;
    let rows = session.query(statements::LAST_RUN, &[&table]).await.doing(attempted)?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The answer to an order, if there is one.
pub(crate) async fn answer_of(session: &Session, id: u64) -> Result<Option<OrderAnswer>> {
    let id = i64::try_from(id).unwrap_or(i64::MAX);
    let rows = session.query(statements::ANSWER_OF, &[&id]).await;
    let rows = rows.doing("look for the answer to an order")?;
    Ok(rows.first().map(|row| OrderAnswer {
        is_done: row.get::<_, String>(0) == "done",
        answer: row.get::<_, Option<String>>(1).unwrap_or_default(),
    }))
}

/// Writes a row of the history.
pub(crate) async fn note(session: &Session, moment: &Moment) -> Result<()> {
    use_table(session, "history", &statements::note(moment), "write the history").await.map(drop)
}

/// Runs statements on one of the tables, in one transaction with the proof that it bears no code.
async fn use_table(
    session: &Session,
    table: &str,
    statements: &str,
    attempted: &str,
) -> Result<Vec<SimpleQueryRow>> {
    let messages = session.script(&statements::with_orders(table, statements)).await;
    let messages = messages.map_err(|failed| match error::bears_code(&failed) {
        true => Error::refused(attempted, "the table was changed by another session"),
        false => error::of(attempted, &failed),
    })?;
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(row).collect())
}
