//! Positions in the binary log: a file's offset, MySQL's sets of transactions, MariaDB's last
//! transaction of each domain. A [`Position`] also names its server, and a heartbeat that lies
//! behind it. Pure.
//!
//! Names of files and numbers of transactions do not identify a log: after a reset it begins with
//! the same ones. So a position lies just before a heartbeat of ours. A run that resumes there must
//! find that heartbeat.

use altergeist_contract::{Error, Position, Result};
use std::collections::BTreeMap;
use std::fmt;

/// A position in the log of one server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SavedPosition {
    /// What the server calls itself: MySQL's UUID, MariaDB's number.
    pub server: String,
    pub position: BinlogPosition,
    /// A heartbeat of ours behind the position, if one is known. The first heartbeat after the
    /// position has no greater number.
    pub beat: Option<u64>,
}

/// A position between two transactions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BinlogPosition {
    File {
        name: String,
        offset: u64,
    },
    /// All transactions that were executed.
    MySql(GtidSet),
    /// The last transaction of each domain.
    MariaDb(BTreeMap<u32, (u32, u64)>),
}

impl SavedPosition {
    pub(crate) fn to_position(&self) -> Position {
        let beat = self.beat.map(|beat| format!(" beat={beat}")).unwrap_or_default();
        Position(format!("server={} {}{beat}", self.server, self.position))
    }

    pub(crate) fn read(position: &Position) -> Result<SavedPosition> {
        parse(&position.0).ok_or_else(|| {
            Error::fatal("read a saved position in the log", format!("'{position}' is none"))
        })
    }
}

fn parse(text: &str) -> Option<SavedPosition> {
    let mut server = None;
    let mut position = None;
    let mut beat = None;
    for field in text.split(' ') {
        match field.split_once('=')? {
            ("server", value) => server = Some(value.to_owned()),
            ("beat", value) => beat = Some(value.parse().ok()?),
            (form, value) => position = Some(BinlogPosition::parse(form, value)?),
        }
    }
    Some(SavedPosition { server: server?, position: position?, beat })
}

/// Where the events of a file begin.
const FIRST_OFFSET: u64 = 4;

impl BinlogPosition {
    /// Returns where the server can begin, and the offset up to which the run has read already. The
    /// protocol has four bytes for an offset, but a large transaction makes a larger file.
    pub(crate) fn readable(&self) -> (BinlogPosition, Option<u64>) {
        match self {
            BinlogPosition::File { name, offset } if *offset > u64::from(u32::MAX) => {
                (BinlogPosition::File { name: name.clone(), offset: FIRST_OFFSET }, Some(*offset))
            }
            position => (position.clone(), None),
        }
    }

    /// Reads a position as [`BinlogPosition`] prints it: `file`, `gtid` or `domains`.
    pub(crate) fn parse(form: &str, text: &str) -> Option<BinlogPosition> {
        match form {
            "file" => {
                let (name, offset) = text.rsplit_once(':')?;
                Some(BinlogPosition::File { name: name.to_owned(), offset: offset.parse().ok()? })
            }
            "gtid" => GtidSet::parse(text).map(BinlogPosition::MySql),
            "domains" => domains(text).map(BinlogPosition::MariaDb),
            _ => None,
        }
    }
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BinlogPosition::File { name, offset } => write!(f, "file={name}:{offset}"),
            BinlogPosition::MySql(set) => write!(f, "gtid={set}"),
            BinlogPosition::MariaDb(domains) => write!(f, "domains={}", spell_domains(domains)),
        }
    }
}

/// Spells domains as MariaDB does: `0-1-100,7-1-5`.
pub(crate) fn spell_domains(domains: &BTreeMap<u32, (u32, u64)>) -> String {
    let spelled: Vec<String> = domains
        .iter()
        .map(|(domain, (server, number))| format!("{domain}-{server}-{number}"))
        .collect();
    spelled.join(",")
}

