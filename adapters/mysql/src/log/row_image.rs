//! Takes row events apart, as far as the key needs it: where each column's bytes are, but not what
//! they mean. Each function describes the server's format. Pure.

/// Takes fields from the front of bytes. It returns None if there are too few.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Takes a little-endian number of up to eight bytes.
    pub(crate) fn number(&mut self, length: usize) -> Option<u64> {
        Some(
            self.bytes(length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    /// Takes a number whose first byte says its length.
    pub(crate) fn packed(&mut self) -> Option<u64> {
        match self.number(1)? {
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            0xfb | 0xff => None,
            small => Some(small),
        }
    }
}

/// How a column's bytes are delimited: its type's code, and the type's metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ColumnFormat {
    pub code: u8,
    meta: [u8; 2],
}

/// A table, as the log announces it before its rows.
pub(crate) struct TableMap<'a> {
    pub id: u64,
    pub schema: &'a [u8],
    pub name: &'a [u8],
    formats: &'a [u8],
    metadata: &'a [u8],
}

impl<'a> TableMap<'a> {
    /// Reads six bytes of number, two of flags, schema and name (each a length, the bytes, a zero),
    /// the types' codes, and their metadata.
    pub(crate) fn read(body: &'a [u8]) -> Option<TableMap<'a>> {
        let mut fields = Fields(body);
        let id = fields.number(6)?;
        fields.bytes(2)?;
        let length = fields.number(1)?;
        let schema = fields.bytes(length as usize)?;
        fields.bytes(1)?;
        let length = fields.number(1)?;
        let name = fields.bytes(length as usize)?;
        fields.bytes(1)?;
        let columns = fields.packed()?;
        let formats = fields.bytes(columns as usize)?;
        let length = fields.packed()?;
        let metadata = fields.bytes(length as usize)?;
        Some(TableMap { id, schema, name, formats, metadata })
    }

    /// Returns the formats of all columns.
    pub(crate) fn formats(&self) -> Option<Vec<ColumnFormat>> {
        let mut metadata = Fields(self.metadata);
        self.formats
            .iter()
            .map(|code| {
                let mut meta = [0, 0];
                if *code == TYPED_ARRAY {
                    // The hidden column of an index over a JSON array. It has the code and metadata
                    // of its elements, and is stored as JSON.
                    let element = metadata.number(1)? as u8;
                    metadata.bytes(if element == VARCHAR {
                        3
                    } else {
                        metadata_bytes(element)?
                    })?;
                    return Some(ColumnFormat { code: JSON, meta: [4, 0] });
                }
                let given = metadata.bytes(metadata_bytes(*code)?)?;
                meta[..given.len()].copy_from_slice(given);
                Some(ColumnFormat { code: *code, meta })
            })
            .collect()
    }
}

pub(crate) const TINY: u8 = 1;
const VARCHAR: u8 = 15;
const BIT: u8 = 16;
const TIMESTAMP2: u8 = 17;
const DATETIME2: u8 = 18;
const TIME2: u8 = 19;
const TYPED_ARRAY: u8 = 20;
const COMPRESSED_BLOB: u8 = 140;
const COMPRESSED_VARCHAR: u8 = 141;
const VECTOR: u8 = 242;
pub(crate) const JSON: u8 = 245;
const DECIMAL: u8 = 246;
const ENUM: u8 = 247;
const SET: u8 = 248;
const STRING: u8 = 254;
const GEOMETRY: u8 = 255;

fn metadata_bytes(code: u8) -> Option<usize> {
    match code {
        // Integers, YEAR, and the temporal types of old tables.
        1..=3 | 7..=14 => Some(0),
        4 | 5 | TIMESTAMP2..=TIME2 | COMPRESSED_BLOB | VECTOR | JSON | 249..=252 | GEOMETRY => {
            Some(1)
        }
        VARCHAR | BIT | COMPRESSED_VARCHAR | DECIMAL..=SET | STRING => Some(2),
        _ => None,
    }
}

/// Returns the length of a value's length, and of the value, at the front of these bytes.
fn extent(format: ColumnFormat, bytes: &[u8]) -> Option<(usize, usize)> {
    let [one, two] = format.meta;
    let both = usize::from(u16::from_le_bytes(format.meta));
    let fraction = usize::from(one).div_ceil(2);
    let counted =
        |length_bytes: usize| Some((length_bytes, Fields(bytes).number(length_bytes)? as usize));
    match format.code {
        TINY | 13 => Some((0, 1)),
        2 => Some((0, 2)),
        3 | 4 | 7 => Some((0, 4)),
        5 | 8 | 12 => Some((0, 8)),
        9..=11 | 14 => Some((0, 3)),
        TIMESTAMP2 => Some((0, 4 + fraction)),
        DATETIME2 => Some((0, 5 + fraction)),
        TIME2 => Some((0, 3 + fraction)),
        VARCHAR | COMPRESSED_VARCHAR => counted(if both > 255 { 2 } else { 1 }),
        BIT => Some((0, usize::from(two) + usize::from(one > 0))),
        DECIMAL => Some((0, crate::key::spelling::decimal_bytes(one.into(), two.into()))),
        ENUM | SET => Some((0, two.into())),
        COMPRESSED_BLOB | VECTOR | JSON | 249..=252 | GEOMETRY if (1..=4).contains(&one) => {
            counted(one.into())
        }
        STRING if matches!(one, ENUM | SET) => Some((0, two.into())),
        // Two bits of the length are in the type's code, inverted.
        STRING => counted(if usize::from(two) | usize::from((one & 0x30) ^ 0x30) << 4 > 255 {
            2
        } else {
            1
        }),
        _ => None,
    }
}

/// A column of a row image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cell<'a> {
    /// The image does not have it: it did not change, or is not part of the key.
    Absent,
    Null,
    Value(&'a [u8]),
}

/// What a row event does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RowOperation {
    Write,
    Update,
    /// An update with its JSON columns as differences.
    PartialUpdate,
    Delete,
}

