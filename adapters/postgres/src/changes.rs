//! The change stream. A task of its own reads and decodes, and keeps the connection alive while nobody listens; what it
//! decodes is delivered in order, each transaction only when every later read sees it (law 1).

use crate::definition::{self, Line};
use crate::error;
use crate::followed;
use crate::log_server;
use crate::pgoutput::{self, Lsn, Message, Relation, Row, Value};
use crate::polling::{PAUSE_FIRST, PAUSE_LAST, Poller};
use crate::replication::{Frame, Replication};
use crate::session::Session;
use crate::sql;
use crate::visibility::Snapshot;
use altergeist_contract::{ChangeStream, Changes, Error, Key, Kind, Marker, Position, Result};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Events decoded before they are handed on.
const BATCH: usize = 1000;

/// Batches that may wait for the listener.
const WAITING_BATCHES: usize = 4;

/// Keys in one delivery.
const DELIVERY: usize = 5000;

/// How often the server hears of us, and is asked to answer.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A server that is silent for this long is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// How soon a transaction that is not visible yet is looked at again, at first and at last.
const FIRST_LOOK: Duration = Duration::from_micros(200);
const LAST_LOOK: Duration = Duration::from_millis(5);

/// What is visible is asked no more often while nobody waits for a mark: each question is a statement on the server.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How often a standby is asked whether it still is one, where its log brings nothing.
const STANDBY_LOOK: Duration = Duration::from_secs(2);

/// How the log is read.
pub(crate) enum Feed {
    /// As the server streams it.
    Wire(Replication),
    /// By looking again and again.
    Poll(Box<Poller>),
}

/// The sessions a stream asks on.
pub(crate) struct Asking {
    /// Of the primary, what is visible.
    pub(crate) gate: Session,
    /// Of the standby the log comes from, whether it still is one; None if it comes from the primary.
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
enum Event {
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

/// The log of one table.
pub struct LogStream {
    events: mpsc::Receiver<Result<Vec<Event>>>,
    saved: watch::Sender<Lsn>,
    reader: JoinHandle<()>,
    asking: Asking,
    display: String,
    source: u32,
    lines: Vec<Line>,
    pending: VecDeque<Event>,
    transaction: Option<u32>,
    snapshot: Snapshot,
    position: Position,
    marker: Marker,
    /// When it was last asked what is visible.
    looked: Instant,
    /// When the log, or else the standby itself, last showed that it is followed still.
    assured: Instant,
    pause: Duration,
    /// Whether the source's definition was sent again and could not be looked at.
    is_unchecked: bool,
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl ChangeStream for LogStream {
    async fn next(&mut self) -> Result<Changes> {
        loop {
            while let Ok(batch) = self.events.try_recv() {
                self.pending.extend(batch?);
                if self.pending.len() > DELIVERY {
                    break;
                }
            }
            if let Some(changes) = self.deliver() {
                return Ok(changes);
            }
            match self.pending.front() {
                None => self.wait().await?,
                Some(Event::Described) => self.check_definition().await?,
                Some(_) => self.look().await?,
            }
        }
    }

    async fn forget(&mut self, before: &Position) -> Result<()> {
        let attempted = || format!("let the log before {before} be forgotten");
        let saved = Lsn::parse(&before.0).ok_or_else(|| Error::fatal(attempted(), "the position cannot be read"))?;
        self.saved.send_if_modified(|known| {
            let is_later = saved > *known;
            *known = saved.max(*known);
            is_later
        });
        Ok(())
    }
}

impl LogStream {
    /// Begins to read what the connection streams.
    pub(crate) fn begin(feed: Feed, asking: Asking, source: Source, from: Position) -> LogStream {
        let (sender, events) = mpsc::channel(WAITING_BATCHES);
        let (saved, heard) = watch::channel(Lsn::default());
        let (display, oid, lines) = (source.display.clone(), source.oid, source.lines.clone());
        let decoder = Decoder { source, key_places: None };
        let reader = tokio::spawn(read(feed, decoder, sender, heard));
        LogStream {
            events,
            saved,
            reader,
            asking,
            display,
            source: oid,
            lines,
            pending: VecDeque::new(),
            transaction: None,
            snapshot: Snapshot::default(),
            position: from,
            marker: Marker::NONE,
            looked: Instant::now(),
            assured: Instant::now(),
            pause: FIRST_LOOK,
            is_unchecked: false,
        }
    }

