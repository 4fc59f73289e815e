//! Parses the log event by event. Finds the keys of the source's rows, checks the grammar of
//! transactions, and makes batches that end with a heartbeat of ours. It does not wait and uses no
//! server. An event that does not fit ends the run.

use crate::key::index::KeyIndex;
use crate::log::cascades::Parent;
use crate::log::events::{
    ANONYMOUS_GTID, COMPRESSED_QUERY, GTID, INCIDENT, LOAD_QUERY, MARIADB_GTID, PAYLOAD, QUERY,
    ROTATE, TABLE_MAP, TAGGED_GTID, XA_PREPARE, XID, inflated_query, is_without_rows,
    load_statement, operation, query_parts,
};
use crate::log::position::{BinlogPosition, SavedPosition};
use crate::log::row_image::{ColumnFormat, Fields};
use crate::log::statement::{StatementEffect, WatchedTables, effect_of};
use crate::server::error::START_AGAIN;
use crate::server::names::{Names, TableName};
use altergeist_contract::{Error, Key, Marker, Position, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Most keys that a batch collects before it is delivered without a heartbeat. A transaction may be
/// larger than memory.
const MOST_KEYS: usize = 20_000;

/// Most keys of prepared transactions that have not ended. They cannot be delivered yet.
const MOST_UNDECIDED_KEYS: usize = 5_000_000;

/// What the log has brought so far.
#[derive(Debug)]
pub(crate) struct Batch {
    pub keys: Vec<Key>,
    /// Everything before it is in this batch or an earlier one.
    pub position: Position,
    /// The last heartbeat that was passed.
    pub marker: Marker,
    /// The heartbeat whose proof makes the keys visible. None if the run must still send it.
    pub proof: Option<Marker>,
    /// Prepared transactions that have ended, and must be visible too.
    pub ended: Vec<String>,
    /// Tables that others wrote by statements. No such write may reach the source.
    pub written: Vec<TableName>,
    /// Whether others have changed the source by DDL that leaves its rows and columns alone.
    pub altered: bool,
    /// Rows of the shadow in the log, since the count began.
    pub shadow_rows: u64,
    /// Changes of the source's rows in the log.
    pub source_rows: u64,
}

/// The parts of an event that matter here.
pub(crate) struct LogEvent<'a> {
    pub code: u8,
    pub flags: u16,
    pub server: u32,
    /// The low half of the offset behind the event; 0 if the event is in no file.
    pub next_offset: u32,
    pub body: &'a [u8],
    /// MySQL's name of the transaction, decoded.
    pub gtid: Option<(String, u64)>,
}

/// The state of following; see the module.
pub(crate) struct TransactionParser {
    source: TableName,
    shadow: TableName,
    beat_table: TableName,
    journal: TableName,
    key: KeyIndex,
    /// Tables whose rows show what foreign keys did to the source's rows.
    parents: Vec<Parent>,
    server: String,
    /// How far the log was read.
    position: BinlogPosition,
    /// The offset at which the current transaction begins.
    started: u64,
    /// Events before this offset of the file were delivered already.
    skips_to: Option<u64>,
    /// Where the run may resume: just before the last heartbeat.
    safe: SavedPosition,
    /// The same position while prepared transactions are undecided.
    frozen: Option<SavedPosition>,
    last_beat: Option<u64>,
    tables: HashMap<u64, TableRole>,
    phase: Phase,
    gtid: Option<Gtid>,
    beat: Option<u64>,
    keys: Vec<Key>,
    ended: Vec<String>,
    written: Vec<TableName>,
    altered: bool,
    /// The keys of the XA transaction that is being read.
    xa_keys: Option<Vec<Key>>,
    undecided: BTreeMap<String, Vec<Key>>,
    /// The heartbeat from which on the shadow's rows count, and their number.
    counted_from: Arc<AtomicU64>,
    shadow_rows: u64,
    source_rows: u64,
    /// Transactions that were prepared before the log was opened and ended before the first read.
    /// Their ends carry nothing.
    settled: HashSet<String>,
}

/// Why a table's rows matter.
enum TableRole {
    Source(Vec<ColumnFormat>),
    Parent(TableName, Vec<ColumnFormat>),
    Beats(Vec<ColumnFormat>),
    Shadow(Vec<ColumnFormat>),
    None,
}

/// Where the log is in the grammar of transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Between two transactions.
    Between,
    /// A transaction was announced.
    Announced,
    /// The transaction is one statement.
    Standalone,
    /// Its rows follow.
    Inside,
}

enum Gtid {
    MySql(String, u64),
    MariaDb(u32, u32, u64),
    Anonymous,
}

/// Flags in MariaDB's names of transactions: one statement follows, or the transaction is only
/// prepared.
const STANDALONE: u64 = 1;

const PREPARES: u64 = 64;

const ARTIFICIAL: u16 = 0x20;

