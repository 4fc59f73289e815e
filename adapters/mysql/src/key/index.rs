//! Keys: which columns the rows are followed by, and the one spelling of their values (law 5): numbers as the shortest
//! decimal text, dates as the server prints them, moments as seconds in UTC, texts and bytes as they are stored. Pure.

use crate::key::mapping::Mapping;
use crate::key::temporal;
use crate::schema::table::{Column, Index, Table, is_same};
use altergeist_contract::{Error, Key, Result};

/// The key of the source that rows are followed by.
#[derive(Clone, Debug)]
pub(crate) struct KeyIndex {
    /// The index of the source.
    pub index: String,
    /// The index of the shadow that finds rows by the same columns; [`LOOKUP`] if the altered table has none.
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
    /// Whether the index of the source holds it in descending order, and not all its columns so.
    pub descending: bool,
    /// How many characters of it the index holds, if not the whole value.
    pub prefix: Option<u64>,
    /// How the shadow's values stem from the source's.
    pub mapping: Mapping,
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
    /// With so many digits of seconds' fractions.
    DateTime(usize),
    /// As seconds since 1970 in UTC, which no time zone changes.
    Timestamp(usize),
    Time(usize),
    Year,
    /// By the member's number, from 1; 0 is the empty value of a member that was refused. Of so many members.
    Enum(usize),
    /// As a number, one bit for each member.
    Set,
    Bit,
    /// MariaDB's, in sixteen bytes.
    Uuid,
    /// MariaDB's INET4 and INET6, in so many bytes.
    Inet(usize),
}

