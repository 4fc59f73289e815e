//! Opens the log: publication, slot, and the proof that nothing before the start is still invisible. Finds it again after
//! a restart, and takes it away.

use crate::changes::{Asking, Feed, LogStream, Source};
use crate::definition;
use crate::engine::Postgres;
use crate::error;
use crate::journal::{self, Facts};
use crate::key::Candidate;
use crate::log_server::{self, LogSession};
use crate::names::{self, Names};
use crate::ours::{self, JournalLock};
use crate::pgoutput::Lsn;
use crate::polling::Poller;
use crate::preflight;
use crate::replication::Replication;
use crate::session::{Session, locked};
use crate::sql;
use crate::visibility::Snapshot;
use crate::witness::{self, Witness};
use altergeist_contract::{Error, Kind, LogKept, Position, Result};
use std::time::{Duration, Instant};

/// How long a reader that was told to end may take.
const GOODBYE: Duration = Duration::from_secs(15);

/// How long transactions that write may go on before the log can begin: nobody waits for us meanwhile.
const WRITERS_LEAVE: Duration = Duration::from_secs(60);

/// The same where the log need not begin at once.
const WRITERS_LEAVE_SOON: Duration = Duration::from_secs(1);

/// How many slots are made before it is given up to find one that can be read.
const SLOTS_MAX: u32 = 20;

/// How often the lock is tried for under which a replica identity is changed.
const IDENTITY_ATTEMPTS: u32 = 7;
/// Before the second attempt; longer before each further one.
const IDENTITY_PAUSE: Duration = Duration::from_millis(500);

/// Between two looks at something that will be over soon.
const GLANCE: Duration = Duration::from_millis(5);

/// How long a run has after it was taken up before the server's own bound ends it.
const GRACE: Duration = Duration::from_secs(20);

/// What can be done when the log is gone.
const BEGIN_ANEW: &str = "`altergeist cleanup` drops the shadow; then begin anew";

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
    // What a new slot keeps is not left over from a time when nobody moved it on.
    *locked(&engine.following_since) = Instant::now().checked_sub(GRACE);
    Ok(position)
}

