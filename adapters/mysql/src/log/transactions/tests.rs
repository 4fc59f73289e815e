//! Tests of the parser, with events made by hand.

use super::*;
use crate::key::index::KeyColumn;
use crate::key::spelling::Spelling;
use crate::log::position::GtidSet;

const TABLE: u8 = 7;
const BEATS: u8 = 8;

fn parser() -> TransactionParser {
    follower_at(SavedPosition {
        server: "1".into(),
        position: BinlogPosition::MySql(GtidSet::default()),
        beat: None,
    })
}

fn follower_at(saved: SavedPosition) -> TransactionParser {
    let name = |name: &str| TableName::new("s", name);
    let column = KeyColumn {
        name: "id".into(),
        shadow_name: "id".into(),
        ordinal: 0,
        spelling: Spelling::Integer { bytes: 4, unsigned: false },
        descending: false,
        prefix: None,
        mapping: crate::key::mapping::Mapping::Same,
    };
    let key =
        KeyIndex { index: "PRIMARY".into(), shadow_index: "PRIMARY".into(), columns: vec![column] };
    TransactionParser::new((name("t"), &Names::of(&name("t"))), key, Vec::new(), saved)
}

fn event(code: u8, body: &[u8]) -> LogEvent<'_> {
    LogEvent { code, flags: 0, server: 1, next_offset: 0, body, gtid: None }
}

fn query(text: &str) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend([1, 0, 0, 0, 0, b's', 0]);
    body.extend(text.as_bytes());
    body
}

fn table_map(id: u8, name: &str, formats: &[u8], metadata: &[u8]) -> Vec<u8> {
    let mut body = vec![id, 0, 0, 0, 0, 0, 0, 0, 1, b's', 0, name.len() as u8];
    body.extend(name.as_bytes());
    body.extend([0, formats.len() as u8]);
    body.extend(formats);
    body.push(metadata.len() as u8);
    body.extend(metadata);
    body
}

/// The log of a test: the events of transactions.
struct Log {
    parser: TransactionParser,
    number: u64,
}

impl Log {
    pub(crate) fn new() -> Log {
        Log { parser: parser(), number: 0 }
    }

    pub(crate) fn announce(&mut self) {
        self.number += 1;
        let announced = LogEvent { gtid: Some(("a".into(), self.number)), ..event(GTID, &[]) };
        self.parser.take(&announced).unwrap();
    }

    pub(crate) fn say(&mut self, text: &str) -> Result<Option<Batch>> {
        self.parser.take(&event(QUERY, &query(text)))
    }

    pub(crate) fn write(&mut self, ids: &[u32]) -> Result<Option<Batch>> {
        self.parser.take(&event(TABLE_MAP, &table_map(TABLE, "t", &[3], &[])))?;
        let mut body = vec![TABLE, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1];
        ids.iter().for_each(|id| body.extend([&[0][..], &id.to_le_bytes()].concat()));
        self.parser.take(&event(30, &body))
    }

    fn commit(&mut self) -> Result<Option<Batch>> {
        self.parser.take(&event(XID, &[0; 8]))
    }

    fn transaction(&mut self, ids: &[u32]) {
        self.announce();
        self.say("BEGIN").unwrap();
        self.write(ids).unwrap();
        assert!(self.commit().unwrap().is_none());
    }

    pub(crate) fn beat(&mut self, number: u64) -> Result<Batch> {
        self.announce();
        self.say("BEGIN")?;
        self.parser
            .take(&event(TABLE_MAP, &table_map(BEATS, "_altergeist_beat", &[15, 8], &[0, 1])))?;
        let mut body = vec![BEATS, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 3, 0, 1, 0, b't'];
        body.extend(number.to_le_bytes());
        self.parser.take(&event(30, &body))?;
        self.commit().map(|batch| batch.expect("a beat makes a batch"))
    }
}

fn keys(ids: &[u32]) -> Vec<Key> {
    ids.iter().map(|id| Key::compose([id.to_string().as_bytes()])).collect()
}

#[test]
fn a_heartbeat_makes_a_batch_of_what_came_before_it() {
    let mut log = Log::new();
    log.transaction(&[1, 2]);
    log.transaction(&[3]);
    let batch = log.beat(5).unwrap();
    assert_eq!(batch.keys, keys(&[1, 2, 3]));
    assert_eq!(batch.position.0, "server=1 gtid=a:1-2 beat=5");
    assert_eq!((batch.marker, batch.proof), (Marker(5), Some(Marker(5))));
}

#[test]
fn a_missing_heartbeat_ends_the_run() {
    let mut log = Log::new();
    log.beat(5).unwrap();
    log.beat(6).unwrap();
    assert!(log.beat(8).is_err());
}

#[test]
fn a_log_that_was_reset_is_known_by_the_heartbeat_it_lacks() {
    let mut log = Log::new();
    log.parser.safe.beat = Some(5);
    log.transaction(&[1]);
    assert!(log.beat(6).is_err(), "the position promised the fifth or an earlier one");
    let mut log = Log::new();
    log.parser.safe.beat = Some(5);
    assert!(log.beat(4).is_ok() && log.beat(5).is_ok() && log.beat(6).is_ok());
}

