//! Opens the log: the publication, the slot, and the proof that nothing before its start is still
//! invisible. Finds it again after a restart, and drops it.

use crate::change::Change;
use crate::facts::Facts;
use crate::journal;
use crate::key::candidates::Candidate;
use crate::log::completeness;
use crate::log::decode::Lsn;
use crate::log::identity;
use crate::log::source::{self, LogSession, LogSource};
use crate::log::visibility::Snapshot;
use crate::schema::catalogue;
use crate::schema::definition;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::{Session, locked};
use crate::sql;
use crate::state::{HeartbeatSwitch, Sessions};
use altergeist_contract::{Error, Kind, Position, Result};
use std::time::{Duration, Instant};

/// Longest wait for a reader of the slot to end.
pub(crate) const READER_END_TIMEOUT: Duration = Duration::from_secs(15);

/// Longest wait for writing transactions before the log can begin. Nobody waits for us meanwhile.
const WRITERS_TIMEOUT: Duration = Duration::from_secs(60);

/// The same, if the log need not begin at once.
const SHORT_WRITERS_TIMEOUT: Duration = Duration::from_secs(1);

/// How many slots the run creates before it gives up to get a readable one.
const SLOTS_MAX: u32 = 20;

/// The pause between two checks of something that ends soon.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// After it resumes, a run has this long before the server's own limit ends it.
pub(crate) const RESUME_GRACE: Duration = Duration::from_secs(20);

/// The remedy if the log is gone.
pub(crate) const START_AGAIN: &str = "`altergeist cleanup` drops the shadow; then start again";

/// Makes the server retain its log for this table from now on.
pub(crate) async fn open(
    sessions: &Sessions,
    change: &Change,
    log: &LogSource,
    heartbeat: &HeartbeatSwitch,
) -> Result<Position> {
    sessions.require_hold("open the log")?;
    let lease = sessions.control.take().await?;
    let mut result = open_anew(&lease, change, log).await;
    if result.is_err() {
        // An unread slot would retain the server's log for ever. If it cannot be dropped now,
        // cleanup finds it.
        let dropped = drop_log(&lease, change, log).await;
        if let (Err(error), Err(left)) = (&mut result, dropped) {
            error.reason = format!("{}; and what was begun is still there: {left}", error.reason);
        }
    }
    let (position, facts) = lease.settle(result).await?;
    heartbeat.start(&facts);
    // The log of a new slot is not left over from an earlier pause.
    *locked(&log.following_since) = Instant::now().checked_sub(RESUME_GRACE);
    Ok(position)
}

async fn open_anew(
    session: &Session,
    change: &Change,
    log: &LogSource,
) -> Result<(Position, Facts)> {
    let names = &change.names;
    journal::ensure_tables(session).await?;
    drop_log(session, change, log).await?;
    source::check(session, names, log).await?;
    let source = catalogue::source(session, names).await?;
    let own_identity = identity::set_temporary_identity(session, change, source).await?;
    let (key, identity) = catalogue::key(session, source).await?;
    let key = key.map_err(|why| Error::refused(format!("follow {}", names.display), why))?;
    publish(session, change, &key, &identity).await?;
    let stream_conditions = completeness::take(session, names, source).await?;
    let start = make_readable_slot(session, change, log).await?;
    let facts = Facts {
        system: source::system(session).await?,
        log_place: log.place(),
        source,
        source_lines: definition::describe(session, source).await?,
        stream_conditions: Some(stream_conditions),
        own_identity,
        shadow: None,
        done: None,
        online_steps: None,
        reverse: None,
    };
    let known = journal::entry(session, names).await?.facts.filter(|known| known.source == source);
    let facts = Facts { shadow: known.and_then(|known| known.shadow), ..facts };
    journal::save_facts(session, names, &facts).await?;
    Ok((Position(start.to_string()), facts))
}

/// Publishes the key's columns only, so that values do not travel. With a whole-row identity the
/// server demands whole rows.
async fn publish(
    session: &Session,
    change: &Change,
    key: &Candidate,
    identity: &str,
) -> Result<()> {
    let columns: Vec<String> = key.columns.iter().map(|column| column.source.clone()).collect();
    let columns = Some(columns).filter(|_| change.version.has_column_lists() && identity != "f");
    let statement = sql::create_publication(
        &change.names.publication,
        &change.names.source(),
        columns.as_deref(),
    );
    let made = session.run(&statement).await;
    made.locking(format!("publish {}", change.names.display))
}

