//! The change stream. A task of its own reads and decodes the log, and keeps the connection alive
//! meanwhile. The stream delivers events in order: a transaction only when every later read sees it
//! (law 1).

use crate::log::decode::Lsn;
use crate::log::reader::{
    self, DELIVERY, Decoder, Event, FIRST_SNAPSHOT_PAUSE, LAST_SNAPSHOT_PAUSE, LogFeed,
    QuerySessions, SNAPSHOT_INTERVAL, STANDBY_CHECK_INTERVAL, Source, WAITING_BATCHES,
};
use crate::log::source;
use crate::log::visibility::Snapshot;
use crate::schema::definition::{self, Line};
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::shadow::concurrent_ddl;
use crate::sql;
use altergeist_contract::{ChangeStream, Changes, Error, Kind, Marker, Position, Result};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// The log of one table.
pub struct LogStream {
    pub(crate) events: mpsc::Receiver<Result<Vec<Event>>>,
    pub(crate) saved: watch::Sender<Lsn>,
    pub(crate) reader: JoinHandle<()>,
    pub(crate) queries: QuerySessions,
    pub(crate) names: Names,
    pub(crate) source: u32,
    pub(crate) lines: Vec<Line>,
    pub(crate) pending: VecDeque<Event>,
    pub(crate) transaction: Option<u32>,
    pub(crate) snapshot: Snapshot,
    pub(crate) position: Position,
    pub(crate) marker: Marker,
    /// When the last snapshot was taken.
    pub(crate) snapshot_taken: Instant,
    /// When the log, or the standby itself, last showed that the standby still follows.
    pub(crate) confirmed_alive: Instant,
    pub(crate) pause: Duration,
    /// Whether the server sent the source's definition again, and it could not be read.
    pub(crate) is_unchecked: bool,
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
                Some(_) => self.update_snapshot().await?,
            }
        }
    }

    async fn forget(&mut self, before: &Position) -> Result<()> {
        let attempted = || format!("let the log before {before} be forgotten");
        let saved = Lsn::parse(&before.0)
            .ok_or_else(|| Error::fatal(attempted(), "the position cannot be read"))?;
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
    pub(crate) fn begin(
        feed: LogFeed,
        queries: QuerySessions,
        source: Source,
        from: Position,
    ) -> LogStream {
        let (sender, events) = mpsc::channel(WAITING_BATCHES);
        let (saved, heard) = watch::channel(Lsn::default());
        let (names, oid, lines) = (source.names.clone(), source.oid, source.lines.clone());
        let decoder = Decoder { source, key_places: None };
        let reader = tokio::spawn(reader::read(feed, decoder, sender, heard));
        LogStream {
            events,
            saved,
            reader,
            queries,
            names,
            source: oid,
            lines,
            pending: VecDeque::new(),
            transaction: None,
            snapshot: Snapshot::default(),
            position: from,
            marker: Marker::NONE,
            snapshot_taken: Instant::now(),
            confirmed_alive: Instant::now(),
            pause: FIRST_SNAPSHOT_PAUSE,
            is_unchecked: false,
        }
    }

    /// Returns the pending events that may be delivered now. None if there are none. It never
    /// waits, so nothing is lost if the caller stops.
    pub(crate) fn deliver(&mut self) -> Option<Changes> {
        let mut changes = Changes {
            emptied: false,
            keys: Vec::new(),
            position: self.position.clone(),
            marker: self.marker,
        };
        let mut moved = false;
        while changes.keys.len() < DELIVERY && self.is_ready() {
            match self.pending.pop_front()? {
                Event::Begin(xid) => self.transaction = Some(xid),
                Event::Changed(key) => changes.keys.push(key),
                Event::Emptied => {
                    // The truncate removed the rows that changed before.
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
        // A mark counts after its transaction: nothing of that is left when the position moves.
        changes.marker = self.marker;
        Some(changes)
    }

    /// Whether the first pending event may be delivered.
    pub(crate) fn is_ready(&self) -> bool {
        match self.pending.front() {
            None | Some(Event::Described) => false,
            Some(Event::Begin(_) | Event::Mark(_) | Event::Commit(_)) => true,
            Some(Event::Changed(_) | Event::Emptied) => {
                self.transaction.is_some_and(|xid| self.snapshot.sees(xid))
            }
        }
    }

    pub(crate) async fn wait(&mut self) -> Result<()> {
        let batch = loop {
            // The caller may give up and come back before the next check is due.
            let look = self.confirmed_alive + STANDBY_CHECK_INTERVAL;
            match tokio::time::timeout_at(look.into(), self.events.recv()).await {
                Ok(batch) => break batch.ok_or_else(|| self.lost())??,
                Err(_) => self.check_standby().await?,
            }
            self.confirmed_alive = Instant::now();
        };
        self.confirmed_alive = Instant::now();
        if self.is_unchecked {
            self.pending.push_back(Event::Described);
        }
        self.pending.extend(batch);
        Ok(())
    }

    /// Fails if the standby was promoted. It then writes a log of its own, without the primary's
    /// changes.
    pub(crate) async fn check_standby(&self) -> Result<()> {
        match &self.queries.standby {
            Some(standby) if !source::is_still_standby(standby).await? => {
                let reason = "the standby its log is read from was promoted; run `altergeist \
                              cleanup` and start again";
                Err(Error::fatal(format!("follow {}", self.names.display), reason))
            }
            _ => Ok(()),
        }
    }

    /// Collects changes, so that one snapshot serves them all. Not while a mark is among them,
    /// because the run waits for it.
    pub(crate) async fn collect_changes(&mut self) -> Result<()> {
        let until = self.snapshot_taken + SNAPSHOT_INTERVAL;
        while self.pending.len() <= DELIVERY
            && !self.pending.iter().any(|event| matches!(event, Event::Mark(_)))
        {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => break,
                batch = self.events.recv() => {
                    self.pending.extend(batch.ok_or_else(|| self.lost())??);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn lost(&self) -> Error {
        Error::new(
            Kind::Disconnected,
            format!("follow {}", self.names.display),
            "its reader has ended",
        )
    }

    /// Takes a snapshot of the primary. If the first transaction is still invisible, waits a
    /// moment.
    pub(crate) async fn update_snapshot(&mut self) -> Result<()> {
        self.collect_changes().await?;
        self.snapshot_taken = Instant::now();
        let attempted = || format!("ask which changes of {} are visible", self.names.display);
        let row = self.queries.visibility.one(sql::SNAPSHOT, &[]).await.doing(attempted)?;
        let snapshot = Snapshot::parse(row.get(0));
        self.snapshot = snapshot
            .ok_or_else(|| Error::fatal(attempted(), "the server's snapshot cannot be read"))?;
        if self.is_ready() {
            self.pause = FIRST_SNAPSHOT_PAUSE;
            return Ok(());
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LAST_SNAPSHOT_PAUSE);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Compares the source's definition with the one at the start. The server sends it again after
    /// any change, and the run itself changes none. While the table is locked, it cannot be read.
    /// The cut-over must not wait for that, because it compares the definitions itself before the
    /// swap. If another session has the lock, the next event causes a new check.
    pub(crate) async fn check_definition(&mut self) -> Result<()> {
        self.is_unchecked = false;
        let now = match definition::describe(&self.queries.visibility, self.source).await {
            Err(error) if error.kind == Kind::Transient => {
                self.is_unchecked = true;
                self.pending.pop_front();
                return Ok(());
            }
            now => now?,
        };
        let lost = concurrent_ddl::unfollowable(&self.lines, &now);
        if !lost.is_empty() {
            return Err(concurrent_ddl::ended(&self.names, &lost));
        }
        self.pending.pop_front();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::reader::{Decoder, Event, Source};
    use altergeist_contract::Key;

    fn decoder() -> Decoder {
        let source = Source {
            oid: 9,
            identity: b'd',
            lines: Vec::new(),
            names: Names::new("d", "s", "t"),
            key: vec!["b".into(), "a".into()],
            incarnation: "me".into(),
        };
        Decoder { source, key_places: None }
    }

    fn relation(name: &str, columns: &[&str]) -> Vec<u8> {
        let mut bytes =
            [b"R\0\0\0\x09s\0", name.as_bytes(), b"\0d\0", &[u8::try_from(columns.len()).unwrap()]]
                .concat();
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
        decoder
            .take(&[&b"I\0\0\0\x09N\0\x02"[..], &value(1), &value(2)].concat(), &mut events)
            .unwrap();
        assert_eq!(events, [Event::Described, Event::Changed(Key::compose([&[2][..], &[1]]))]);
    }

    #[test]
    fn a_changed_key_is_two_keys_and_one_out_of_line_comes_from_the_old_row() {
        let mut decoder = decoder();
        let mut events = Vec::new();
        decoder.take(&relation("t", &["a", "b"]), &mut events).unwrap();
        let update =
            [&b"U\0\0\0\x09K\0\x02"[..], &value(1), &value(2), b"N\0\x02", &value(3), b"u"]
                .concat();
        decoder.take(&update, &mut events).unwrap();
        assert_eq!(
            events[1..],
            [
                Event::Changed(Key::compose([&[2][..], &[1]])),
                Event::Changed(Key::compose([&[2][..], &[3]]))
            ]
        );
    }

    #[test]
    fn a_row_without_its_key_ends_the_run() {
        let mut decoder = decoder();
        let mut events = Vec::new();
        assert!(
            decoder
                .take(&[&b"I\0\0\0\x09N\0\x02"[..], &value(1), &value(2)].concat(), &mut events)
                .is_err()
        );
        decoder.take(&relation("t", &["a", "b"]), &mut events).unwrap();
        assert!(
            decoder
                .take(&[&b"I\0\0\0\x09N\0\x02"[..], &value(1), b"n"].concat(), &mut events)
                .is_err()
        );
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
