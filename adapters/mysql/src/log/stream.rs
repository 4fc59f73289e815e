//! The change stream: a task reads the log and makes batches; here they wait until they are visible
//! (law 1).

use crate::log::cascades::Cascades;
use crate::log::elsewhere::Elsewhere;
use crate::log::position::{Bookmark, Place, spell_domains};
use crate::log::tally::Tally;
use crate::log::transactions::{Batch, Follower, GTID, LogEvent, TAGGED_GTID};
use crate::log::witness::Witness;
use crate::server::error::{Failure, READING_LOG_FAILED, START_AGAIN};
use crate::server::heartbeat::Beats;
use crate::server::session::Session;
use crate::shadow::followed::Followed;
use altergeist_contract::{ChangeStream, Changes, Error, Kind, Position, Result};
use futures_util::StreamExt;
use mysql_async::binlog::events::{Event, EventData};
use mysql_async::{BinlogStream, BinlogStreamRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The server speaks at least this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A server that has not spoken for so long is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// Batches read ahead.
const READ_AHEAD: usize = 16;

/// The log of one server, as keys of one table's rows.
pub struct MySqlStream {
    batches: mpsc::Receiver<Result<Batch>>,
    /// The batch that is not yet visible.
    waiting: Option<Batch>,
    beside: Beside,
    reader: JoinHandle<()>,
}

/// Whom the stream asks before it hands on what the log tells.
pub(crate) struct Beside {
    pub beats: Arc<Beats>,
    pub cascades: Cascades,
    pub elsewhere: Elsewhere,
    pub followed: Followed,
    pub witness: Arc<Witness>,
    pub tally: Arc<Tally>,
    /// The shadow's name, for people.
    pub shadow: String,
}

impl ChangeStream for MySqlStream {
    async fn next(&mut self) -> Result<Changes> {
        if self.waiting.is_none() {
            let gone = || Error::new(Kind::Disconnected, "read the log", "its reader has ended");
            self.waiting = Some(self.batches.recv().await.ok_or_else(gone)??);
        }
        let batch = self.waiting.as_mut().expect("just filled");
        // A transaction whose end has not come by is in the log as a whole, so any beat sent now
        // lies behind it.
        let proof = *batch.proof.get_or_insert_with(|| self.beside.beats.mark());
        self.beside.beats.proven(proof).await?;
        if !batch.ended.is_empty() {
            self.beside.beats.visible(&batch.ended).await?;
        }
        self.beside.elsewhere.must_not_reach(&batch.written).await?;
        if batch.altered {
            self.beside.followed.must_be_within_reach().await?;
        }
        // A table that the server makes anew counts as changed then.
        let has_changes = !batch.keys.is_empty() || batch.altered;
        self.beside.cascades.resolve(&mut batch.keys).await?;
        let batch = self.waiting.take().expect("just checked");
        self.beside.witness.hear(has_changes, batch.source_rows, batch.marker);
        self.beside.tally.hear(batch.shadow_rows, batch.marker, &self.beside.shadow)?;
        Ok(Changes {
            emptied: false,
            keys: batch.keys,
            position: batch.position,
            marker: batch.marker,
        })
    }

    async fn forget(&mut self, _before: &Position) -> Result<()> {
        // The server keeps its log by age and size, not for its readers.
        Ok(())
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
    follower: Follower,
    bookmark: &Bookmark,
    undecided: Arc<AtomicUsize>,
    beside: Beside,
) -> Result<MySqlStream> {
    let log = open(session, reader_id, bookmark).await?;
    let (sender, batches) = mpsc::channel(READ_AHEAD);
    let reader = tokio::spawn(async move {
        if let Err(error) = read(log, follower, &sender, &undecided).await {
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(MySqlStream { batches, waiting: None, beside, reader })
}

const ATTEMPTED: &str = "read the log";

async fn open(mut session: Session, reader_id: u32, bookmark: &Bookmark) -> Result<BinlogStream> {
    let period = HEARTBEAT.as_nanos();
    let mut statements = vec![
        format!("SET @source_heartbeat_period = {period}, @master_heartbeat_period = {period}"),
        // The server gives up on readers that do not keep up; ours stops reading while keys pile
        // up.
        "SET SESSION net_write_timeout = 86400".to_owned(),
        // MariaDB sends its own events only to those who say that they know them.
        "SET @mariadb_slave_capability = 4".to_owned(),
    ];
    if let Place::MariaDb(domains) = &bookmark.place {
        statements.push(format!(
            "SET @slave_connect_state = '{}', @slave_gtid_strict_mode = 1",
            spell_domains(domains)
        ));
    }
    for statement in &statements {
        session.execute(statement).await.map_err(|failure| failure.of_catalogue(ATTEMPTED))?;
    }
    let request = BinlogStreamRequest::new(reader_id);
    let conn = session.into_conn().map_err(|failure| failure.of_catalogue(ATTEMPTED))?;
    let stream = match bookmark.place.readable().0 {
        Place::File { name, offset } => {
            conn.get_binlog_stream(request.with_filename(name.as_bytes()).with_pos(offset)).await
        }
        Place::MySql(set) => {
            let sids: std::result::Result<Vec<_>, _> =
                set.blocks().iter().map(|block| block.parse()).collect();
            let sids = sids.map_err(|_| {
                Error::fatal(ATTEMPTED, "the saved set of transactions cannot be read")
            })?;
            conn.get_binlog_stream(request.with_gtid().with_gtid_set(sids)).await
        }
        Place::MariaDb(_) => conn.get_binlog_stream(request).await,
    };
    stream.map_err(explain)
}

async fn read(
    mut log: BinlogStream,
    mut follower: Follower,
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
        let batch = take(&mut follower, &event)?;
        undecided.store(follower.undecided(), Ordering::SeqCst);
        if let Some(batch) = batch
            && sender.send(Ok(batch)).await.is_err()
        {
            return Ok(());
        }
    }
}

fn take(follower: &mut Follower, event: &Event) -> Result<Option<Batch>> {
    let header = event.header();
    let code = header.event_type_raw();
    check(event)?;
    let gtid = if matches!(code, GTID | TAGGED_GTID) { Some(gtid(event)?) } else { None };
    follower.take(&LogEvent {
        code,
        flags: header.flags_raw(),
        server: header.server_id(),
        next_offset: header.log_pos(),
        body: event.data(),
        gtid,
    })
}

/// The driver asks for checksums and does not look at them. Events without a place of their own
/// have none: those the server makes up, and those out of a compressed transaction.
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