fn domains(text: &str) -> Option<BTreeMap<u32, (u32, u64)>> {
    let one = |gtid: &str| {
        let mut parts = gtid.split('-');
        let found = (
            parts.next()?.parse().ok()?,
            (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?),
        );
        parts.next().is_none().then_some(found)
    };
    text.split(',').filter(|gtid| !gtid.is_empty()).map(one).collect()
}

/// MySQL's set of transactions. For each source (a UUID, or a UUID and a tag) it has ranges of
/// numbers, first and last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct GtidSet(BTreeMap<String, Vec<(u64, u64)>>);

impl GtidSet {
    /// Reads the value of `@@gtid_executed`.
    pub(crate) fn parse(text: &str) -> Option<GtidSet> {
        let mut set = GtidSet::default();
        let text: String = text.chars().filter(|char| !char.is_whitespace()).collect();
        for block in text.split(',').filter(|block| !block.is_empty()) {
            let (uuid, rest) = block.split_once(':')?;
            let mut source = uuid.to_lowercase();
            for part in rest.split(':') {
                if part.starts_with(|char: char| char.is_ascii_digit()) {
                    let (first, last) = part.split_once('-').unwrap_or((part, part));
                    set.0
                        .entry(source.clone())
                        .or_default()
                        .push((first.parse().ok()?, last.parse().ok()?));
                } else {
                    source = format!("{}:{part}", uuid.to_lowercase());
                }
            }
        }
        Some(set)
    }

    /// Adds one transaction.
    pub(crate) fn add(&mut self, source: &str, number: u64) {
        let ranges = match self.0.get_mut(source) {
            Some(ranges) => ranges,
            None => self.0.entry(source.to_owned()).or_default(),
        };
        // It is nearly always the next number of the last range.
        let next = ranges.partition_point(|(first, _)| *first <= number);
        let follows = next > 0 && ranges[next - 1].1 + 1 >= number;
        let precedes = next < ranges.len() && number + 1 == ranges[next].0;
        match (follows, precedes) {
            (true, true) => {
                let (_, last) = ranges.remove(next);
                ranges[next - 1].1 = last;
            }
            (true, false) => ranges[next - 1].1 = ranges[next - 1].1.max(number),
            (false, true) => ranges[next].0 = number,
            (false, false) => ranges.insert(next, (number, number)),
        }
    }

    /// Returns one text for each source.
    pub(crate) fn blocks(&self) -> Vec<String> {
        let range = |(first, last): &(u64, u64)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        let block = |(source, ranges): (&String, &Vec<(u64, u64)>)| {
            format!("{source}:{}", ranges.iter().map(range).collect::<Vec<_>>().join(":"))
        };
        self.0.iter().map(block).collect()
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.blocks().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for text in [
            "server=7 file=binlog.000003:154",
            "server=b471742b-e67d-11f1-95a9-02fc00000001 \
             gtid=b471742b-e67d-11f1-95a9-02fc00000001:1-5:7,\
             b471742b-e67d-11f1-95a9-02fc00000001:tag:1 beat=17",
            "server=1 domains=0-1-100,7-1-5 beat=1",
        ] {
            assert_eq!(SavedPosition::read(&Position(text.into())).unwrap().to_position().0, text);
        }
        assert!(SavedPosition::read(&Position("binlog.000003:154".into())).is_err());
    }

    #[test]
    fn an_offset_the_protocol_cannot_say_is_reached_from_the_files_beginning() {
        let at = |offset| BinlogPosition::File { name: "log.1".into(), offset };
        assert_eq!(at(1 << 32).readable(), (at(4), Some(1 << 32)));
        assert_eq!(at((1 << 32) - 1).readable(), (at((1 << 32) - 1), None));
    }

    #[test]
    fn transactions_join_their_neighbours() {
        let mut set = GtidSet::parse("A:1-3:5,\nb:tag:2").unwrap();
        for number in [4, 9, 8, 2, 7] {
            set.add("a", number);
        }
        assert_eq!(set.to_string(), "a:1-5:7-9,b:tag:2");
        set.add("a", 6);
        set.add("c", 1);
        assert_eq!(set.to_string(), "a:1-9,b:tag:2,c:1");
    }
}