async fn open_anew(session: &Session, engine: &Postgres) -> Result<Position> {
    journal::ensure_tables(session).await?;
    drop_log(session, engine).await?;
    log_server::check(session, engine).await?;
    let source = preflight::source(session, &engine.names).await?;
    let own_identity = lend_identity(session, engine, source).await?;
    let (key, identity) = preflight::key(session, source).await?;
    let key = key.map_err(|why| Error::refused(format!("follow {}", engine.names.display), why))?;
    publish(session, engine, &key, &identity).await?;
    let witness = witness::take(session, &engine.names, source).await?;
    let start = make_readable_slot(session, engine).await?;
    let facts = Facts {
        system: log_server::system(session).await?,
        log_place: engine.log_place(),
        source,
        source_lines: definition::describe(session, source).await?,
        witness: Some(witness),
        own_identity,
        shadow: None,
        done: None,
        recipe: None,
    };
    let known = journal::entry(session, engine).await?.facts.filter(|known| known.source == source);
    let facts = Facts { shadow: known.and_then(|known| known.shadow), ..facts };
    journal::save_facts(session, engine, &facts).await?;
    engine.start_pulse(&facts);
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

/// A slot whose log was read once from its beginning, to see that the server can. While slots are made in two databases
/// at once, one may begin with what the server noted for the other, and if a table was emptied or rewritten by then, its
/// rows cannot be told whose they are, now or ever (seen on 18.6; decision 18). Whatever was under way when the slot
/// was made has ended when it is read.
async fn make_readable_slot(session: &Session, engine: &Postgres) -> Result<Lsn> {
    let mut last = String::new();
    for _ in 0..SLOTS_MAX {
        let start = make_slot(session, engine).await?;
        if !is_visible_within(session, engine, WRITERS_LEAVE).await? {
            return Err(busy(session, format!("open the log for {}", engine.names.display)).await);
        }
        let log = engine.log_session(session).await?;
        if let LogSession::Standby(log) = &log {
            log_server::wait_for_replay(session, log, engine).await?;
        }
        let Some(reason) = why_unreadable(&log, engine).await? else { return Ok(start) };
        tracing::warn!(reason, slot = engine.names.slot, "the server made a slot that it cannot read; another is made");
        last = reason;
        drop_slot(&log, &engine.names.slot).await?;
    }
    let reason = format!(
        "the server made {SLOTS_MAX} slots, one after the other, that it cannot read itself: {last}; try again while \
         nobody else makes any"
    );
    Err(Error::fatal(format!("open the log for {}", engine.names.display), reason))
}

/// What the server says when it reads the slot up to now, if it cannot. A log too long to be read within the time is not
/// read here: the run would end with the same words, and lose nothing.
async fn why_unreadable(log: &Session, engine: &Postgres) -> Result<Option<String>> {
    let failed = |error: tokio_postgres::Error| error::of(format!("read the slot {}", engine.names.slot), &error);
    let patience = format!("SET statement_timeout = {}", WRITERS_LEAVE.as_millis());
    log.run(&patience).await.map_err(failed)?;
    let read = log.query(sql::READ_SLOT, &[&engine.names.slot, &engine.names.publication]).await;
    log.run("SET statement_timeout = 0").await.map_err(failed)?;
    match read {
        Err(error) if error::is_code(&error, "XX000") => Ok(Some(failed(error).reason)),
        Err(error) if !error::is_timeout(&error) => Err(failed(error)),
        _ => Ok(None),
    }
}

async fn make_slot(session: &Session, engine: &Postgres) -> Result<Lsn> {
    let attempted = || format!("open the log for {}", engine.names.display);
    let rows = match engine.log_session(session).await? {
        LogSession::Primary(session) => make_slot_here(session, engine, attempted()).await?,
        LogSession::Standby(log) => {
            log_server::wait_for_replay(session, &log, engine).await?;
            log_server::make_slot(session, &log, &engine.names.slot).await?
        }
    };
    let text: &str = rows.first().map_or("", |row| row.get(0));
    Lsn::parse(text).ok_or_else(|| Error::fatal(attempted(), "the server did not say where its log begins"))
}

async fn make_slot_here(session: &Session, engine: &Postgres, attempted: String) -> Result<Vec<tokio_postgres::Row>> {
    let bound = WRITERS_LEAVE.as_millis();
    let failed = |error: tokio_postgres::Error| error::of(attempted.clone(), &error);
    let create = if engine.version.has_failover_slots() { sql::CREATE_FAILOVER_SLOT } else { sql::CREATE_SLOT };
    // The server waits for each of them by a lock on its number: behind that nobody queues, so it has nothing to do with the
    // time a lock on the table may take.
    let patience = format!("SET lock_timeout = 0; SET statement_timeout = {bound}");
    session.run(&patience).await.map_err(failed)?;
    let made = session.query(create, &[&engine.names.slot]).await;
    let as_before = format!("SET lock_timeout = {}; SET statement_timeout = 0", engine.lock_timeout_ms());
    session.run(&as_before).await.map_err(failed)?;
    match made {
        Err(error) if error::is_timeout(&error) => Err(busy(session, attempted.clone()).await),
        other => other.map_err(failed),
    }
}

/// The slot begins where every transaction that ran when it was asked for has ended. One that began later may have
/// committed before the slot's own start and still not be visible; so all that have begun by now are waited for. Says whether
/// they have ended.
async fn is_visible_within(session: &Session, engine: &Postgres, patience: Duration) -> Result<bool> {
    let attempted = || format!("open the log for {}", engine.names.display);
    let failed = |error: tokio_postgres::Error| error::of(attempted(), &error);
    let disorder = || Error::fatal(attempted(), "the server's transaction numbers cannot be read");
    let row = session.one(sql::NEXT_TRANSACTION, &[]).await.map_err(failed)?;
    let bound: u64 = row.get::<_, &str>(0).parse().map_err(|_| disorder())?;
    let deadline = Instant::now() + patience;
    loop {
        let row = session.one(sql::SNAPSHOT, &[]).await.map_err(failed)?;
        let snapshot = Snapshot::parse(row.get(0)).ok_or_else(disorder)?;
        if snapshot.all_before >= bound {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// A place in the log before which everything is visible, and not far behind another that it can be decoded from; none if somebody
/// goes on writing for long, or no slot is left to make the server note such a place. Not where a standby decodes it: that may be
/// anywhere behind.
pub(crate) async fn now(session: &Session, engine: &Postgres) -> Result<Option<Position>> {
    if engine.standby.is_some() {
        return Ok(None);
    }
    let noted = session.query(sql::NOTE_RUNNING, &[&engine.names.slot]).await;
    match noted.map_err(|error| error::of("note which transactions are running", &error)) {
        Err(error) if error.kind == Kind::Disconnected => return Err(error),
        Err(_) => return Ok(None),
        Ok(_) => {}
    }
    let end = session.one(sql::LOG_END, &[]).await;
    let end = end.map_err(|error| error::of("ask where the log ends", &error))?;
    let is_visible = is_visible_within(session, engine, WRITERS_LEAVE_SOON).await?;
    Ok(is_visible.then(|| Position(end.get(0))))
}

/// Moves the slot on without decoding what it passes over.
pub(crate) async fn pass(session: &Session, engine: &Postgres, before: &Position) -> Result<()> {
    let slot = &engine.names.slot;
    let failed = |error: tokio_postgres::Error| error::of(format!("move the replication slot {slot} on"), &error);
    session.run("SET statement_timeout = 0").await.map_err(failed)?;
    session.query(sql::MOVE_SLOT, &[slot, &before.0]).await.map(drop).map_err(failed)
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

/// Takes slot and publication away, if they are there.
pub(crate) async fn drop_log(session: &Session, engine: &Postgres) -> Result<()> {
    require_place(session, engine, &format!("drop the replication slot {}", engine.names.slot)).await?;
    drop_slot(&*engine.log_session(session).await?, &engine.names.slot).await?;
    let dropped = session.run(&sql::drop_publication(&engine.names.publication)).await;
    dropped.map_err(|error| error::of_lock(format!("drop the publication {}", engine.names.publication), &error))?;
    // Not before: while it is published and has no identity, the server refuses the application's updates.
    give_back_identity(session, engine).await
}

/// Where the source's replica identity tells nothing of rows that change, makes one of its keys the identity for the time of the
/// run. Gives its own one, which is in the journal before.
async fn lend_identity(session: &Session, engine: &Postgres, source: u32) -> Result<Option<String>> {
    if preflight::key(session, source).await?.0.is_ok() {
        return Ok(None);
    }
    let Some(lent) = preflight::lent(session, engine, source).await? else { return Ok(None) };
    let known = journal::entry(session, engine).await?.facts.unwrap_or_else(Facts::none);
    let own_identity = Some(lent.own);
    journal::save_facts(session, engine, &Facts { source, own_identity: own_identity.clone(), ..known }).await?;
    change_identity(session, engine, &lent.statement).await?;
    Ok(own_identity)
}

/// Gives the source its own replica identity again, if it was lent another one.
async fn give_back_identity(session: &Session, engine: &Postgres) -> Result<()> {
    let Some(facts) = journal::entry(session, engine).await?.facts else { return Ok(()) };
    let Some(own) = &facts.own_identity else { return Ok(()) };
    let names = &engine.names;
    let failed = |error: tokio_postgres::Error| error::of(format!("look at {}", names.display), &error);
    // By its number: it may have another name by now, or be gone.
    let place = session.query(sql::PLACE, &[&facts.source]).await.map_err(failed)?;
    let identity = session.query(sql::REPLICA_IDENTITY, &[&facts.source]).await.map_err(failed)?;
    // What was lent is an index; anything else somebody has set since.
    let is_lent = identity.first().is_some_and(|row| row.get::<_, &str>(0) == "i");
    if let Some(place) = place.first().filter(|_| is_lent) {
        let table = names::qualified(place.get(0), place.get(1));
        change_identity(session, engine, &sql::own_identity(&table, own)).await?;
    }
    journal::save_facts(session, engine, &Facts { own_identity: None, ..facts }).await
}

/// It takes the strongest lock, for an instant: waited for no longer than others may wait behind it, and tried for again.
async fn change_identity(session: &Session, engine: &Postgres, statement: &str) -> Result<()> {
    let attempted = || format!("change the replica identity of {}", engine.names.display);
    let mut attempt = 1;
    loop {
        let changed = session.run(statement).await.map_err(|error| error::of_lock(attempted(), &error));
        match changed {
            Err(error) if error.kind == Kind::Busy && attempt < IDENTITY_ATTEMPTS => {}
            other => return other,
        }
        tokio::time::sleep(IDENTITY_PAUSE * attempt).await;
        attempt += 1;
    }
}

/// A slot on a standby can only be dealt with by who is told where that is.
async fn require_place(session: &Session, engine: &Postgres, attempted: &str) -> Result<()> {
    let known = journal::entry(session, engine).await?.facts.and_then(|facts| facts.log_place);
    match known {
        Some(place) if engine.target.stream_from.is_none() => Err(Error::refused(
            attempted,
            format!(
                "it is on {place}, which the log was read from: name that server with --stream-from; if it is gone for good, \
                 name the primary itself"
            ),
        )),
        _ => Ok(()),
    }
}

/// Drops a slot, whoever reads it, on the server it is on.
pub(crate) async fn drop_slot(log: &Session, slot: &str) -> Result<()> {
    let attempted = || format!("drop the replication slot {slot}");
    let deadline = Instant::now() + GOODBYE;
    loop {
        end_reader(log, slot).await?;
        match log.query(sql::DROP_SLOT, &[&slot]).await {
            Err(error) if !error::is_code(&error, "55006") && !error::is_code(&error, "42704") => {
                return Err(error::of(attempted(), &error));
            }
            _ => {}
        }
        let left = log.query(sql::SLOT, &[&slot]).await;
        if left.map_err(|error| error::of(attempted(), &error))?.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted(), GOODBYE));
        }
        tokio::time::sleep(GLANCE).await;
    }
}

async fn end_reader(log: &Session, slot: &str) -> Result<()> {
    let ended = log.query(sql::END_READER, &[&slot]).await;
    ended.map(drop).map_err(|error| error::of(format!("end the reader of {slot}"), &error))
}

/// Reads the log from a position on.
pub(crate) async fn follow(engine: &Postgres, from: &Position) -> Result<LogStream> {
    let attempted = || format!("follow {} from {from}", engine.names.display);
    engine.require_hold("follow the log")?;
    let start = Lsn::parse(&from.0).ok_or_else(|| Error::fatal(attempted(), "the position cannot be read"))?;
    let lease = engine.control.take().await?;
    let result = prepare(&lease, engine, start, attempted()).await;
    let (facts, key) = lease.settle(result).await?;
    let feed = feed(engine, &facts, start, attempted()).await?;
    let gate = engine.server.open(&engine.names.application, &sql::gate_settings()).await?;
    let standby = match &engine.standby {
        None => None,
        Some(standby) => Some(standby.open(&engine.names.application, &sql::mark_settings()).await?),
    };
    *locked(&engine.following_since) = Some(Instant::now());
    engine.start_pulse(&facts);
    let source = Source {
        oid: facts.source,
        identity: facts.witness.as_ref().and_then(Witness::letter).unwrap_or_default(),
        lines: facts.source_lines,
        schema: engine.names.schema.clone(),
        table: engine.names.table.clone(),
        display: engine.names.display.clone(),
        key: key.columns.into_iter().map(|column| column.source).collect(),
        incarnation: engine.marks.incarnation.clone(),
    };
    Ok(LogStream::begin(feed, Asking { gate, standby }, source, from.clone()))
}

/// The stream, or the same by plain SQL where the server will not stream and answers to say so.
async fn feed(engine: &Postgres, facts: &Facts, start: Lsn, attempted: String) -> Result<Feed> {
    let names = &engine.names;
    if !engine.target.poll_log {
        match Replication::open(engine.log_server(), &names.application).await? {
            Ok(mut wire) => {
                if wire.identify().await? != facts.system {
                    return Err(not_that_server(attempted));
                }
                wire.start(&names.slot, &names.publication, start).await?;
                return Ok(Feed::Wire(wire));
            }
            Err(why) => {
                tracing::warn!("the log of {} is looked at by SQL, for it cannot be streamed: {why}", names.display)
            }
        }
    }
    let session = engine.log_server().open(&names.application, &sql::poll_settings()).await?;
    if log_server::system(&session).await? != facts.system {
        return Err(not_that_server(attempted));
    }
    Ok(Feed::Poll(Box::new(Poller::new(session, &names.slot, &names.publication, start))))
}

fn not_that_server(attempted: String) -> Error {
    Error::fatal(attempted, "this is not the server that gave the position")
}

/// Makes sure that the slot still has what is asked for and that nobody else reads it.
async fn prepare(session: &Session, engine: &Postgres, start: Lsn, attempted: String) -> Result<(Facts, Candidate)> {
    let gone = |why: &str| Error::fatal(attempted.clone(), why);
    require_place(session, engine, &attempted).await?;
    log_server::check(session, engine).await?;
    let facts = journal::facts(session, engine).await?;
    let log = engine.log_session(session).await?;
    let slot = &engine.names.slot;
    let deadline = Instant::now() + GOODBYE;
    loop {
        let rows = log.query(sql::SLOT, &[slot]).await;
        let rows = rows.map_err(|error| error::of(attempted.clone(), &error))?;
        let row = rows.first().ok_or_else(|| {
            gone(&format!("the replication slot {slot} is gone, and the log it kept with it; {BEGIN_ANEW}"))
        })?;
        if row.get::<_, &str>(2) == "lost" {
            return Err(gone(&lost(engine, row)));
        }
        let confirmed = row.get::<_, Option<&str>>(1).and_then(Lsn::parse);
        if confirmed.is_none_or(|confirmed| confirmed > start) {
            let reason = format!("somebody moved the replication slot {slot} on, and its log was forgotten");
            return Err(Error::new(Kind::Missed, attempted, reason));
        }
        if row.get::<_, Option<i32>>(0).is_none() {
            break;
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted, GOODBYE));
        }
        end_reader(&log, slot).await?;
        tokio::time::sleep(GLANCE).await;
    }
    witness::judge(session, &engine.names, &facts).await?;
    let (key, _) = preflight::key(session, facts.source).await?;
    Ok((facts, key.map_err(|why| gone(&why))?))
}

