//! How key values are spelled: always as the bytes that the server sends for the type in its binary
//! format. They depend on no setting. They are the same from the log, a range read and a
//! comparison.

use crate::schema::columns::Layout;
use altergeist_contract::{Chunk, Key, Watermark};
use bytes::{BufMut, BytesMut};
use std::error::Error;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

/// One value, as the server sends it. The statement says which type it has.
pub(crate) struct Raw<'a>(pub(crate) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw<'a>, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl std::fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Raw(..)")
    }
}

impl ToSql for Raw<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// An array of values, each as the server sends it.
pub(crate) struct RawArray<'a>(Vec<&'a [u8]>);

impl std::fmt::Debug for RawArray<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawArray(..)")
    }
}

impl ToSql for RawArray<'_> {
    fn to_sql(
        &self,
        array: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(element) = array.kind() else {
            return Err("the parameter is not an array".into());
        };
        out.put_i32(1);
        out.put_i32(0);
        out.put_u32(element.oid());
        out.put_i32(i32::try_from(self.0.len())?);
        out.put_i32(1);
        for value in &self.0 {
            out.put_i32(i32::try_from(value.len())?);
            out.put_slice(value);
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Returns the key in a row, with its columns from `first` on.
pub(crate) fn of_row(row: &Row, first: usize, columns: usize) -> Key {
    let values: Vec<Raw<'_>> = (first..first + columns).map(|at| row.get(at)).collect();
    Key::compose(values.iter().map(|value| value.0))
}

/// The most keys in one statement.
const KEYS_PER_STATEMENT: usize = 1000;

/// The same if every key has its own parameters, of which a statement takes 65,535.
const ROWS_PER_STATEMENT: usize = 512;

/// Keys as a statement takes them.
pub(crate) struct KeySet<'a> {
    /// How many rows of parameters the statement has room for. Unused with arrays.
    pub(crate) places: usize,
    values: Values<'a>,
}

enum Values<'a> {
    /// One array for each column.
    Arrays(Vec<RawArray<'a>>),
    /// Row by row: there are no arrays of arrays.
    Rows(Vec<Raw<'a>>),
}

impl KeySet<'_> {
    /// The parameters, in order.
    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        match &self.values {
            Values::Arrays(arrays) => {
                arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect()
            }
            Values::Rows(values) => {
                values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
            }
        }
    }
}

/// Splits keys into sets, one for each statement.
pub(crate) fn sets<'a>(keys: &'a [Key], layout: &Layout) -> Vec<KeySet<'a>> {
    if layout.has_arrays() {
        let set = |keys: &'a [Key]| KeySet {
            places: 1,
            values: Values::Arrays(arrays(keys, layout.keys.len())),
        };
        return keys.chunks(KEYS_PER_STATEMENT).map(set).collect();
    }
    keys.chunks(ROWS_PER_STATEMENT).map(rows).collect()
}

/// Returns all keys as one set. Only for keys with arrays.
pub(crate) fn one_set<'a>(keys: &'a [Key], layout: &Layout) -> KeySet<'a> {
    KeySet { places: 1, values: Values::Arrays(arrays(keys, layout.keys.len())) }
}

/// Returns rows of parameters. The last key is repeated up to a power of two, so that there are few
/// different statements.
fn rows(keys: &[Key]) -> KeySet<'_> {
    let places = keys.len().next_power_of_two();
    let filled = keys.iter().chain(std::iter::repeat_n(&keys[keys.len() - 1], places - keys.len()));
    KeySet { places, values: Values::Rows(filled.flat_map(Key::columns).map(Raw).collect()) }
}

/// One array for each column.
fn arrays(keys: &[Key], columns: usize) -> Vec<RawArray<'_>> {
    let mut arrays: Vec<RawArray<'_>> =
        (0..columns).map(|_| RawArray(Vec::with_capacity(keys.len()))).collect();
    for key in keys {
        for (array, value) in arrays.iter_mut().zip(key.columns()) {
            array.0.push(value);
        }
    }
    arrays
}

/// Returns the parameters of a watermark: one for each column. None if it is no key.
pub(crate) fn values(mark: &Watermark) -> Vec<Raw<'_>> {
    match mark {
        Watermark::At(key) => key.columns().into_iter().map(Raw).collect(),
        Watermark::Start | Watermark::End => Vec::new(),
    }
}

/// Returns the parameters of a range: the lower bound's, then the upper bound's.
pub(crate) fn both_values(chunk: &Chunk) -> Vec<Raw<'_>> {
    values(&chunk.after).into_iter().chain(values(&chunk.through)).collect()
}

