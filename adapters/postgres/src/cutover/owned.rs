//! What belongs to a table and does not move with it by itself: sequences and extended statistics.

use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Result;

/// Returns the sequences of a table's columns: column, sequence, and whether it is an identity's.
pub(crate) async fn sequences(
    session: &Session,
    table: u32,
) -> Result<Vec<(String, String, bool)>> {
    let rows = session.query(sql::SEQUENCES, &[&table]).await;
    let rows = rows.doing("read the sequences")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Returns the extended statistics of a table: name and schema.
pub(crate) async fn statistics(session: &Session, table: u32) -> Result<Vec<(String, String)>> {
    let rows = session.query(sql::STATISTICS, &[&table]).await;
    let rows = rows.doing("read the extended statistics")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
