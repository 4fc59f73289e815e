//! Small questions to the catalogue: which table has a name, which key it has, and who made a
//! schema.

use crate::key::candidates::{self, Candidate};
use crate::server::error;
use crate::server::names::{MARKER, Names};
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Error, Result};

/// A table's identity by its exact name.
pub(crate) async fn table_id(session: &Session, schema: &str, table: &str) -> Result<Option<u32>> {
    let rows = session.query(sql::TABLE_ID, &[&schema, &table]).await;
    let rows = rows.map_err(|error| {
        error::of(format!("look up {}", quote::qualified(schema, table)), &error)
    })?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The table that answers to the name.
pub(crate) async fn source(session: &Session, names: &Names) -> Result<u32> {
    let found = table_id(session, &names.schema, &names.table).await?;
    found.ok_or_else(|| {
        Error::refused(format!("look up {}", names.display), "there is no such table any more")
    })
}

/// The key rows are followed by, or why there is none, and the table's replica identity.
pub(crate) async fn key(
    session: &Session,
    table: u32,
) -> Result<(std::result::Result<Candidate, String>, String)> {
    let failed = |error: tokio_postgres::Error| error::of("read the table's keys", &error);
    let identity: String =
        session.one(sql::REPLICA_IDENTITY, &[&table]).await.map_err(failed)?.get(0);
    let rows = session.query(sql::KEYS, &[&table, &true]).await.map_err(failed)?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok((candidates::choose(&candidates, &identity), identity))
}

/// Who made a schema whose name we need.
pub(crate) enum SchemaState {
    Missing,
    Ours,
    Foreign,
}

pub(crate) async fn schema_state(session: &Session, schema: &str) -> Result<SchemaState> {
    let rows = session.query(sql::SCHEMA_COMMENT, &[&schema]).await;
    let rows = rows.map_err(|error| error::of(format!("look at the schema {schema}"), &error))?;
    Ok(match rows.first().map(|row| row.get::<_, Option<String>>(0)) {
        None => SchemaState::Missing,
        Some(comment) if comment.as_deref() == Some(MARKER) => SchemaState::Ours,
        Some(_) => SchemaState::Foreign,
    })
}
