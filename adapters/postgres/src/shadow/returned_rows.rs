//! Keeps the old table current on the way back, and notes the rows that do not fit it. Values never
//! leave the server.

use crate::facts::ShadowFacts;
use crate::key::values::{self, KeySet};
use crate::schema::columns::{Back, Layout};
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::Session;
use crate::shadow::row_error;
use crate::sql;
use altergeist_contract::{Error, Key, Misfits, Result};
use futures_util::future::{join_all, join3};
use std::collections::HashSet;
use tokio_postgres::types::ToSql;

/// How many rows are tried at once, each under a savepoint of its own.
const TRIED_AT_ONCE: usize = 10;

/// Makes the old table's rows of these keys what the altered table's are, in the session's
/// transaction. None of them is a misfit then.
pub(crate) async fn refresh(
    session: &Session,
    table: &str,
    shadow: &ShadowFacts,
    back: &Back,
    keys: &[Key],
) -> Result<()> {
    let attempted = || format!("refresh rows of {table}");
    let failed = |error: tokio_postgres::Error| row_error::row_error(attempted(), &error, shadow);
    if keys.is_empty() {
        return Ok(());
    }
    let set = values::one_set(keys, &shadow.layout);
    let statement = sql::return_keys(&shadow.layout, back);
    session.execute(&statement, &set.parameters()).await.map_err(failed)?;
    let forget = sql::forget_misfits(&shadow.layout, &back.misfits);
    session.execute(&forget, &set.parameters()).await.map(drop).map_err(failed)
}

/// A row that does not fit.
struct Misfit {
    key: Key,
    object: String,
    is_blocked: bool,
}

/// The same for rows of which some do not fit. These keep their old row, and are noted.
pub(crate) async fn refresh_each(
    session: &Session,
    table: &str,
    shadow: &ShadowFacts,
    back: &Back,
    keys: &[Key],
) -> Result<()> {
    let attempted = || format!("refresh rows of {table} one by one");
    let statement = sql::return_keys(&shadow.layout, back);
    session.prepare(&statement).await.doing(attempted)?;
    session.run(sql::BEGIN_REFRESH).await.doing(attempted)?;
    let mut misfits = Vec::new();
    let mut seen = HashSet::new();
    let mut open: Vec<&Key> = keys.iter().filter(|key| seen.insert(*key)).collect();
    // First all together. Then without those that cannot fit, whatever other rows hold. Last
    // without those that others block.
    if !all_fit(session, shadow, &statement, &open, attempted()).await? {
        let free = sql::return_free_keys(&shadow.layout, back);
        let mut written = around(session, shadow, &free, open.clone(), attempted()).await?;
        if matches!(written, Written::SomeDoNotFit) {
            for tried in open.chunks(TRIED_AT_ONCE) {
                misfits.extend(unfit(session, shadow, &statement, tried, attempted()).await?);
            }
            let unfit: HashSet<&Key> = misfits.iter().map(|misfit| &misfit.key).collect();
            open.retain(|key| !unfit.contains(*key));
            written = around(session, shadow, &free, open.clone(), attempted()).await?;
        }
        match written {
            Written::AllBut(blocked) => {
                for tried in blocked.iter().collect::<Vec<_>>().chunks(TRIED_AT_ONCE) {
                    let tried = alone(session, shadow, &statement, tried, attempted()).await?;
                    misfits.extend(tried.into_iter().map(|(key, reason)| {
                        let (object, is_blocked) =
                            reason.unwrap_or_else(|| ("a unique index".to_owned(), true));
                        Misfit { key, object, is_blocked }
                    }));
                }
            }
            Written::SomeDoNotFit | Written::CheckedLater => {
                misfits.extend(one_by_one(session, shadow, &statement, open, attempted()).await?);
            }
        }
    }
    note(session, shadow, back, keys, &misfits).await.doing(attempted)?;
    session.run(sql::COMMIT).await.doing(attempted)
}

