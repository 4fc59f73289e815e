//! Opens the log: publication, slot, and the proof that nothing before the start is still invisible. Finds it again after
//! a restart, and takes it away.

use crate::changes::{LogStream, Source};
use crate::definition;
use crate::engine::Postgres;
use crate::error;
use crate::journal::{self, Facts};
use crate::key::Candidate;
use crate::pgoutput::Lsn;
use crate::preflight;
use crate::replication::Replication;
use crate::session::Session;
use crate::sql;
use crate::visibility::Snapshot;
use altergeist_contract::{Error, Kind, Position, Result};
use std::time::{Duration, Instant};

/// How long a reader that was told to end may take.
const GOODBYE: Duration = Duration::from_secs(15);

/// How long transactions that write may go on before the log can begin: nobody waits for us meanwhile.
const WRITERS_LEAVE: Duration = Duration::from_secs(60);

/// Between two looks at something that will be over soon.
const GLANCE: Duration = Duration::from_millis(5);

/// Makes the server keep its log for this table from now on.
pub(crate) async fn open(engine: &Postgres) -> Result<Position> {
    engine.require_hold("open the log")?;
    let lease = engine.control.take().await?;
    let mut result = open_anew(&lease, engine).await;
    if result.is_err() {
        // A slot nobody reads would keep the server's log for ever. If it cannot be dropped now, cleanup finds it.
        let dropped = drop_log(&lease, engine).await;
        if let (Err(error), Err(left)) = (&mut result, dropped) {
            error.reason = format!("{}; and what was begun is still there: {left}", error.reason);
        }
    }
    let position = lease.settle(result).await?;
    engine.start_pulse();
    Ok(position)
}

async fn open_anew(session: &Session, engine: &Postgres) -> Result<Position> {
    journal::ensure_tables(session).await?;
    drop_log(session, engine).await?;
    let source = preflight::source(session, engine).await?;
    let (key, identity) = preflight::key(session, source).await?;
    let key = key.map_err(|why| Error::refused(format!("follow {}", engine.names.display), why))?;
    publish(session, engine, &key, &identity).await?;
    let start = make_slot(session, engine).await?;
    wait_for_visibility(session, engine).await?;
    let facts = Facts {
        system: system(session).await?,
        source,
        source_lines: definition::describe(session, source).await?,
        shadow: None,
        done: None,
        recipe: None,
    };
    let known = journal::entry(session, engine).await?.facts.filter(|known| known.source == source);
    let facts = Facts { shadow: known.and_then(|known| known.shadow), ..facts };
    journal::save_facts(session, engine, &facts).await?;
    Ok(Position(start.to_string()))
}

/// Publishes the key's columns only, so that values do not even travel. With a whole-row identity the server demands
/// whole rows.
async fn publish(session: &Session, engine: &Postgres, key: &Candidate, identity: &str) -> Result<()> {
    let columns: Vec<String> = key.columns.iter().map(|column| column.source.clone()).collect();
    let columns = Some(columns).filter(|_| engine.version.has_column_lists() && identity != "f");
    let statement = sql::create_publication(&engine.names.publication, &engine.names.source(), columns.as_deref());
    let made = session.run(&statement).await;
    made.map_err(|error| error::of_lock(format!("publish {}", engine.names.display), &error))
}

async fn make_slot(session: &Session, engine: &Postgres) -> Result<Lsn> {
    let attempted = || format!("open the log for {}", engine.names.display);
    let bound = WRITERS_LEAVE.as_millis();
    let failed = |error: tokio_postgres::Error| error::of(attempted(), &error);
    session.run(&format!("SET statement_timeout = {bound}")).await.map_err(failed)?;
    let made = session.query(sql::CREATE_SLOT, &[&engine.names.slot]).await;
    session.run("SET statement_timeout = 0").await.map_err(failed)?;
    let rows = match made {
        Err(error) if error::is_timeout(&error) => return Err(busy(session, attempted()).await),
        other => other.map_err(failed)?,
    };
    let text: &str = rows.first().map_or("", |row| row.get(0));
    Lsn::parse(text).ok_or_else(|| Error::fatal(attempted(), "the server did not say where its log begins"))
}