    /// Takes what may be delivered now from what is pending; None if that is nothing. Never waits, so nothing is lost
    /// when the caller stops listening.
    fn deliver(&mut self) -> Option<Changes> {
        let mut changes =
            Changes { emptied: false, keys: Vec::new(), position: self.position.clone(), marker: self.marker };
        let mut moved = false;
        while changes.keys.len() < DELIVERY && self.is_ready() {
            match self.pending.pop_front()? {
                Event::Begin(xid) => self.transaction = Some(xid),
                Event::Changed(key) => changes.keys.push(key),
                Event::Emptied => {
                    // What changed before was emptied with the rest.
                    changes.keys.clear();
                    changes.emptied = true;
                }
                Event::Mark(number) => self.marker = self.marker.max(Marker(number)),
                Event::Described => {}
                Event::Commit(end) => {
                    self.transaction = None;
                    self.position = Position(end.to_string());
                    moved = true;
                }
            }
        }
        if !moved && changes.keys.is_empty() && !changes.emptied {
            return None;
        }
        changes.position = self.position.clone();
        // A mark counts when its transaction has been passed: nothing of that is left when the position moves.
        changes.marker = self.marker;
        Some(changes)
    }

    /// Whether the first pending event may be delivered.
    fn is_ready(&self) -> bool {
        match self.pending.front() {
            None | Some(Event::Described) => false,
            Some(Event::Begin(_) | Event::Mark(_) | Event::Commit(_)) => true,
            Some(Event::Changed(_) | Event::Emptied) => self.transaction.is_some_and(|xid| self.snapshot.sees(xid)),
        }
    }

    async fn wait(&mut self) -> Result<()> {
        let batch = loop {
            // Whoever waits may give up and come back sooner than it is time to look.
            let look = self.assured + STANDBY_LOOK;
            match tokio::time::timeout_at(look.into(), self.events.recv()).await {
                Ok(batch) => break batch.ok_or_else(|| self.lost())??,
                Err(_) => self.check_standby().await?,
            }
            self.assured = Instant::now();
        };
        self.assured = Instant::now();
        if self.is_unchecked {
            self.pending.push_back(Event::Described);
        }
        self.pending.extend(batch);
        Ok(())
    }

    /// A standby that was promoted writes a log of its own, in which nothing of the primary's appears any more.
    async fn check_standby(&self) -> Result<()> {
        match &self.asking.standby {
            Some(standby) if !log_server::is_still_standby(standby).await? => {
                let reason = "the standby its log is read from was promoted; `altergeist cleanup`, then begin anew";
                Err(Error::fatal(format!("follow {}", self.display), reason))
            }
            _ => Ok(()),
        }
    }

    /// Lets changes gather, so that one question serves them all; not while a mark is among them, which somebody waits for.
    async fn gather(&mut self) -> Result<()> {
        let until = self.looked + LOOK_PERIOD;
        while self.pending.len() <= DELIVERY && !self.pending.iter().any(|event| matches!(event, Event::Mark(_))) {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => break,
                batch = self.events.recv() => self.pending.extend(batch.ok_or_else(|| self.lost())??),
            }
        }
        Ok(())
    }

    fn lost(&self) -> Error {
        Error::new(Kind::Disconnected, format!("follow {}", self.display), "its reader has ended")
    }

