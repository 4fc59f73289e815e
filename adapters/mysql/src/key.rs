//! Keys: which columns the rows are followed by, and the one spelling of their values (law 5): numbers as the shortest
//! decimal text, dates as the server prints them, texts and bytes as they are stored. Pure.

use crate::table::{Column, Index, Table, is_same};
use altergeist_contract::{Error, Key, Result};

/// The key of the source that rows are followed by.
#[derive(Clone, Debug)]
pub(crate) struct KeyIndex {
    /// The index of the source.
    pub index: String,
    /// The index of the shadow that finds rows by the same columns.
    pub shadow_index: String,
    pub columns: Vec<KeyColumn>,
}

/// One column of the key.
#[derive(Clone, Debug)]
pub(crate) struct KeyColumn {
    /// In the source.
    pub name: String,
    /// In the shadow.
    pub shadow_name: String,
    /// Its place in the log's row images.
    pub ordinal: usize,
    pub spelling: Spelling,
}

/// How values of a type are spelled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Spelling {
    /// Whole numbers of so many bytes.
    Integer {
        bytes: usize,
        unsigned: bool,
    },
    Decimal {
        precision: usize,
        scale: usize,
    },
    Text {
        charset: String,
    },
    Bytes,
    /// Bytes of a fixed number: the log cuts zeros at their end.
    FixedBytes(usize),
    Date,
}

impl Spelling {
    /// The spelling of a column's values, or None for a type that keys cannot have.
    pub(crate) fn of(column: &Column) -> Option<Spelling> {
        let integer = |bytes| Some(Spelling::Integer { bytes, unsigned: column.is_unsigned() });
        let sizes = column.sizes();
        match &*column.data_type {
            "tinyint" => integer(1),
            "smallint" => integer(2),
            "mediumint" => integer(3),
            "int" => integer(4),
            "bigint" => integer(8),
            "decimal" => {
                Some(Spelling::Decimal { precision: *sizes.first()? as usize, scale: *sizes.get(1)? as usize })
            }
            "char" | "varchar" => Some(Spelling::Text { charset: column.charset.clone() }),
            "varbinary" => Some(Spelling::Bytes),
            "binary" => Some(Spelling::FixedBytes(*sizes.first()? as usize)),
            "date" => Some(Spelling::Date),
            _ => None,
        }
    }

    /// The spelling of a value a query gave.
    pub(crate) fn of_query(&self, value: &[u8]) -> Vec<u8> {
        match self {
            Spelling::Integer { .. } | Spelling::Decimal { .. } => shortest_number(value),
            Spelling::FixedBytes(length) => padded(value, *length),
            Spelling::Text { .. } | Spelling::Bytes | Spelling::Date => value.to_vec(),
        }
    }

    /// The spelling of a value in the log, without its length; None if it cannot be one.
    pub(crate) fn of_log(&self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Spelling::Integer { bytes, unsigned } => (value.len() == *bytes).then(|| integer(value, *unsigned)),
            Spelling::Decimal { precision, scale } => decimal(value, *precision, *scale),
            Spelling::Text { .. } | Spelling::Bytes => Some(value.to_vec()),
            Spelling::FixedBytes(length) => (value.len() <= *length).then(|| padded(value, *length)),
            Spelling::Date => date(value),
        }
    }

    /// A literal that can be read in one way only. It is weaker than a column in the rules of collations, so the
    /// column's own collation decides.
    pub(crate) fn literal(&self, value: &[u8]) -> Option<String> {
        match self {
            Spelling::Integer { .. } | Spelling::Decimal { .. } => number_literal(value),
            Spelling::Text { charset } => Some(format!("_{charset} x'{}'", hex(value))),
            Spelling::Bytes | Spelling::FixedBytes(_) => Some(format!("x'{}'", hex(value))),
            Spelling::Date => date_literal(value),
        }
    }

    /// Whether texts and bytes must be asked for as bytes, so that nothing converts them.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Spelling::Text { .. } | Spelling::Bytes | Spelling::FixedBytes(_))
    }
}

