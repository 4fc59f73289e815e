//! Keeps the old table current after the swap. The altered table is the source here, and the old
//! one is the shadow.
//!
//! Two things differ from a refresh on the way there.
//!
//! - The old table may have columns that the altered one lacks. A row that is deleted and inserted
//!   again would lose their values. So the run puts the old table's rows aside first, in a
//!   temporary table of its session, and takes these values from there.
//! - A row may not fit the old table. A refresh of many rows then fails as a whole. The refresh of
//!   [`crate::shadow::misfits`] finds the rows that fit.
//!
//! A conversion may lose something without a word of the server, such as the fraction of a second.
//! So the run compares what it has written, as the verification does. Such a row does not fit.

use crate::schema::column_mapping::ColumnMapping;
use crate::schema::reverse::Reverse;
use crate::server::doing::Doing;
use crate::server::session::{Session, number};
use crate::shadow::insert::{insert, parts};
use crate::sql;
use altergeist_contract::{Error, Key, Result};

/// Makes the old table's rows of these keys what the altered table's are. The caller has opened the
/// transaction. Returns how many rows of the old table were written.
pub(crate) async fn refresh_back(
    session: &mut Session,
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
    attempted: &str,
) -> Result<u64> {
    let has_lost = !reverse.lost.is_empty();
    if has_lost {
        put_aside(session, mapping, reverse, keys, attempted).await?;
    }
    let mut written = 0;
    for part in parts(keys) {
        let forget = sql::reversal::forget_misfits(mapping, reverse, part)?;
        session.execute(&forget).await.doing(attempted)?;
        let delete = sql::rows::delete_keys(mapping, part)?;
        written += session.execute(&delete).await.doing(attempted)?.rows;
    }
    for part in parts(keys) {
        for statement in inserts(mapping, reverse, part, has_lost)? {
            written += insert(session, mapping, &statement, attempted).await?;
        }
        if let Some(object) = lossy(session, mapping, reverse, part, attempted).await? {
            let reason = format!("a value of {object} does not come back as it was");
            return Err(Error::fatal(attempted, reason));
        }
    }
    Ok(written)
}

/// The statements that write rows of the altered table into the old one.
pub(crate) fn inserts(
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
    has_stash: bool,
) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    if has_stash {
        statements.push(sql::reversal::write_known(mapping, reverse, keys)?);
    }
    statements.push(sql::reversal::write_new(mapping, reverse, keys, has_stash)?);
    Ok(statements)
}

/// Makes the session's temporary tables, if it goes the way back. It must be outside of the
/// transaction that uses them: MariaDB logs the rows of a transaction that made a temporary table,
/// even if it is rolled back. These rows would look like another session's.
pub(crate) async fn make_temporary(
    session: &mut Session,
    mapping: &ColumnMapping,
    attempted: &str,
) -> Result<()> {
    let Some(reverse) = &mapping.reverse else { return Ok(()) };
    let creates = [
        sql::reversal::create_stash(mapping, reverse),
        sql::reversal::create_rows(mapping, reverse),
    ];
    for create in creates {
        session.execute(&create).await.doing(attempted)?;
    }
    let ended = session.execute(sql::session::end::<_, Error>(&Ok(()))).await;
    ended.map(drop).doing(attempted)
}

/// Puts the old table's rows of these keys aside.
pub(crate) async fn put_aside(
    session: &mut Session,
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
    attempted: &str,
) -> Result<()> {
    session.execute(&sql::reversal::clear_stash(mapping, reverse)).await.doing(attempted)?;
    for part in parts(keys) {
        let fill = sql::reversal::fill_stash(mapping, reverse, part)?;
        session.execute(&fill).await.doing(attempted)?;
    }
    Ok(())
}

/// Returns the column in which one of these rows lost something on its way back.
pub(crate) async fn lossy(
    session: &mut Session,
    mapping: &ColumnMapping,
    reverse: &Reverse,
    keys: &[Key],
    attempted: &str,
) -> Result<Option<String>> {
    let Some(query) = sql::reversal::find_lossy(mapping, reverse, keys)? else { return Ok(None) };
    let Some(row) = session.row(&query).await.doing(attempted)? else { return Ok(None) };
    let mut columns = sql::reversal::converted(reverse).zip(&row);
    let lossy = columns.find(|(_, cell)| number(cell) != Some(1));
    Ok(Some(
        lossy.map_or_else(
            || "a column".to_owned(),
            |(pair, _)| format!("column {}", pair.source.name),
        ),
    ))
}
