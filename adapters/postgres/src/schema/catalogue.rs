//! Small questions to the catalogue: the table of a name, its key, and the creator of a schema.

use crate::key::candidates::{self, Candidate};
use crate::server::doing::Doing;
use crate::server::names::{MARKER, Names};
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Error, Result};

/// Returns a table's OID by its exact name.
pub(crate) async fn table_id(session: &Session, schema: &str, table: &str) -> Result<Option<u32>> {
    let rows = session.query(sql::TABLE_ID, &[&schema, &table]).await;
    let rows = rows.doing(format!("look up {}", quote::qualified(schema, table)))?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Returns the OID of the source.
pub(crate) async fn source(session: &Session, names: &Names) -> Result<u32> {
    let found = table_id(session, &names.schema, &names.table).await?;
    found.ok_or_else(|| {
        Error::refused(format!("look up {}", names.display), "there is no such table any more")
    })
}

/// Returns the key that identifies rows, or why there is none, and the table's replica identity.
pub(crate) async fn key(
    session: &Session,
    table: u32,
) -> Result<(std::result::Result<Candidate, String>, String)> {
    let attempted = "read the table's keys";
    let identity: String =
        session.one(sql::REPLICA_IDENTITY, &[&table]).await.doing(attempted)?.get(0);
    let candidates = candidates(session, table).await?;
    Ok((candidates::choose(&candidates, &identity), identity))
}

/// Returns the unique indexes that could identify rows, the primary key first.
pub(crate) async fn candidates(session: &Session, table: u32) -> Result<Vec<Candidate>> {
    let rows = session.query(sql::KEYS, &[&table, &true]).await.doing("read the table's keys")?;
    Ok(rows.iter().map(Candidate::of_row).collect())
}

/// Who created a schema that has a name we need.
pub(crate) enum SchemaState {
    Missing,
    Ours,
    Foreign,
}

pub(crate) async fn schema_state(session: &Session, schema: &str) -> Result<SchemaState> {
    let rows = session.query(sql::SCHEMA_COMMENT, &[&schema]).await;
    let rows = rows.doing(format!("look at the schema {schema}"))?;
    Ok(match rows.first().map(|row| row.get::<_, Option<String>>(0)) {
        None => SchemaState::Missing,
        Some(comment) if comment.as_deref() == Some(MARKER) => SchemaState::Ours,
        Some(_) => SchemaState::Foreign,
    })
}
