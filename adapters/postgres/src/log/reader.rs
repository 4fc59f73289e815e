//! The task that reads the log: from the replication stream or by SQL, in batches, and confirms
//! what was taken.

use crate::log::decode::{self, Lsn, Message, Relation, Row, Value};
use crate::log::polling::{PAUSE_FIRST, PAUSE_LAST, Poller};
use crate::log::wire::{Frame, Replication};
use crate::schema::definition::Line;
use crate::server::error;
use crate::server::session::Session;
use altergeist_contract::{Error, Key, Kind, Result};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Events decoded before they are handed on.
const BATCH: usize = 1000;

/// Batches that may wait for the listener.
pub(crate) const WAITING_BATCHES: usize = 4;

/// Keys in one delivery.
pub(crate) const DELIVERY: usize = 5000;

/// How often the server hears of us, and is asked to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// A server that is silent for this long is gone.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// How soon a transaction that is not visible yet is looked at again, at first and at last.
pub(crate) const FIRST_SNAPSHOT_PAUSE: Duration = Duration::from_micros(200);

pub(crate) const LAST_SNAPSHOT_PAUSE: Duration = Duration::from_millis(5);

/// What is visible is asked no more often while nobody waits for a mark: each question is a
/// statement on the server.
pub(crate) const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(20);

/// How often a standby is asked whether it still is one, where its log brings nothing.
pub(crate) const STANDBY_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How the log is read.
pub(crate) enum LogFeed {
    /// As the server streams it.
    Wire(Replication),
    /// By looking again and again.
    Poll(Box<Poller>),
}

/// The sessions a stream asks on.
pub(crate) struct QuerySessions {
    /// Of the primary, what is visible.
    pub(crate) visibility: Session,
    /// Of the standby the log comes from, whether it still is one; None if it comes from the
    /// primary.
    pub(crate) standby: Option<Session>,
}

/// The table that is followed, as it was when the run began.
pub(crate) struct Source {
    pub(crate) oid: u32,
    /// The letter of its replica identity.
    pub(crate) identity: u8,
    pub(crate) lines: Vec<Line>,
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) display: String,
    /// The key's columns.
    pub(crate) key: Vec<String>,
    /// Tells our marks from those of an earlier process.
    pub(crate) incarnation: String,
}

/// What the log says, as far as it concerns us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A transaction begins; what follows belongs to it.
    Begin(u32),
    Changed(Key),
    Emptied,
    Mark(u64),
    /// The source's definition was sent again: it may have changed.
    Described,
    /// The transaction ends here.
    Commit(Lsn),
}

/// Reads until the stream is dropped or something goes wrong, which is then the last thing handed
/// on.
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
        // Nobody listens any more if this fails.
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

/// Looks at the slot until nobody listens any more; the less there is, the more seldom.
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

/// Decodes what has arrived. Says whether the server wants an answer.
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

/// Only a saved position is ever confirmed (law 6).
async fn confirm(wire: &mut Replication, saved: &mut watch::Receiver<Lsn>) -> Result<()> {
    let saved = *saved.borrow_and_update();
    wire.confirm(saved).await
}

/// Why a message does not become an event.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// Rows changed without their keys being told.
    Missed,
    Invalid(String),
}

impl From<String> for DecodeError {
    fn from(why: String) -> DecodeError {
        DecodeError::Invalid(why)
    }
}

/// Turns messages into events. Knows where the key stands among the published columns.
pub(crate) struct Decoder {
    pub(crate) source: Source,
    pub(crate) key_places: Option<Vec<usize>>,
}

impl Decoder {
    pub(crate) fn take(&mut self, bytes: &[u8], batch: &mut Vec<Event>) -> Result<()> {
        self.decode(bytes, batch).map_err(|why| {
            let attempted = format!("follow {}", self.source.display);
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
            // The old key of a row that changes is told by the identity alone.
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

    /// Whether the table is described with the replica identity it had when the run began.
    pub(crate) fn has_its_identity(&self, relation: &Relation<'_>) -> bool {
        let is_key = || {
            let (found, key) = (&relation.identity_columns, &self.source.key);
            found.len() == key.len() && key.iter().all(|column| found.contains(&column.as_str()))
        };
        relation.identity == self.source.identity && (relation.identity == b'f' || is_key())
    }

    /// Where the key's columns stand.
    pub(crate) fn places(
        &self,
        relation: &Relation<'_>,
    ) -> std::result::Result<Vec<usize>, String> {
        if (relation.schema, relation.name)
            != (self.source.schema.as_str(), self.source.table.as_str())
        {
            return Err(
                "another session renamed the table or moved it to another schema".to_owned()
            );
        }
        let place = |column: &String| relation.columns.iter().position(|(name, _)| name == column);
        let places = self.source.key.iter().map(place).collect::<Option<Vec<usize>>>();
        places.ok_or_else(|| "another session changed the columns of its key".to_owned())
    }

    /// The key in a row. A value stored out of line does not travel with the new row, but with the
    /// old one.
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

    /// The number of a mark of ours; others' marks, and those nobody waits for, are none.
    pub(crate) fn mark(&self, content: &[u8]) -> Option<Event> {
        let (incarnation, number) = std::str::from_utf8(content).ok()?.split_once(':')?;
        (incarnation == self.source.incarnation).then(|| number.parse().ok().map(Event::Mark))?
    }
}
