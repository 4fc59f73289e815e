//! Follows the log from a position on: checks that the slot still has it, and opens the stream.

use crate::change::Change;
use crate::facts::{Facts, StreamConditions};
use crate::journal;
use crate::log::completeness;
use crate::log::decode::Lsn;
use crate::log::polling::Poller;
use crate::log::reader::{LogFeed, QuerySessions, Source};
use crate::log::slot::{POLL_INTERVAL, READER_END_TIMEOUT, START_AGAIN, end_reader, require_place};
use crate::log::source::{self, LogSource};
use crate::log::stream::LogStream;
use crate::log::wire::Replication;
use crate::schema::catalogue;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::session::{Session, locked};
use crate::sql;
use crate::state::{HeartbeatSwitch, Sessions};
use altergeist_contract::{Error, Kind, Position, Result};
use std::time::Instant;

/// Follows the log from a position on.
pub(crate) async fn follow(
    sessions: &Sessions,
    change: &Change,
    log: &LogSource,
    heartbeat: &HeartbeatSwitch,
    from: &Position,
) -> Result<LogStream> {
    let names = &change.names;
    let attempted = || format!("follow {} from {from}", names.display);
    sessions.require_hold("follow the log")?;
    let start = Lsn::parse(&from.0)
        .ok_or_else(|| Error::fatal(attempted(), "the position cannot be read"))?;
    let lease = sessions.control.take().await?;
    let result = prepare(&lease, change, log, start, attempted()).await;
    let (facts, key) = lease.settle(result).await?;
    let feed = feed(change, log, &facts, start, attempted()).await?;
    let visibility = sessions.server.open(&names.application, &sql::gate_settings()).await?;
    let standby = match &log.standby {
        None => None,
        Some(standby) => Some(standby.open(&names.application, &sql::mark_settings()).await?),
    };
    *locked(&log.following_since) = Some(Instant::now());
    heartbeat.start(&facts);
    let source = Source {
        oid: facts.source,
        identity: facts
            .stream_conditions
            .as_ref()
            .and_then(StreamConditions::letter)
            .unwrap_or_default(),
        lines: facts.source_lines,
        names: names.clone(),
        key,
        incarnation: change.incarnation.clone(),
    };
    Ok(LogStream::begin(feed, QuerySessions { visibility, standby }, source, from.clone()))
}

/// Opens the stream, or reads the slot by SQL if the server refuses to stream.
async fn feed(
    change: &Change,
    source: &LogSource,
    facts: &Facts,
    start: Lsn,
    attempted: String,
) -> Result<LogFeed> {
    let names = &change.names;
    if !change.target.poll_log {
        match Replication::open(source.server(), &names.application).await? {
            Ok(mut wire) => {
                if wire.identify().await? != facts.system {
                    return Err(not_that_server(attempted));
                }
                wire.start(&names.slot, &names.publication, start).await?;
                return Ok(LogFeed::Wire(wire));
            }
            Err(why) => {
                tracing::warn!(
                    "the log of {} is read by SQL, because it cannot be streamed: {why}",
                    names.display
                )
            }
        }
    }
    let session = source.server().open(&names.application, &sql::poll_settings()).await?;
    if source::system(&session).await? != facts.system {
        return Err(not_that_server(attempted));
    }
    Ok(LogFeed::Poll(Box::new(Poller::new(session, &names.slot, &names.publication, start))))
}

fn not_that_server(attempted: String) -> Error {
    Error::fatal(attempted, "the position is from another server")
}

/// Checks that the slot still has the log from the position on, and ends other readers.
async fn prepare(
    session: &Session,
    change: &Change,
    source: &LogSource,
    start: Lsn,
    attempted: String,
) -> Result<(Facts, Vec<String>)> {
    let gone = |why: &str| Error::fatal(attempted.clone(), why);
    let names = &change.names;
    require_place(session, change, &attempted).await?;
    source::check(session, names, source).await?;
    let facts = journal::facts(session, names).await?;
    let log = source.session(session).await?;
    let slot = &names.slot;
    let deadline = Instant::now() + READER_END_TIMEOUT;
    loop {
        let rows = log.query(sql::SLOT, &[slot]).await;
        let rows = rows.doing(&attempted)?;
        let row = rows.first().ok_or_else(|| {
            gone(&format!(
                "the replication slot {slot} is gone, and the log it kept with it; {START_AGAIN}"
            ))
        })?;
        if row.get::<_, &str>(2) == "lost" {
            return Err(gone(&lost(slot, row)));
        }
        let confirmed = row.get::<_, Option<&str>>(1).and_then(Lsn::parse);
        if confirmed.is_none_or(|confirmed| confirmed > start) {
            let reason = format!(
                "another session advanced the replication slot {slot}, and the server discarded \
                 its log"
            );
            return Err(Error::new(Kind::Missed, attempted, reason));
        }
        if row.get::<_, Option<i32>>(0).is_none() {
            break;
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted, READER_END_TIMEOUT));
        }
        end_reader(&log, slot).await?;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    completeness::judge(session, names, &facts).await?;
    // On the way back the key was chosen in the swap.
    let chosen = facts.shadow.as_ref().filter(|_| names.is_turned).map(|it| it.layout.keys.clone());
    let key = match chosen {
        Some(key) => key,
        None => catalogue::key(session, facts.source).await?.0.map_err(|why| gone(&why))?.columns,
    };
    Ok((facts, key.into_iter().map(|column| column.source).collect()))
}

/// Returns why a slot is lost, by the server's own word for it, and the remedy.
fn lost(slot: &str, row: &tokio_postgres::Row) -> String {
    let why = match row.get::<_, &str>(3) {
        "wal_removed" => format!(
            "the server removed log that the replication slot {slot} needed: it may keep at \
             most max_slot_wal_keep_size ({}). Raise that",
            row.get::<_, &str>(4)
        ),
        "idle_timeout" => format!(
            "the server invalidated the replication slot {slot}: no run read it for longer than \
             idle_replication_slot_timeout. Do not stop a run for so long"
        ),
        "rows_removed" => format!(
            "the standby invalidated the replication slot {slot}: the primary removed rows that \
             it needed. Set hot_standby_feedback = on there, and give it a physical slot on the \
             primary"
        ),
        other => format!("the server invalidated the replication slot {slot} ({other})"),
    };
    format!("{why}; {START_AGAIN}")
}
