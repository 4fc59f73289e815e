//! Follows the log event by event: finds the keys of the source's rows, keeps to the grammar of
//! transactions, and gives batches that end with a heartbeat of ours. No waiting and no server
//! here; an event that does not fit ends the run.

use crate::key::index::KeyIndex;
use crate::log::cascades::Parent;
use crate::log::position::{Bookmark, Place};
use crate::log::row_image::{Cell, Deed, Fields, Form, Rows, TableMap};
use crate::log::statement::{Concern, Meaning, meaning, spell_xid};
use crate::server::error::START_AGAIN;
use crate::server::names::{Names, TableName};
use crate::sql::quote::hex;
use altergeist_contract::{Error, Key, Marker, Position, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys that are handed on without waiting for a heartbeat to come by: a transaction may be larger
/// than memory.
const MOST_KEYS: usize = 20_000;

/// Keys of prepared transactions that have not ended; they cannot be handed on.
const MOST_UNDECIDED_KEYS: usize = 5_000_000;

/// The largest event that is taken out of a compressed one.
const LARGEST_INFLATED: u64 = 1 << 30;

/// What the log has given so far.
#[derive(Debug)]
pub(crate) struct Batch {
    pub keys: Vec<Key>,
    /// Everything before it is in this batch or an earlier one.
    pub position: Position,
    /// The last heartbeat passed.
    pub marker: Marker,
    /// The heartbeat whose proof makes the keys visible; None if it must be one that is yet to be
    /// sent.
    pub proof: Option<Marker>,
    /// Prepared transactions that have ended, and must be visible too.
    pub ended: Vec<String>,
    /// Tables that others wrote by statements: none of them may reach the source.
    pub written: Vec<TableName>,
    /// Whether others have changed the source by DDL that leaves its rows and columns alone.
    pub altered: bool,
    /// Rows of the shadow that the log has told of since they are counted.
    pub shadow_rows: u64,
    /// Changes of the source's rows that the log has told of.
    pub source_rows: u64,
}

/// An event, as far as it matters here.
pub(crate) struct LogEvent<'a> {
    pub code: u8,
    pub flags: u16,
    pub server: u32,
    /// The low half of the offset behind it; 0 for an event that is in no file.
    pub next_offset: u32,
    pub body: &'a [u8],
    /// MySQL's name of the transaction, decoded.
    pub gtid: Option<(String, u64)>,
}

/// The state of following; see the module.
pub(crate) struct Follower {
    source: TableName,
    shadow: TableName,
    beat_table: TableName,
    journal: TableName,
    key: KeyIndex,
    /// Whose rows tell what foreign keys did to the source's.
    parents: Vec<Parent>,
    server: String,
    /// How far the log was read.
    place: Place,
    /// The offset at which the transaction being read begins.
    started: u64,
    /// Events before this offset of the file were delivered before.
    skips_to: Option<u64>,
    /// Where the log may be read from again: just before the last heartbeat.
    safe: Bookmark,
    /// The same while prepared transactions are undecided.
    frozen: Option<Bookmark>,
    last_beat: Option<u64>,
    tables: HashMap<u64, Interest>,
    phase: Phase,
    gtid: Option<Gtid>,
    beat: Option<u64>,
    keys: Vec<Key>,
    ended: Vec<String>,
    written: Vec<TableName>,
    altered: bool,
    /// The keys of the XA transaction being read.
    xa_keys: Option<Vec<Key>>,
    undecided: BTreeMap<String, Vec<Key>>,
    /// The heartbeat from which the shadow's rows are counted, and how many they are.
    counted_from: Arc<AtomicU64>,
    shadow_rows: u64,
    source_rows: u64,
    /// Prepared before the log was opened, and ended before anything was read: their ends tell
    /// nothing.
    settled: HashSet<String>,
}

/// Why a table's rows matter.
enum Interest {
    Source(Vec<Form>),
    Parent(TableName, Vec<Form>),
    Beats(Vec<Form>),
    Shadow(Vec<Form>),
    None,
}

/// Where in the grammar of transactions the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Between two transactions.
    Between,
    /// A transaction was announced.
    Announced,
    /// Its events are one statement.
    Standalone,
    /// Its rows come.
    Inside,
}

enum Gtid {
    MySql(String, u64),
    MariaDb(u32, u32, u64),
    Anonymous,
}