impl Spelling {
    /// The spelling of a column's values, or None for a type that keys cannot have.
    pub(crate) fn of(column: &Column) -> Option<Spelling> {
        let integer = |bytes| Some(Spelling::Integer { bytes, unsigned: column.is_unsigned() });
        let sizes = column.sizes();
        // MariaDB's form of old, whose values are packed otherwise.
        if column.column_type.contains("/*") {
            return None;
        }
        let digits = sizes.first().copied().unwrap_or(0) as usize;
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
            "datetime" => Some(Spelling::DateTime(digits)),
            "timestamp" => Some(Spelling::Timestamp(digits)),
            "time" => Some(Spelling::Time(digits)),
            "year" => Some(Spelling::Year),
            "enum" => Some(Spelling::Enum(column.members().len())),
            "set" => Some(Spelling::Set),
            "bit" => Some(Spelling::Bit),
            "uuid" => Some(Spelling::Uuid),
            "inet4" => Some(Spelling::Inet(4)),
            "inet6" => Some(Spelling::Inet(16)),
            _ => None,
        }
    }

    /// The spelling of a column of whose values the key holds prefixes: the whole value is spelled.
    pub(crate) fn of_prefixed(column: &Column) -> Option<Spelling> {
        match &*column.data_type {
            "tinytext" | "text" => Some(Spelling::Text { charset: column.charset.clone() }),
            "tinyblob" | "blob" => Some(Spelling::Bytes),
            _ => Spelling::of(column).filter(Spelling::is_text),
        }
    }

    /// What to ask for, of a column or an expression of this type, so that nothing converts the value on its way.
    pub(crate) fn asked(&self, value: &str) -> String {
        match self {
            Spelling::Decimal { precision, scale } => format!("CAST({value} AS DECIMAL({precision}, {scale}))"),
            Spelling::Text { .. } | Spelling::Bytes | Spelling::FixedBytes(_) => format!("CAST({value} AS BINARY)"),
            Spelling::Uuid => format!("CAST({value} AS BINARY(16))"),
            Spelling::Inet(bytes) => format!("CAST({value} AS BINARY({bytes}))"),
            Spelling::Timestamp(_) => format!("UNIX_TIMESTAMP({value})"),
            Spelling::Year | Spelling::Enum(_) | Spelling::Set | Spelling::Bit => format!("{value} + 0"),
            Spelling::Integer { .. } | Spelling::Date | Spelling::DateTime(_) | Spelling::Time(_) => value.to_owned(),
        }
    }

    /// The same of a value of the shadow, whose type may be a wider one.
    pub(crate) fn asked_of_shadow(&self, value: &str) -> String {
        match self {
            Spelling::Integer { unsigned: true, .. } => format!("CAST({value} AS UNSIGNED)"),
            Spelling::Integer { .. } => format!("CAST({value} AS SIGNED)"),
            Spelling::Date => format!("CAST({value} AS DATE)"),
            Spelling::DateTime(digits) => format!("CAST({value} AS DATETIME({digits}))"),
            Spelling::Time(digits) => format!("CAST({value} AS TIME({digits}))"),
            _ => self.asked(value),
        }
    }

    /// The spelling of a value a query gave for what [`Spelling::asked`] says.
    pub(crate) fn of_query(&self, value: &[u8]) -> Vec<u8> {
        match self {
            Spelling::Integer { .. } | Spelling::Decimal { .. } => shortest_number(value),
            Spelling::FixedBytes(length) | Spelling::Inet(length) => padded(value, *length),
            Spelling::Uuid => padded(value, 16),
            Spelling::Timestamp(digits) => moment(value, *digits),
            _ => value.to_vec(),
        }
    }

    /// The spelling of a value in the log, without its length; None if it cannot be one.
    pub(crate) fn of_log(&self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Spelling::Integer { bytes, unsigned } => (value.len() == *bytes).then(|| integer(value, *unsigned)),
            Spelling::Decimal { precision, scale } => decimal(value, *precision, *scale),
            Spelling::Text { .. } | Spelling::Bytes => Some(value.to_vec()),
            Spelling::FixedBytes(length) | Spelling::Inet(length) => {
                (value.len() <= *length).then(|| padded(value, *length))
            }
            Spelling::Date => temporal::date(value),
            Spelling::DateTime(digits) => temporal::date_time(value, *digits),
            Spelling::Timestamp(digits) => temporal::timestamp(value, *digits),
            Spelling::Time(digits) => temporal::time(value, *digits),
            Spelling::Year => {
                let [years] = *value else { return None };
                let year = if years == 0 { 0 } else { 1900 + u32::from(years) };
                Some(year.to_string().into_bytes())
            }
            Spelling::Enum(_) => (value.len() <= 2).then(|| integer(value, true)),
            Spelling::Set => (value.len() <= 8).then(|| integer(value, true)),
            Spelling::Bit => {
                let number = value.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                (value.len() <= 8).then(|| number.to_string().into_bytes())
            }
            Spelling::Uuid => (value.len() <= 16).then(|| uuid(padded(value, 16))),
        }
    }

    /// A literal that can be read in one way only. It is weaker than a column in the rules of collations, so the
    /// column's own collation decides.
    pub(crate) fn literal(&self, value: &[u8]) -> Option<String> {
        match self {
            Spelling::Integer { .. }
            | Spelling::Decimal { .. }
            | Spelling::Year
            | Spelling::Enum(_)
            | Spelling::Set
            | Spelling::Bit => number_literal(value),
            Spelling::Text { charset } => Some(format!("_{charset} x'{}'", hex(value))),
            Spelling::Bytes | Spelling::FixedBytes(_) | Spelling::Uuid | Spelling::Inet(_) => {
                Some(format!("x'{}'", hex(value)))
            }
            Spelling::Date => plain_literal("DATE", value),
            Spelling::DateTime(_) => plain_literal("TIMESTAMP", value),
            Spelling::Time(_) => plain_literal("TIME", value),
            // In MariaDB 11.8 FROM_UNIXTIME is a TIMESTAMP, and of several of those IN finds the first alone.
            Spelling::Timestamp(digits) => {
                let number = number_literal(value)?;
                let is_zero = number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
                Some(match is_zero {
                    true => "TIMESTAMP'0000-00-00 00:00:00'".into(),
                    false => format!("CAST(FROM_UNIXTIME({number}) AS DATETIME({digits}))"),
                })
            }
        }
    }

    /// `value operator literal`, for one of `<`, `<=`, `>`, `>=`. The servers walk no range of an ENUM, but they look
    /// its members up.
    pub(crate) fn bounded(&self, value: &str, operator: &str, literal: &str) -> String {
        let (Spelling::Enum(members), Ok(bound)) = (self, literal.parse::<usize>()) else {
            return format!("{value} {operator} {literal}");
        };
        if *members > MOST_LISTED {
            return format!("{value} {operator} {literal}");
        }
        let within = |member: &usize| match operator {
            "<" => *member < bound,
            "<=" => *member <= bound,
            ">" => *member > bound,
            _ => *member >= bound,
        };
        let list: Vec<String> = (0..=*members).filter(within).map(|member| member.to_string()).collect();
        if list.is_empty() { "FALSE".into() } else { format!("{value} IN ({})", list.join(", ")) }
    }

    /// Whether values are texts or bytes, which are longer than others.
    fn is_text(&self) -> bool {
        matches!(self, Spelling::Text { .. } | Spelling::Bytes | Spelling::FixedBytes(_))
    }
}