impl KeyIndex {
    /// For people: `PRIMARY (id)`.
    pub(crate) fn describe(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(|column| &*column.name).collect();
        format!("{} ({})", self.index, columns.join(", "))
    }

    /// The key of a row a query gave.
    pub(crate) fn of_query(&self, row: &[Option<Vec<u8>>]) -> Option<Key> {
        let cells = self.columns.iter().zip(row);
        let columns: Vec<Vec<u8>> =
            cells.map(|(column, cell)| Some(column.spelling.of_query(cell.as_deref()?))).collect::<Option<_>>()?;
        (columns.len() == self.columns.len()).then(|| Key::compose(columns.iter().map(Vec::as_slice)))
    }

    /// The literals of a key's columns.
    pub(crate) fn literals(&self, key: &Key) -> Result<Vec<String>> {
        let values = key.columns();
        let literals: Option<Vec<String>> =
            self.columns.iter().zip(&values).map(|(column, value)| column.spelling.literal(value)).collect();
        literals
            .filter(|literals| literals.len() == self.columns.len() && values.len() == literals.len())
            .ok_or_else(|| Error::fatal("write a key as SQL", "the key is not one of this table's"))
    }
}

/// The best key of a table, its shadow's columns still unnamed; or why each unique index cannot be one.
pub(crate) fn choose(table: &Table) -> std::result::Result<(Index, Vec<KeyColumn>), Vec<String>> {
    let mut candidates = Vec::new();
    let mut reasons = Vec::new();
    for index in table.indexes.iter().filter(|index| index.unique) {
        match key_columns(table, index) {
            Ok(columns) => candidates.push((index.clone(), columns)),
            Err(reason) => reasons.push(format!("{}: {reason}", index.name)),
        }
    }
    candidates.sort_by_key(|(index, columns)| {
        (index.name != "PRIMARY", columns.len(), columns.iter().any(|c| c.spelling.is_text()))
    });
    candidates.into_iter().next().ok_or(reasons)
}

fn key_columns(table: &Table, index: &Index) -> std::result::Result<Vec<KeyColumn>, String> {
    if !index.usable {
        return Err("it is not a visible B-tree".into());
    }
    if index.parts.iter().any(|part| part.descending != index.parts[0].descending) {
        return Err("its columns run in both directions".into());
    }
    index
        .parts
        .iter()
        .map(|part| {
            let column = table.column(&part.column).ok_or("it has an expression")?;
            if part.prefix.is_some() {
                return Err(format!("it holds only a prefix of column {}", column.name));
            }
            if column.nullable {
                return Err(format!("column {} may be NULL", column.name));
            }
            if column.generated {
                return Err(format!("column {} is generated", column.name));
            }
            let spelling =
                Spelling::of(column).ok_or(format!("column {} is of type {}", column.name, column.column_type))?;
            Ok(KeyColumn { name: column.name.clone(), shadow_name: String::new(), ordinal: column.ordinal, spelling })
        })
        .collect()
}

/// Why a key column may not become what it is in the shadow; None if it may. The order of keys and what counts as
/// equal must stay, because ranges and lookups are said in the source's values.
pub(crate) fn change_in_the_way(source: &Column, shadow: &Column) -> Option<String> {
    let kept = match (Spelling::of(source), Spelling::of(shadow)) {
        (Some(Spelling::Integer { .. }), Some(Spelling::Integer { .. })) => true,
        (Some(Spelling::Decimal { scale: one, .. }), Some(Spelling::Decimal { scale: other, .. })) => one <= other,
        (Some(Spelling::Text { charset: one }), Some(Spelling::Text { charset: other })) => {
            one == other && source.collation == shadow.collation
        }
        (Some(one), Some(other)) => one == other,
        _ => false,
    };
    let described = |column: &Column| format!("{} {}", column.column_type, column.collation).trim_end().to_owned();
    (!kept).then(|| format!("{} would become {}", described(source), described(shadow)))
}

