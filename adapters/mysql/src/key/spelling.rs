//! The one spelling of a key's values (law 5): numbers as the shortest decimal text, dates as the
//! server prints them, moments as seconds in UTC, texts and bytes as they are stored. Pure.

use crate::key::temporal;
use crate::schema::table::Column;
use crate::sql::quote::hex;

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
    /// Bytes of a fixed number. The log drops zeros at their end.
    FixedBytes(usize),
    Date,
    /// With so many digits of a second's fraction.
    DateTime(usize),
    /// As seconds since 1970 in UTC, which no time zone changes.
    Timestamp(usize),
    Time(usize),
    Year,
    /// By the member's number, from 1. 0 is the empty value of a member that was refused. The type
    /// has so many members.
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
    /// Returns the spelling of a column's values, or None for a type that keys cannot have.
    pub(crate) fn of(column: &Column) -> Option<Spelling> {
        let integer = |bytes| Some(Spelling::Integer { bytes, unsigned: column.is_unsigned() });
        let sizes = column.sizes();
        // MariaDB's old format packs values in another way.
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
            "decimal" => Some(Spelling::Decimal {
                precision: *sizes.first()? as usize,
                scale: *sizes.get(1)? as usize,
            }),
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

    /// Returns the spelling of a column of which the key holds prefixes. The whole value is
    /// spelled.
    pub(crate) fn of_prefixed(column: &Column) -> Option<Spelling> {
        match &*column.data_type {
            "tinytext" | "text" => Some(Spelling::Text { charset: column.charset.clone() }),
            "tinyblob" | "blob" => Some(Spelling::Bytes),
            _ => Spelling::of(column).filter(Spelling::is_text),
        }
    }

    /// Returns the expression to select for a value of this type, so that nothing converts it on
    /// its way.
    pub(crate) fn asked(&self, value: &str) -> String {
        match self {
            Spelling::Decimal { precision, scale } => {
                format!("CAST({value} AS DECIMAL({precision}, {scale}))")
            }
            Spelling::Text { .. } | Spelling::Bytes | Spelling::FixedBytes(_) => {
                format!("CAST({value} AS BINARY)")
            }
            Spelling::Uuid => format!("CAST({value} AS BINARY(16))"),
            Spelling::Inet(bytes) => format!("CAST({value} AS BINARY({bytes}))"),
            Spelling::Timestamp(_) => format!("UNIX_TIMESTAMP({value})"),
            Spelling::Year | Spelling::Enum(_) | Spelling::Set | Spelling::Bit => {
                format!("{value} + 0")
            }
            Spelling::Integer { .. }
            | Spelling::Date
            | Spelling::DateTime(_)
            | Spelling::Time(_) => value.to_owned(),
        }
    }

    /// Returns the same for a value of the shadow, which may have a wider type.
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

    /// Spells a value that a query returned for [`Spelling::asked`].
    pub(crate) fn of_query(&self, value: &[u8]) -> Vec<u8> {
        match self {
            Spelling::Integer { .. } | Spelling::Decimal { .. } => shortest_number(value),
            Spelling::FixedBytes(length) | Spelling::Inet(length) => padded(value, *length),
            Spelling::Uuid => padded(value, 16),
            Spelling::Timestamp(digits) => moment(value, *digits),
            _ => value.to_vec(),
        }
    }

    /// Spells a value of the log, without its length. None if it cannot be such a value.
    pub(crate) fn of_log(&self, value: &[u8]) -> Option<Vec<u8>> {
        match self {
            Spelling::Integer { bytes, unsigned } => {
                (value.len() == *bytes).then(|| integer(value, *unsigned))
            }
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
                let number =
                    value.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                (value.len() <= 8).then(|| number.to_string().into_bytes())
            }
            Spelling::Uuid => (value.len() <= 16).then(|| uuid(padded(value, 16))),
        }
    }

    /// Returns an unambiguous literal. In the rules of collations it is weaker than a column, so
    /// the column's own collation decides.
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
            // In MariaDB 11.8 FROM_UNIXTIME is a TIMESTAMP, and IN finds only the first of several.
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

    /// Returns `value operator literal`, for one of `<`, `<=`, `>`, `>=`. The servers scan no range
    /// of an ENUM, but they look its members up.
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
        let list: Vec<String> =
            (0..=*members).filter(within).map(|member| member.to_string()).collect();
        if list.is_empty() { "FALSE".into() } else { format!("{value} IN ({})", list.join(", ")) }
    }

    /// Returns whether values are texts or bytes, which are longer than others.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Spelling::Text { .. } | Spelling::Bytes | Spelling::FixedBytes(_))
    }
}

