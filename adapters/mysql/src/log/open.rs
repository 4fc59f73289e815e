//! Opens the log at its present end, or at a saved position, and hands it to the stream (law 1).

use crate::change::Change;
use crate::journal::{make_journal, read_entry};
use crate::log::indirect_writes::IndirectWrites;
use crate::log::position::{BinlogPosition, SavedPosition};
use crate::log::source::LogServer;
use crate::log::stream::{self, DeliveryChecks, MySqlStream};
use crate::log::transactions::TransactionParser;
use crate::log::xa_name;
use crate::plan::log_source::{check_stream_from, wait_for_arrival, watch_filters};
use crate::server::doing::Doing;
use crate::server::error::START_AGAIN;
use crate::server::heartbeat::prepared;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::shadow::column_mapping::followed_key;
use crate::shadow::concurrent_ddl::ConcurrentDdl;
use crate::shadow::early_keys::parents_to_follow;
use crate::sql;
use crate::state::{JournalTables, LogState, ShadowState};
use altergeist_contract::{Error, Kind, Position, Result};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longest wait for transactions that are prepared when the log is opened.
const PREPARED_END: Duration = Duration::from_secs(30);

/// How many positions the run tries, to find one with no prepared transaction.
const PLACES_TRIED: u32 = 3;

/// Opens the log at its present end. Every transaction before the position is visible to reads that
/// begin after this returns, and every later one is in the stream. The reasons:
///
/// - A transaction's rows go into the log at its commit. If it still runs, it will be logged behind
///   the position and delivered.
/// - A transaction before the position may not be visible yet. The run sends a heartbeat after it
///   reads the position, so the heartbeat lies behind it. Once the heartbeat is proven, everything
///   before it is visible ([`Heartbeat`]).
/// - A prepared transaction has its rows in the log already, perhaps before the position. It
///   becomes visible when it ends. The run waits for its end and takes a later position. If there
///   always are some, the stream may meet the ends of those that the run waited for. If one was
///   being prepared at that very moment, the server does not list it yet. The stream meets its end
///   without its beginning, and the run stops.
///
/// The same holds for a replica's log: everything in it was in this server's log before.
pub(crate) async fn open_log(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    journal: &JournalTables,
) -> Result<Position> {
    make_journal(change, pool, journal).await?;
    log_state.heartbeat.begin().await?;
    let attempted = || change.doing("open the log for");
    check_stream_from(change, pool, &log_state.server).await?;
    let mut session = pool.reader().await?;
    let until = Instant::now() + PREPARED_END;
    let mut positions = 1;
    let (position, beat) = loop {
        let (position, beat) =
            (current_position(change, &log_state.server).await?, log_state.heartbeat.mark());
        let proof = tokio::time::timeout(pool.lock_timeout, log_state.heartbeat.proven(beat));
        proof
            .await
            .map_err(|_| Error::new(Kind::Busy, attempted(), "the server delays commits"))??;
        let before = prepared(&mut session).await?;
        wait_for_prepared(change, &mut session, &before, until).await?;
        if before.is_empty() || positions == PLACES_TRIED {
            *log_state.settled.lock().expect("not poisoned") = before;
            break (position, beat);
        }
        positions += 1;
    };
    wait_for_arrival(change, &log_state.server, beat).await?;
    Ok(SavedPosition {
        server: log_state.server.server.identity.clone(),
        position,
        beat: Some(beat.0),
    }
    .to_position())
}

