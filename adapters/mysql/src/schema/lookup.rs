//! Looks tables up: whether one exists, and what it is made of.

use crate::change::Change;
use crate::schema::table::Table;
use crate::server::doing::Doing;
use crate::server::error::START_AGAIN;
use crate::server::names::TableName;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Result};

/// Reads a table's columns and indexes. Fails if there is no such table.
pub(crate) async fn read_table(
    change: &Change,
    session: &mut Session,
    name: &TableName,
) -> Result<Table> {
    let attempted = || format!("look at {}", name.plain());
    let found =
        Table::read(session, change.server.version, name).await.doing_in_catalogue(attempted)?;
    found.ok_or_else(|| match *name == change.source || *name == change.names.shadow {
        true => Error::fatal(attempted(), format!("it was dropped or renamed; {START_AGAIN}")),
        false => Error::fatal(attempted(), "there is no such table"),
    })
}

pub(crate) async fn table_exists(session: &mut Session, name: &TableName) -> Result<bool> {
    let found = session
        .row(&sql::catalogue::find_table(name))
        .await
        .doing_in_catalogue(format!("look for {}", name.plain()))?;
    Ok(found.is_some())
}
