//! Orders given by SQL, and the history of runs: two tables beside the journal.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::error::NO_SUCH_TABLE;
use crate::server::names::TableName;
use crate::server::own_objects::oddity;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, number, text};
use crate::sql::order_table as statements;
use altergeist_contract::order_table::KEPT;
use altergeist_contract::{Error, GivenOrder, Moment, NotedOrder, OrderAnswer, Result};
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
        refuse_odd(change, lease.session(), name).await?;
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
    let rows = locked(change, pool, door, orders, async |session: &mut Session| {
        let marked = session.execute(&statements::mark_taken(orders, run)).await;
        marked.doing_in_catalogue(attempted)?;
        session.rows(&statements::taken(orders, run, begins)).await.doing_in_catalogue(attempted)
    });
    rows.await?
        .iter()
        .map(|row| {
            let (word, given_by) = (text(&row[1]), text(&row[2]));
            let is_answered = number(&row[3])? != 0;
            let is_standing = number(&row[4])? != 0;
            Some(GivenOrder { id: number(&row[0])?, word, given_by, is_answered, is_standing })
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
    let orders = &change.names.orders;
    let statement = statements::answer(orders, id, answer);
    let attempted = change.doing("answer an order for");
    write(change, pool, door, (orders, &statement), &attempted).await
}

/// Notes an order that was carried out.
pub(crate) async fn note_order(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    run: &str,
    order: &NotedOrder,
) -> Result<()> {
    let orders = &change.names.orders;
    let statement = statements::note_order(orders, run, order);
    write(change, pool, door, (orders, &statement), &change.doing("note an order for")).await
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
    refuse_odd(change, lease.session(), &change.names.orders).await?;
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
    refuse_odd(change, lease.session(), &change.names.history).await?;
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
    refuse_odd(change, lease.session(), &change.names.orders).await?;
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
    let history = &change.names.history;
    let statement = statements::note(history, &change.source, moment);
    let attempted = change.doing("write the history of");
    write(change, pool, door, (history, &statement), &attempted).await
}

/// Refuses a view or a trigger of one of these names: it could run the code of another user.
async fn refuse_odd(change: &Change, session: &mut Session, name: &TableName) -> Result<()> {
    let odd = oddity(session, &change.source, &change.names.clone, name, None).await;
    match odd.doing_in_catalogue(format!("look at {}", name.plain()))? {
        None => Ok(()),
        Some(odd) => {
            let reason = format!("{odd}, so this tool did not make it; drop or rename it");
            Err(Error::refused(format!("use {}", name.plain()), reason))
        }
    }
}

/// Runs one statement on one of the tables.
async fn write(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    (name, statement): (&TableName, &str),
    attempted: &str,
) -> Result<()> {
    locked(change, pool, door, name, async |session: &mut Session| {
        session.execute(statement).await.doing_in_catalogue(attempted).map(drop)
    })
    .await
}

/// Works on one of the tables under its lock, after the proof that it is a plain table: nobody can
/// put a view in its place in between. A session that fails is closed, and its lock goes with it.
async fn locked<T>(
    change: &Change,
    pool: &Arc<SessionPool>,
    door: &OrderSession,
    name: &TableName,
    work: impl AsyncFnOnce(&mut Session) -> Result<T>,
) -> Result<T> {
    let attempted = || format!("lock {}", name.plain());
    let mut lease = door.lend(pool).await?;
    lease.session().execute(&statements::lock(name)).await.doing_in_catalogue(attempted)?;
    refuse_odd(change, lease.session(), name).await?;
    let done = work(lease.session()).await?;
    lease.session().execute(statements::UNLOCK).await.doing_in_catalogue(attempted)?;
    lease.keep();
    Ok(done)
}