pub(crate) async fn follow(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    shadow_state: &ShadowState,
    journal: &JournalTables,
    from: &Position,
) -> Result<MySqlStream> {
    let saved = SavedPosition::read(from)?;
    make_journal(change, pool, journal).await?;
    check_stream_from(change, pool, &log_state.server).await?;
    check_same_log(change, &log_state.server, &saved).await?;
    log_state.heartbeat.begin().await?;
    if !log_state.heartbeat.go_on_from(saved.beat.unwrap_or_default()) {
        let reason = format!("another session changed its heartbeats; {START_AGAIN}");
        return Err(Error::fatal(change.doing("go on in the log for"), reason));
    }
    let key = followed_key(change, pool, shadow_state).await?;
    let names = (change.source.clone(), &change.names);
    let mut parser =
        TransactionParser::new(names, key, parents_to_follow(change, pool).await?, saved.clone());
    parser.ignore_ends_of(log_state.settled.lock().expect("not poisoned").clone());
    shadow_state.shadow_writes.follow().await;
    parser.count_shadow_by(shadow_state.shadow_writes.counted_from.clone());
    let session = Session::bare(&log_state.server.access).await?;
    log_state.undecided.store(0, Ordering::SeqCst);
    let reader_id = sql::log::reader_id(&change.source);
    let known = read_entry(change, &mut pool.reader().await?).await?.facts.source_text;
    let beside = DeliveryChecks {
        heartbeat: log_state.heartbeat.clone(),
        cascades: shadow_state.cascades.clone(),
        indirect_writes: IndirectWrites::new(pool.clone(), change.source.clone()),
        concurrent_ddl: ConcurrentDdl::new(pool.clone(), change.source.clone(), known),
        completeness: log_state.completeness.clone(),
        shadow_writes: shadow_state.shadow_writes.clone(),
        change: change.clone(),
    };
    log_state.completeness.begin().await?;
    stream::follow(session, reader_id, parser, &saved, log_state.undecided.clone(), beside).await
}

pub(crate) async fn check_stream(
    change: &Change,
    log_state: &LogState,
    shadow_state: &ShadowState,
) -> Result<()> {
    log_state.completeness.check(&log_state.heartbeat).await?;
    shadow_state.shadow_writes.request_check(|| log_state.heartbeat.mark());
    watch_filters(change, log_state).await
}

/// Waits until none of these is prepared any more.
async fn wait_for_prepared(
    change: &Change,
    session: &mut Session,
    before: &HashSet<String>,
    until: Instant,
) -> Result<()> {
    loop {
        let left: Vec<String> = prepared(session).await?.intersection(before).cloned().collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            let left: Vec<String> = left.iter().map(|xid| xa_name::quoted_xid(xid)).collect();
            let reason = format!(
                "prepared transactions (XA) have not ended within {} s, and the run must know what \
                 they change: {}. End each with XA COMMIT or XA ROLLBACK",
                PREPARED_END.as_secs(),
                left.join("; ")
            );
            return Err(Error::new(Kind::Busy, change.doing("open the log for"), reason));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn current_position(change: &Change, log: &LogServer) -> Result<BinlogPosition> {
    let attempted = || change.doing("note the log's end for");
    let mut session = Session::bare(&log.access).await?;
    let server = &log.server;
    let (form, query) = match (server.version.flavour, server.has_gtids) {
        (Flavour::MariaDb, _) => ("domains", sql::log::MARIADB_GTIDS),
        (Flavour::MySql, true) => ("gtid", sql::log::MYSQL_GTIDS),
        (Flavour::MySql, false) => ("file", sql::log::log_status(server.version)),
    };
    let row = session.row(query).await.doing_in_catalogue(attempted)?.unwrap_or_default();
    let said = match (form, &row[..]) {
        ("file", [file, offset, ..]) => format!("{}:{}", text(file), text(offset)),
        (_, [set]) => text(set),
        _ => String::new(),
    };
    BinlogPosition::parse(form, &said).ok_or_else(|| {
        Error::fatal(attempted(), "the server reports no position; check that its binary log is on")
    })
}

/// Proves that the position is of this server and of its present log.
async fn check_same_log(change: &Change, log: &LogServer, saved: &SavedPosition) -> Result<()> {
    let attempted = || change.doing("go on in the log for");
    let server = &log.server.identity;
    if saved.server != *server {
        let reason = format!(
            "the position is of the log of server {}, and this is server {server}; {START_AGAIN}",
            saved.server
        );
        return Err(Error::fatal(attempted(), reason));
    }
    if let BinlogPosition::MySql(set) = &saved.position {
        let mut session = Session::bare(&log.access).await?;
        let executed = session
            .text(&sql::log::are_gtids_executed(&set.to_string()))
            .await
            .doing_in_catalogue(attempted)?;
        if executed != "1" {
            return Err(Error::fatal(
                attempted(),
                format!(
                    "the server has not executed all of the position's transactions: its log was \
                     reset; {START_AGAIN}"
                ),
            ));
        }
    }
    Ok(())
}