/// What MariaDB's names of transactions tell beside: that one statement follows, or a transaction
/// that is only prepared.
const STANDALONE: u64 = 1;

const PREPARES: u64 = 64;

const ARTIFICIAL: u16 = 0x20;

const IGNORABLE: u16 = 0x80;

impl Follower {
    pub(crate) fn new(
        names: (TableName, &Names),
        key: KeyIndex,
        parents: Vec<Parent>,
        bookmark: Bookmark,
    ) -> Follower {
        let (source, names) = names;
        let (shadow, beat_table, journal) =
            (names.shadow.clone(), names.beat.clone(), names.journal.clone());
        let (place, skips_to) = bookmark.place.readable();
        Follower {
            source,
            shadow,
            beat_table,
            journal,
            key,
            parents,
            server: bookmark.server.clone(),
            place,
            started: 0,
            skips_to,
            safe: bookmark,
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

    /// Lets these transactions end, whose beginning is not in what is read of the log.
    pub(crate) fn forgive(&mut self, settled: HashSet<String>) {
        self.settled = settled;
    }

    /// Prepared transactions that have neither been committed nor rolled back and changed the
    /// source's rows.
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
            code if deed(code).is_some() => self.rows(event),
            code if is_without_rows(code) || event.flags & IGNORABLE != 0 => Ok(None),
            code => Err(self.fatal(format!("the log holds an event of unknown type {code}"))),
        }
    }

    fn skip(&mut self, event: &LogEvent, target: u64) -> Result<()> {
        self.note_offset(event);
        match &self.place {
            Place::File { offset, .. } if *offset < target && event.code != ROTATE => Ok(()),
            Place::File { offset, .. } if *offset < target && event.flags & ARTIFICIAL != 0 => {
                Ok(())
            }
            Place::File { offset, .. } if *offset == target => {
                self.skips_to = None;
                Ok(())
            }
            _ => Err(self
                .fatal(format!("the log's file does not hold the saved position; {START_AGAIN}"))),
        }
    }

    /// What the log holds it holds for good: whoever reads it again comes to the same place.
    pub(crate) fn fatal(&self, reason: impl Into<String>) -> Error {
        let reason = reason.into();
        let reason =
            if reason.ends_with(START_AGAIN) { reason } else { format!("{reason}; {START_AGAIN}") };
        Error::fatal(format!("follow the log for {}", self.source.plain()), reason)
    }

    fn unreadable(&self, what: &str) -> Error {
        self.fatal(format!("{what} in the log cannot be read"))
    }

    // --- The grammar of transactions ----------------------------------------------------------

