//! Decodes the server's logical replication messages (pgoutput, protocol 1, binary values), as far
//! as keys, marks and commits go. An unknown message is an error, because to skip it could lose
//! rows. Pure.

use std::fmt;

/// A position in the write-ahead log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Lsn(pub(crate) u64);

impl Lsn {
    /// Reads the server's spelling, two hexadecimal halves.
    pub(crate) fn parse(text: &str) -> Option<Lsn> {
        let (high, low) = text.split_once('/')?;
        let high = u32::from_str_radix(high, 16).ok()?;
        let low = u32::from_str_radix(low, 16).ok()?;
        Some(Lsn(u64::from(high) << 32 | u64::from(low)))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// One message of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A committed transaction begins.
    Begin { xid: u32 },
    /// It ends here.
    Commit { end: Lsn },
    /// A table's name and columns. Sent before its first change, and after an ALTER.
    Relation(Relation<'a>),
    /// A row appeared.
    Insert { relation: u32, new: Row<'a> },
    /// A row changed. The old row comes with it if its identity changed, or if the new row lacks a
    /// part of it.
    Update { relation: u32, old: Option<Row<'a>>, new: Row<'a> },
    /// A row disappeared.
    Delete { relation: u32, old: Row<'a> },
    /// Tables were emptied.
    Truncate { relations: Vec<u32> },
    /// A session wrote a message into the log.
    Logical { prefix: &'a str, content: &'a [u8] },
    /// The origin of a transaction, or a type's name. Not used.
    Ignored,
}

/// A table as the log knows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Relation<'a> {
    pub(crate) oid: u32,
    pub(crate) schema: &'a str,
    pub(crate) name: &'a str,
    /// The letter of its replica identity.
    pub(crate) identity: u8,
    /// Name and type of each published column.
    pub(crate) columns: Vec<(&'a str, u32)>,
    /// Those that belong to the replica identity.
    pub(crate) identity_columns: Vec<&'a str>,
}

/// A row's values, in the order of the relation's columns.
#[derive(PartialEq, Eq)]
pub(crate) struct Row<'a>(pub(crate) Vec<Value<'a>>);

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({} values)", self.0.len())
    }
}

/// One value.
#[derive(PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Null,
    /// An unchanged value out of line, which is not sent.
    Unchanged,
    /// The bytes of the type's send function.
    Binary(&'a [u8]),
    /// Text, for types without a send function. Never a key.
    Text,
}

/// Decodes one message.
pub(crate) fn decode(bytes: &[u8]) -> Result<Message<'_>, String> {
    let mut reader = Reader(bytes);
    let tag = reader.byte()?;
    let message = match tag {
        b'B' => begin(&mut reader)?,
        b'C' => commit(&mut reader)?,
        b'R' => Message::Relation(relation(&mut reader)?),
        b'I' => insert(&mut reader)?,
        b'U' => update(&mut reader)?,
        b'D' => delete(&mut reader)?,
        b'T' => truncate(&mut reader)?,
        b'M' => logical_message(&mut reader)?,
        b'O' | b'Y' => return Ok(Message::Ignored),
        other => {
            return Err(format!(
                "the log holds a message of the unknown kind {:?}",
                char::from(other)
            ));
        }
    };
    if reader.0.is_empty() {
        Ok(message)
    } else {
        Err("a message of the log is longer than it should be".to_owned())
    }
}

fn begin<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, String> {
    reader.long()?;
    reader.long()?;
    Ok(Message::Begin { xid: reader.int()? })
}

fn commit<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, String> {
    reader.byte()?;
    reader.long()?;
    let end = Lsn(reader.long()?);
    reader.long()?;
    Ok(Message::Commit { end })
}

fn relation<'a>(reader: &mut Reader<'a>) -> Result<Relation<'a>, String> {
    let oid = reader.int()?;
    let schema = reader.text()?;
    let name = reader.text()?;
    let identity = reader.byte()?;
    let count = reader.short()?;
    let mut columns = Vec::with_capacity(count.into());
    let mut identity_columns = Vec::new();
    for _ in 0..count {
        let flags = reader.byte()?;
        let column = reader.text()?;
        if flags & 1 == 1 {
            identity_columns.push(column);
        }
        let type_oid = reader.int()?;
        reader.int()?;
        columns.push((column, type_oid));
    }
    // The server sends the catalogue's own schema as an empty text.
    let schema = if schema.is_empty() { "pg_catalog" } else { schema };
    Ok(Relation { oid, schema, name, identity, columns, identity_columns })
}

fn insert<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, String> {
    let relation = reader.int()?;
    expect(reader.byte()?, b"N")?;
    Ok(Message::Insert { relation, new: row(reader)? })
}