/// Creates a slot and reads its log once from the beginning, to check that the server can. While
/// slots are created in two databases at once, one may begin with the notes for the other. If a
/// table was emptied or rewritten by then, the server can never decode its rows (seen on 18.6,
/// decision 18). When the slot is read, everything that was in progress has ended.
async fn make_readable_slot(session: &Session, change: &Change, source: &LogSource) -> Result<Lsn> {
    let names = &change.names;
    let mut last = String::new();
    for _ in 0..SLOTS_MAX {
        let start = make_slot(session, change, source).await?;
        if !is_visible_within(session, names, WRITERS_TIMEOUT).await? {
            return Err(busy(session, format!("open the log for {}", names.display)).await);
        }
        let log = source.session(session).await?;
        if let LogSession::Standby(log) = &log {
            source::wait_for_replay(session, log, source).await?;
        }
        let Some(reason) = why_unreadable(&log, names).await? else { return Ok(start) };
        tracing::warn!(
            reason,
            slot = names.slot,
            "the server created a slot that it cannot read; the run creates another one"
        );
        last = reason;
        drop_slot(&log, &names.slot).await?;
    }
    let reason = format!(
        "the server created {SLOTS_MAX} slots that it cannot read itself: {last}; try again while \
         no other session creates slots"
    );
    Err(Error::fatal(format!("open the log for {}", names.display), reason))
}

/// Reads the slot up to now, and returns why the server cannot. A log that is too long for the time
/// limit is not read here. The run would end with the same words, and lose nothing.
async fn why_unreadable(log: &Session, names: &Names) -> Result<Option<String>> {
    let failed =
        |error: tokio_postgres::Error| error::of(format!("read the slot {}", names.slot), &error);
    let patience = sql::set_statement_timeout(WRITERS_TIMEOUT.as_millis());
    log.run(&patience).await.doing(format!("read the slot {}", names.slot))?;
    let read = log.query(sql::READ_SLOT, &[&names.slot, &names.publication]).await;
    log.run(&sql::set_statement_timeout(0)).await.doing(format!("read the slot {}", names.slot))?;
    match read {
        Err(error) if error::is_internal(&error) => Ok(Some(failed(error).reason)),
        Err(error) if !error::is_timeout(&error) => Err(failed(error)),
        _ => Ok(None),
    }
}

async fn make_slot(session: &Session, change: &Change, source: &LogSource) -> Result<Lsn> {
    let names = &change.names;
    let attempted = || format!("open the log for {}", names.display);
    let rows = match source.session(session).await? {
        LogSession::Primary(session) => make_slot_here(session, change, attempted()).await?,
        LogSession::Standby(log) => {
            source::wait_for_replay(session, &log, source).await?;
            source::make_slot(session, &log, &names.slot).await?
        }
    };
    let text: &str = rows.first().map_or("", |row| row.get(0));
    Lsn::parse(text)
        .ok_or_else(|| Error::fatal(attempted(), "the server did not say where its log begins"))
}

async fn make_slot_here(
    session: &Session,
    change: &Change,
    attempted: String,
) -> Result<Vec<tokio_postgres::Row>> {
    let bound = WRITERS_TIMEOUT.as_millis();
    let create = if change.version.has_failover_slots() {
        sql::CREATE_FAILOVER_SLOT
    } else {
        sql::CREATE_SLOT
    };
    // The server waits for each transaction by a lock on its number. No other session queues there,
    // so the usual lock timeout does not apply.
    let patience = sql::set_timeouts(0, bound);
    session.run(&patience).await.doing(&attempted)?;
    let made = session.query(create, &[&change.names.slot]).await;
    let as_before = sql::set_timeouts(change.lock_timeout_ms(), 0);
    session.run(&as_before).await.doing(&attempted)?;
    match made {
        Err(error) if error::is_timeout(&error) => Err(busy(session, attempted.clone()).await),
        other => other.doing(&attempted),
    }
}