    pub(crate) fn announce(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        if self.phase != Phase::Between {
            return Err(
                self.fatal("a transaction in the log does not end; part of it could not be read")
            );
        }
        if let Place::File { offset, .. } = &self.place {
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
        let concern =
            Concern { source: &self.source, shadow: &self.shadow, own, parents: &parents };
        let meaning = meaning(statement, schema, &concern);
        if let Meaning::Writes(tables) = &meaning {
            let new: Vec<TableName> =
                tables.iter().filter(|table| !self.written.contains(table)).cloned().collect();
            self.written.extend(new);
        }
        self.altered |= meaning == Meaning::Altered;
        match meaning {
            Meaning::InTheWay(reason) => Err(self.fatal(reason)),
            Meaning::XaEnd(xid) => {
                self.decide(xid)?;
                self.end(event)
            }
            _ if self.phase == Phase::Standalone => self.end(event),
            Meaning::XaStart => {
                self.xa_keys = Some(Vec::new());
                self.inside()
            }
            Meaning::Begin | Meaning::Opens => self.inside(),
            Meaning::End => self.end(event),
            Meaning::Within => Ok(None),
            // MySQL's DDL: the one statement of its transaction.
            Meaning::Harmless | Meaning::Altered | Meaning::Writes(_)
                if self.phase == Phase::Announced =>
            {
                self.end(event)
            }
            Meaning::Harmless | Meaning::Altered | Meaning::Writes(_) => Ok(None),
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
        // Its events follow, with the transaction's end; that they do is what `announce` checks.
        self.inside()
    }

    /// The transaction is complete: its place is passed, and a heartbeat in it makes a batch.
    pub(crate) fn end(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        if self.phase == Phase::Between {
            return Err(self.fatal("a transaction in the log was not announced"));
        }
        self.note_offset(event);
        self.phase = Phase::Between;
        let Some(beat) = self.beat.take() else { return self.pass().map(|()| None) };
        self.check_beat(beat)?;
        self.last_beat = Some(beat);
        self.safe =
            Bookmark { server: self.server.clone(), place: self.place_before(), beat: Some(beat) };
        self.pass()?;
        Ok(Some(self.batch(Some(Marker(beat)))))
    }

    /// Heartbeats come without a gap, and the first is one that the position promised.
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

    /// The place before the transaction that ends now.
    fn place_before(&self) -> Place {
        match &self.place {
            Place::File { name, .. } => Place::File { name: name.clone(), offset: self.started },
            before => before.clone(),
        }
    }

    pub(crate) fn pass(&mut self) -> Result<()> {
        match (&mut self.place, self.gtid.take()) {
            (Place::MySql(set), Some(Gtid::MySql(source, number))) => set.add(&source, number),
            (Place::MariaDb(domains), Some(Gtid::MariaDb(domain, server, number))) => {
                domains.insert(domain, (server, number));
            }
            (Place::File { .. }, _) => {}
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

    // --- Prepared transactions ----------------------------------------------------------------

    /// The rows of a prepared transaction stand here in the log, but become visible, or not, only
    /// later.
    fn prepared(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
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

    /// Rolled back counts as changed too: refreshing a row that did not change does no harm.
    fn decide(&mut self, xid: String) -> Result<()> {
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

    // --- Rows ---------------------------------------------------------------------------------

    fn table_map(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        self.note_offset(event);
        let map =
            TableMap::read(event.body).ok_or_else(|| self.unreadable("a table's announcement"))?;
        let is = |table: &TableName| {
            map.schema == table.schema.as_bytes() && map.name == table.name.as_bytes()
        };
        let interest = if is(&self.source) {
            Interest::Source(
                map.forms().ok_or_else(|| self.unreadable("the announcement of the table"))?,
            )
        } else if is(&self.beat_table) {
            Interest::Beats(
                map.forms().ok_or_else(|| self.unreadable("the announcement of the heartbeats"))?,
            )
        } else if is(&self.shadow)
            && self.last_beat.is_some_and(|last| last >= self.counted_from.load(Ordering::SeqCst))
        {
            // What cannot be read is not counted, and never taken for somebody else's.
            map.forms().map_or(Interest::None, Interest::Shadow)
        } else if let Some(parent) = self.parents.iter().find(|parent| is(&parent.table)) {
            let forms =
                map.forms().ok_or_else(|| self.unreadable("the announcement of a parent"))?;
            Interest::Parent(parent.table.clone(), forms)
        } else {
            Interest::None
        };
        self.tables.insert(map.id, interest);
        Ok(None)
    }

    pub(crate) fn rows(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        self.note_offset(event);
        if self.phase != Phase::Inside {
            return Err(self.fatal("rows stand in the log outside a transaction"));
        }
        let (deed, has_extra, is_compressed) = deed(event.code).expect("asked before");
        let inflated = if is_compressed {
            Some(
                inflated_rows(deed, has_extra, event.body)
                    .ok_or_else(|| self.unreadable("compressed rows"))?,
            )
        } else {
            None
        };
        let body = inflated.as_deref().unwrap_or(event.body);
        let rows =
            Rows::read(deed, has_extra, body).ok_or_else(|| self.unreadable("a row event"))?;
        match self.tables.get(&rows.table) {
            Some(Interest::Source(forms)) => {
                let read = source_keys(&self.key, forms, &rows);
                let (keys, changes) = read.ok_or_else(|| self.unreadable("a row of the table"))?;
                self.source_rows += changes;
                self.xa_keys.as_mut().unwrap_or(&mut self.keys).extend(keys);
            }
            Some(Interest::Parent(table, forms)) => {
                let mut told = Vec::new();
                for parent in self.parents.iter().filter(|parent| parent.table == *table) {
                    let reason = "a row that a foreign key refers to";
                    told.extend(
                        parent
                            .told(&self.key, forms, &rows)
                            .ok_or_else(|| self.unreadable(reason))?,
                    );
                }
                self.xa_keys.as_mut().unwrap_or(&mut self.keys).extend(told);
            }
            Some(Interest::Beats(forms)) => {
                let beat = own_beat(&self.source.name, forms, &rows)
                    .ok_or_else(|| self.unreadable("a heartbeat"))?;
                self.beat = beat.or(self.beat);
            }
            Some(Interest::Shadow(forms)) => {
                let mut count = 0;
                let counted = rows.each(forms, &[], |_, _| {
                    count += 1;
                    Some(())
                });
                self.shadow_rows += counted.map_or(0, |()| count);
            }
            Some(Interest::None) => {}
            // The number the servers use to say that a statement is over.
            None if rows.table == 0xff_ffff => {}
            None => {
                return Err(self.fatal("rows stand in the log without their table's announcement"));
            }
        }
        Ok((self.keys.len() >= MOST_KEYS).then(|| self.batch(None)))
    }

    // --- Places -------------------------------------------------------------------------------

    fn rotate(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        // The first one repeats what was asked for, and on MariaDB carries a checksum nobody
        // announced yet.
        if event.flags & ARTIFICIAL != 0 || event.next_offset == 0 {
            return Ok(None);
        }
        let mut fields = Fields(event.body);
        let next =
            fields.number(8).ok_or_else(|| self.unreadable("the name of the log's next file"))?;
        if let Place::File { name, offset } = &mut self.place {
            *name = String::from_utf8_lossy(fields.0).into_owned();
            *offset = next;
        }
        Ok(None)
    }

    /// Offsets come cut to 32 bits, and grow.
    pub(crate) fn note_offset(&mut self, event: &LogEvent) {
        if let Place::File { offset, .. } = &mut self.place
            && event.next_offset != 0
        {
            let low = u64::from(event.next_offset);
            let same_half = *offset & !0xffff_ffff | low;
            *offset = if same_half < *offset { same_half + (1 << 32) } else { same_half };
        }
    }
}

const QUERY: u8 = 2;

const ROTATE: u8 = 4;

const XID: u8 = 16;

const LOAD_QUERY: u8 = 18;

const TABLE_MAP: u8 = 19;

const INCIDENT: u8 = 26;

/// MySQL's name of a transaction; the caller decodes it.
pub(crate) const GTID: u8 = 33;

const ANONYMOUS_GTID: u8 = 34;

pub(crate) const TAGGED_GTID: u8 = 42;

const XA_PREPARE: u8 = 38;

const PAYLOAD: u8 = 40;

const MARIADB_GTID: u8 = 162;

const COMPRESSED_QUERY: u8 = 165;

/// Events that carry no rows: the format's description, the end of a file, heartbeats (two forms),
/// variables for statements, the blocks of a file that LOAD DATA loads (its statement follows
/// them), the texts of statements, lists of earlier transactions, group replication's own, and
/// MariaDB's notes.
fn is_without_rows(code: u8) -> bool {
    matches!(code, 3 | 5 | 9 | 11 | 13..=15 | 17 | 27..=29 | 35..=37 | 41 | 160 | 161 | 163 | 164)
}

/// What a row event's code means: its deed, whether it has the newer form's extra data, whether it
/// is compressed.
fn deed(code: u8) -> Option<(Deed, bool, bool)> {
    Some(match code {
        23 => (Deed::Write, false, false),
        24 => (Deed::Update, false, false),
        25 => (Deed::Delete, false, false),
        30 => (Deed::Write, true, false),
        31 => (Deed::Update, true, false),
        32 => (Deed::Delete, true, false),
        39 => (Deed::PartialUpdate, true, false),
        166 => (Deed::Write, false, true),
        167 => (Deed::Update, false, true),
        168 => (Deed::Delete, false, true),
        169 => (Deed::Write, true, true),
        170 => (Deed::Update, true, true),
        171 => (Deed::Delete, true, true),
        _ => return None,
    })
}

/// The keys before and after, for every row; one where they are the same. An image that lacks a key
/// column did not change it. Also gives how many rows they are.
fn source_keys(key: &KeyIndex, forms: &[Form], rows: &Rows) -> Option<(Vec<Key>, u64)> {
    let wanted: Vec<usize> = key.columns.iter().map(|column| column.ordinal).collect();
    let (mut keys, mut changes) = (Vec::new(), 0);
    rows.each(forms, &wanted, |before, after| {
        changes += 1;
        let has = |image: &[Cell]| image.iter().any(|cell| *cell != Cell::Absent);
        let old = if has(before) { Some(spelled(key, before, before)?) } else { None };
        let new = if has(after) { Some(spelled(key, after, before)?) } else { None };
        match (old, new) {
            (None, None) => return None,
            (Some(old), Some(new)) if old != new => keys.extend([old, new]),
            (old, new) => keys.extend(new.or(old)),
        }
        Some(())
    })?;
    Some((keys, changes))
}

fn spelled(key: &KeyIndex, image: &[Cell], otherwise: &[Cell]) -> Option<Key> {
    let column = |((column, cell), other): ((&crate::key::index::KeyColumn, &Cell), &Cell)| match (
        cell, other,
    ) {
        (Cell::Value(value), _) | (Cell::Absent, Cell::Value(value)) => {
            column.spelling.of_log(value)
        }
        _ => None,
    };
    let columns: Vec<Vec<u8>> =
        key.columns.iter().zip(image).zip(otherwise).map(column).collect::<Option<_>>()?;
    Some(Key::compose(columns.iter().map(Vec::as_slice)))
}

/// The beat this event writes for our table; None inside for another table's.
fn own_beat(source: &str, forms: &[Form], rows: &Rows) -> Option<Option<u64>> {
    let mut own = None;
    rows.each(forms, &[0, 1], |before, after| {
        let either = |column: usize| match (after[column], before[column]) {
            (Cell::Value(value), _) | (Cell::Absent, Cell::Value(value)) => Some(value),
            _ => None,
        };
        if either(0)? == source.as_bytes()
            && let Cell::Value(beat) = after[1]
        {
            own = Some(Fields(beat).number(8)?);
        }
        Some(())
    })?;
    Some(own)
}

/// A statement's schema and text: thread (4), time (4), the schema's length (1), error (2), the
/// length of variables (2), those, the schema, a zero, the text.
fn query_parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Fields(body);
    fields.bytes(8)?;
    let schema_length = fields.number(1)?;
    fields.bytes(2)?;
    let variables = fields.number(2)?;
    fields.bytes(variables as usize)?;
    let schema = fields.bytes(schema_length as usize)?;
    fields.bytes(1)?;
    Some((schema, fields.0))
}

/// LOAD DATA's event as a statement's: it has 13 bytes more behind the fields of fixed length (the
/// file's number, two offsets, what becomes of duplicates).
fn load_statement(body: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = body.split_at_checked(13)?;
    Some([head, rest.get(13..)?].concat())
}

/// Whether it was committed at once, and its name: format (4), the lengths of its parts (4 each),
/// the parts.
fn prepared_name(body: &[u8]) -> Option<(bool, String)> {
    let mut fields = Fields(body);
    let in_one_phase = fields.number(1)? != 0;
    let format = fields.number(4)? as u32;
    let gtrid = fields.number(4)?;
    let bqual = fields.number(4)?;
    let gtrid = fields.bytes(gtrid as usize)?;
    let bqual = fields.bytes(bqual as usize)?;
    Some((in_one_phase, spell_xid(format, &hex(gtrid), &hex(bqual))))
}

/// MariaDB compresses the text of a statement, and of a row event all behind the bitmaps.
fn inflated_query(body: &[u8]) -> Option<Vec<u8>> {
    let (_, compressed) = query_parts(body)?;
    let head = &body[..body.len() - compressed.len()];
    Some([head, &inflated(compressed)?].concat())
}

fn inflated_rows(deed: Deed, has_extra: bool, body: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields(body);
    fields.bytes(8)?;
    if has_extra {
        let length = fields.number(2)?;
        fields.bytes((length as usize).checked_sub(2)?)?;
    }
    let columns = fields.packed()? as usize;
    let bitmaps = if matches!(deed, Deed::Update | Deed::PartialUpdate) { 2 } else { 1 };
    fields.bytes(columns.div_ceil(8) * bitmaps)?;
    let head = &body[..body.len() - fields.0.len()];
    Some([head, &inflated(fields.0)?].concat())
}

/// A byte that tells the algorithm (0: zlib) and how many bytes the length has, the length
/// (big-endian), the data.
fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields(bytes);
    let head = fields.number(1)?;
    if head & 0xf0 != 0x80 {
        return None;
    }
    let length = fields
        .bytes((head & 7) as usize)?
        .iter()
        .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    if length > LARGEST_INFLATED {
        return None;
    }
    let mut inflated = Vec::new();
    flate2::read::ZlibDecoder::new(fields.0).take(length + 1).read_to_end(&mut inflated).ok()?;
    (inflated.len() as u64 == length).then_some(inflated)
}

#[cfg(test)]
mod tests;
