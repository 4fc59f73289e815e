//! Slots and publications of ours that no journal knows.

use crate::change::Change;
use crate::log::slot;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::own_objects::{self, JournalLock};
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Result;

/// Finds slots and publications of ours without a journal. No run will use them, and a slot retains
/// the server's log. This lists them before it reads the journal, because every run is in the
/// journal before it creates any.
pub(crate) async fn find(session: &Session, change: &Change) -> Result<Vec<OrphanedObject>> {
    let attempted = "look for slots and publications nobody needs";
    let found = session.query(sql::OUR_LOGS, &[]).await.doing(attempted)?;
    let mut known = vec![change.names.slot.clone()];
    if session.one(sql::JOURNAL_EXISTS, &[]).await.doing(attempted)?.get(0) {
        let attempted = "look for slots and publications nobody needs";
        own_objects::trust(session, attempted).await?;
        let tables = own_objects::use_journal(session, JournalLock::Read, sql::KNOWN_TABLES).await;
        let tables =
            tables.map_err(|error| own_objects::journal_error(attempted.to_owned(), &error))?;
        let slot = |row: &tokio_postgres::SimpleQueryRow| {
            let part = |at: usize| if row.columns().len() > at { row.get(at) } else { None };
            Some(Names::new(&change.database, part(0)?, part(1)?).slot)
        };
        known.extend(tables.iter().filter_map(slot));
    }
    let orphan =
        |row: &tokio_postgres::Row| OrphanedObject { name: row.get(0), is_slot: row.get(1) };
    Ok(found.iter().map(orphan).filter(|orphan| !known.contains(&orphan.name)).collect())
}

/// A slot or a publication.
pub(crate) struct OrphanedObject {
    pub(crate) name: String,
    pub(crate) is_slot: bool,
}

impl OrphanedObject {
    /// Drops it.
    pub(crate) async fn drop(&self, session: &Session) -> Result<()> {
        if self.is_slot {
            return slot::drop_slot(session, &self.name).await;
        }
        let dropped = session.run(&sql::drop_publication(&self.name)).await;
        dropped.locking(format!("drop the publication {}", self.name))
    }
}
