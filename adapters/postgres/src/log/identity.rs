//! A replica identity for the time of a run, for a table whose own identity does not tell which
//! rows change.

use crate::change::Change;
use crate::facts::Facts;
use crate::journal;
use crate::key::candidates::{self, Candidate};
use crate::schema::catalogue;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Kind, Result};
use std::time::Duration;

/// How often the lock is tried for under which a replica identity is changed.
const IDENTITY_ATTEMPTS: u32 = 7;

/// Before the second attempt; longer before each further one.
const IDENTITY_PAUSE: Duration = Duration::from_millis(500);

/// Where the source's replica identity tells nothing of rows that change, makes one of its keys the
/// identity for the time of the run. Gives its own one, which is in the journal before.
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

/// Gives the source its own replica identity again, if the run had set another one.
pub(crate) async fn restore_identity(session: &Session, names: &Names) -> Result<()> {
    let Some(facts) = journal::entry(session, names).await?.facts else { return Ok(()) };
    let Some(own) = &facts.own_identity else { return Ok(()) };
    let failed =
        |error: tokio_postgres::Error| error::of(format!("look at {}", names.display), &error);
    // By its number: it may have another name by now, or be gone.
    let place = session.query(sql::PLACE, &[&facts.source]).await.map_err(failed)?;
    let identity = session.query(sql::REPLICA_IDENTITY, &[&facts.source]).await.map_err(failed)?;
    // The run sets an index. Another session has set anything else.
    let is_temporary = identity.first().is_some_and(|row| row.get::<_, &str>(0) == "i");
    if let Some(place) = place.first().filter(|_| is_temporary) {
        let table = quote::qualified(place.get(0), place.get(1));
        change_identity(session, names, &sql::own_identity(&table, own)).await?;
    }
    journal::save_facts(session, names, &Facts { own_identity: None, ..facts }).await
}

/// It takes the strongest lock, for an instant: waited for no longer than others may wait behind
/// it, and tried for again.
async fn change_identity(session: &Session, names: &Names, statement: &str) -> Result<()> {
    let attempted = || format!("change the replica identity of {}", names.display);
    let mut attempt = 1;
    loop {
        let changed =
            session.run(statement).await.map_err(|error| error::of_lock(attempted(), &error));
        match changed {
            Err(error) if error.kind == Kind::Busy && attempt < IDENTITY_ATTEMPTS => {}
            other => return other,
        }
        tokio::time::sleep(IDENTITY_PAUSE * attempt).await;
        attempt += 1;
    }
}

/// A replica identity for the time of a run.
pub(crate) struct TemporaryIdentity {
    /// Which key it makes the log tell of.
    pub(crate) key: Candidate,
    /// The table's own identity, as the catalogue spells it.
    pub(crate) own: String,
    /// The statement that lends it.
    pub(crate) statement: String,
}

/// The replica identity that the run sets, if the table's own identity says nothing of rows that change and one of
/// its keys could be it. Not where the clauses speak of it, or the shadow is made by hand: then the
/// user decides.
pub(crate) async fn temporary_identity(
    session: &Session,
    change: &Change,
    table: u32,
) -> Result<Option<TemporaryIdentity>> {
    let failed = |error: tokio_postgres::Error| error::of("read the table's keys", &error);
    if change.alter.given.to_lowercase().contains("replica") || change.target.create.is_some() {
        return Ok(None);
    }
    let own: String = session.one(sql::REPLICA_IDENTITY, &[&table]).await.map_err(failed)?.get(0);
    let rows = session.query(sql::KEYS, &[&table, &true]).await.map_err(failed)?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok(candidates::temporary_identity_key(&candidates, &own).map(|key| TemporaryIdentity {
        statement: sql::use_identity(&change.names.source(), &key.name),
        key: key.clone(),
        own: own.clone(),
    }))
}