/// An index that the shadow has until it bears the source's name, where the clauses leave none that finds rows by the key.
pub(crate) const LOOKUP: &str = "_ag_key";

/// Members of an ENUM that are listed in a range.
const MOST_LISTED: usize = 255;

impl KeyIndex {
    /// Whether rows of the shadow are found by an index of ours.
    pub(crate) fn needs_lookup(&self) -> bool {
        self.shadow_index == LOOKUP
    }

    /// The columns of that index, as a definition says them: a name, and the length of a prefix.
    pub(crate) fn shadow_parts(&self) -> Vec<(&str, Option<u64>)> {
        self.columns.iter().map(|column| (&*column.shadow_name, column.prefix)).collect()
    }

    /// Whether the index holds only prefixes of some column. Its order is then not quite that of the values.
    pub(crate) fn has_prefix(&self) -> bool {
        self.columns.iter().any(|column| column.prefix.is_some())
    }

    /// For people: `PRIMARY (id)`.
    pub(crate) fn describe(&self) -> String {
        let described = |column: &KeyColumn| match column.prefix {
            None => column.name.clone(),
            Some(length) => format!("{}({length})", column.name),
        };
        let columns: Vec<String> = self.columns.iter().map(described).collect();
        format!("{} ({})", self.index, columns.join(", "))
    }

