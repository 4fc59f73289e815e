//! The change stream. A task reads the log and makes batches; here they wait until they are visible
//! (law 1).

use crate::change::Change;
use crate::log::cascades::Cascades;
use crate::log::completeness::CompletenessCheck;
use crate::log::events::{GTID, TAGGED_GTID};
use crate::log::indirect_writes::IndirectWrites;
use crate::log::position::{BinlogPosition, SavedPosition, spell_domains};
use crate::log::shadow_writes::ShadowWrites;
use crate::log::transactions::{Batch, LogEvent, TransactionParser};
use crate::server::doing::Doing;
use crate::server::error::{Failure, READING_LOG_FAILED, START_AGAIN};
use crate::server::heartbeat::Heartbeat;
use crate::server::session::Session;
use crate::shadow::concurrent_ddl::ConcurrentDdl;
use crate::sql;
use altergeist_contract::{ChangeStream, Changes, Error, Kind, Position, Result};
use futures_util::StreamExt;
use mysql_async::binlog::events::{Event, EventData};
use mysql_async::{BinlogStream, BinlogStreamRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The server sends something at least this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// If the server is silent for so long, it is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// Batches read ahead.
const READ_AHEAD: usize = 16;

/// The log of one server, as keys of one table's rows.
pub struct MySqlStream {
    batches: mpsc::Receiver<Result<Batch>>,
    /// The batch that is not yet visible.
    waiting: Option<Batch>,
    checks: DeliveryChecks,
    reader: JoinHandle<()>,
}

/// What the stream asks before it delivers a batch.
pub(crate) struct DeliveryChecks {
    pub heartbeat: Arc<Heartbeat>,
    pub cascades: Cascades,
    pub indirect_writes: IndirectWrites,
    pub concurrent_ddl: ConcurrentDdl,
    pub completeness: Arc<CompletenessCheck>,
    pub shadow_writes: Arc<ShadowWrites>,
    pub change: Change,
}

impl ChangeStream for MySqlStream {
    async fn next(&mut self) -> Result<Changes> {
        self.next_visible().await.map_err(|error| self.checks.change.reworded(error))
    }

    async fn forget(&mut self, _before: &Position) -> Result<()> {
        // The server retains its log by age and size, not for its readers.
        Ok(())
    }
}

impl MySqlStream {
    /// Waits for the next batch, and until every read that begins later sees it.
    async fn next_visible(&mut self) -> Result<Changes> {
        if self.waiting.is_none() {
            let gone = || Error::new(Kind::Disconnected, "read the log", "its reader has ended");
            self.waiting = Some(self.batches.recv().await.ok_or_else(gone)??);
        }
        let batch = self.waiting.as_mut().expect("just filled");
        // A transaction is in the log as a whole, even before its end was read. So the next
        // heartbeat lies behind it.
        let proof = *batch.proof.get_or_insert_with(|| self.checks.heartbeat.mark());
        self.checks.heartbeat.proven(proof).await?;
        if !batch.ended.is_empty() {
            self.checks.heartbeat.visible(&batch.ended).await?;
        }
        self.checks.indirect_writes.check_cannot_reach(&batch.written).await?;
        if batch.altered {
            self.checks.concurrent_ddl.check_can_follow().await?;
        }
        // If the server rebuilds the table, that counts as a change.
        let has_changes = !batch.keys.is_empty() || batch.altered;
        self.checks.cascades.resolve(&mut batch.keys).await?;
        let batch = self.waiting.take().expect("just checked");
        self.checks.completeness.record(has_changes, batch.source_rows, batch.marker);
        let shadow = self.checks.change.names.shadow.plain();
        self.checks.shadow_writes.record(batch.shadow_rows, batch.marker, &shadow)?;
        Ok(Changes {
            emptied: false,
            keys: batch.keys,
            position: batch.position,
            marker: batch.marker,
        })
    }
}

impl Drop for MySqlStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Begins to read the log.
pub(crate) async fn follow(
    session: Session,
    reader_id: u32,
    parser: TransactionParser,
    saved: &SavedPosition,
    undecided: Arc<AtomicUsize>,
    checks: DeliveryChecks,
) -> Result<MySqlStream> {
    let log = open(session, reader_id, saved).await?;
    let (sender, batches) = mpsc::channel(READ_AHEAD);
    let reader = tokio::spawn(async move {
        if let Err(error) = read(log, parser, &sender, &undecided).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(MySqlStream { batches, waiting: None, checks, reader })
}

const ATTEMPTED: &str = "read the log";

async fn open(mut session: Session, reader_id: u32, saved: &SavedPosition) -> Result<BinlogStream> {
    let domains = match &saved.position {
        BinlogPosition::MariaDb(domains) => Some(spell_domains(domains)),
        _ => None,
    };
    for statement in &sql::log::reader_settings(HEARTBEAT, domains.as_deref()) {
        session.execute(statement).await.doing_in_catalogue(ATTEMPTED)?;
    }
    let request = BinlogStreamRequest::new(reader_id);
    let conn = session.into_conn().doing_in_catalogue(ATTEMPTED)?;
    let stream = match saved.position.readable().0 {
        BinlogPosition::File { name, offset } => {
            conn.get_binlog_stream(request.with_filename(name.as_bytes()).with_pos(offset)).await
        }
        BinlogPosition::MySql(set) => {
            let sids: std::result::Result<Vec<_>, _> =
                set.blocks().iter().map(|block| block.parse()).collect();
            let sids = sids.map_err(|_| {
                Error::fatal(ATTEMPTED, "the saved set of transactions cannot be read")
            })?;
            conn.get_binlog_stream(request.with_gtid().with_gtid_set(sids)).await
        }
        BinlogPosition::MariaDb(_) => conn.get_binlog_stream(request).await,
    };
    stream.map_err(explain)
}

async fn read(
    mut log: BinlogStream,
    mut parser: TransactionParser,
    sender: &mpsc::Sender<Result<Batch>>,
    undecided: &AtomicUsize,
) -> Result<()> {
    loop {
        let event = match tokio::time::timeout(SILENCE, log.next()).await {
            Err(_) => {
                return Err(Error::new(
                    Kind::Disconnected,
                    ATTEMPTED,
                    format!("the server was silent for {} s", SILENCE.as_secs()),
                ));
            }
            Ok(None) => {
                return Err(Error::new(Kind::Disconnected, ATTEMPTED, "the server ended it"));
            }
            Ok(Some(outcome)) => outcome.map_err(explain)?,
        };
        let batch = take(&mut parser, &event)?;
        undecided.store(parser.undecided(), Ordering::SeqCst);
        if let Some(batch) = batch
            && sender.send(Ok(batch)).await.is_err()
        {
            return Ok(());
        }
    }
}

fn take(parser: &mut TransactionParser, event: &Event) -> Result<Option<Batch>> {
    let header = event.header();
    let code = header.event_type_raw();
    check(event)?;
    let gtid = if matches!(code, GTID | TAGGED_GTID) { Some(gtid(event)?) } else { None };
    parser.take(&LogEvent {
        code,
        flags: header.flags_raw(),
        server: header.server_id(),
        next_offset: header.log_pos(),
        body: event.data(),
        gtid,
    })
}

/// Checks an event's checksum, which the driver requests but does not check. Two kinds of events
/// have none: those that the server makes up, and those from a compressed transaction.
fn check(event: &Event) -> Result<()> {
    const ARTIFICIAL: u16 = 0x20;
    let header = event.header();
    let Ok(Some(algorithm)) = event.footer().get_checksum_alg() else { return Ok(()) };
    let Some(sum) = event.checksum().filter(|sum| *sum != [0; 4]) else { return Ok(()) };
    if header.log_pos() == 0
        || header.flags_raw() & ARTIFICIAL != 0
        || u32::from_le_bytes(sum) == event.calc_checksum(algorithm)
    {
        return Ok(());
    }
    Err(Error::fatal(ATTEMPTED, "an event's checksum is wrong"))
}

fn gtid(event: &Event) -> Result<(String, u64)> {
    match event.read_data() {
        Ok(Some(EventData::GtidEvent(gtid))) => {
            let digits = crate::sql::quote::hex(&gtid.sid());
            let uuid =
                [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]]
                    .join("-");
            let tag = gtid.tag().map(|tag| format!(":{}", tag.as_str())).unwrap_or_default();
            Ok((uuid + &tag, gtid.gno()))
        }
        _ => Err(Error::fatal(ATTEMPTED, "a transaction's name in the log cannot be read")),
    }
}

fn explain(error: mysql_async::Error) -> Error {
    match Failure::from_driver(error) {
        Failure::Server { code: READING_LOG_FAILED, message } => Error::fatal(
            ATTEMPTED,
            format!(
                "the server cannot give it from the saved position: {message} (error \
                 {READING_LOG_FAILED}); {START_AGAIN}"
            ),
        ),
        other => other.of_catalogue(ATTEMPTED),
    }
}