fn update<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, String> {
    let relation = reader.int()?;
    let first = expect(reader.byte()?, b"KON")?;
    if first == b'N' {
        return Ok(Message::Update { relation, old: None, new: row(reader)? });
    }
    let old = row(reader)?;
    expect(reader.byte()?, b"N")?;
    Ok(Message::Update { relation, old: Some(old), new: row(reader)? })
}

fn delete<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, String> {
    let relation = reader.int()?;
    expect(reader.byte()?, b"KO")?;
    Ok(Message::Delete { relation, old: row(reader)? })
}

fn truncate<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, String> {
    let count = reader.int()?;
    reader.byte()?;
    let relations = (0..count).map(|_| reader.int()).collect::<Result<_, _>>()?;
    Ok(Message::Truncate { relations })
}

fn logical_message<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, String> {
    reader.byte()?;
    reader.long()?;
    let prefix = reader.text()?;
    let length = reader.int()?;
    Ok(Message::Logical { prefix, content: reader.take(length as usize)? })
}

fn row<'a>(reader: &mut Reader<'a>) -> Result<Row<'a>, String> {
    let count = reader.short()?;
    let mut values = Vec::with_capacity(count.into());
    for _ in 0..count {
        values.push(match reader.byte()? {
            b'n' => Value::Null,
            b'u' => Value::Unchanged,
            b'b' => Value::Binary(sized(reader)?),
            b't' => {
                sized(reader)?;
                Value::Text
            }
            _ => return Err("a value of the log has an unknown form".to_owned()),
        });
    }
    Ok(Row(values))
}

fn sized<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], String> {
    let length = reader.int()?;
    reader.take(length as usize)
}

fn expect(found: u8, wanted: &[u8]) -> Result<u8, String> {
    if wanted.contains(&found) {
        Ok(found)
    } else {
        Err("a message of the log is malformed".to_owned())
    }
}

/// Reads a message from its beginning.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.0.split_at_checked(length).ok_or("a message of the log is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<u16, String> {
        Ok(u16::from_be_bytes(self.take(2)?.try_into().expect("two bytes were taken")))
    }

    fn int(&mut self) -> Result<u32, String> {
        Ok(u32::from_be_bytes(self.take(4)?.try_into().expect("four bytes were taken")))
    }

    fn long(&mut self) -> Result<u64, String> {
        Ok(u64::from_be_bytes(self.take(8)?.try_into().expect("eight bytes were taken")))
    }

    fn text(&mut self) -> Result<&'a str, String> {
        let length =
            self.0.iter().position(|byte| *byte == 0).ok_or("a name in the log never ends")?;
        let bytes = self.take(length)?;
        self.byte()?;
        std::str::from_utf8(bytes).map_err(|_| "a name in the log is not UTF-8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn a_place_in_the_log_is_spelled_as_the_server_spells_it() {
        assert_eq!(Lsn::parse("1/16B3748"), Some(Lsn(0x1_016b_3748)));
        assert_eq!(Lsn(0x1_016b_3748).to_string(), "1/16B3748");
        assert_eq!(Lsn::parse("16B3748"), None);
    }

    #[test]
    fn an_update_of_the_key_carries_both_keys() {
        let old: &[u8] = &[0, 1, b'b', 0, 0, 0, 1, 7];
        let new: &[u8] = &[0, 1, b'b', 0, 0, 0, 1, 8];
        let message = bytes(&[b"U", &[0, 0, 0, 9], b"K", old, b"N", new]);
        let Ok(Message::Update { relation: 9, old: Some(old), new }) = decode(&message) else {
            panic!("no update")
        };
        assert!(old.0 == [Value::Binary(&[7])] && new.0 == [Value::Binary(&[8])]);
    }

    #[test]
    fn a_value_out_of_line_is_known_as_such() {
        let message = bytes(&[b"U", &[0, 0, 0, 9], b"N", &[0, 2, b'u', b'n']]);
        let Ok(Message::Update { old: None, new, .. }) = decode(&message) else {
            panic!("no update")
        };
        assert!(new.0 == [Value::Unchanged, Value::Null]);
    }

    #[test]
    fn a_mark_gives_its_words() {
        let message = bytes(&[b"M", &[1], &[0; 8], b"altergeist\0", &[0, 0, 0, 3], b"x:1"]);
        assert_eq!(
            decode(&message),
            Ok(Message::Logical { prefix: "altergeist", content: b"x:1" })
        );
    }

    #[test]
    fn what_is_unknown_or_cut_short_is_an_error() {
        assert!(decode(b"S").is_err());
        assert!(decode(b"").is_err());
        assert!(
            decode(&bytes(&[b"I", &[0, 0, 0, 9], b"N", &[0, 1, b'b', 0, 0, 0, 9, 1]])).is_err()
        );
        assert!(decode(&bytes(&[b"B", &[0; 20], b"more"])).is_err());
    }

    #[test]
    fn a_row_is_never_printed() {
        assert_eq!(format!("{:?}", Row(vec![Value::Binary(b"secret")])), "Row(1 values)");
    }
}
