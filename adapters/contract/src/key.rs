//! Keys, and the ranges between them. Opaque: only an engine knows what the bytes mean, and only a
//! server orders them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A row's key, spelled the one way its engine spells it (law 5): the same row has the same bytes
/// whether the key came from the log, a range read or a comparison. Equality only, never order.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key(Box<[u8]>);

impl Key {
    /// A key of one or more columns, each column's value given in the engine's own spelling.
    pub fn compose<'a>(columns: impl IntoIterator<Item = &'a [u8]>) -> Key {
        let mut bytes = Vec::new();
        for column in columns {
            let length = u32::try_from(column.len()).expect("a key column is shorter than 4 GiB");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(column);
        }
        Key(bytes.into_boxed_slice())
    }

    /// The columns given to [`Key::compose`], in the same order.
    pub fn columns(&self) -> Vec<&[u8]> {
        let mut columns = Vec::new();
        let mut rest = &self.0[..];
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (column, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
            columns.push(column);
            rest = tail;
        }
        columns
    }

    /// The bytes this key takes in memory, for bounding what is pending.
    pub fn size(&self) -> usize {
        self.0.len() + size_of::<Key>()
    }
}

/// Prints no byte of the key: keys are users' data.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// How far the shadow is filled: it holds rows up to the watermark, and no further (law 2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Watermark {
    /// Nothing is copied yet.
    Start,
    /// Every key up to this one, inclusive, in the server's own order.
    At(Key),
    /// The whole key space, keys that do not exist yet included.
    End,
}

/// A range of keys, copied or compared by one statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// The range begins after this mark: `Start` or `At`.
    pub after: Watermark,
    /// The range ends with this mark, inclusive: `At`, or `End` for the last chunk, which has no
    /// upper bound.
    pub through: Watermark,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_columns_empty_ones_too() {
        let columns: [&[u8]; 3] = [b"a", b"", b"\x00\x00\x00\x01z"];
        assert_eq!(Key::compose(columns).columns(), columns);
    }

    #[test]
    fn columns_that_join_to_the_same_bytes_are_different_keys() {
        assert_ne!(Key::compose([&b"ab"[..], b"c"]), Key::compose([&b"a"[..], b"bc"]));
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", Key::compose([&b"secret"[..]])), "Key(..)");
    }
}