/// The rows of an event.
pub(crate) struct Rows<'a> {
    pub table: u64,
    columns: usize,
    pub operation: RowOperation,
    before: &'a [u8],
    after: &'a [u8],
    data: &'a [u8],
}

impl<'a> Rows<'a> {
    /// Reads six bytes of table number, two of flags, and in the newer format extra data with its
    /// length. Then come the number of columns, a bitmap of the columns in each image, and the
    /// images.
    pub(crate) fn read(
        operation: RowOperation,
        has_extra: bool,
        body: &'a [u8],
    ) -> Option<Rows<'a>> {
        let mut fields = Fields(body);
        let table = fields.number(6)?;
        fields.bytes(2)?;
        if has_extra {
            let length = fields.number(2)?;
            fields.bytes((length as usize).checked_sub(2)?)?;
        }
        let columns = fields.packed()? as usize;
        let bitmap = columns.div_ceil(8);
        let before = if operation == RowOperation::Write { &[] } else { fields.bytes(bitmap)? };
        let after = if operation == RowOperation::Delete { &[] } else { fields.bytes(bitmap)? };
        Some(Rows { table, columns, operation, before, after, data: fields.0 })
    }

    /// Calls `take` with the wanted columns of every row: before, and after. If the event has no
    /// such image, all its cells are [`Cell::Absent`].
    pub(crate) fn each(
        &self,
        formats: &[ColumnFormat],
        wanted: &[usize],
        mut take: impl FnMut(&[Cell<'a>], &[Cell<'a>]) -> Option<()>,
    ) -> Option<()> {
        if formats.len() != self.columns {
            return None;
        }
        let mut fields = Fields(self.data);
        let mut before = vec![Cell::Absent; wanted.len()];
        let mut after = before.clone();
        while !fields.0.is_empty() {
            if self.operation != RowOperation::Write {
                image(&mut fields, formats, self.before, wanted, &mut before)?;
            }
            if self.operation == RowOperation::PartialUpdate {
                skip_partial_marks(&mut fields, formats)?;
            }
            if self.operation != RowOperation::Delete {
                image(&mut fields, formats, self.after, wanted, &mut after)?;
            }
            take(&before, &after)?;
        }
        Some(())
    }
}

