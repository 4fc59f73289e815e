//! Offsets in the log's file: where reading resumes, and where the next file begins.

use crate::log::events::ROTATE;
use crate::log::position::BinlogPosition;
use crate::log::row_image::Fields;
use crate::log::transactions::{ARTIFICIAL, Batch, LogEvent, TransactionParser};
use crate::server::error::START_AGAIN;
use altergeist_contract::Result;

impl TransactionParser {
    /// Skips events that were delivered already.
    pub(super) fn skip(&mut self, event: &LogEvent, target: u64) -> Result<()> {
        self.note_offset(event);
        match &self.position {
            BinlogPosition::File { offset, .. } if *offset < target && event.code != ROTATE => {
                Ok(())
            }
            BinlogPosition::File { offset, .. }
                if *offset < target && event.flags & ARTIFICIAL != 0 =>
            {
                Ok(())
            }
            BinlogPosition::File { offset, .. } if *offset == target => {
                self.skips_to = None;
                Ok(())
            }
            _ => Err(self
                .fatal(format!("the log's file does not hold the saved position; {START_AGAIN}"))),
        }
    }

    pub(super) fn rotate(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        // The first one repeats the request. On MariaDB it has a checksum before the checksum's
        // kind is known.
        if event.flags & ARTIFICIAL != 0 || event.next_offset == 0 {
            return Ok(None);
        }
        let mut fields = Fields(event.body);
        let next =
            fields.number(8).ok_or_else(|| self.unreadable("the name of the log's next file"))?;
        if let BinlogPosition::File { name, offset } = &mut self.position {
            *name = String::from_utf8_lossy(fields.0).into_owned();
            *offset = next;
        }
        Ok(None)
    }

    /// Offsets are cut to 32 bits, and they grow.
    pub(crate) fn note_offset(&mut self, event: &LogEvent) {
        if let BinlogPosition::File { offset, .. } = &mut self.position
            && event.next_offset != 0
        {
            let low = u64::from(event.next_offset);
            let same_half = *offset & !0xffff_ffff | low;
            *offset = if same_half < *offset { same_half + (1 << 32) } else { same_half };
        }
    }
}
