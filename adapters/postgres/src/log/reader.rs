//! The task that reads the log in batches, from the replication stream or by SQL, and confirms
//! saved positions.

use crate::log::decode::{self, Lsn, Message, Relation, Row, Value};
use crate::log::polling::{PAUSE_FIRST, PAUSE_LAST, Poller};
use crate::log::wire::{Frame, Replication};
use crate::schema::definition::Line;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use altergeist_contract::{Error, Key, Kind, Result};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Events in one batch.
const BATCH: usize = 1000;

/// Batches that may wait for the stream.
pub(crate) const WAITING_BATCHES: usize = 4;

/// Keys in one delivery.
pub(crate) const DELIVERY: usize = 5000;

/// How often we send a keepalive, and ask the server for one.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// A server that is silent for longer counts as lost.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause before the next snapshot while a transaction is invisible: the first, and the longest.
pub(crate) const FIRST_SNAPSHOT_PAUSE: Duration = Duration::from_micros(200);

pub(crate) const LAST_SNAPSHOT_PAUSE: Duration = Duration::from_millis(5);

/// The shortest time between two snapshots while nobody waits for a mark. Each costs the server a
/// statement.
pub(crate) const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(20);

/// How often a silent standby is asked whether it is still one.
pub(crate) const STANDBY_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How the log is read.
pub(crate) enum LogFeed {
    /// The replication stream.
    Wire(Replication),
    /// Repeated peeks by SQL.
    Poll(Box<Poller>),
}

/// The sessions for a stream's queries.
pub(crate) struct QuerySessions {
    /// On the primary: what is visible?
    pub(crate) visibility: Session,
    /// On the standby with the log: is it still one? None if the log is the primary's.
    pub(crate) standby: Option<Session>,
}

/// The followed table, as it was when the run began.
pub(crate) struct Source {
    pub(crate) oid: u32,
    /// The letter of its replica identity.
    pub(crate) identity: u8,
    pub(crate) lines: Vec<Line>,
    pub(crate) names: Names,
    /// The key's columns.
    pub(crate) key: Vec<String>,
    /// Distinguishes our marks from those of an earlier process.
    pub(crate) incarnation: String,
}

/// An event of the log that concerns the table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A transaction begins. The next events belong to it.
    Begin(u32),
    Changed(Key),
    Emptied,
    Mark(u64),
    /// The server sent the source's definition again. It may have changed.
    Described,
    /// The transaction ends here.
    Commit(Lsn),
}

/// Reads until the stream is dropped or an error occurs. It delivers the error last.
pub(crate) async fn read(
    feed: LogFeed,
    mut decoder: Decoder,
    events: mpsc::Sender<Result<Vec<Event>>>,
    mut saved: watch::Receiver<Lsn>,
) {
    let ended = match feed {
        LogFeed::Wire(mut wire) => read_on(&mut wire, &mut decoder, &events, &mut saved).await,
        LogFeed::Poll(mut poller) => poll_on(&mut poller, &mut decoder, &events, &mut saved).await,
    };
    if let Err(error) = ended {
        // This fails if the stream is gone.
        let _ = events.send(Err(error)).await;
    }
}

async fn read_on(
    wire: &mut Replication,
    decoder: &mut Decoder,
    events: &mpsc::Sender<Result<Vec<Event>>>,
    saved: &mut watch::Receiver<Lsn>,
) -> Result<()> {
    let mut signs = tokio::time::interval(KEEPALIVE_INTERVAL);
    signs.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let (batch, wants_answer) = take_batch(wire, decoder)?;
        if wants_answer {
            confirm(wire, saved).await?;
        }
        if batch.is_empty() {
            tokio::select! {
                more = wire.more() => { more?; heard = Instant::now(); }
                _ = signs.tick() => confirm(wire, saved).await?,
                changed = saved.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    confirm(wire, saved).await?;
                }
            }
            if heard.elapsed() > SILENCE_TIMEOUT {
                return Err(error::silent("read the log", SILENCE_TIMEOUT));
            }
            continue;
        }
        let permit = loop {
            tokio::select! {
                permit = events.reserve() => break permit,
                _ = signs.tick() => confirm(wire, saved).await?,
            }
        };
        let Ok(permit) = permit else { return Ok(()) };
        permit.send(Ok(batch));
        heard = Instant::now();
    }
}

/// Peeks at the slot until the stream is dropped, less often if there is little.
async fn poll_on(
    poller: &mut Poller,
    decoder: &mut Decoder,
    events: &mpsc::Sender<Result<Vec<Event>>>,
    saved: &mut watch::Receiver<Lsn>,
) -> Result<()> {
    let mut pause = PAUSE_FIRST;
    loop {
        let position = *saved.borrow_and_update();
        poller.move_to(position).await?;
        let begun = Instant::now();
        let mut peek = poller.peek().await?;
        let mut batch = Vec::new();
        while let Some(polled) = peek.next().await? {
            let told = batch.len();
            decoder.take(&polled.bytes, &mut batch)?;
            if !polled.is_news {
                batch.truncate(told);
            }
            if batch.len() >= BATCH && events.send(Ok(std::mem::take(&mut batch))).await.is_err() {
                return Ok(());
            }
        }
        poller.check_position().await?;
        let has_news = poller.finish_peek(&peek);
        if !batch.is_empty() && events.send(Ok(batch)).await.is_err() {
            return Ok(());
        }
        pause = if has_news { PAUSE_FIRST } else { (pause * 2).min(PAUSE_LAST) };
        tokio::select! {
            () = tokio::time::sleep(pause.max(begun.elapsed() / 2)) => {}
            changed = saved.changed() => if changed.is_err() { return Ok(()) },
        }
    }
}

