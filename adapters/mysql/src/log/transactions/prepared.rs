//! Prepared (XA) transactions. Their rows are in the log before the server decides whether they
//! count.

use crate::log::events::prepared_name;
use crate::log::transactions::{Batch, LogEvent, MOST_UNDECIDED_KEYS, TransactionParser};
use crate::server::error::START_AGAIN;
use altergeist_contract::Result;

impl TransactionParser {
    /// Keeps the keys of a prepared transaction. Its rows are in the log here, but become visible
    /// later or never.
    pub(super) fn prepared(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        let (in_one_phase, xid) = prepared_name(event.body)
            .ok_or_else(|| self.unreadable("a prepared transaction's name"))?;
        let keys = self
            .xa_keys
            .take()
            .ok_or_else(|| self.fatal("a transaction is prepared in the log that never began"))?;
        if in_one_phase {
            self.keys.extend(keys);
            return self.end(event);
        }
        if self.frozen.is_none() {
            self.frozen = Some(self.safe.clone());
        }
        self.undecided.insert(xid, keys);
        if self.undecided.values().map(Vec::len).sum::<usize>() > MOST_UNDECIDED_KEYS {
            return Err(
                self.fatal("prepared transactions that do not end have changed too many rows")
            );
        }
        self.end(event)
    }

    /// A rollback counts as a change too: refreshing an unchanged row does no harm.
    pub(super) fn decide(&mut self, xid: String) -> Result<()> {
        if !self.undecided.contains_key(&xid) && self.settled.remove(&xid) {
            return Ok(());
        }
        let keys = self.undecided.remove(&xid).ok_or_else(|| {
            self.fatal(format!(
                "a transaction ended that was prepared before the log was opened: what it changed \
                 is not known; {START_AGAIN}"
            ))
        })?;
        if !keys.is_empty() {
            self.ended.push(xid);
        }
        self.keys.extend(keys);
        if self.undecided.is_empty() {
            self.frozen = None;
        }
        Ok(())
    }
}