/// Why a slot is of no use any more, by the server's own word for it, and what can be done.
fn lost(engine: &Postgres, row: &tokio_postgres::Row) -> String {
    let slot = &engine.names.slot;
    let why = match row.get::<_, &str>(3) {
        "wal_removed" => format!(
            "the server has removed log that the replication slot {slot} needed, for it kept more than \
             max_slot_wal_keep_size ({}) allows: raise that",
            row.get::<_, &str>(4)
        ),
        "idle_timeout" => format!(
            "the server has given up the replication slot {slot}, which nobody read for longer than \
             idle_replication_slot_timeout: do not leave the run stopped for so long"
        ),
        "rows_removed" => format!(
            "the standby has given up the replication slot {slot}, for the primary cleaned up what it needed: \
             let the standby have hot_standby_feedback = on, and a physical slot on the primary"
        ),
        other => format!("the server has given up the replication slot {slot} ({other})"),
    };
    format!("{why}; {BEGIN_ANEW}")
}

/// What the server keeps of its log for the slot. The run ends at the bound it was given, and before the server's own.
pub(crate) async fn kept(session: &Session, engine: &Postgres) -> Result<Option<LogKept>> {
    let log = engine.log_session(session).await?;
    let rows = log.query(sql::LOG_KEPT, &[&engine.names.slot]).await;
    let rows = rows.map_err(|error| error::of(format!("ask what the slot {} keeps", engine.names.slot), &error))?;
    let Some(row) = rows.first() else { return Ok(None) };
    let bytes = row.get::<_, i64>(0).unsigned_abs();
    // A run that has just been taken up again has not been able to move its slot on.
    let is_under_way = locked(&engine.following_since).is_some_and(|since| since.elapsed() > GRACE);
    let servers = servers_limit(row.get(1)).filter(|_| is_under_way);
    let limit_bytes = engine.target.log_limit_bytes.into_iter().chain(servers).min();
    Ok(Some(LogKept { bytes, limit_bytes }))
}