/// Decodes what has arrived. Returns whether the server wants an answer.
fn take_batch(wire: &mut Replication, decoder: &mut Decoder) -> Result<(Vec<Event>, bool)> {
    let mut batch = Vec::new();
    let mut wants_answer = false;
    while batch.len() < BATCH {
        match wire.frame_at_hand()? {
            None => break,
            Some(Frame::Alive(wants)) => wants_answer |= wants,
            Some(Frame::Data(bytes)) => decoder.take(&bytes, &mut batch)?,
        }
    }
    Ok((batch, wants_answer))
}

/// Confirms only a saved position (law 6).
async fn confirm(wire: &mut Replication, saved: &mut watch::Receiver<Lsn>) -> Result<()> {
    let saved = *saved.borrow_and_update();
    wire.confirm(saved).await
}

/// Why a message does not become an event.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// Rows changed, and the log did not carry their keys.
    Missed,
    Invalid(String),
}

impl From<String> for DecodeError {
    fn from(why: String) -> DecodeError {
        DecodeError::Invalid(why)
    }
}

/// Turns messages into events. Knows the positions of the key's columns.
pub(crate) struct Decoder {
    pub(crate) source: Source,
    pub(crate) key_places: Option<Vec<usize>>,
}

impl Decoder {
    pub(crate) fn take(&mut self, bytes: &[u8], batch: &mut Vec<Event>) -> Result<()> {
        self.decode(bytes, batch).map_err(|why| {
            let attempted = format!("follow {}", self.source.names.display);
            match why {
                DecodeError::Missed => Error::new(
                    Kind::Missed,
                    attempted,
                    "rows changed while it had another replica identity",
                ),
                DecodeError::Invalid(why) => Error::fatal(attempted, why),
            }
        })
    }

    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        batch: &mut Vec<Event>,
    ) -> std::result::Result<(), DecodeError> {
        match decode::decode(bytes)? {
            // The log carries a changed row's old key only by the identity.
            Message::Relation(relation)
                if relation.oid == self.source.oid && !self.has_its_identity(&relation) =>
            {
                return Err(DecodeError::Missed);
            }
            Message::Begin { xid } => batch.push(Event::Begin(xid)),
            Message::Commit { end } => batch.push(Event::Commit(end)),
            Message::Relation(relation) if relation.oid == self.source.oid => {
                self.key_places = Some(self.places(&relation)?);
                batch.push(Event::Described);
            }
            Message::Insert { relation, new } if relation == self.source.oid => {
                batch.push(Event::Changed(self.key(&new, None)?));
            }
            Message::Update { relation, old, new } if relation == self.source.oid => {
                let after = self.key(&new, old.as_ref())?;
                let before = old.map(|old| self.key(&old, None)).transpose()?;
                batch.extend(before.filter(|before| *before != after).map(Event::Changed));
                batch.push(Event::Changed(after));
            }
            Message::Delete { relation, old } if relation == self.source.oid => {
                batch.push(Event::Changed(self.key(&old, None)?));
            }
            Message::Truncate { relations } if relations.contains(&self.source.oid) => {
                batch.push(Event::Emptied)
            }
            Message::Logical { prefix: "altergeist", content } => batch.extend(self.mark(content)),
            _ => {}
        }
        Ok(())
    }

    /// Whether the described table has the replica identity from the start of the run.
    pub(crate) fn has_its_identity(&self, relation: &Relation<'_>) -> bool {
        let is_key = || {
            let (found, key) = (&relation.identity_columns, &self.source.key);
            found.len() == key.len() && key.iter().all(|column| found.contains(&column.as_str()))
        };
        relation.identity == self.source.identity && (relation.identity == b'f' || is_key())
    }

    /// Returns the positions of the key's columns.
    pub(crate) fn places(
        &self,
        relation: &Relation<'_>,
    ) -> std::result::Result<Vec<usize>, String> {
        if (relation.schema, relation.name)
            != (self.source.names.schema.as_str(), self.source.names.table.as_str())
        {
            return Err(
                "another session renamed the table or moved it to another schema".to_owned()
            );
        }
        let place = |column: &String| relation.columns.iter().position(|(name, _)| name == column);
        let places = self.source.key.iter().map(place).collect::<Option<Vec<usize>>>();
        places.ok_or_else(|| "another session changed the columns of its key".to_owned())
    }

    /// Returns the key in a row. An unchanged value out of line comes with the old row, not with
    /// the new one.
    pub(crate) fn key(
        &self,
        row: &Row<'_>,
        old: Option<&Row<'_>>,
    ) -> std::result::Result<Key, String> {
        let places = self
            .key_places
            .as_ref()
            .ok_or("the log holds a row of a table it has not described")?;
        let value = |place: &usize| match (row.0.get(*place), old.and_then(|old| old.0.get(*place)))
        {
            (Some(Value::Binary(bytes)), _)
            | (Some(Value::Unchanged), Some(Value::Binary(bytes))) => Ok(*bytes),
            _ => Err("the log holds a row without its key"),
        };
        let values = places.iter().map(value).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Key::compose(values))
    }

    /// Returns the number of a mark of ours. None for other marks, and for those nobody waits for.
    pub(crate) fn mark(&self, content: &[u8]) -> Option<Event> {
        let (incarnation, number) = std::str::from_utf8(content).ok()?.split_once(':')?;
        (incarnation == self.source.incarnation).then(|| number.parse().ok().map(Event::Mark))?
    }
}