const IGNORABLE: u16 = 0x80;

impl TransactionParser {
    pub(crate) fn new(
        names: (TableName, &Names),
        key: KeyIndex,
        parents: Vec<Parent>,
        saved: SavedPosition,
    ) -> TransactionParser {
        let (source, names) = names;
        let (shadow, beat_table, journal) =
            (names.shadow.clone(), names.beat.clone(), names.journal.clone());
        let (position, skips_to) = saved.position.readable();
        TransactionParser {
            source,
            shadow,
            beat_table,
            journal,
            key,
            parents,
            server: saved.server.clone(),
            position,
            started: 0,
            skips_to,
            safe: saved,
            frozen: None,
            last_beat: None,
            tables: HashMap::new(),
            phase: Phase::Between,
            gtid: None,
            beat: None,
            keys: Vec::new(),
            ended: Vec::new(),
            written: Vec::new(),
            altered: false,
            xa_keys: None,
            undecided: BTreeMap::new(),
            counted_from: Arc::new(AtomicU64::new(u64::MAX)),
            shadow_rows: 0,
            source_rows: 0,
            settled: HashSet::new(),
        }
    }

    /// Counts the shadow's rows from a heartbeat on, once it is known.
    pub(crate) fn count_shadow_by(&mut self, beat: Arc<AtomicU64>) {
        self.counted_from = beat;
    }

    /// Accepts the ends of these transactions, although their beginnings are not in what is read of
    /// the log.
    pub(crate) fn ignore_ends_of(&mut self, settled: HashSet<String>) {
        self.settled = settled;
    }

    /// Returns the number of prepared transactions that changed the source's rows and are neither
    /// committed nor rolled back.
    pub(crate) fn undecided(&self) -> usize {
        self.undecided.values().filter(|keys| !keys.is_empty()).count()
    }

    /// Takes the next event.
    pub(crate) fn take(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        if let Some(target) = self.skips_to {
            return self.skip(event, target).map(|()| None);
        }
        match event.code {
            QUERY => self.query(event, event.body),
            COMPRESSED_QUERY => {
                let body = inflated_query(event.body)
                    .ok_or_else(|| self.unreadable("a compressed statement"))?;
                self.query(event, &body)
            }
            GTID | TAGGED_GTID | ANONYMOUS_GTID | MARIADB_GTID => self.announce(event),
            TABLE_MAP => self.table_map(event),
            XID => self.end(event),
            XA_PREPARE => self.prepared(event),
            ROTATE => self.rotate(event),
            PAYLOAD => self.payload(event),
            INCIDENT => {
                Err(self.fatal("the server says that its log has a gap (an incident event)"))
            }
            LOAD_QUERY => {
                let body = load_statement(event.body)
                    .ok_or_else(|| self.unreadable("a LOAD DATA statement"))?;
                self.query(event, &body)
            }
            code if operation(code).is_some() => self.rows(event),
            code if is_without_rows(code) || event.flags & IGNORABLE != 0 => Ok(None),
            code => Err(self.fatal(format!("the log holds an event of unknown type {code}"))),
        }
    }

    /// Returns an error that a retry cannot cure: the log will be the same when it is read again.
    pub(crate) fn fatal(&self, reason: impl Into<String>) -> Error {
        let reason = reason.into();
        let reason =
            if reason.ends_with(START_AGAIN) { reason } else { format!("{reason}; {START_AGAIN}") };
        Error::fatal(format!("follow the log for {}", self.source.plain()), reason)
    }

    fn unreadable(&self, what: &str) -> Error {
        self.fatal(format!("{what} in the log cannot be read"))
    }

    pub(crate) fn announce(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        if self.phase != Phase::Between {
            return Err(
                self.fatal("a transaction in the log does not end; part of it could not be read")
            );
        }
        if let BinlogPosition::File { offset, .. } = &self.position {
            self.started = *offset;
        }
        self.note_offset(event);
        self.tables.clear();
        self.phase = Phase::Announced;
        self.gtid = Some(match (&event.gtid, event.code) {
            (Some((source, number)), _) => Gtid::MySql(source.clone(), *number),
            (None, ANONYMOUS_GTID) => Gtid::Anonymous,
            (None, MARIADB_GTID) => {
                let mut fields = Fields(event.body);
                let parts = (fields.number(8), fields.number(4), fields.number(1));
                let (Some(number), Some(domain), Some(flags)) = parts else {
                    return Err(self.unreadable("a transaction's name"));
                };
                self.phase =
                    if flags & STANDALONE != 0 { Phase::Standalone } else { Phase::Inside };
                self.xa_keys = (flags & PREPARES != 0).then(Vec::new);
                Gtid::MariaDb(domain as u32, event.server, number)
            }
            _ => return Err(self.unreadable("a transaction's name")),
        });
        Ok(None)
    }

