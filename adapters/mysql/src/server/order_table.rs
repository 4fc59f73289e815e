//! Orders given by SQL, and the history of runs: two tables beside the journal.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::error::NO_SUCH_TABLE;
use crate::server::own_objects::oddity;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, number, text};
use crate::sql::order_table as statements;
use altergeist_contract::order_table::KEPT;
use altergeist_contract::{Error, GivenOrder, Moment, OrderAnswer, Result};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// The session of this door. It needs no run lock: orders are given without one.
#[derive(Default)]
pub(crate) struct OrderSession(Mutex<Option<Session>>);

impl OrderSession {
    /// Lends the session, a new one if the last is gone.
    async fn lend(&self, pool: &Arc<SessionPool>) -> Result<Lent<'_>> {
        let mut place = self.0.lock().await;
        let session = match place.take().filter(Session::is_alive) {
            Some(session) => session,
            None => pool.reader().await?,
        };
        Ok(Lent { place, session })
    }
}

/// A lent session. It goes back if all went well.
struct Lent<'a> {
    place: MutexGuard<'a, Option<Session>>,
    session: Session,
}

impl Lent<'_> {
    fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn keep(mut self) {
        *self.place = Some(self.session);
    }
}

/// Makes the tables if they are missing. A view or a trigger of their names could run the code of
/// another user.
pub(crate) async fn make_tables(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
) -> Result<()> {
    let mut lease = door.lend(pool).await?;
    let (orders, history) = (&change.names.orders, &change.names.history);
    for (name, create, forget) in [
        (
            orders,
            statements::create_orders(orders),
            statements::forget_orders(orders, KEPT.as_secs()),
        ),
        (
            history,
            statements::create_history(history),
            statements::forget_history(history, KEPT.as_secs()),
        ),
    ] {
        let attempted = || format!("make the table {}", name.plain());
        lease.session().execute(&create).await.doing_in_catalogue(attempted)?;
        let clone = &change.names.clone;
        let odd = oddity(lease.session(), &change.source, clone, name, None).await;
        if let Some(odd) = odd.doing_in_catalogue(attempted)? {
            let reason = format!("{odd}, so this tool did not make it; drop or rename it");
            return Err(Error::refused(format!("use {}", name.plain()), reason));
        }
        lease.session().execute(&forget).await.doing_in_catalogue(attempted)?;
    }
    lease.keep();
    Ok(())
}

/// The account of this process.
pub(crate) async fn account(pool: &Arc<SessionPool>, door: &OrderSession) -> Result<String> {
    let mut lease = door.lend(pool).await?;
    let account = lease.session().text(statements::ACCOUNT).await;
    let account = account.doing_in_catalogue("ask which account this is")?;
    lease.keep();
    Ok(account)
}

/// Takes the orders for a run.
pub(crate) async fn take(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    run: &str,
    begins: bool,
) -> Result<Vec<GivenOrder>> {
    let attempted = || change.doing("take the orders for");
    let orders = &change.names.orders;
    let mut lease = door.lend(pool).await?;
    let marked = lease.session().execute(&statements::mark_taken(orders, run)).await;
    marked.doing_in_catalogue(attempted)?;
    let rows = lease.session().rows(&statements::taken(orders, run, begins)).await;
    let rows = rows.doing_in_catalogue(attempted)?;
    lease.keep();
    rows.iter()
        .map(|row| {
            Some(GivenOrder { id: number(&row[0])?, word: text(&row[1]), given_by: text(&row[2]) })
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Error::fatal(attempted(), "an order has no number"))
}

/// Answers an order.
pub(crate) async fn answer(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    id: u64,
    answer: &OrderAnswer,
) -> Result<()> {
    let statement = statements::answer(&change.names.orders, id, answer);
    execute(pool, door, &statement, &change.doing("answer an order for")).await
}

/// Gives an order.
pub(crate) async fn give(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    run: &str,
    word: &str,
    is_standing: bool,
) -> Result<u64> {
    let attempted = || change.doing("give an order for");
    let mut lease = door.lend(pool).await?;
    let statement = statements::give(&change.names.orders, run, word, is_standing);
    lease.session().execute(&statement).await.doing_in_catalogue(attempted)?;
    let id = lease.session().row(statements::LAST_ID).await.doing_in_catalogue(attempted)?;
    lease.keep();
    id.and_then(|row| number(&row[0])).ok_or_else(|| Error::fatal(attempted(), "it has no number"))
}

/// The last run of the table, by its history.
pub(crate) async fn last_run(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
) -> Result<Option<String>> {
    let mut lease = door.lend(pool).await?;
    let statement = statements::last_run(&change.names.history, &change.title);
    let row = match lease.session().row(&statement).await {
        Err(failure) if failure.code() == Some(NO_SUCH_TABLE) => None,
        row => row.doing_in_catalogue(change.doing("look for the run of"))?,
    };
    lease.keep();
    Ok(row.map(|row| text(&row[0])))
}

/// The answer to an order, if there is one.
pub(crate) async fn answer_of(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    id: u64,
) -> Result<Option<OrderAnswer>> {
    let mut lease = door.lend(pool).await?;
    let row = lease.session().row(&statements::answer_of(&change.names.orders, id)).await;
    let row = row.doing_in_catalogue(change.doing("look for the answer to an order for"))?;
    lease.keep();
    Ok(row.map(|row| OrderAnswer { is_done: text(&row[0]) == "done", answer: text(&row[1]) }))
}

/// Writes a row of the history.
pub(crate) async fn note(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    moment: &Moment,
) -> Result<()> {
    let statement = statements::note(&change.names.history, &change.source, moment);
    execute(pool, door, &statement, &change.doing("write the history of")).await
}

async fn execute(
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    statement: &str,
    attempted: &str,
) -> Result<()> {
    let mut lease = door.lend(pool).await?;
    lease.session().execute(statement).await.doing_in_catalogue(attempted)?;
    lease.keep();
    Ok(())
}
