//! The log by plain SQL, where the replication protocol cannot be reached, as behind some poolers.
//! The slot is only ever looked at (peeked), and moved on to positions that are saved (law 6): what
//! was delivered and is not saved yet is seen again each time, and left out.

use crate::log::decode::Lsn;
use crate::server::error;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Kind, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::pin::Pin;
use std::time::Duration;
use tokio_postgres::RowStream;

/// New messages asked for at once; the server gives whole transactions, so it may be more.
const MESSAGES: i32 = 5000;

/// The tags of the messages that begin and end a transaction, and of the one that describes a
/// table.
const BEGIN: u8 = b'B';

const COMMIT: u8 = b'C';

const RELATION: u8 = b'R';

/// The pause after a peek at a log without news, at first and at last.
pub(crate) const PAUSE_FIRST: Duration = Duration::from_millis(10);

pub(crate) const PAUSE_LAST: Duration = Duration::from_millis(200);

/// Looks at a slot, again and again.
pub(crate) struct Poller {
    session: Session,
    slot: String,
    publication: String,
    /// Transactions that commit before this were handed on.
    delivered: Lsn,
    /// The slot itself stands here.
    moved_to: Lsn,
    /// How many messages of transactions already handed on the last peek went through.
    seen: i32,
}

/// One peek at the slot.
pub(crate) struct Peek {
    rows: Pin<Box<RowStream>>,
    attempted: String,
    delivered: Lsn,
    is_old: bool,
    seen: i32,
}

/// A message, and whether it is news: one that is not only tells what a table looks like.
pub(crate) struct Polled {
    pub(crate) bytes: Bytes,
    pub(crate) is_news: bool,
}

impl Poller {
    pub(crate) fn new(session: Session, slot: &str, publication: &str, from: Lsn) -> Poller {
        let (slot, publication) = (slot.to_owned(), format!("\"{publication}\""));
        Poller { session, slot, publication, delivered: from, moved_to: Lsn::default(), seen: 0 }
    }

    /// Lets the server forget what lies before a saved position.
    pub(crate) async fn move_to(&mut self, saved: Lsn) -> Result<()> {
        if saved <= self.moved_to {
            return Ok(());
        }
        let moved = self.session.query(sql::MOVE_SLOT, &[&self.slot, &saved.to_string()]).await;
        moved.map_err(|error| error::of(format!("move the slot {} on", self.slot), &error))?;
        self.moved_to = saved;
        Ok(())
    }

    /// Begins to peek once at what is there.
    pub(crate) async fn peek(&self) -> Result<Peek> {
        let most = self.seen.saturating_add(MESSAGES);
        let rows = self.session.stream(sql::PEEK, &[&self.slot, &most, &self.publication]).await;
        let attempted = format!("peek at the slot {}", self.slot);
        let rows = rows.map_err(|error| error::of(attempted.clone(), &error))?;
        Ok(Peek {
            rows: Box::pin(rows),
            attempted,
            delivered: self.delivered,
            is_old: false,
            seen: 0,
        })
    }

    /// Proves that the last peek began where the one before it had ended: nobody else has moved the
    /// slot on.
    ///
    /// # Errors
    /// `Missed` if somebody has.
    pub(crate) async fn check_position(&self) -> Result<()> {
        let attempted = || format!("peek at the slot {}", self.slot);
        let rows = self.session.query(sql::CONFIRMED, &[&self.slot]).await;
        let rows = rows.map_err(|error| error::of(attempted(), &error))?;
        let confirmed =
            rows.first().and_then(|row| row.get::<_, Option<&str>>(0).and_then(Lsn::parse));
        if confirmed.is_some_and(|confirmed| confirmed <= self.delivered) {
            return Ok(());
        }
        let reason = "another session advanced it, and the server discarded its log";
        Err(Error::new(Kind::Missed, attempted(), reason))
    }

    /// Takes note of how far a peek went to its end; says whether it had any news.
    pub(crate) fn finish_peek(&mut self, peek: &Peek) -> bool {
        let has_news = peek.delivered > self.delivered;
        (self.delivered, self.seen) = (peek.delivered, peek.seen);
        has_news
    }
}

impl Peek {
    /// The next message of a transaction that was not handed on before, and all that describe
    /// tables.
    pub(crate) async fn next(&mut self) -> Result<Option<Polled>> {
        while let Some(row) =
            self.rows.try_next().await.map_err(|error| error::of(&self.attempted, &error))?
        {
            let bytes: &[u8] = row.get(0);
            match bytes.first() {
                Some(&BEGIN) => self.is_old = committed_at(bytes) < self.delivered,
                Some(&COMMIT) if !self.is_old => self.delivered = ended_at(bytes),
                _ => {}
            }
            self.seen += i32::from(self.is_old);
            if !self.is_old || bytes.first() == Some(&RELATION) {
                return Ok(Some(Polled {
                    bytes: Bytes::copy_from_slice(bytes),
                    is_news: !self.is_old,
                }));
            }
        }
        Ok(None)
    }
}

/// Where the transaction that begins with this message commits; the next one commits behind where
/// this one ends.
fn committed_at(begin: &[u8]) -> Lsn {
    place(begin, 1)
}

/// Where the transaction that ends with this message ends.
fn ended_at(commit: &[u8]) -> Lsn {
    place(commit, 10)
}

/// A place in the log that stands somewhere in a message. A message too short for it is one the
/// decoder will refuse.
fn place(message: &[u8], at: usize) -> Lsn {
    let bytes = message.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    Lsn(bytes.map_or(u64::MAX, u64::from_be_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::decode::Lsn;

    #[test]
    fn the_places_in_a_transactions_first_and_last_message_are_found() {
        let begin = [&b"B"[..], &7_u64.to_be_bytes(), &[0; 8], &[0; 4]].concat();
        let commit = [&b"C\0"[..], &7_u64.to_be_bytes(), &9_u64.to_be_bytes(), &[0; 8]].concat();
        assert_eq!((committed_at(&begin), ended_at(&commit)), (Lsn(7), Lsn(9)));
        assert_eq!(committed_at(b"B"), Lsn(u64::MAX));
    }
}
