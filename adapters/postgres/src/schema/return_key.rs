//! The key that the log carries on the way back. Both tables must have it.

use crate::key::candidates::{self, Candidate};
use crate::schema::altered::HELPER;
use crate::schema::catalogue;
use crate::schema::columns::KeyColumn;
use crate::schema::reverse_mapping::Tables;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Result;

/// Why there is no way back without such a key.
pub(crate) const NONE: &str = "the old table and the altered one have no key in common";

/// A key that both tables have.
pub(crate) struct ReturnKey {
    /// Its index on the altered table.
    pub(crate) index: String,
    pub(crate) columns: Vec<KeyColumn>,
    /// Whether the log carries whole rows.
    pub(crate) has_whole_rows: bool,
    /// The altered table's own replica identity, if the key must be it for a while.
    pub(crate) own_identity: Option<String>,
}

/// Chooses a key that both tables have: the altered table's own replica identity, or else another
/// one that can be it for a while. None if there is none.
pub(crate) async fn choose(
    session: &Session,
    altered: u32,
    tables: &Tables<'_>,
) -> Result<Option<ReturnKey>> {
    let identity = session.one(sql::REPLICA_IDENTITY, &[&altered]).await;
    let identity: String = identity.doing("read the altered table's keys")?.get(0);
    let mut all = catalogue::candidates(session, altered).await?;
    // Our own index on a clone goes in the swap.
    all.retain(|candidate| candidate.name != HELPER);
    let found = |candidate: &Candidate, own_identity: Option<&String>| {
        Some(ReturnKey {
            index: candidate.name.clone(),
            columns: tables.key(candidate)?,
            has_whole_rows: identity == "f",
            own_identity: own_identity.cloned(),
        })
    };
    if identity == "f" {
        return Ok(all.iter().find_map(|candidate| found(candidate, None)));
    }
    let own = candidates::choose(&all, &identity).ok();
    if let Some(key) = own.and_then(|own| found(&own, None)) {
        return Ok(Some(key));
    }
    let index = all.iter().find(|candidate| candidate.is_identity && identity == "i");
    let spelled = index.map_or(identity.clone(), |index| format!("i {}", index.name));
    let mut others = all.iter().filter(|candidate| !candidate.is_deferrable);
    Ok(others.find_map(|candidate| found(candidate, Some(&spelled))))
}