/// Where the run ends for the server's own bound: early enough that it can still be resumed.
fn servers_limit(megabytes: i64) -> Option<u64> {
    u64::try_from(megabytes).ok().map(|megabytes| (megabytes << 20) / 10 * 9)
}

/// At the bound the run was given, the slot is dropped: nothing else would keep the log from growing. The server's own bound
/// keeps the disk from filling up, so there the slot stays.
pub(crate) async fn give_up(session: &Session, engine: &Postgres) -> Result<String> {
    let writers = session.query(sql::WRITERS, &[]).await;
    let writers: Vec<String> = writers.map(|rows| rows.iter().map(|row| row.get(0)).collect()).unwrap_or_default();
    let meanwhile = match writers.is_empty() {
        true => String::new(),
        false => format!("; transactions under way, which may be what holds it: {}", writers.join("; ")),
    };
    let kept = kept(session, engine).await?;
    let is_ours = kept.is_none_or(|kept| engine.target.log_limit_bytes.is_some_and(|limit| kept.bytes >= limit));
    if is_ours {
        drop_log(session, engine).await?;
        return Ok(format!(
            "that is all it may (--max-log-kept), so the replication slot was dropped, and the copy made so far is of no use \
             any more; {BEGIN_ANEW}{meanwhile}"
        ));
    }
    Ok(format!(
        "it is near max_slot_wal_keep_size, where the server would give up the replication slot {}; raise that, and the same \
         command goes on from here; or drop what was begun with `altergeist cleanup`{meanwhile}",
        engine.names.slot
    ))
}

