//! Names of the sequences that ADD … AS IDENTITY creates. Where a serial column becomes an
//! identity, its old sequence has the name already. The server then chooses another name, and the
//! clone, in its own schema, must choose the same.

use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Result;

/// Renames the clone's sequences as the server would. Returns the columns of the source that keep
/// their old sequence beside the identity's.
pub(crate) async fn rename_beside_serials(
    session: &Session,
    source: u32,
    clone: u32,
) -> Result<Vec<String>> {
    let attempted = "name the sequences of identities";
    let rows = session.query(sql::IDENTITIES_BESIDE_SERIALS, &[&source, &clone]).await;
    let rows = rows.trying_clauses(attempted)?;
    let mut columns = Vec::new();
    for row in &rows {
        session.run(row.get(1)).await.trying_clauses(attempted)?;
        columns.push(row.get(0));
    }
    Ok(columns)
}