    /// Asks the primary what is visible; if the transaction at the front still is not, waits a moment.
    async fn look(&mut self) -> Result<()> {
        self.gather().await?;
        self.looked = Instant::now();
        let attempted = || format!("ask which changes of {} are visible", self.display);
        let row = self.asking.gate.one(sql::SNAPSHOT, &[]).await.map_err(|error| error::of(attempted(), &error))?;
        let snapshot = Snapshot::parse(row.get(0));
        self.snapshot = snapshot.ok_or_else(|| Error::fatal(attempted(), "the server's snapshot cannot be read"))?;
        if self.is_ready() {
            self.pause = FIRST_LOOK;
            return Ok(());
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST_LOOK);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// The server describes a table again when anything about it may have changed. If something has, it was not us.
    /// Locked, it cannot be looked at, and the cut-over must not be kept waiting for that: it compares the definitions
    /// itself before it swaps. If the lock was somebody else's, the next event makes us look.
    async fn check_definition(&mut self) -> Result<()> {
        self.is_unchecked = false;
        let now = match definition::describe(&self.asking.gate, self.source).await {
            Err(error) if error.kind == Kind::Transient => {
                self.is_unchecked = true;
                self.pending.pop_front();
                return Ok(());
            }
            now => now?,
        };
        let lost = followed::out_of_reach(&self.lines, &now);
        if !lost.is_empty() {
            return Err(followed::ended(&self.display, &lost));
        }
        self.pending.pop_front();
        Ok(())
    }
}

/// Reads until the stream is dropped or something goes wrong, which is then the last thing handed on.
async fn read(
    feed: Feed,
    mut decoder: Decoder,
    events: mpsc::Sender<Result<Vec<Event>>>,
    mut saved: watch::Receiver<Lsn>,
) {
    let ended = match feed {
        Feed::Wire(mut wire) => read_on(&mut wire, &mut decoder, &events, &mut saved).await,
        Feed::Poll(mut poller) => poll_on(&mut poller, &mut decoder, &events, &mut saved).await,
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
    let mut signs = tokio::time::interval(SIGN_OF_LIFE);
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
            if heard.elapsed() > SILENCE {
                return Err(error::silent("read the log", SILENCE));
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
        let mut look = poller.look().await?;
        let mut batch = Vec::new();
        while let Some(polled) = look.next().await? {
            let told = batch.len();
            decoder.take(&polled.bytes, &mut batch)?;
            if !polled.is_news {
                batch.truncate(told);
            }
            if batch.len() >= BATCH && events.send(Ok(std::mem::take(&mut batch))).await.is_err() {
                return Ok(());
            }
        }
        poller.check_place().await?;
        let has_news = poller.looked(&look);
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

/// Why a message cannot be made an event.
#[derive(Debug)]
enum Why {
    /// Rows changed without their keys being told.
    Missed,
    Wrong(String),
}

impl From<String> for Why {
    fn from(why: String) -> Why {
        Why::Wrong(why)
    }
}

/// Turns messages into events. Knows where the key stands among the published columns.
struct Decoder {
    source: Source,
    key_places: Option<Vec<usize>>,
}

impl Decoder {
    fn take(&mut self, bytes: &[u8], batch: &mut Vec<Event>) -> Result<()> {
        self.decode(bytes, batch).map_err(|why| {
            let attempted = format!("follow {}", self.source.display);
            match why {
                Why::Missed => {
                    Error::new(Kind::Missed, attempted, "rows changed while it had another replica identity")
                }
                Why::Wrong(why) => Error::fatal(attempted, why),
            }
        })
    }

    fn decode(&mut self, bytes: &[u8], batch: &mut Vec<Event>) -> std::result::Result<(), Why> {
        match pgoutput::decode(bytes)? {
            // The old key of a row that changes is told by the identity alone.
            Message::Relation(relation) if relation.oid == self.source.oid && !self.has_its_identity(&relation) => {
                return Err(Why::Missed);
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
            Message::Truncate { relations } if relations.contains(&self.source.oid) => batch.push(Event::Emptied),
            Message::Remark { prefix: "altergeist", content } => batch.extend(self.mark(content)),
            _ => {}
        }
        Ok(())
    }

    /// Whether the table is described with the replica identity it had when the run began.
    fn has_its_identity(&self, relation: &Relation<'_>) -> bool {
        let is_key = || {
            let (found, key) = (&relation.identity_columns, &self.source.key);
            found.len() == key.len() && key.iter().all(|column| found.contains(&column.as_str()))
        };
        relation.identity == self.source.identity && (relation.identity == b'f' || is_key())
    }

    /// Where the key's columns stand.
    fn places(&self, relation: &Relation<'_>) -> std::result::Result<Vec<usize>, String> {
        if (relation.schema, relation.name) != (self.source.schema.as_str(), self.source.table.as_str()) {
            return Err("somebody gave the table another name or schema".to_owned());
        }
        let place = |column: &String| relation.columns.iter().position(|(name, _)| name == column);
        let places = self.source.key.iter().map(place).collect::<Option<Vec<usize>>>();
        places.ok_or_else(|| "somebody changed the columns of its key".to_owned())
    }

    /// The key in a row. A value stored out of line does not travel with the new row, but with the old one.
    fn key(&self, row: &Row<'_>, old: Option<&Row<'_>>) -> std::result::Result<Key, String> {
        let places = self.key_places.as_ref().ok_or("the log holds a row of a table it has not described")?;
        let value = |place: &usize| match (row.0.get(*place), old.and_then(|old| old.0.get(*place))) {
            (Some(Value::Binary(bytes)), _) | (Some(Value::Unchanged), Some(Value::Binary(bytes))) => Ok(*bytes),
            _ => Err("the log holds a row without its key"),
        };
        let values = places.iter().map(value).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Key::compose(values))
    }

    /// The number of a mark of ours; others' marks, and those nobody waits for, are none.
    fn mark(&self, content: &[u8]) -> Option<Event> {
        let (incarnation, number) = std::str::from_utf8(content).ok()?.split_once(':')?;
        (incarnation == self.source.incarnation).then(|| number.parse().ok().map(Event::Mark))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder() -> Decoder {
        let source = Source {
            oid: 9,
            identity: b'd',
            lines: Vec::new(),
            schema: "s".into(),
            table: "t".into(),
            display: "s.t".into(),
            key: vec!["b".into(), "a".into()],
            incarnation: "me".into(),
        };
        Decoder { source, key_places: None }
    }

    fn relation(name: &str, columns: &[&str]) -> Vec<u8> {
        let mut bytes =
            [b"R\0\0\0\x09s\0", name.as_bytes(), b"\0d\0", &[u8::try_from(columns.len()).unwrap()]].concat();
        for column in columns {
            bytes.extend([b"\x01", column.as_bytes(), b"\0\0\0\0\x17\xff\xff\xff\xff"].concat());
        }
        bytes
    }

    fn value(byte: u8) -> [u8; 6] {
        [b'b', 0, 0, 0, 1, byte]
    }

    #[test]
    fn a_key_is_put_together_in_its_own_order() {
        let mut decoder = decoder();
        let mut events = Vec::new();
        decoder.take(&relation("t", &["a", "b"]), &mut events).unwrap();
        decoder.take(&[&b"I\0\0\0\x09N\0\x02"[..], &value(1), &value(2)].concat(), &mut events).unwrap();
        assert_eq!(events, [Event::Described, Event::Changed(Key::compose([&[2][..], &[1]]))]);
    }

    #[test]
    fn a_changed_key_is_two_keys_and_one_out_of_line_comes_from_the_old_row() {
        let mut decoder = decoder();
        let mut events = Vec::new();
        decoder.take(&relation("t", &["a", "b"]), &mut events).unwrap();
        let update = [&b"U\0\0\0\x09K\0\x02"[..], &value(1), &value(2), b"N\0\x02", &value(3), b"u"].concat();
        decoder.take(&update, &mut events).unwrap();
        assert_eq!(
            events[1..],
            [Event::Changed(Key::compose([&[2][..], &[1]])), Event::Changed(Key::compose([&[2][..], &[3]]))]
        );
    }

    #[test]
    fn a_row_without_its_key_ends_the_run() {
        let mut decoder = decoder();
        let mut events = Vec::new();
        assert!(decoder.take(&[&b"I\0\0\0\x09N\0\x02"[..], &value(1), &value(2)].concat(), &mut events).is_err());
        decoder.take(&relation("t", &["a", "b"]), &mut events).unwrap();
        assert!(decoder.take(&[&b"I\0\0\0\x09N\0\x02"[..], &value(1), b"n"].concat(), &mut events).is_err());
        assert!(decoder.take(&relation("other", &["a", "b"]), &mut events).is_err());
        assert!(decoder.take(&relation("t", &["a"]), &mut events).is_err());
    }

    #[test]
    fn a_row_that_changed_under_another_identity_may_have_been_missed() {
        let mut told = relation("t", &["a", "b"]);
        let letter = told.windows(3).position(|bytes| bytes == b"\0d\0").unwrap() + 1;
        told[letter] = b'i';
        let missed = decoder().take(&told, &mut Vec::new()).unwrap_err();
        assert_eq!(missed.kind, Kind::Missed);
        let wider = decoder().take(&relation("t", &["a", "b", "c"]), &mut Vec::new()).unwrap_err();
        assert_eq!(wider.kind, Kind::Missed);
    }

    #[test]
    fn only_marks_of_this_process_count() {
        let decoder = decoder();
        assert_eq!(decoder.mark(b"me:7"), Some(Event::Mark(7)));
        assert_eq!(decoder.mark(b"other:7"), None);
        assert_eq!(decoder.mark(b"me:beat"), None);
    }
}