    /// Whether values of a TIMESTAMP are part of it.
    pub(crate) fn has_moments(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.spelling, Spelling::Timestamp(_)))
    }

    /// Whether the shadow holds its values in another form, and so perhaps in another order.
    pub(crate) fn is_mapped(&self) -> bool {
        self.columns.iter().any(|column| column.mapping != Mapping::Same)
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

/// The keys rows may be followed by, the best first, their columns in the shadow still unnamed; or why each unique index cannot be one.
pub(crate) fn candidates(table: &Table) -> std::result::Result<Vec<(Index, Vec<KeyColumn>)>, Vec<String>> {
    let mut candidates = Vec::new();
    let mut reasons = Vec::new();
    for index in table.indexes.iter().filter(|index| index.unique) {
        match key_columns(table, index) {
            Ok(columns) => candidates.push((index.clone(), columns)),
            Err(reason) => reasons.push(format!("{}: {reason}", index.name)),
        }
    }
    candidates.sort_by_key(|(index, columns)| {
        (
            columns.iter().any(|c| c.prefix.is_some()),
            index.name != "PRIMARY",
            columns.len(),
            columns.iter().any(|c| c.spelling.is_text()),
        )
    });
    if candidates.is_empty() { Err(reasons) } else { Ok(candidates) }
}

fn key_columns(table: &Table, index: &Index) -> std::result::Result<Vec<KeyColumn>, String> {
    if !index.usable {
        return Err("it is not a visible B-tree".into());
    }
    let is_mixed = index.parts.iter().any(|part| part.descending != index.parts[0].descending);
    index
        .parts
        .iter()
        .map(|part| {
            let column = table.column(&part.column).ok_or("it has an expression")?;
            if column.nullable {
                return Err(format!("column {} may be NULL", column.name));
            }
            if column.generated && !column.is_stored() {
                return Err(format!("column {} is generated and not stored", column.name));
            }
            let spelling = part.prefix.map_or_else(|| Spelling::of(column), |_| Spelling::of_prefixed(column));
            let spelling = spelling.ok_or(format!("column {} is of type {}", column.name, column.column_type))?;
            Ok(KeyColumn {
                name: column.name.clone(),
                shadow_name: String::new(),
                ordinal: column.ordinal,
                spelling,
                descending: is_mixed && part.descending,
                prefix: part.prefix,
                mapping: Mapping::Same,
            })
        })
        .collect()
}

/// The index of the shadow that finds rows by these columns: one that begins with them, whole, in any order.
///
/// Where a column's values are mapped, what is two rows for the shadow may be one for the source. Only an index that is
/// unique over just these columns tells the rows of one key from those of another.
pub(crate) fn lookup_index(shadow: &Table, columns: &[KeyColumn]) -> Option<String> {
    let is_mapped = columns.iter().any(|column| column.mapping != Mapping::Same);
    let begins = |index: &&Index| {
        index.usable
            && index.parts.len() >= columns.len()
            && (!is_mapped || index.unique && index.parts.len() == columns.len())
            && index.parts[..columns.len()].iter().all(|part| {
                let is_over =
                    |column: &KeyColumn| is_same(&column.shadow_name, &part.column) && column.prefix == part.prefix;
                columns.iter().any(is_over)
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

fn plain_literal(kind: &str, value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    temporal::is_plain(text).then(|| format!("{kind}'{text}'"))
}

/// Seconds with just so many digits behind the point.
fn moment(value: &[u8], digits: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    match digits {
        0 => whole.as_bytes().to_vec(),
        _ => format!("{whole}.{fraction:0<digits$.digits$}").into_bytes(),
    }
}

/// MariaDB keeps the UUIDs of versions 1 to 5 with their groups in reverse, so that those of version 1 sort by time.
fn uuid(kept: Vec<u8>) -> Vec<u8> {
    let is_reversed = kept[6] & 0x80 != 0 && (0x10..0x60).contains(&kept[8]);
    match is_reversed {
        true => [&kept[12..], &kept[10..12], &kept[8..10], &kept[6..8], &kept[..6]].concat(),
        false => kept,
    }
}

fn integer(value: &[u8], unsigned: bool) -> Vec<u8> {
    let negative = !unsigned && value.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes[..value.len()].copy_from_slice(value);
    let text = if unsigned { u64::from_le_bytes(bytes).to_string() } else { i64::from_le_bytes(bytes).to_string() };
    text.into_bytes()
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
        assert_eq!(candidates(&both).unwrap()[0].0.name, "PRIMARY");
        let none = Table { columns, indexes: vec![index("u", "b"), index("v", "c")] };
        assert_eq!(candidates(&none).unwrap_err(), ["u: column b may be NULL", "v: column c is of type json"]);
    }

    #[test]
    fn members_bits_and_years_are_numbers() {
        assert_eq!(spelled(&Spelling::Enum(300), &[0x2c, 1]), "300");
        assert_eq!(spelled(&Spelling::Set, &[0xff; 8]), "18446744073709551615");
        assert_eq!(spelled(&Spelling::Bit, &[1, 0, 1]), "65537");
        assert_eq!(spelled(&Spelling::Year, &[105]), "2005");
        assert_eq!(spelled(&Spelling::Year, &[0]), "0");
    }

    #[test]
    fn a_moment_is_a_number_that_no_time_zone_changes() {
        let moment = Spelling::Timestamp(3);
        assert_eq!(moment.of_query(b"1700000000.123000"), moment.of_log(&[0x65, 0x53, 0xf1, 0, 0x04, 0xd2]).unwrap());
        assert_eq!(moment.literal(b"1700000000.123").unwrap(), "CAST(FROM_UNIXTIME(1700000000.123) AS DATETIME(3))");
        assert_eq!(moment.literal(b"0.000").unwrap(), "TIMESTAMP'0000-00-00 00:00:00'");
        assert_eq!(Spelling::Timestamp(0).of_query(b"0"), b"0");
    }

    #[test]
    fn uuids_that_are_kept_in_reverse_are_turned() {
        let mut kept =
            vec![0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x81, 0x23, 0x1d, 0xef, 0x89, 0xab, 0x01, 0x23, 0x45, 0x67];
        assert_eq!(hex(&Spelling::Uuid.of_log(&kept).unwrap()), "0123456789ab1def8123456789abcdef");
        kept[8] = 0x7d;
        assert_eq!(Spelling::Uuid.of_log(&kept).unwrap(), kept);
        assert_eq!(hex(&Spelling::Uuid.of_log(&[]).unwrap()), "0".repeat(32));
    }

    #[test]
    fn a_range_of_members_is_a_list() {
        let choice = Spelling::Enum(3);
        assert_eq!(choice.bounded("e", ">", "1"), "e IN (2, 3)");
        assert_eq!(choice.bounded("e", "<", "1"), "e IN (0)");
        assert_eq!(choice.bounded("e", ">", "3"), "FALSE");
        assert_eq!(Spelling::Enum(9000).bounded("e", ">", "1"), "e > 1");
        assert_eq!(Spelling::Set.bounded("s", ">=", "4"), "s >= 4");
    }

    use crate::schema::table::Part;
}
