//! Which conversions of types keep values and their order.

use crate::schema::columns::Sameness;

use tokio_postgres::types::Type;

/// Types that can change their length, and values still compare as before.
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

/// Whether a conversion keeps equal keys in the same order. The length counts for a type that is
/// not plain: a numeric with fewer decimals would round.
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

/// Whether a conversion keeps values equal to what they equalled: it rounds no number and truncates
/// no time. The server reports a value that does not fit.
pub(crate) fn keeps_values(from: (u32, i32), to: (u32, i32)) -> bool {
    let texts = [Type::TEXT.oid(), Type::VARCHAR.oid(), Type::BPCHAR.oid()];
    let integers = [Type::INT2.oid(), Type::INT4.oid(), Type::INT8.oid()];
    let is_whole = from.0 == Type::NUMERIC.oid() && from.1 != -1 && scale(from.1) == 0;
    keeps_order(from, to)
        || (texts.contains(&from.0) && texts.contains(&to.0))
        || (is_whole && integers.contains(&to.0))
}

/// Returns how to tell that two values of a type are the same bytes. For a domain, the base type.
/// The server always pads a `char(n)`.
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

/// Whether a type has values that are empty and not NULL: `''`, `{}`, `[]`.
pub(crate) fn may_be_empty(oid: u32) -> bool {
    const NEVER: [Type; 12] = [
        Type::BOOL,
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::NUMERIC,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::DATE,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
        Type::INTERVAL,
        Type::UUID,
    ];
    !NEVER.iter().any(|known| known.oid() == oid)
}

/// Whether the server orders the values of a type as people do.
pub(crate) fn has_ends(oid: u32) -> bool {
    const ORDERED: [Type; 12] = [
        Type::INT2,
        Type::INT4,
        Type::INT8,
        Type::NUMERIC,
        Type::FLOAT4,
        Type::FLOAT8,
        Type::DATE,
        Type::TIMESTAMP,
        Type::TIMESTAMPTZ,
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
    ];
    ORDERED.iter().any(|known| known.oid() == oid)
}

/// Whether a cast to a text of this length may truncate values.
pub(crate) fn may_cut(from: (u32, i32), to: (u32, i32)) -> bool {
    let is_bounded = [Type::VARCHAR.oid(), Type::BPCHAR.oid()].contains(&to.0) && to.1 != -1;
    is_bounded && (from.1 == -1 || to.1 < from.1)
}

/// Returns the decimals in a numeric's modifier.
fn scale(modifier: i32) -> i32 {
    let field = (modifier - 4) & 0x7ff;
    if field & 0x400 == 0 { field } else { field - 0x800 }
}