/// Waits until every transaction that has begun by now has ended. The slot begins after the
/// transactions that ran when it was created. A later one may have committed before the slot's
/// start and still be invisible. Returns whether they have ended.
async fn is_visible_within(session: &Session, names: &Names, patience: Duration) -> Result<bool> {
    let attempted = || format!("open the log for {}", names.display);
    let disorder = || Error::fatal(attempted(), "the server's transaction numbers cannot be read");
    let row = session.one(sql::NEXT_TRANSACTION, &[]).await.doing(attempted)?;
    let bound: u64 = row.get::<_, &str>(0).parse().map_err(|_| disorder())?;
    let deadline = Instant::now() + patience;
    loop {
        let row = session.one(sql::SNAPSHOT, &[]).await.doing(attempted)?;
        let snapshot = Snapshot::parse(row.get(0)).ok_or_else(disorder)?;
        if snapshot.all_before >= bound {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Returns a position before which everything is visible, close behind one that can be decoded
/// from. None if a transaction goes on for long, or no slot is free to make the server note such a
/// position. Never for a standby, which may be far behind.
pub(crate) async fn now(
    session: &Session,
    names: &Names,
    source: &LogSource,
) -> Result<Option<Position>> {
    if source.standby.is_some() {
        return Ok(None);
    }
    let noted = session.query(sql::NOTE_RUNNING, &[&names.slot]).await;
    match noted.doing("note which transactions are running") {
        Err(error) if error.kind == Kind::Disconnected => return Err(error),
        Err(_) => return Ok(None),
        Ok(_) => {}
    }
    let end = session.one(sql::LOG_END, &[]).await;
    let end = end.doing("ask where the log ends")?;
    let is_visible = is_visible_within(session, names, SHORT_WRITERS_TIMEOUT).await?;
    Ok(is_visible.then(|| Position(end.get(0))))
}

/// Advances the slot without decoding the log that it skips.
pub(crate) async fn pass(session: &Session, names: &Names, before: &Position) -> Result<()> {
    let slot = &names.slot;
    let attempted = || format!("move the replication slot {slot} on");
    session.run(&sql::set_statement_timeout(0)).await.doing(attempted)?;
    session.query(sql::MOVE_SLOT, &[slot, &before.0]).await.map(drop).doing(attempted)
}

async fn busy(session: &Session, attempted: String) -> Error {
    let writers = session.query(sql::WRITERS, &[]).await;
    let writers: Vec<String> =
        writers.map(|rows| rows.iter().map(|row| row.get(0)).collect()).unwrap_or_default();
    let reason = if writers.is_empty() {
        "transactions that were writing did not end in time; they have ended since".to_owned()
    } else {
        format!("transactions that were writing did not end in time: {}", writers.join("; "))
    };
    Error::new(Kind::Busy, attempted, reason)
}

/// Drops the slot and the publication, if they exist.
pub(crate) async fn drop_log(session: &Session, change: &Change, source: &LogSource) -> Result<()> {
    let names = &change.names;
    require_place(session, change, &format!("drop the replication slot {}", names.slot)).await?;
    drop_slot(&*source.session(session).await?, &names.slot).await?;
    let dropped = session.run(&sql::drop_publication(&names.publication)).await;
    dropped.locking(format!("drop the publication {}", names.publication))?;
    // Not earlier: while the table is published without an identity, the server refuses the
    // application's updates.
    identity::restore_identity(session, names).await?;
    identity::restore_identity(session, &names.turned()).await
}

/// Fails if the slot is on a standby that the user did not name.
pub(crate) async fn require_place(
    session: &Session,
    change: &Change,
    attempted: &str,
) -> Result<()> {
    let known =
        journal::entry(session, &change.names).await?.facts.and_then(|facts| facts.log_place);
    match known {
        Some(place) if change.target.stream_from.is_none() => Err(Error::refused(
            attempted,
            format!(
                "it is on {place}, which the log was read from: name that server with \
                 --stream-from; if it is gone for good, name the primary itself"
            ),
        )),
        _ => Ok(()),
    }
}

/// Drops a slot, even while another session reads it, on the server it is on.
pub(crate) async fn drop_slot(log: &Session, slot: &str) -> Result<()> {
    let attempted = || format!("drop the replication slot {slot}");
    let deadline = Instant::now() + READER_END_TIMEOUT;
    loop {
        end_reader(log, slot).await?;
        match log.query(sql::DROP_SLOT, &[&slot]).await {
            Err(error) if !error::is_slot_in_use_or_gone(&error) => {
                return Err(error::of(attempted(), &error));
            }
            _ => {}
        }
        let left = log.query(sql::SLOT, &[&slot]).await;
        if left.doing(attempted)?.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted(), READER_END_TIMEOUT));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

pub(crate) async fn end_reader(log: &Session, slot: &str) -> Result<()> {
    let ended = log.query(sql::END_READER, &[&slot]).await;
    ended.map(drop).doing(format!("end the reader of {slot}"))
}

#[cfg(test)]
mod tests {
    use crate::log::retained;

    #[test]
    fn a_run_ends_before_the_server_gives_up_its_slot() {
        assert_eq!(retained::servers_limit(-1), None);
        assert_eq!(retained::servers_limit(100), Some((100 << 20) / 10 * 9));
    }
}