#[test]
fn a_position_in_a_file_lies_before_the_heartbeat() {
    let mut log = Log::new();
    log.parser.position = BinlogPosition::File { name: "log.1".into(), offset: 100 };
    let mut at = |code: u8, next_offset: u32, body: &[u8]| {
        log.parser.take(&LogEvent { next_offset, ..event(code, body) }).unwrap()
    };
    at(ANONYMOUS_GTID, 150, &[]);
    at(QUERY, 200, &query("BEGIN"));
    at(TABLE_MAP, 250, &table_map(BEATS, "_altergeist_beat", &[15, 8], &[0, 1]));
    let mut body = vec![BEATS, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 3, 0, 1, 0, b't'];
    body.extend(9_u64.to_le_bytes());
    at(30, 300, &body);
    let batch = at(XID, 350, &[0; 8]).expect("a beat makes a batch");
    assert_eq!(batch.position.0, "server=1 file=log.1:100 beat=9");
}

#[test]
fn what_was_delivered_before_an_offset_the_protocol_cannot_say_is_skipped() {
    let at = |offset| BinlogPosition::File { name: "log.1".into(), offset };
    let saved = SavedPosition { server: "1".into(), position: at(0x1_0000_0010), beat: None };
    let mut parser = follower_at(saved.clone());
    let skipped = |parser: &mut TransactionParser, next_offset| {
        parser.take(&LogEvent { next_offset, ..event(99, &[]) })
    };
    for next_offset in [0x100, 0xffff_fff0, 0x10] {
        assert!(skipped(&mut parser, next_offset).unwrap().is_none());
    }
    assert_eq!((&parser.position, parser.skips_to), (&at(0x1_0000_0010), None));
    assert!(skipped(&mut parser, 0x40).is_err(), "what comes now is read");

    let mut parser = follower_at(saved);
    skipped(&mut parser, 0xffff_fff0).unwrap();
    assert!(skipped(&mut parser, 0x11).is_err(), "no event ends at the saved position");
}

#[test]
fn a_transaction_that_does_not_end_ends_the_run() {
    let mut log = Log::new();
    log.announce();
    log.parser.take(&event(PAYLOAD, &[])).unwrap();
    let announced = LogEvent { gtid: Some(("a".into(), 2)), ..event(GTID, &[]) };
    assert!(log.parser.take(&announced).is_err());
}

#[test]
fn the_rows_of_a_prepared_transaction_wait_for_its_end_and_hold_the_position() {
    let mut log = Log::new();
    log.beat(1).unwrap();
    log.announce();
    log.say("XA START X'61',X'',1").unwrap();
    log.write(&[7]).unwrap();
    log.say("XA END X'61',X'',1").unwrap();
    let prepared =
        [&[0][..], &1_u32.to_le_bytes(), &1_u32.to_le_bytes(), &0_u32.to_le_bytes(), b"a"].concat();
    log.parser.take(&event(XA_PREPARE, &prepared)).unwrap();
    assert_eq!(log.parser.undecided(), 1);
    let batch = log.beat(2).unwrap();
    assert_eq!((batch.keys, batch.position.0.as_str()), (vec![], "server=1 gtid= beat=1"));

    log.announce();
    log.say("XA ROLLBACK X'61',X'',1").unwrap();
    let batch = log.beat(3).unwrap();
    assert_eq!(batch.keys, keys(&[7]));
    assert_eq!(batch.ended, ["1-61-"]);
    assert_eq!(batch.position.0, "server=1 gtid=a:1-4 beat=3");
}

#[test]
fn mariadb_says_in_a_transactions_name_that_it_is_only_prepared() {
    let mut log = Log::new();
    log.parser.position = BinlogPosition::MariaDb(BTreeMap::new());
    let name = |number: u8, flags: u8| [&[number][..], &[0; 11], &[flags]].concat();
    log.parser.take(&event(MARIADB_GTID, &name(1, 64))).unwrap();
    log.write(&[7]).unwrap();
    log.say("XA END X'61',X'',1").unwrap();
    let prepared =
        [&[0][..], &1_u32.to_le_bytes(), &1_u32.to_le_bytes(), &0_u32.to_le_bytes(), b"a"].concat();
    log.parser.take(&event(XA_PREPARE, &prepared)).unwrap();
    assert_eq!((log.parser.undecided(), log.parser.keys.len()), (1, 0));
    log.parser.take(&event(MARIADB_GTID, &name(2, 128))).unwrap();
    log.say("XA COMMIT X'61',X'',1").unwrap();
    assert_eq!(log.parser.keys, keys(&[7]));
}

#[test]
fn a_prepared_transaction_nobody_saw_ends_the_run() {
    let mut log = Log::new();
    log.announce();
    assert!(log.say("XA COMMIT X'61',X'',1").is_err());
}

#[test]
fn a_transaction_larger_than_memory_is_handed_on_in_parts_from_the_same_position() {
    let mut log = Log::new();
    log.beat(1).unwrap();
    log.announce();
    log.say("BEGIN").unwrap();
    let ids: Vec<u32> = (0..MOST_KEYS as u32).collect();
    let batch = log.write(&ids).unwrap().expect("enough keys for a batch");
    assert_eq!((batch.keys.len(), batch.proof), (MOST_KEYS, None));
    assert_eq!(batch.position.0, "server=1 gtid= beat=1");
}

#[test]
fn events_that_are_not_known_end_the_run_unless_they_say_that_they_may_be_ignored() {
    let mut parser = parser();
    assert!(parser.take(&event(99, &[])).is_err());
    assert!(parser.take(&LogEvent { flags: IGNORABLE, ..event(99, &[]) }).unwrap().is_none());
}

#[test]
fn offsets_grow_beyond_what_events_can_say() {
    let mut parser = parser();
    parser.position = BinlogPosition::File { name: "log.1".into(), offset: 0xffff_fff0 };
    parser.note_offset(&LogEvent { next_offset: 0x10, ..event(QUERY, &[]) });
    assert_eq!(
        parser.position,
        BinlogPosition::File { name: "log.1".into(), offset: 0x1_0000_0010 }
    );
}
