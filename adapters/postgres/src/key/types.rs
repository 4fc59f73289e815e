//! Which types keep their values and their order when they become others.

use crate::schema::columns::Sameness;

use tokio_postgres::types::Type;

/// Types of which one may become the other, or a longer or shorter one, and values still compare as
/// before.
const PLAIN: &[Type] = &[
    Type::BOOL,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::BYTEA,
    Type::UUID,
    Type::DATE,
];

/// Whether a column may go from one type to another and still hold equal keys in the same order.
/// The length of a type that is not plain counts: a numeric with fewer decimals would round.
pub(crate) fn keeps_order(from: (u32, i32), to: (u32, i32)) -> bool {
    let integers = [Type::INT2.oid(), Type::INT4.oid(), Type::INT8.oid()];
    let texts = [Type::TEXT.oid(), Type::VARCHAR.oid()];
    let (old, new) = (from.0, to.0);
    if old == Type::NUMERIC.oid() && new == old {
        return to.1 == -1 || to == from || (from.1 != -1 && scale(to.1) >= scale(from.1));
    }
    from == to
        || (old == new && PLAIN.iter().any(|known| known.oid() == old))
        || (integers.contains(&old) && (integers.contains(&new) || to == (Type::NUMERIC.oid(), -1)))
        || (texts.contains(&old) && texts.contains(&new))
}

/// Whether a column may go from one type to another and each of its values still equals what it was
/// equal to: a number is not rounded, an instant not cut. What does not fit is an error of the
/// server's.
pub(crate) fn keeps_values(from: (u32, i32), to: (u32, i32)) -> bool {
    let texts = [Type::TEXT.oid(), Type::VARCHAR.oid(), Type::BPCHAR.oid()];
    let integers = [Type::INT2.oid(), Type::INT4.oid(), Type::INT8.oid()];
    let is_whole = from.0 == Type::NUMERIC.oid() && from.1 != -1 && scale(from.1) == 0;
    keeps_order(from, to)
        || (texts.contains(&from.0) && texts.contains(&to.0))
        || (is_whole && integers.contains(&to.0))
}

/// When two values of a type, a domain's base, are the same bytes. A value of `char(n)` is always
/// padded to its length.
pub(crate) fn sameness((oid, modifier): (u32, i32)) -> Sameness {
    const EQUAL: [Type; 11] = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::OID,
        Type::UUID,
        Type::DATE,
        Type::TIME,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
        Type::BYTEA,
    ];
    let is_text = [Type::TEXT.oid(), Type::VARCHAR.oid()].contains(&oid);
    match () {
        () if EQUAL.iter().any(|known| known.oid() == oid) => Sameness::Equal,
        () if is_text || (oid == Type::BPCHAR.oid() && modifier != -1) => Sameness::EqualText,
        () => Sameness::Image,
    }
}

/// Whether a cast to a text of this length may cut values off.
pub(crate) fn may_cut(from: (u32, i32), to: (u32, i32)) -> bool {
    let is_bounded = [Type::VARCHAR.oid(), Type::BPCHAR.oid()].contains(&to.0) && to.1 != -1;
    is_bounded && (from.1 == -1 || to.1 < from.1)
}

/// The decimals in a numeric's modifier.
fn scale(modifier: i32) -> i32 {
    let field = (modifier - 4) & 0x7ff;
    if field & 0x400 == 0 { field } else { field - 0x800 }
}
