//! The events of the log: their codes, and the parts of events without rows. Inflates MariaDB's
//! compressed events. Pure.

use crate::log::row_image::{Fields, RowOperation};
use crate::log::xa_name::spell_xid;
use crate::sql::quote::hex;
use std::io::Read;

/// The largest event that a compressed one may hold.
const LARGEST_INFLATED: u64 = 1 << 30;

pub(crate) const QUERY: u8 = 2;

pub(crate) const ROTATE: u8 = 4;

pub(crate) const XID: u8 = 16;

pub(crate) const LOAD_QUERY: u8 = 18;

pub(crate) const TABLE_MAP: u8 = 19;

pub(crate) const INCIDENT: u8 = 26;

/// MySQL's name of a transaction; the driver decodes it.
pub(crate) const GTID: u8 = 33;

pub(crate) const ANONYMOUS_GTID: u8 = 34;

pub(crate) const TAGGED_GTID: u8 = 42;

pub(crate) const XA_PREPARE: u8 = 38;

pub(crate) const PAYLOAD: u8 = 40;

pub(crate) const MARIADB_GTID: u8 = 162;

pub(crate) const COMPRESSED_QUERY: u8 = 165;

/// Returns whether an event carries no rows: the format's description, the end of a file,
/// heartbeats (two formats), variables for statements, the blocks of a file that LOAD DATA loads
/// (its statement follows them), the texts of statements, lists of earlier transactions, events of
/// group replication, and MariaDB's notes.
pub(crate) fn is_without_rows(code: u8) -> bool {
    matches!(code, 3 | 5 | 9 | 11 | 13..=15 | 17 | 27..=29 | 35..=37 | 41 | 160 | 161 | 163 | 164)
}

/// Reads the code of a row event: its operation, whether it has the newer format's extra data, and
/// whether it is compressed.
pub(crate) fn operation(code: u8) -> Option<(RowOperation, bool, bool)> {
    Some(match code {
        23 => (RowOperation::Write, false, false),
        24 => (RowOperation::Update, false, false),
        25 => (RowOperation::Delete, false, false),
        30 => (RowOperation::Write, true, false),
        31 => (RowOperation::Update, true, false),
        32 => (RowOperation::Delete, true, false),
        39 => (RowOperation::PartialUpdate, true, false),
        166 => (RowOperation::Write, false, true),
        167 => (RowOperation::Update, false, true),
        168 => (RowOperation::Delete, false, true),
        169 => (RowOperation::Write, true, true),
        170 => (RowOperation::Update, true, true),
        171 => (RowOperation::Delete, true, true),
        _ => return None,
    })
}

/// Returns a statement's schema and text. The event has: thread (4), time (4), the schema's length
/// (1), error (2), the length of variables (2), the variables, the schema, a zero, the text.
pub(crate) fn query_parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
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

/// Turns LOAD DATA's event into a statement's event. It has 13 bytes more behind the fields of
/// fixed length: the file's number, two offsets, and what to do with duplicates.
pub(crate) fn load_statement(body: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = body.split_at_checked(13)?;
    Some([head, rest.get(13..)?].concat())
}

/// Returns whether the transaction was committed at once, and its name. The name has: format (4),
/// the lengths of its parts (4 each), the parts.
pub(crate) fn prepared_name(body: &[u8]) -> Option<(bool, String)> {
    let mut fields = Fields(body);
    let in_one_phase = fields.number(1)? != 0;
    let format = fields.number(4)? as u32;
    let gtrid = fields.number(4)?;
    let bqual = fields.number(4)?;
    let gtrid = fields.bytes(gtrid as usize)?;
    let bqual = fields.bytes(bqual as usize)?;
    Some((in_one_phase, spell_xid(format, &hex(gtrid), &hex(bqual))))
}

/// Inflates a statement. MariaDB compresses its text; of a row event it compresses all behind the
/// bitmaps.
pub(crate) fn inflated_query(body: &[u8]) -> Option<Vec<u8>> {
    let (_, compressed) = query_parts(body)?;
    let head = &body[..body.len() - compressed.len()];
    Some([head, &inflated(compressed)?].concat())
}

pub(crate) fn inflated_rows(
    operation: RowOperation,
    has_extra: bool,
    body: &[u8],
) -> Option<Vec<u8>> {
    let mut fields = Fields(body);
    fields.bytes(8)?;
    if has_extra {
        let length = fields.number(2)?;
        fields.bytes((length as usize).checked_sub(2)?)?;
    }
    let columns = fields.packed()? as usize;
    let bitmaps =
        if matches!(operation, RowOperation::Update | RowOperation::PartialUpdate) { 2 } else { 1 };
    fields.bytes(columns.div_ceil(8) * bitmaps)?;
    let head = &body[..body.len() - fields.0.len()];
    Some([head, &inflated(fields.0)?].concat())
}

/// Inflates data. It has: a byte with the algorithm (0: zlib) and the size of the length, the
/// length (big-endian), the compressed bytes.
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
mod tests {
    use super::*;

    #[test]
    fn compressed_bytes_are_inflated_to_the_length_they_promise() {
        use std::io::Write;
        let mut encoder =
            flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"INSERT").unwrap();
        let data = encoder.finish().unwrap();
        assert_eq!(inflated(&[&[0x81, 6][..], &data].concat()).as_deref(), Some(&b"INSERT"[..]));
        assert_eq!(inflated(&[&[0x81, 7][..], &data].concat()), None);
        assert_eq!(inflated(&[&[0x91, 6][..], &data].concat()), None);
    }
}
