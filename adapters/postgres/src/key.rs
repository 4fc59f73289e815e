//! Which index rows are followed by, and how its values are spelled: always as the bytes the server itself sends for the
//! type in its binary format. They depend on no setting, and are the same from the log, a range read and a comparison.

use crate::layout::{KeyColumn, Layout};
use altergeist_contract::{Chunk, Key, Watermark};
use bytes::{BufMut, BytesMut};
use std::error::Error;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

/// The types a key may be made of: those whose order a column keeps when only its length or width changes, and whose
/// binary form is proven to come back as it was sent.
const TYPES: &[Type] = &[
    Type::BOOL,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::NUMERIC,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::BYTEA,
    Type::UUID,
    Type::DATE,
    Type::TIME,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
];

/// Whether rows can be followed by a value of this type.
pub(crate) fn is_supported(type_oid: u32) -> bool {
    TYPES.iter().any(|known| known.oid() == type_oid)
}

/// Whether a column may go from one type to another and still hold equal keys in the same order. A numeric's length
/// counts: one with fewer decimals would round.
pub(crate) fn keeps_order(from: (u32, i32), to: (u32, i32)) -> bool {
    let integers = [Type::INT2.oid(), Type::INT4.oid(), Type::INT8.oid()];
    let texts = [Type::TEXT.oid(), Type::VARCHAR.oid()];
    let (old, new) = (from.0, to.0);
    if old == Type::NUMERIC.oid() && new == old {
        return to.1 == -1 || to == from || (from.1 != -1 && scale(to.1) >= scale(from.1));
    }
    if [Type::TIME, Type::TIMESTAMP, Type::TIMESTAMPTZ].iter().any(|known| known.oid() == old) {
        return from == to;
    }
    old == new
        || (integers.contains(&old) && (integers.contains(&new) || to == (Type::NUMERIC.oid(), -1)))
        || (texts.contains(&old) && texts.contains(&new))
}

/// The decimals in a numeric's modifier.
fn scale(modifier: i32) -> i32 {
    let field = (modifier - 4) & 0x7ff;
    if field & 0x400 == 0 { field } else { field - 0x800 }
}

/// One value, as the server sends it; in which type, the statement says.
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
    fn to_sql(&self, array: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Kind::Array(element) = array.kind() else { return Err("the parameter is no array".into()) };
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

/// The key in a row, its columns beginning at `first`.
pub(crate) fn of_row(row: &Row, first: usize, columns: usize) -> Key {
    let values: Vec<Raw<'_>> = (first..first + columns).map(|at| row.get(at)).collect();
    Key::compose(values.iter().map(|value| value.0))
}

/// The parameters of a set of keys: one array for each column.
pub(crate) fn arrays<'a>(keys: &'a [Key], columns: usize) -> Vec<RawArray<'a>> {
    let mut arrays: Vec<RawArray<'a>> = (0..columns).map(|_| RawArray(Vec::with_capacity(keys.len()))).collect();
    for key in keys {
        for (array, value) in arrays.iter_mut().zip(key.columns()) {
            array.0.push(value);
        }
    }
    arrays
}

/// The parameters of a mark: one for each column, none if the mark is no key.
pub(crate) fn values(mark: &Watermark) -> Vec<Raw<'_>> {
    match mark {
        Watermark::At(key) => key.columns().into_iter().map(Raw).collect(),
        Watermark::Start | Watermark::End => Vec::new(),
    }
}

/// The parameters of a range: those of its lower bound, then its upper's.
pub(crate) fn both_values(chunk: &Chunk) -> Vec<Raw<'_>> {
    values(&chunk.after).into_iter().chain(values(&chunk.through)).collect()
}

/// Whether a key has as many columns as the table's.
pub(crate) fn fits(layout: &Layout, key: &Key) -> bool {
    key.columns().len() == layout.keys.len()
}

/// An index rows could be followed by.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) is_primary: bool,
    pub(crate) is_identity: bool,
    /// Why it cannot serve.
    pub(crate) unfit: Option<String>,
    pub(crate) columns: Vec<KeyColumn>,
}