/// Refreshes all the rows, or changes nothing and returns false.
async fn all_fit(
    session: &Session,
    shadow: &ShadowFacts,
    statement: &str,
    keys: &[&Key],
    attempted: String,
) -> Result<bool> {
    if keys.is_empty() {
        return Ok(true);
    }
    session.run(&sql::savepoint("fit")).await.doing(&attempted)?;
    let outcome = write(session, shadow, statement, keys).await;
    let fits = outcome.is_ok();
    if let Err(error) = outcome {
        misfit_of(shadow, &error).ok_or_else(|| error::of(&attempted, &error))?;
        session.run(&sql::roll_back_to("fit")).await.doing(&attempted)?;
    }
    session.run(&sql::release("fit")).await.doing(attempted)?;
    Ok(fits)
}

/// What came of rows that were written without those that others block.
enum Written {
    /// All but these, which keep their old rows.
    AllBut(Vec<Key>),
    /// Nothing was written: some rows do not fit, whatever other rows hold.
    SomeDoNotFit,
    /// Nothing was written: the server finds out later that rows are in each other's way.
    CheckedLater,
}

/// Refreshes the rows that no other row blocks. A blocked one keeps its old row, and that may block
/// others.
async fn around(
    session: &Session,
    shadow: &ShadowFacts,
    statement: &str,
    mut open: Vec<&Key>,
    attempted: String,
) -> Result<Written> {
    let left_out = sql::left_out(&shadow.layout);
    let mut blocked: Vec<Key> = Vec::new();
    while !open.is_empty() {
        session.run(&sql::savepoint("fit")).await.doing(&attempted)?;
        if let Err(error) = write(session, shadow, statement, &open).await {
            session.run(&sql::roll_back_to("fit")).await.doing(&attempted)?;
            if error::is_checked_later(&error) {
                return Ok(Written::CheckedLater);
            }
            misfit_of(shadow, &error).ok_or_else(|| error::of(&attempted, &error))?;
            return Ok(Written::SomeDoNotFit);
        }
        let keys: Vec<Key> = open.iter().map(|key| (*key).clone()).collect();
        let set = values::one_set(&keys, &shadow.layout);
        let rows = session.query(&left_out, &set.parameters()).await.doing(&attempted)?;
        if rows.is_empty() {
            session.run(&sql::release("fit")).await.doing(&attempted)?;
            break;
        }
        session.run(&sql::roll_back_to("fit")).await.doing(&attempted)?;
        let width = shadow.layout.keys.len();
        let found: HashSet<Key> = rows.iter().map(|row| values::of_row(row, 0, width)).collect();
        let tried = open.len();
        open.retain(|key| !found.contains(*key));
        if open.len() == tried {
            return Ok(Written::CheckedLater);
        }
        blocked.extend(found);
    }
    Ok(Written::AllBut(blocked))
}

/// Returns the rows that do not fit whatever other rows hold. Changes nothing.
async fn unfit(
    session: &Session,
    shadow: &ShadowFacts,
    statement: &str,
    keys: &[&Key],
    attempted: String,
) -> Result<Vec<Misfit>> {
    let tried = alone(session, shadow, statement, keys, attempted).await?;
    let unfit = tried.into_iter().filter_map(|(key, reason)| {
        let (object, is_blocked) = reason.filter(|(_, is_blocked)| !is_blocked)?;
        Some(Misfit { key, object, is_blocked })
    });
    Ok(unfit.collect())
}

/// Tries each row alone, and returns why it does not fit. Changes nothing.
async fn alone(
    session: &Session,
    shadow: &ShadowFacts,
    statement: &str,
    keys: &[&Key],
    attempted: String,
) -> Result<Vec<(Key, Option<(String, bool)>)>> {
    let (begin, end) = (sql::savepoint("fit"), sql::roll_back_to("fit"));
    let tries = keys.iter().map(|key| async {
        let key = [*key];
        // All are sent at once, in this order.
        let (begun, written, ended) =
            join3(session.run(&begin), write(session, shadow, statement, &key), session.run(&end))
                .await;
        begun.and(ended).map(|()| written)
    });
    let mut outcomes = Vec::new();
    for (key, outcome) in keys.iter().zip(join_all(tries).await) {
        let reason = match outcome.doing(&attempted)? {
            Ok(_) => None,
            Err(error) => {
                Some(misfit_of(shadow, &error).ok_or_else(|| error::of(&attempted, &error))?)
            }
        };
        outcomes.push(((*key).clone(), reason));
    }
    Ok(outcomes)
}