/// The slot begins where every transaction that ran when it was asked for has ended. One that began later may have
/// committed before the slot's own start and still not be visible; so all that have begun by now are waited for.
async fn wait_for_visibility(session: &Session, engine: &Postgres) -> Result<()> {
    let attempted = || format!("open the log for {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of(attempted(), &error);
    let disorder = || Error::fatal(attempted(), "the server's transaction numbers cannot be read");
    let row = session.one(sql::NEXT_TRANSACTION, &[]).await.map_err(failed)?;
    let bound: u64 = row.get::<_, &str>(0).parse().map_err(|_| disorder())?;
    let deadline = Instant::now() + WRITERS_LEAVE;
    loop {
        let row = session.one(sql::SNAPSHOT, &[]).await.map_err(failed)?;
        let snapshot = Snapshot::parse(row.get(0)).ok_or_else(disorder)?;
        if snapshot.all_before >= bound {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(busy(session, attempted()).await);
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn busy(session: &Session, attempted: String) -> Error {
    let writers = session.query(sql::WRITERS, &[]).await;
    let writers: Vec<String> = writers.map(|rows| rows.iter().map(|row| row.get(0)).collect()).unwrap_or_default();
    let reason = if writers.is_empty() {
        "transactions that were writing did not end in time; they have ended since".to_owned()
    } else {
        format!("transactions that were writing did not end in time: {}", writers.join("; "))
    };
    Error::new(Kind::Busy, attempted, reason)
}

/// The server's own identity.
pub(crate) async fn system(session: &Session) -> Result<String> {
    let row = session.one(sql::SYSTEM, &[]).await.map_err(|error| error::of("ask the server who it is", &error))?;
    Ok(row.get(0))
}

/// Takes slot and publication away, if they are there.
pub(crate) async fn drop_log(session: &Session, engine: &Postgres) -> Result<()> {
    drop_slot(session, engine).await?;
    let dropped = session.run(&sql::drop_publication(&engine.names.publication)).await;
    dropped.map_err(|error| error::of_lock(format!("drop the publication {}", engine.names.publication), &error))
}

pub(crate) async fn drop_slot(session: &Session, engine: &Postgres) -> Result<()> {
    let attempted = || format!("drop the replication slot {}", engine.names.slot);
    let deadline = Instant::now() + GOODBYE;
    loop {
        end_reader(session, engine).await?;
        match session.query(sql::DROP_SLOT, &[&engine.names.slot]).await {
            Err(error) if !error::is_code(&error, "55006") && !error::is_code(&error, "42704") => {
                return Err(error::of(attempted(), &error));
            }
            _ => {}
        }
        let left = session.query(sql::SLOT, &[&engine.names.slot]).await;
        if left.map_err(|error| error::of(attempted(), &error))?.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted(), GOODBYE));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn end_reader(session: &Session, engine: &Postgres) -> Result<()> {
    let ended = session.query(sql::END_READER, &[&engine.names.slot]).await;
    ended.map(drop).map_err(|error| error::of(format!("end the reader of {}", engine.names.slot), &error))
}

/// Reads the log from a position on.
pub(crate) async fn follow(engine: &Postgres, from: &Position) -> Result<LogStream> {
    let attempted = || format!("follow {} from {from}", engine.names.display);
    engine.require_hold("follow the log")?;
    let start = Lsn::parse(&from.0).ok_or_else(|| Error::fatal(attempted(), "the position cannot be read"))?;
    let lease = engine.control.take().await?;
    let result = prepare(&lease, engine, start, attempted()).await;
    let (facts, key) = lease.settle(result).await?;
    let mut wire = Replication::open(&engine.server, &engine.names.application).await?;
    if wire.identify().await? != facts.system {
        return Err(Error::fatal(attempted(), "this is not the server that gave the position"));
    }
    wire.start(&engine.names.slot, &engine.names.publication, start).await?;
    let gate = engine.server.open(&engine.names.application, &sql::gate_settings()).await?;
    engine.start_pulse();
    let source = Source {
        oid: facts.source,
        lines: facts.source_lines,
        schema: engine.names.schema.clone(),
        table: engine.names.table.clone(),
        display: engine.names.display.clone(),
        key: key.columns.into_iter().map(|column| column.source).collect(),
        incarnation: engine.marks.incarnation.clone(),
    };
    Ok(LogStream::begin(wire, gate, source, from.clone()))
}

/// Makes sure that the slot still has what is asked for and that nobody else reads it.
async fn prepare(session: &Session, engine: &Postgres, start: Lsn, attempted: String) -> Result<(Facts, Candidate)> {
    let gone = |why: &str| Error::fatal(attempted.clone(), why);
    let facts = journal::facts(session, engine).await?;
    let (key, _) = preflight::key(session, facts.source).await?;
    let key = key.map_err(|why| gone(&why))?;
    let deadline = Instant::now() + GOODBYE;
    loop {
        let rows = session.query(sql::SLOT, &[&engine.names.slot]).await;
        let rows = rows.map_err(|error| error::of(attempted.clone(), &error))?;
        let row = rows.first().ok_or_else(|| gone("the replication slot is gone, and the log with it"))?;
        if row.get::<_, &str>(2) == "lost" {
            return Err(gone("the server has thrown away the log the replication slot needs"));
        }
        let confirmed = row.get::<_, Option<&str>>(1).and_then(Lsn::parse);
        if confirmed.is_none_or(|confirmed| confirmed > start) {
            return Err(gone("the server has been told to forget the log from there on"));
        }
        if row.get::<_, Option<i32>>(0).is_none() {
            return Ok((facts, key));
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted, GOODBYE));
        }
        end_reader(session, engine).await?;
        tokio::time::sleep(GLANCE).await;
    }
}
