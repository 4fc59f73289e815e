//! A temporary replica identity during a run, for a table with an identity that does not identify
//! changed rows.

use crate::change::Change;
use crate::facts::Facts;
use crate::journal;
use crate::key::candidates::{self, Candidate};
use crate::schema::catalogue;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Kind, Result};
use std::time::Duration;

/// How often the run tries to get the lock that changes a replica identity.
const IDENTITY_ATTEMPTS: u32 = 7;

/// The pause before the second attempt. Each further one is longer.
const IDENTITY_PAUSE: Duration = Duration::from_millis(500);

/// Makes one of the source's keys its replica identity during the run, if its own does not identify
/// changed rows. Notes the own one in the journal first, and returns it.
pub(crate) async fn set_temporary_identity(
    session: &Session,
    change: &Change,
    source: u32,
) -> Result<Option<String>> {
    if catalogue::key(session, source).await?.0.is_ok() {
        return Ok(None);
    }
    let Some(temporary) = temporary_identity(session, change, source).await? else {
        return Ok(None);
    };
    let known = journal::entry(session, &change.names).await?.facts.unwrap_or_else(Facts::none);
    let own_identity = Some(temporary.own);
    journal::save_facts(
        session,
        &change.names,
        &Facts { source, own_identity: own_identity.clone(), ..known },
    )
    .await?;
    change_identity(session, &change.names, &temporary.statement).await?;
    Ok(own_identity)
}

/// Restores the source's own replica identity, if the run has set another one.
pub(crate) async fn restore_identity(session: &Session, names: &Names) -> Result<()> {
    let Some(facts) = journal::entry(session, names).await?.facts else { return Ok(()) };
    let Some(own) = &facts.own_identity else { return Ok(()) };
    let attempted = || format!("look at {}", names.display);
    // By its OID: the table may have another name by now, or be gone.
    let place = session.query(sql::PLACE, &[&facts.source]).await.doing(attempted)?;
    let identity = session.query(sql::REPLICA_IDENTITY, &[&facts.source]).await.doing(attempted)?;
    // The run sets an index. Another session has set anything else.
    let is_temporary = identity.first().is_some_and(|row| row.get::<_, &str>(0) == "i");
    if let Some(place) = place.first().filter(|_| is_temporary) {
        let table = quote::qualified(place.get(0), place.get(1));
        change_identity(session, names, &sql::own_identity(&table, own)).await?;
    }
    journal::save_facts(session, names, &Facts { own_identity: None, ..facts }).await
}

/// Changes the replica identity. It takes the strongest lock for an instant. It waits no longer
/// than others may wait behind it, and tries again.
async fn change_identity(session: &Session, names: &Names, statement: &str) -> Result<()> {
    let attempted = || format!("change the replica identity of {}", names.display);
    let mut attempt = 1;
    loop {
        let changed = session.run(statement).await.locking(attempted);
        match changed {
            Err(error) if error.kind == Kind::Busy && attempt < IDENTITY_ATTEMPTS => {}
            other => return other,
        }
        tokio::time::sleep(IDENTITY_PAUSE * attempt).await;
        attempt += 1;
    }
}

/// A temporary replica identity.
pub(crate) struct TemporaryIdentity {
    /// The key that the log then carries.
    pub(crate) key: Candidate,
    /// The table's own identity, as the catalogue spells it.
    pub(crate) own: String,
    /// The statement that sets it.
    pub(crate) statement: String,
}

/// Returns the temporary identity that the run would set, if the table's own does not identify
/// changed rows and a key can. None if the clauses mention it, or with --create: then the user
/// decides.
pub(crate) async fn temporary_identity(
    session: &Session,
    change: &Change,
    table: u32,
) -> Result<Option<TemporaryIdentity>> {
    let attempted = "read the table's keys";
    if change.alter.given.to_lowercase().contains("replica") || change.target.create.is_some() {
        return Ok(None);
    }
    let own: String = session.one(sql::REPLICA_IDENTITY, &[&table]).await.doing(attempted)?.get(0);
    let rows = session.query(sql::KEYS, &[&table, &true]).await.doing(attempted)?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok(candidates::temporary_identity_key(&candidates, &own).map(|key| TemporaryIdentity {
        statement: sql::use_identity(&change.names.source(), &key.name),
        key: key.clone(),
        own: own.clone(),
    }))
}
