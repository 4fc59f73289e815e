//! Values as clients get them: typed columns, in text or in binary.

use crate::interface::address;
use bytes::{BufMut, BytesMut};
use jiff::Timestamp;
use std::borrow::Cow;
use std::time::SystemTime;

/// Seconds from 1970, the epoch of Unix, to 2000, the epoch of PostgreSQL.
const EPOCH_SECONDS: i64 = 946_684_800;

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `text`.
    Text,
    /// `int8`.
    Int,
    /// `float8`.
    Float,
    /// `bool`.
    Bool,
    /// `timestamptz`.
    Time,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub kind: Kind,
}

/// A value, or NULL.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// NULL.
    Null,
    /// `text`.
    Text(String),
    /// `int8`.
    Int(i64),
    /// `float8`.
    Float(f64),
    /// `bool`.
    Bool(bool),
    /// `timestamptz`.
    Time(SystemTime),
}

/// The columns of these names and types.
pub fn columns(given: &[(&'static str, Kind)]) -> Vec<Column> {
    given.iter().map(|(name, kind)| Column { name: Cow::Borrowed(name), kind: *kind }).collect()
}

/// A column of text.
pub fn text_column(name: impl Into<Cow<'static, str>>) -> Column {
    Column { name: name.into(), kind: Kind::Text }
}

impl Cell {
    /// A text, or NULL.
    pub fn text(text: impl Into<Option<String>>) -> Cell {
        text.into().map_or(Cell::Null, Cell::Text)
    }

    /// A count.
    pub fn count(count: u64) -> Cell {
        Cell::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// A number, or NULL.
    pub fn float(number: impl Into<Option<f64>>) -> Cell {
        number.into().map_or(Cell::Null, Cell::Float)
    }

    /// A time as `2026-11-30T02:00:00Z`, or NULL.
    pub fn time(text: Option<&str>) -> Cell {
        let time = text.and_then(|text| text.parse::<Timestamp>().ok());
        time.map_or(Cell::Null, |time| Cell::Time(time.into()))
    }

    /// Writes the value with its length.
    pub fn write(&self, is_binary: bool, out: &mut BytesMut) {
        if *self == Cell::Null {
            return out.put_i32(-1);
        }
        let at = out.len();
        out.put_i32(0);
        match is_binary {
            true => self.write_binary(out),
            false => self.write_text(out),
        }
        let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    fn write_text(&self, out: &mut BytesMut) {
        let text = match self {
            Cell::Null => return,
            Cell::Text(text) => return out.put_slice(text.as_bytes()),
            Cell::Int(number) => number.to_string(),
            // A person reads three digits; machines ask for binary.
            Cell::Float(number) => ((number * 1000.0).round() / 1000.0).to_string(),
            Cell::Bool(true) => "t".into(),
            Cell::Bool(false) => "f".into(),
            Cell::Time(time) => time_text(*time),
        };
        out.put_slice(text.as_bytes());
    }

    fn write_binary(&self, out: &mut BytesMut) {
        match self {
            Cell::Null => {}
            Cell::Text(text) => out.put_slice(text.as_bytes()),
            Cell::Int(number) => out.put_i64(*number),
            Cell::Float(number) => out.put_f64(*number),
            Cell::Bool(is) => out.put_u8(u8::from(*is)),
            Cell::Time(time) => out.put_i64(micros(*time) - EPOCH_SECONDS * 1_000_000),
        }
    }
}

/// Microseconds since 1970.
fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or_default()
}

/// As PostgreSQL writes it in UTC: `2026-11-30 02:00:00+00`.
pub fn time_text(time: SystemTime) -> String {
    let time = Timestamp::from_second(micros(time) / 1_000_000).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S+00").to_string()
}

/// A value as a watcher may see it: a URL can hold a password.
pub fn shown(value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://{}/…", address::server(value)),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_value_is_written_in_text_or_in_binary() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_801);
        for (cell, text, binary) in [
            (Cell::Text("é".into()), "é", "é".as_bytes().to_vec()),
            (Cell::Int(-7), "-7", (-7_i64).to_be_bytes().to_vec()),
            (Cell::Float(33.33333), "33.333", 33.33333_f64.to_be_bytes().to_vec()),
            (Cell::Bool(true), "t", vec![1]),
            (Cell::Time(time), "2000-01-01 00:00:01+00", 1_000_000_i64.to_be_bytes().to_vec()),
        ] {
            for (is_binary, expected) in [(false, text.as_bytes()), (true, &binary[..])] {
                let mut out = BytesMut::new();
                cell.write(is_binary, &mut out);
                assert_eq!(out[..4], (expected.len() as i32).to_be_bytes());
                assert_eq!(&out[4..], expected, "{cell:?}");
            }
        }
        assert_eq!(Cell::time(Some("2000-01-01T00:00:01Z")), Cell::Time(time));
        assert_eq!([Cell::time(None), Cell::time(Some("soon"))], [Cell::Null, Cell::Null]);
        let mut out = BytesMut::new();
        Cell::Null.write(true, &mut out);
        assert_eq!(out[..], (-1_i32).to_be_bytes());
    }

    #[test]
    fn a_watcher_sees_no_password() {
        assert_eq!(shown("https://me:secret@freno:9777/check"), "https://freno:9777/…");
        assert_eq!(shown("Threads_running=25"), "Threads_running=25");
    }
}
