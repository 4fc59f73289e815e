//! A replica identity for the time of a run, for a table whose own identity does not tell which
//! rows change.

use crate::facts::Facts;
use crate::journal;
use crate::key::candidates::{self, Candidate};
use crate::schema::catalogue;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use crate::state::Postgres;
use altergeist_contract::{Kind, Result};
use std::time::Duration;

/// How often the lock is tried for under which a replica identity is changed.
const IDENTITY_ATTEMPTS: u32 = 7;

/// Before the second attempt; longer before each further one.
const IDENTITY_PAUSE: Duration = Duration::from_millis(500);

/// Where the source's replica identity tells nothing of rows that change, makes one of its keys the
/// identity for the time of the run. Gives its own one, which is in the journal before.
pub(crate) async fn lend_identity(
    session: &Session,
    engine: &Postgres,
    source: u32,
) -> Result<Option<String>> {
    if catalogue::key(session, source).await?.0.is_ok() {
        return Ok(None);
    }
    let Some(lent) = lent(session, engine, source).await? else { return Ok(None) };
    let known = journal::entry(session, engine).await?.facts.unwrap_or_else(Facts::none);
    let own_identity = Some(lent.own);
    journal::save_facts(
        session,
        engine,
        &Facts { source, own_identity: own_identity.clone(), ..known },
    )
    .await?;
    change_identity(session, engine, &lent.statement).await?;
    Ok(own_identity)
}

/// Gives the source its own replica identity again, if it was lent another one.
pub(crate) async fn give_back_identity(session: &Session, engine: &Postgres) -> Result<()> {
    let Some(facts) = journal::entry(session, engine).await?.facts else { return Ok(()) };
    let Some(own) = &facts.own_identity else { return Ok(()) };
    let names = &engine.names;
    let failed =
        |error: tokio_postgres::Error| error::of(format!("look at {}", names.display), &error);
    // By its number: it may have another name by now, or be gone.
    let place = session.query(sql::PLACE, &[&facts.source]).await.map_err(failed)?;
    let identity = session.query(sql::REPLICA_IDENTITY, &[&facts.source]).await.map_err(failed)?;
    // What was lent is an index; anything else somebody has set since.
    let is_lent = identity.first().is_some_and(|row| row.get::<_, &str>(0) == "i");
    if let Some(place) = place.first().filter(|_| is_lent) {
        let table = quote::qualified(place.get(0), place.get(1));
        change_identity(session, engine, &sql::own_identity(&table, own)).await?;
    }
    journal::save_facts(session, engine, &Facts { own_identity: None, ..facts }).await
}

/// It takes the strongest lock, for an instant: waited for no longer than others may wait behind
/// it, and tried for again.
async fn change_identity(session: &Session, engine: &Postgres, statement: &str) -> Result<()> {
    let attempted = || format!("change the replica identity of {}", engine.names.display);
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
pub(crate) struct Lent {
    /// Which key it makes the log tell of.
    pub(crate) key: Candidate,
    /// The table's own identity, as the catalogue spells it.
    pub(crate) own: String,
    /// The statement that lends it.
    pub(crate) statement: String,
}

/// What the table is to be lent, if its own identity says nothing of rows that change and one of
/// its keys could be it. Not where the clauses speak of it, or the shadow is made by hand: then the
/// user decides.
pub(crate) async fn lent(session: &Session, engine: &Postgres, table: u32) -> Result<Option<Lent>> {
    let failed = |error: tokio_postgres::Error| error::of("read the table's keys", &error);
    if engine.change.given.to_lowercase().contains("replica") || engine.target.create.is_some() {
        return Ok(None);
    }
    let own: String = session.one(sql::REPLICA_IDENTITY, &[&table]).await.map_err(failed)?.get(0);
    let rows = session.query(sql::KEYS, &[&table, &true]).await.map_err(failed)?;
    let candidates: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    Ok(candidates::lendable(&candidates, &own).map(|key| Lent {
        statement: sql::use_identity(&engine.names.source(), &key.name),
        key: key.clone(),
        own: own.clone(),
    }))
}
