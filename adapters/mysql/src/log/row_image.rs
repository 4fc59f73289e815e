//! Row events of the log, taken apart as far as the key needs it: where each column's bytes lie,
//! and nothing about what they mean. The server's formats are described at each function. Pure.

/// Takes fields from the front of bytes; None when they do not suffice.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A little-endian number of up to eight bytes.
    pub(crate) fn number(&mut self, length: usize) -> Option<u64> {
        Some(
            self.bytes(length)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    /// A number whose first byte tells its length.
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
pub(crate) struct Form {
    pub code: u8,
    meta: [u8; 2],
}

/// A table, as the log announces it before its rows.
pub(crate) struct TableMap<'a> {
    pub id: u64,
    pub schema: &'a [u8],
    pub name: &'a [u8],
    forms: &'a [u8],
    metadata: &'a [u8],
}

impl<'a> TableMap<'a> {
    /// Six bytes of number, two of flags, schema and name (each a length, the bytes, a zero), then
    /// the types' codes and their metadata.
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
        let forms = fields.bytes(columns as usize)?;
        let length = fields.packed()?;
        let metadata = fields.bytes(length as usize)?;
        Some(TableMap { id, schema, name, forms, metadata })
    }

    /// The forms of all columns.
    pub(crate) fn forms(&self) -> Option<Vec<Form>> {
        let mut metadata = Fields(self.metadata);
        self.forms
            .iter()
            .map(|code| {
                let mut meta = [0, 0];
                if *code == TYPED_ARRAY {
                    // The hidden column of an index over a JSON array: told by its elements' code
                    // and metadata, kept as JSON.
                    let element = metadata.number(1)? as u8;
                    metadata.bytes(if element == VARCHAR {
                        3
                    } else {
                        metadata_bytes(element)?
                    })?;
                    return Some(Form { code: JSON, meta: [4, 0] });
                }
                let given = metadata.bytes(metadata_bytes(*code)?)?;
                meta[..given.len()].copy_from_slice(given);
                Some(Form { code: *code, meta })
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

/// The length of a value's length, and of the value, at the front of these bytes.
fn extent(form: Form, bytes: &[u8]) -> Option<(usize, usize)> {
    let [one, two] = form.meta;
    let both = usize::from(u16::from_le_bytes(form.meta));
    let fraction = usize::from(one).div_ceil(2);
    let counted =
        |length_bytes: usize| Some((length_bytes, Fields(bytes).number(length_bytes)? as usize));
    match form.code {
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
        // Two bits of the length hide, inverted, in the type's code.
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
    /// The image does not hold it: it did not change, or is not part of the key.
    Absent,
    Null,
    Value(&'a [u8]),
}

/// What a row event does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Write,
    Update,
    /// An update whose JSON columns are given as differences.
    PartialUpdate,
    Delete,
}

/// The rows of an event.
pub(crate) struct Rows<'a> {
    pub table: u64,
    columns: usize,
    pub deed: Deed,
    before: &'a [u8],
    after: &'a [u8],
    data: &'a [u8],
}

impl<'a> Rows<'a> {
    /// Six bytes of table number, two of flags, in the newer form extra data with its length; then
    /// the number of columns, a bitmap of the columns in each image, and the images.
    pub(crate) fn read(deed: Deed, has_extra: bool, body: &'a [u8]) -> Option<Rows<'a>> {
        let mut fields = Fields(body);
        let table = fields.number(6)?;
        fields.bytes(2)?;
        if has_extra {
            let length = fields.number(2)?;
            fields.bytes((length as usize).checked_sub(2)?)?;
        }
        let columns = fields.packed()? as usize;
        let bitmap = columns.div_ceil(8);
        let before = if deed == Deed::Write { &[] } else { fields.bytes(bitmap)? };
        let after = if deed == Deed::Delete { &[] } else { fields.bytes(bitmap)? };
        Some(Rows { table, columns, deed, before, after, data: fields.0 })
    }

    /// Gives the wanted columns of every row: before, and after. An image that the event does not
    /// have is all [`Cell::Absent`].
    pub(crate) fn each(
        &self,
        forms: &[Form],
        wanted: &[usize],
        mut take: impl FnMut(&[Cell<'a>], &[Cell<'a>]) -> Option<()>,
    ) -> Option<()> {
        if forms.len() != self.columns {
            return None;
        }
        let mut fields = Fields(self.data);
        let mut before = vec![Cell::Absent; wanted.len()];
        let mut after = before.clone();
        while !fields.0.is_empty() {
            if self.deed != Deed::Write {
                image(&mut fields, forms, self.before, wanted, &mut before)?;
            }
            if self.deed == Deed::PartialUpdate {
                skip_partial_marks(&mut fields, forms)?;
            }
            if self.deed != Deed::Delete {
                image(&mut fields, forms, self.after, wanted, &mut after)?;
            }
            take(&before, &after)?;
        }
        Some(())
    }
}

/// A bitmap of NULLs over the columns present, then the values of those that are not NULL.
fn image<'a>(
    fields: &mut Fields<'a>,
    forms: &[Form],
    present: &[u8],
    wanted: &[usize],
    cells: &mut [Cell<'a>],
) -> Option<()> {
    let is_set = |bitmap: &[u8], place: usize| bitmap[place / 8] & 1 << (place % 8) != 0;
    let count = (0..forms.len()).filter(|column| is_set(present, *column)).count();
    let nulls = fields.bytes(count.div_ceil(8))?;
    cells.fill(Cell::Absent);
    let mut place = 0;
    for (column, form) in forms.iter().enumerate() {
        if !is_set(present, column) {
            continue;
        }
        let cell = if is_set(nulls, place) {
            Cell::Null
        } else {
            let (prefix, length) = extent(*form, fields.0)?;
            Cell::Value(&fields.bytes(prefix + length)?[prefix..])
        };
        place += 1;
        if let Some(at) = wanted.iter().position(|wanted| *wanted == column) {
            cells[at] = cell;
        }
    }
    Some(())
}

/// Options, and if they say so a bitmap over the table's JSON columns. The differences themselves
/// are delimited as JSON is.
fn skip_partial_marks(fields: &mut Fields, forms: &[Form]) -> Option<()> {
    if fields.packed()? & 1 != 0 {
        fields.bytes(forms.iter().filter(|form| form.code == JSON).count().div_ceil(8))?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms() -> Vec<Form> {
        let form = |code, meta| Form { code, meta };
        vec![form(3, [0, 0]), form(VARCHAR, [40, 0]), form(252, [2, 0]), form(STRING, [STRING, 16])]
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
        rows.each(&forms(), wanted, |before, after| {
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
        let rows = Rows::read(Deed::Write, false, &body).unwrap();
        let found = cells(&rows, &[3, 0]).unwrap();
        assert_eq!(found[0].1, [Some(b"k".to_vec()), Some(vec![7, 0, 0, 0])]);
        assert_eq!(found[1].1, [Some(b"kl".to_vec()), Some(vec![8, 0, 0, 0])]);
        assert_eq!(found[0].0, [None, None]);
    }

    #[test]
    fn images_may_hold_some_columns_only() {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 4, 0b0001, 0b0010];
        body.extend([0, 7, 0, 0, 0, 0, 1, b'n']);
        let rows = Rows::read(Deed::Update, true, &body).unwrap();
        assert_eq!(cells(&rows, &[0]).unwrap(), [(vec![Some(vec![7, 0, 0, 0])], vec![None])]);
    }

    #[test]
    fn bytes_that_do_not_suffice_are_no_rows() {
        let body = [1, 0, 0, 0, 0, 0, 0, 0, 4, 0b1111, 0, 7, 0];
        assert!(cells(&Rows::read(Deed::Write, false, &body).unwrap(), &[0]).is_none());
        assert!(Rows::read(Deed::Write, true, &body[..9]).is_none());
        assert!(TableMap::read(&body).is_none());
    }
}