/// The index of the shadow that finds rows by these columns: one that begins with them, whole, in any order.
pub(crate) fn lookup_index(shadow: &Table, columns: &[KeyColumn]) -> Option<String> {
    let begins = |index: &&Index| {
        index.usable
            && index.parts.len() >= columns.len()
            && index.parts[..columns.len()].iter().all(|part| {
                part.prefix.is_none() && columns.iter().any(|column| is_same(&column.shadow_name, &part.column))
            })
    };
    let mut found: Vec<&Index> = shadow.indexes.iter().filter(begins).collect();
    found.sort_by_key(|index| (index.name != "PRIMARY", !index.unique, index.parts.len()));
    found.first().map(|index| index.name.clone())
}

fn padded(value: &[u8], length: usize) -> Vec<u8> {
    let mut padded = value.to_vec();
    padded.resize(length.max(value.len()), 0);
    padded
}

/// Without the zeros a ZEROFILL column is printed with.
fn shortest_number(text: &[u8]) -> Vec<u8> {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (&b"-"[..], digits),
        None => (&b""[..], text),
    };
    let whole = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let zeros = digits[..whole.saturating_sub(1)].iter().take_while(|byte| **byte == b'0').count();
    [sign, &digits[zeros..]].concat()
}

fn number_literal(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    plain.then(|| text.to_owned())
}

fn date_literal(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    plain.then(|| format!("DATE'{text}'"))
}

fn integer(value: &[u8], unsigned: bool) -> Vec<u8> {
    let negative = !unsigned && value.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes[..value.len()].copy_from_slice(value);
    let text = if unsigned { u64::from_le_bytes(bytes).to_string() } else { i64::from_le_bytes(bytes).to_string() };
    text.into_bytes()
}

fn date(value: &[u8]) -> Option<Vec<u8>> {
    let [low, middle, high] = *value else { return None };
    let packed = u32::from_le_bytes([low, middle, high, 0]);
    Some(format!("{:04}-{:02}-{:02}", packed >> 9, packed >> 5 & 15, packed & 31).into_bytes())
}

/// Bytes that hold so many decimal digits at an end of a packed decimal.
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The bytes of a packed decimal.
pub(crate) fn decimal_bytes(precision: usize, scale: usize) -> usize {
    let whole = precision - scale;
    whole / 9 * 4 + DIGIT_BYTES[whole % 9] + scale / 9 * 4 + DIGIT_BYTES[scale % 9]
}

/// A packed decimal: groups of nine digits in four bytes each, big-endian, the odd groups at the outer ends. The first
/// bit is set for numbers that are not negative; the others have all bits inverted.
fn decimal(value: &[u8], precision: usize, scale: usize) -> Option<Vec<u8>> {
    if value.len() != decimal_bytes(precision, scale) || value.is_empty() {
        return None;
    }
    let negative = value[0] & 0x80 == 0;
    let mut bytes: Vec<u8> = value.iter().map(|byte| if negative { !byte } else { *byte }).collect();
    bytes[0] ^= 0x80;
    let whole = precision - scale;
    let mut digits = Digits { bytes: &bytes, text: String::new() };
    digits.group(whole % 9);
    (0..whole / 9).for_each(|_| digits.group(9));
    if digits.text.is_empty() {
        digits.text.push('0');
    }
    if scale > 0 {
        digits.text.push('.');
        (0..scale / 9).for_each(|_| digits.group(9));
        digits.group(scale % 9);
    }
    let sign = if negative { "-" } else { "" };
    Some(shortest_number(format!("{sign}{}", digits.text).as_bytes()))
}

/// Takes groups of digits from packed bytes.
struct Digits<'a> {
    bytes: &'a [u8],
    text: String,
}

impl Digits<'_> {
    fn group(&mut self, digits: usize) {
        let (group, rest) = self.bytes.split_at(DIGIT_BYTES[digits]);
        self.bytes = rest;
        if digits > 0 {
            let number = group.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            self.text += &format!("{number:0digits$}");
        }
    }
}