impl Candidate {
    pub(crate) fn of_row(row: &Row) -> Candidate {
        let names: Vec<String> = row.get(4);
        let types: Vec<u32> = row.get(5);
        let type_names: Vec<String> = row.get(6);
        let columns: Vec<KeyColumn> = names
            .into_iter()
            .zip(types)
            .zip(type_names)
            .map(|((name, type_oid), type_name)| KeyColumn { source: name.clone(), shadow: name, type_name, type_oid })
            .collect();
        let strange = columns.iter().find(|column| !is_supported(column.type_oid));
        let strange = strange.map(|column| {
            format!("rows cannot be followed by its column {} of type {}", column.source, column.type_name)
        });
        Candidate {
            name: row.get(0),
            is_primary: row.get(1),
            is_identity: row.get(2),
            unfit: row.get::<_, Option<String>>(3).or(strange),
            columns,
        }
    }
}

/// The key rows are followed by, or why there is none. The log carries a row's old key only if it belongs to the table's
/// replica identity, so that decides.
pub(crate) fn choose(candidates: &[Candidate], identity: &str) -> Result<Candidate, String> {
    let serves = |candidate: &&Candidate| match identity {
        "i" => candidate.is_identity,
        "f" => candidate.unfit.is_none(),
        _ => candidate.is_primary,
    };
    let Some(found) = candidates.iter().find(serves) else {
        return Err(match identity {
            "n" => "its replica identity is NOTHING, so the log does not say which rows change".to_owned(),
            "f" => unfit_reasons(candidates),
            _ => "it has no primary key, so the log cannot say which rows change".to_owned(),
        });
    };
    match (&found.unfit, identity) {
        (_, "n") => Err("its replica identity is NOTHING, so the log does not say which rows change".to_owned()),
        (Some(why), _) => Err(format!("{}: {why}", found.name)),
        (None, _) => Ok(found.clone()),
    }
}

fn unfit_reasons(candidates: &[Candidate]) -> String {
    let reasons: Vec<String> = candidates
        .iter()
        .filter_map(|candidate| Some(format!("{}: {}", candidate.name, candidate.unfit.as_ref()?)))
        .collect();
    if reasons.is_empty() { "it has no unique index".to_owned() } else { reasons.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, is_primary: bool, is_identity: bool, unfit: Option<&str>) -> Candidate {
        Candidate { name: name.into(), is_primary, is_identity, unfit: unfit.map(Into::into), columns: Vec::new() }
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
        assert!(keeps_order((Type::INT4.oid(), -1), (Type::INT8.oid(), -1)));
        assert!(keeps_order((Type::INT8.oid(), -1), (Type::NUMERIC.oid(), -1)));
        assert!(!keeps_order((Type::INT4.oid(), -1), (Type::TEXT.oid(), -1)));
        assert!(!keeps_order((Type::BPCHAR.oid(), 8), (Type::TEXT.oid(), -1)));
    }

    #[test]
    fn a_numeric_that_would_round_does_not_keep_the_order() {
        let numeric = |precision: i32, scale: i32| (Type::NUMERIC.oid(), ((precision << 16) | scale) + 4);
        assert!(keeps_order(numeric(10, 2), numeric(12, 3)));
        assert!(!keeps_order(numeric(10, 2), numeric(10, 1)));
        assert!(!keeps_order((Type::NUMERIC.oid(), -1), numeric(10, 2)));
    }

    #[test]
    fn the_replica_identity_decides_the_key() {
        let candidates = [candidate("pk", true, false, None), candidate("u", false, true, None)];
        assert_eq!(choose(&candidates, "d").unwrap().name, "pk");
        assert_eq!(choose(&candidates, "i").unwrap().name, "u");
        assert!(choose(&candidates, "n").is_err());
        assert!(choose(&candidates[1..], "d").is_err());
    }

    #[test]
    fn a_primary_key_that_cannot_serve_is_named() {
        let candidates = [candidate("pk", true, false, Some("it is deferrable"))];
        assert_eq!(choose(&candidates, "d").err().unwrap(), "pk: it is deferrable");
    }
}