/// Slots and publications of ours whose journal is gone: nobody will ever go on with them, and a slot keeps the server's log.
/// What is there is looked at before the journal, in which every run stands before it makes any.
pub(crate) async fn orphans(session: &Session, engine: &Postgres) -> Result<Vec<Orphan>> {
    let failed = |error: tokio_postgres::Error| error::of("look for slots and publications nobody needs", &error);
    let found = session.query(sql::OUR_LOGS, &[]).await.map_err(failed)?;
    let mut known = vec![engine.names.slot.clone()];
    if session.one(sql::JOURNAL_EXISTS, &[]).await.map_err(failed)?.get(0) {
        let attempted = "look for slots and publications nobody needs";
        ours::trust(session, attempted).await?;
        let tables = ours::use_journal(session, JournalLock::Read, sql::KNOWN_TABLES).await;
        let tables = tables.map_err(|error| ours::journal_error(attempted.to_owned(), &error))?;
        let slot = |row: &tokio_postgres::SimpleQueryRow| {
            let part = |at: usize| if row.columns().len() > at { row.get(at) } else { None };
            Some(Names::new(&engine.database, part(0)?, part(1)?).slot)
        };
        known.extend(tables.iter().filter_map(slot));
    }
    let orphan = |row: &tokio_postgres::Row| Orphan { name: row.get(0), is_slot: row.get(1) };
    Ok(found.iter().map(orphan).filter(|orphan| !known.contains(&orphan.name)).collect())
}

/// A slot or a publication.
pub(crate) struct Orphan {
    pub(crate) name: String,
    pub(crate) is_slot: bool,
}

impl Orphan {
    /// Takes it away.
    pub(crate) async fn drop(&self, session: &Session) -> Result<()> {
        if self.is_slot {
            return drop_slot(session, &self.name).await;
        }
        let dropped = session.run(&sql::drop_publication(&self.name)).await;
        dropped.map_err(|error| error::of_lock(format!("drop the publication {}", self.name), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_before_the_server_gives_up_its_slot() {
        assert_eq!(servers_limit(-1), None);
        assert_eq!(servers_limit(100), Some((100 << 20) / 10 * 9));
    }
}
