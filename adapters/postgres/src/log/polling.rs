//! Reads the log by SQL if the replication protocol is out of reach, as behind some poolers. It
//! only peeks at the slot, and advances it to saved positions (law 6). So each peek returns again
//! what was delivered and not saved, and this leaves it out.

use crate::log::decode::Lsn;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Kind, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use std::pin::Pin;
use std::time::Duration;
use tokio_postgres::RowStream;

/// How many new messages one peek asks for. The server returns whole transactions, so it may be
/// more.
const MESSAGES: i32 = 5000;

/// The tags of the messages that begin and end a transaction, and that describe a table.
const BEGIN: u8 = b'B';

const COMMIT: u8 = b'C';

const RELATION: u8 = b'R';

/// The pause after a peek without new transactions: the first, and the longest.
pub(crate) const PAUSE_FIRST: Duration = Duration::from_millis(10);

pub(crate) const PAUSE_LAST: Duration = Duration::from_millis(200);

/// Peeks at a slot repeatedly.
pub(crate) struct Poller {
    session: Session,
    slot: String,
    publication: String,
    /// Transactions that commit before this were delivered.
    delivered: Lsn,
    /// The slot's own position.
    moved_to: Lsn,
    /// How many messages of delivered transactions the last peek returned.
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

/// A message, and whether it is new. One that is not only describes a table.
pub(crate) struct Polled {
    pub(crate) bytes: Bytes,
    pub(crate) is_news: bool,
}

impl Poller {
    pub(crate) fn new(session: Session, slot: &str, publication: &str, from: Lsn) -> Poller {
        let (slot, publication) = (slot.to_owned(), format!("\"{publication}\""));
        Poller { session, slot, publication, delivered: from, moved_to: Lsn::default(), seen: 0 }
    }

    /// Advances the slot to a saved position, so that the server can discard its log.
    pub(crate) async fn move_to(&mut self, saved: Lsn) -> Result<()> {
        if saved <= self.moved_to {
            return Ok(());
        }
        let moved = self.session.query(sql::MOVE_SLOT, &[&self.slot, &saved.to_string()]).await;
        moved.doing(format!("move the slot {} on", self.slot))?;
        self.moved_to = saved;
        Ok(())
    }

    /// Begins one peek.
    pub(crate) async fn peek(&self) -> Result<Peek> {
        let most = self.seen.saturating_add(MESSAGES);
        let rows = self.session.stream(sql::PEEK, &[&self.slot, &most, &self.publication]).await;
        let attempted = format!("peek at the slot {}", self.slot);
        let rows = rows.doing(&attempted)?;
        Ok(Peek {
            rows: Box::pin(rows),
            attempted,
            delivered: self.delivered,
            is_old: false,
            seen: 0,
        })
    }

    /// Proves that the last peek began where the one before had ended: no other session has
    /// advanced the slot.
    ///
    /// # Errors
    /// `Missed` if somebody has.
    pub(crate) async fn check_position(&self) -> Result<()> {
        let attempted = || format!("peek at the slot {}", self.slot);
        let rows = self.session.query(sql::CONFIRMED, &[&self.slot]).await;
        let rows = rows.doing(attempted)?;
        let confirmed =
            rows.first().and_then(|row| row.get::<_, Option<&str>>(0).and_then(Lsn::parse));
        if confirmed.is_some_and(|confirmed| confirmed <= self.delivered) {
            return Ok(());
        }
        let reason = "another session advanced it, and the server discarded its log";
        Err(Error::new(Kind::Missed, attempted(), reason))
    }

    /// Notes how far a finished peek went. Returns whether it had new transactions.
    pub(crate) fn finish_peek(&mut self, peek: &Peek) -> bool {
        let has_news = peek.delivered > self.delivered;
        (self.delivered, self.seen) = (peek.delivered, peek.seen);
        has_news
    }
}

impl Peek {
    /// Returns the next message of a new transaction, or one that describes a table.
    pub(crate) async fn next(&mut self) -> Result<Option<Polled>> {
        while let Some(row) = self.rows.try_next().await.doing(&self.attempted)? {
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

/// Returns where the transaction with this first message commits. The next one commits after the
/// end of this one.
fn committed_at(begin: &[u8]) -> Lsn {
    place(begin, 1)
}

/// Returns where the transaction with this last message ends.
fn ended_at(commit: &[u8]) -> Lsn {
    place(commit, 10)
}

/// Returns the position in the log that a message holds at an offset. The decoder refuses a message
/// that is too short for it.
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