    fn query(&mut self, event: &LogEvent, body: &[u8]) -> Result<Option<Batch>> {
        self.note_offset(event);
        let (schema, statement) =
            query_parts(body).ok_or_else(|| self.unreadable("a statement"))?;
        let parents: Vec<&TableName> = self.parents.iter().map(|parent| &parent.table).collect();
        let own = [&self.journal, &self.beat_table];
        let watched =
            WatchedTables { source: &self.source, shadow: &self.shadow, own, parents: &parents };
        let effect = effect_of(statement, schema, &watched);
        if let StatementEffect::Writes(tables) = &effect {
            let new: Vec<TableName> =
                tables.iter().filter(|table| !self.written.contains(table)).cloned().collect();
            self.written.extend(new);
        }
        self.altered |= effect == StatementEffect::LeavesRowsAlone;
        match effect {
            StatementEffect::EndsRun(reason) => Err(self.fatal(reason)),
            StatementEffect::XaEnd(xid) => {
                self.decide(xid)?;
                self.end(event)
            }
            _ if self.phase == Phase::Standalone => self.end(event),
            StatementEffect::XaStart => {
                self.xa_keys = Some(Vec::new());
                self.inside()
            }
            StatementEffect::Begin | StatementEffect::OpensTransaction => self.inside(),
            StatementEffect::End => self.end(event),
            StatementEffect::WithinTransaction => Ok(None),
            // MySQL's DDL is the only statement of its transaction.
            StatementEffect::Harmless
            | StatementEffect::LeavesRowsAlone
            | StatementEffect::Writes(_)
                if self.phase == Phase::Announced =>
            {
                self.end(event)
            }
            StatementEffect::Harmless
            | StatementEffect::LeavesRowsAlone
            | StatementEffect::Writes(_) => Ok(None),
        }
    }

    fn inside(&mut self) -> Result<Option<Batch>> {
        if self.phase == Phase::Between {
            return Err(self.fatal("a transaction in the log was not announced"));
        }
        self.phase = Phase::Inside;
        Ok(None)
    }

    fn payload(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        self.note_offset(event);
        // Its events follow, with the transaction's end. `announce` checks that the end came.
        self.inside()
    }

    /// Completes a transaction: its position is passed, and a heartbeat in it ends the batch.
    pub(crate) fn end(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        if self.phase == Phase::Between {
            return Err(self.fatal("a transaction in the log was not announced"));
        }
        self.note_offset(event);
        self.phase = Phase::Between;
        let Some(beat) = self.beat.take() else { return self.pass().map(|()| None) };
        self.check_beat(beat)?;
        self.last_beat = Some(beat);
        self.safe = SavedPosition {
            server: self.server.clone(),
            position: self.position_before(),
            beat: Some(beat),
        };
        self.pass()?;
        Ok(Some(self.batch(Some(Marker(beat)))))
    }

    /// Checks that heartbeats come without a gap, and that the first is not later than the position
    /// said.
    fn check_beat(&self, beat: u64) -> Result<()> {
        let is_expected = match (self.last_beat, self.safe.beat) {
            (Some(last), _) => beat == last + 1,
            (None, Some(promised)) => beat <= promised,
            (None, None) => true,
        };
        if is_expected {
            return Ok(());
        }
        Err(self.fatal(format!(
            "heartbeats are missing from the log: it was reset, is filtered, or is another \
             server's; {START_AGAIN}"
        )))
    }

    /// Returns the position before the transaction that ends now.
    fn position_before(&self) -> BinlogPosition {
        match &self.position {
            BinlogPosition::File { name, .. } => {
                BinlogPosition::File { name: name.clone(), offset: self.started }
            }
            before => before.clone(),
        }
    }

    pub(crate) fn pass(&mut self) -> Result<()> {
        match (&mut self.position, self.gtid.take()) {
            (BinlogPosition::MySql(set), Some(Gtid::MySql(source, number))) => {
                set.add(&source, number)
            }
            (BinlogPosition::MariaDb(domains), Some(Gtid::MariaDb(domain, server, number))) => {
                domains.insert(domain, (server, number));
            }
            (BinlogPosition::File { .. }, _) => {}
            _ => {
                return Err(
                    self.fatal(format!("gtid_mode was changed on the server; {START_AGAIN}"))
                );
            }
        }
        Ok(())
    }

    fn batch(&mut self, proof: Option<Marker>) -> Batch {
        Batch {
            keys: std::mem::take(&mut self.keys),
            position: self.frozen.as_ref().unwrap_or(&self.safe).to_position(),
            marker: self.last_beat.map_or(Marker::NONE, Marker),
            proof,
            ended: std::mem::take(&mut self.ended),
            written: std::mem::take(&mut self.written),
            altered: std::mem::take(&mut self.altered),
            shadow_rows: self.shadow_rows,
            source_rows: self.source_rows,
        }
    }
}

mod offsets;
mod prepared;
mod rows;
#[cfg(test)]
mod tests;