/// Returns values as a statement takes them.
pub(crate) fn parameters<'a>(values: &'a [Raw<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// Whether a key has the right number of columns.
pub(crate) fn fits(layout: &Layout, key: &Key) -> bool {
    key.columns().len() == layout.keys.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::candidates::{self, Candidate};
    use crate::key::types;

    fn candidate(
        name: &str,
        is_primary: bool,
        is_identity: bool,
        unfit: Option<&str>,
    ) -> Candidate {
        Candidate {
            name: name.into(),
            is_primary,
            is_identity,
            unfit: unfit.map(Into::into),
            is_deferrable: false,
            columns: Vec::new(),
        }
    }

    #[test]
    fn a_set_of_keys_is_one_array_for_each_column() {
        let keys = [Key::compose([&b"\x00\x01"[..], b"a"]), Key::compose([&b"\x00\x02"[..], b""])];
        let arrays = arrays(&keys, 2);
        let mut out = BytesMut::new();
        arrays[1].to_sql(&Type::TEXT_ARRAY, &mut out).unwrap();
        let header = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1];
        assert_eq!(&out[..20], header);
        assert_eq!(&out[20..], [0, 0, 0, 1, b'a', 0, 0, 0, 0]);
    }

    #[test]
    fn a_wider_integer_keeps_the_order_and_a_text_does_not() {
        assert!(types::keeps_order((Type::INT4.oid(), -1), (Type::INT8.oid(), -1)));
        assert!(types::keeps_order((Type::INT8.oid(), -1), (Type::NUMERIC.oid(), -1)));
        assert!(!types::keeps_order((Type::INT4.oid(), -1), (Type::TEXT.oid(), -1)));
        assert!(!types::keeps_order((Type::BPCHAR.oid(), 8), (Type::TEXT.oid(), -1)));
    }

    #[test]
    fn a_numeric_that_would_round_does_not_keep_the_order() {
        let numeric =
            |precision: i32, scale: i32| (Type::NUMERIC.oid(), ((precision << 16) | scale) + 4);
        assert!(types::keeps_order(numeric(10, 2), numeric(12, 3)));
        assert!(!types::keeps_order(numeric(10, 2), numeric(10, 1)));
        assert!(!types::keeps_order((Type::NUMERIC.oid(), -1), numeric(10, 2)));
    }

    #[test]
    fn what_is_rounded_or_cut_off_does_not_keep_its_value() {
        let numeric =
            |precision: i32, scale: i32| (Type::NUMERIC.oid(), ((precision << 16) | scale) + 4);
        let (text, char4, int8) =
            ((Type::TEXT.oid(), -1), (Type::BPCHAR.oid(), 8), (Type::INT8.oid(), -1));
        assert!(types::keeps_values(numeric(10, 0), int8));
        assert!(!types::keeps_values(numeric(10, 2), int8));
        assert!(!types::keeps_values((Type::NUMERIC.oid(), -1), int8));
        assert!(!types::keeps_values((Type::TIMESTAMP.oid(), -1), (Type::DATE.oid(), -1)));
        assert!(types::keeps_values(char4, text) && !types::may_cut(char4, text));
        assert!(types::keeps_values(text, char4) && types::may_cut(text, char4));
        assert!(!types::may_cut(char4, (Type::VARCHAR.oid(), 8)));
    }

    #[test]
    fn the_replica_identity_decides_the_key() {
        let candidates = [candidate("pk", true, false, None), candidate("u", false, true, None)];
        assert_eq!(candidates::choose(&candidates, "d").unwrap().name, "pk");
        assert_eq!(candidates::choose(&candidates, "i").unwrap().name, "u");
        assert!(candidates::choose(&candidates, "n").is_err());
    }

    #[test]
    fn a_table_whose_log_says_too_little_is_told_the_statement_that_helps() {
        let candidates = [candidate("pk", true, false, None), candidate("U", false, false, None)];
        assert!(
            candidates::choose(&candidates, "n")
                .err()
                .unwrap()
                .contains("REPLICA IDENTITY DEFAULT")
        );
        assert!(
            candidates::choose(&candidates[1..], "d")
                .err()
                .unwrap()
                .contains("REPLICA IDENTITY USING INDEX \"U\"")
        );
        assert!(
            candidates::temporary_identity_key(&candidates, "d").is_none()
                && candidates::temporary_identity_key(&candidates, "f").is_none()
        );
        assert!(
            candidates::temporary_identity_key(&candidates, "n")
                .is_some_and(|candidate| candidate.is_primary)
        );
        assert!(
            candidates::temporary_identity_key(&candidates[1..], "d")
                .is_some_and(|candidate| candidate.name == "U")
        );
        let deferrable = Candidate { is_deferrable: true, ..candidate("pk", true, false, None) };
        assert!(
            candidates::choose(&[deferrable.clone(), candidates[1].clone()], "d")
                .err()
                .unwrap()
                .contains("INDEX \"U\"")
        );
        assert_eq!(candidates::choose(&[deferrable], "f").unwrap().name, "pk");
    }

    #[test]
    fn a_key_that_cannot_serve_is_named() {
        let candidates = [candidate("pk", true, false, Some("it is over an expression"))];
        assert_eq!(
            candidates::choose(&candidates, "d").err().unwrap(),
            "pk: it is over an expression"
        );
    }

    #[test]
    fn keys_that_travel_row_by_row_fill_up_with_the_last() {
        let keys: Vec<Key> = (0..3).map(|byte| Key::compose([&[byte][..], b"x"])).collect();
        let set = rows(&keys);
        assert_eq!((set.places, set.parameters().len()), (4, 8));
    }
}