/// Most members of an ENUM that a range lists.
pub(crate) const MOST_LISTED: usize = 255;

pub(crate) fn padded(value: &[u8], length: usize) -> Vec<u8> {
    let mut padded = value.to_vec();
    padded.resize(length.max(value.len()), 0);
    padded
}

/// Removes the zeros that a ZEROFILL column is printed with.
pub(crate) fn shortest_number(text: &[u8]) -> Vec<u8> {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (&b"-"[..], digits),
        None => (&b""[..], text),
    };
    let whole = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let zeros = digits[..whole.saturating_sub(1)].iter().take_while(|byte| **byte == b'0').count();
    [sign, &digits[zeros..]].concat()
}

pub(crate) fn number_literal(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    plain.then(|| text.to_owned())
}

pub(crate) fn plain_literal(kind: &str, value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    temporal::is_plain(text).then(|| format!("{kind}'{text}'"))
}

/// Spells seconds with exactly so many digits behind the point.
pub(crate) fn moment(value: &[u8], digits: usize) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    match digits {
        0 => whole.as_bytes().to_vec(),
        _ => format!("{whole}.{fraction:0<digits$.digits$}").into_bytes(),
    }
}

/// MariaDB keeps the UUIDs of versions 1 to 5 with their groups in reverse, so that those of
/// version 1 sort by time.
pub(crate) fn uuid(kept: Vec<u8>) -> Vec<u8> {
    let is_reversed = kept[6] & 0x80 != 0 && (0x10..0x60).contains(&kept[8]);
    match is_reversed {
        true => [&kept[12..], &kept[10..12], &kept[8..10], &kept[6..8], &kept[..6]].concat(),
        false => kept,
    }
}

pub(crate) fn integer(value: &[u8], unsigned: bool) -> Vec<u8> {
    let negative = !unsigned && value.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes[..value.len()].copy_from_slice(value);
    let text = if unsigned {
        u64::from_le_bytes(bytes).to_string()
    } else {
        i64::from_le_bytes(bytes).to_string()
    };
    text.into_bytes()
}

/// Bytes that hold so many decimal digits at an end of a packed decimal.
pub(crate) const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// The bytes of a packed decimal.
pub(crate) fn decimal_bytes(precision: usize, scale: usize) -> usize {
    let whole = precision - scale;
    whole / 9 * 4 + DIGIT_BYTES[whole % 9] + scale / 9 * 4 + DIGIT_BYTES[scale % 9]
}

/// A packed decimal: groups of nine digits in four bytes each, big-endian, the odd groups at the
/// outer ends. The first bit is set for numbers that are not negative; the others have all bits
/// inverted.
pub(crate) fn decimal(value: &[u8], precision: usize, scale: usize) -> Option<Vec<u8>> {
    if value.len() != decimal_bytes(precision, scale) || value.is_empty() {
        return None;
    }
    let negative = value[0] & 0x80 == 0;
    let mut bytes: Vec<u8> =
        value.iter().map(|byte| if negative { !byte } else { *byte }).collect();
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
pub(crate) struct Digits<'a> {
    pub bytes: &'a [u8],
    pub text: String,
}

impl Digits<'_> {
    pub(crate) fn group(&mut self, digits: usize) {
        let (group, rest) = self.bytes.split_at(DIGIT_BYTES[digits]);
        self.bytes = rest;
        if digits > 0 {
            let number = group.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            self.text += &format!("{number:0digits$}");
        }
    }
}