/// Refreshes row by row, as long as another one fits. Returns those that others block.
async fn one_by_one(
    session: &Session,
    shadow: &ShadowFacts,
    statement: &str,
    mut open: Vec<&Key>,
    attempted: String,
) -> Result<Vec<Misfit>> {
    loop {
        let (mut misfits, mut left) = (Vec::new(), Vec::new());
        for key in &open {
            session.run(&sql::savepoint("fit")).await.doing(&attempted)?;
            if let Err(error) = write(session, shadow, statement, &[*key]).await {
                let (object, is_blocked) =
                    misfit_of(shadow, &error).ok_or_else(|| error::of(&attempted, &error))?;
                session.run(&sql::roll_back_to("fit")).await.doing(&attempted)?;
                misfits.push(Misfit { key: (*key).clone(), object, is_blocked });
                left.push(*key);
            }
            session.run(&sql::release("fit")).await.doing(&attempted)?;
        }
        if left.is_empty() || left.len() == open.len() {
            return Ok(misfits);
        }
        open = left;
    }
}

async fn write(
    session: &Session,
    shadow: &ShadowFacts,
    statement: &str,
    keys: &[&Key],
) -> std::result::Result<u64, tokio_postgres::Error> {
    let keys: Vec<Key> = keys.iter().map(|key| (*key).clone()).collect();
    session.execute(statement, &values::one_set(&keys, &shadow.layout).parameters()).await
}

/// Returns what a row does not fit, and whether another row is in the way. None if the error is not
/// about a row.
fn misfit_of(shadow: &ShadowFacts, error: &tokio_postgres::Error) -> Option<(String, bool)> {
    let (object, is_blocked) = error::of_misfit(error)?;
    let object = object.unwrap_or_else(|| match shadow.layout.changed_columns() {
        columns if columns.is_empty() => "a column".to_owned(),
        columns => format!("column {}", columns.replace(", ", " or ")),
    });
    Some((object, is_blocked))
}

/// Notes which of the keys are misfits now.
async fn note(
    session: &Session,
    shadow: &ShadowFacts,
    back: &Back,
    keys: &[Key],
    misfits: &[Misfit],
) -> std::result::Result<(), tokio_postgres::Error> {
    let layout = &shadow.layout;
    let forget = sql::forget_misfits(layout, &back.misfits);
    session.execute(&forget, &values::one_set(keys, layout).parameters()).await?;
    if misfits.is_empty() {
        return Ok(());
    }
    let keys: Vec<Key> = misfits.iter().map(|misfit| misfit.key.clone()).collect();
    let objects: Vec<&str> = misfits.iter().map(|misfit| misfit.object.as_str()).collect();
    let are_blocked: Vec<bool> = misfits.iter().map(|misfit| misfit.is_blocked).collect();
    let set: KeySet<'_> = values::one_set(&keys, layout);
    let mut parameters: Vec<&(dyn ToSql + Sync)> = set.parameters();
    parameters.extend([&objects as &(dyn ToSql + Sync), &are_blocked]);
    session.execute(&sql::note_misfits(layout, &back.misfits), &parameters).await.map(drop)
}

/// Counts the misfits by what they do not fit.
pub(crate) async fn misfits(session: &Session, table: &str, back: &Back) -> Result<Vec<Misfits>> {
    let rows = session.query(&sql::count_misfits(&back.misfits), &[]).await;
    let rows = rows.doing(format!("count the rows that do not fit the old {table}"))?;
    let misfits = |row: &tokio_postgres::Row| Misfits {
        object: row.get(0),
        rows: row.get::<_, i64>(1).unsigned_abs(),
    };
    Ok(rows.iter().map(misfits).collect())
}

/// Returns keys of misfits that another row blocks, those tried the longest ago first.
pub(crate) async fn blocked(
    session: &Session,
    table: &str,
    (layout, back): (&Layout, &Back),
    most: usize,
) -> Result<Vec<Key>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = session.query(&sql::blocked_misfits(layout, &back.misfits), &[&most]).await;
    let rows = rows.doing(format!("look for rows that do not fit the old {table}"))?;
    Ok(rows.iter().map(|row| values::of_row(row, 0, layout.keys.len())).collect())
}

/// Returns what the way back needs of the old table.
pub(crate) fn back_of(shadow: &ShadowFacts) -> Result<&Back> {
    shadow.layout.back.as_ref().ok_or_else(|| {
        Error::fatal("keep the old table current", "the run does not work its way back")
    })
}