/// Bytes as hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(spelling: &Spelling, value: &[u8]) -> String {
        String::from_utf8(spelling.of_log(value).expect("a value of the type")).expect("text")
    }

    #[test]
    fn integers_of_all_sizes_and_signs_are_read_from_the_log() {
        let integer = |bytes, unsigned| Spelling::Integer { bytes, unsigned };
        assert_eq!(spelled(&integer(1, false), &[0xff]), "-1");
        assert_eq!(spelled(&integer(1, true), &[0xff]), "255");
        assert_eq!(spelled(&integer(3, false), &[0, 0, 0x80]), "-8388608");
        assert_eq!(spelled(&integer(3, true), &[0, 0, 0x80]), "8388608");
        assert_eq!(spelled(&integer(8, true), &[0xff; 8]), "18446744073709551615");
        assert_eq!(integer(4, false).of_log(&[1, 2]), None);
    }

    #[test]
    fn decimals_are_read_from_the_log() {
        let money = Spelling::Decimal { precision: 14, scale: 4 };
        assert_eq!(spelled(&money, &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2]), "1234567890.1234");
        assert_eq!(spelled(&money, &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d]), "-1234567890.1234");
        let fraction = Spelling::Decimal { precision: 2, scale: 2 };
        assert_eq!(spelled(&fraction, &[0x85]), "0.05");
        let whole = Spelling::Decimal { precision: 3, scale: 0 };
        assert_eq!(spelled(&whole, &[0x80, 0x00]), "0");
    }

    #[test]
    fn dates_are_read_from_the_log() {
        let packed = (2024_u32 << 9 | 2 << 5 | 29).to_le_bytes();
        assert_eq!(spelled(&Spelling::Date, &packed[..3]), "2024-02-29");
        assert_eq!(spelled(&Spelling::Date, &[0, 0, 0]), "0000-00-00");
    }

    #[test]
    fn a_number_has_one_spelling_whatever_the_column_prints() {
        let decimal = Spelling::Decimal { precision: 6, scale: 2 };
        assert_eq!(decimal.of_query(b"0000.50"), b"0.50");
        let integer = Spelling::Integer { bytes: 4, unsigned: true };
        assert_eq!(integer.of_query(b"0000000042"), b"42");
        assert_eq!(integer.of_query(b"0000"), b"0");
    }

    #[test]
    fn fixed_bytes_get_back_the_zeros_the_log_cut() {
        assert_eq!(Spelling::FixedBytes(4).of_log(&[1, 0, 2]), Some(vec![1, 0, 2, 0]));
        assert_eq!(Spelling::FixedBytes(4).literal(&[1, 0, 2, 0]).unwrap(), "x'01000200'");
    }

    #[test]
    fn a_literal_says_nothing_but_its_value() {
        let text = Spelling::Text { charset: "latin1".into() };
        assert_eq!(text.literal(b"a' OR 1=1").unwrap(), "_latin1 x'6127204f5220313d31'");
        let integer = Spelling::Integer { bytes: 4, unsigned: false };
        assert_eq!(integer.literal(b"1 OR 1=1"), None);
        assert_eq!(Spelling::Date.literal(b"2024-01-01").unwrap(), "DATE'2024-01-01'");
        assert_eq!(Spelling::Date.literal(b"2024'01-01"), None);
    }

    #[test]
    fn the_primary_key_is_preferred_and_what_cannot_be_a_key_says_why() {
        let column = |name: &str, data_type: &str, nullable| Column {
            name: name.into(),
            data_type: data_type.into(),
            column_type: data_type.into(),
            nullable,
            ..Column::default()
        };
        let index = |name: &str, column: &str| Index {
            name: name.into(),
            unique: true,
            usable: true,
            parts: vec![Part { column: column.into(), ..Part::default() }],
        };
        let columns = vec![column("a", "int", false), column("b", "int", true), column("c", "json", false)];
        let both = Table { columns: columns.clone(), indexes: vec![index("u", "a"), index("PRIMARY", "a")] };
        assert_eq!(choose(&both).unwrap().0.name, "PRIMARY");
        let none = Table { columns, indexes: vec![index("u", "b"), index("v", "c")] };
        assert_eq!(choose(&none).unwrap_err(), ["u: column b may be NULL", "v: column c is of type json"]);
    }

    use crate::table::Part;
}