/// Reads a bitmap of NULLs over the present columns, then the values that are not NULL.
fn image<'a>(
    fields: &mut Fields<'a>,
    formats: &[ColumnFormat],
    present: &[u8],
    wanted: &[usize],
    cells: &mut [Cell<'a>],
) -> Option<()> {
    let is_set = |bitmap: &[u8], place: usize| bitmap[place / 8] & 1 << (place % 8) != 0;
    let count = (0..formats.len()).filter(|column| is_set(present, *column)).count();
    let nulls = fields.bytes(count.div_ceil(8))?;
    cells.fill(Cell::Absent);
    let mut place = 0;
    for (column, format) in formats.iter().enumerate() {
        if !is_set(present, column) {
            continue;
        }
        let cell = if is_set(nulls, place) {
            Cell::Null
        } else {
            let (prefix, length) = extent(*format, fields.0)?;
            Cell::Value(&fields.bytes(prefix + length)?[prefix..])
        };
        place += 1;
        if let Some(at) = wanted.iter().position(|wanted| *wanted == column) {
            cells[at] = cell;
        }
    }
    Some(())
}

/// Skips options and, if they say so, a bitmap over the table's JSON columns. The differences
/// themselves are delimited as JSON is.
fn skip_partial_marks(fields: &mut Fields, formats: &[ColumnFormat]) -> Option<()> {
    if fields.packed()? & 1 != 0 {
        fields.bytes(formats.iter().filter(|format| format.code == JSON).count().div_ceil(8))?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats() -> Vec<ColumnFormat> {
        let format = |code, meta| ColumnFormat { code, meta };
        vec![
            format(3, [0, 0]),
            format(VARCHAR, [40, 0]),
            format(252, [2, 0]),
            format(STRING, [STRING, 16]),
        ]
    }

    type Image = Vec<Option<Vec<u8>>>;

    fn cells(rows: &Rows, wanted: &[usize]) -> Option<Vec<(Image, Image)>> {
        let mut all = Vec::new();
        let owned = |cells: &[Cell]| {
            cells
                .iter()
                .map(|cell| if let Cell::Value(value) = cell { Some(value.to_vec()) } else { None })
                .collect()
        };
        rows.each(&formats(), wanted, |before, after| {
            all.push((owned(before), owned(after)));
            Some(())
        })?;
        Some(all)
    }

    #[test]
    fn wanted_columns_are_found_behind_those_that_are_not() {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 4, 0b1111];
        body.extend([0b0010, 7, 0, 0, 0, 2, 0, b'x', b'y', 1, b'k']);
        body.extend([0b0100, 8, 0, 0, 0, 1, b'v', 2, b'k', b'l']);
        let rows = Rows::read(RowOperation::Write, false, &body).unwrap();
        let found = cells(&rows, &[3, 0]).unwrap();
        assert_eq!(found[0].1, [Some(b"k".to_vec()), Some(vec![7, 0, 0, 0])]);
        assert_eq!(found[1].1, [Some(b"kl".to_vec()), Some(vec![8, 0, 0, 0])]);
        assert_eq!(found[0].0, [None, None]);
    }

    #[test]
    fn images_may_hold_some_columns_only() {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 4, 0b0001, 0b0010];
        body.extend([0, 7, 0, 0, 0, 0, 1, b'n']);
        let rows = Rows::read(RowOperation::Update, true, &body).unwrap();
        assert_eq!(cells(&rows, &[0]).unwrap(), [(vec![Some(vec![7, 0, 0, 0])], vec![None])]);
    }

    #[test]
    fn bytes_that_do_not_suffice_are_no_rows() {
        let body = [1, 0, 0, 0, 0, 0, 0, 0, 4, 0b1111, 0, 7, 0];
        assert!(cells(&Rows::read(RowOperation::Write, false, &body).unwrap(), &[0]).is_none());
        assert!(Rows::read(RowOperation::Write, true, &body[..9]).is_none());
        assert!(TableMap::read(&body).is_none());
    }
}
