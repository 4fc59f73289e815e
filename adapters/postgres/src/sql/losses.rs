//! Questions to the source's rows: what would the change lose?

use tokio_postgres::types::Type;

/// How many blocks the table's rows fill.
pub(crate) const BLOCKS: &str =
    "SELECT pg_relation_size($1::oid) / current_setting('block_size')::int8";

/// The time zone of this session, in which the server converts times.
pub(crate) const TIME_ZONE: &str = "SELECT current_setting('TimeZone')";

/// Counts the rows in a range of blocks that meet each condition.
pub(crate) fn count_in_blocks(source: &str, alias: &str, conditions: &[String]) -> String {
    let counts: Vec<String> =
        conditions.iter().map(|is_met| format!("count(*) FILTER (WHERE {is_met})")).collect();
    format!(
        "SELECT {} FROM ONLY {source} AS {alias}
         WHERE {alias}.ctid >= $1::text::tid AND {alias}.ctid < $2::text::tid",
        counts.join(", ")
    )
}

/// Counts the rows that meet a condition, up to a number.
pub(crate) fn count_rows(source: &str, alias: &str, condition: &str, most: u64) -> String {
    format!(
        "SELECT count(*) FROM (
            SELECT FROM ONLY {source} AS {alias} WHERE {condition} LIMIT {most}) AS rows"
    )
}

/// A value is there.
pub(crate) fn is_present(value: &str) -> String {
    format!("({value}\n) IS NOT NULL")
}

/// A value is not there.
pub(crate) fn is_null(value: &str) -> String {
    format!("({value}\n) IS NULL")
}

/// A value is another one when it is converted and converted back. `as_text` is for types without
/// equality.
pub(crate) fn is_lossy(value: &str, from: &str, to: &str, as_text: bool) -> String {
    let text = if as_text { "::text" } else { "" };
    format!("CAST(CAST({value} AS {to}) AS {from}){text} IS DISTINCT FROM ({value}){text}")
}

/// Asks for a condition on no row, to see whether the server can evaluate it.
pub(crate) fn try_condition(source: &str, alias: &str, condition: &str) -> String {
    format!("SELECT count(*) FILTER (WHERE {condition}) FROM ONLY {source} AS {alias} WHERE false")
}

/// A condition for the values that do not fit a type. None where only the server's own conversion
/// tells, one value at a time. `knows_validity` is for servers with `pg_input_is_valid`.
pub(crate) fn does_not_fit(
    value: &str,
    from: u32,
    to: (u32, i32),
    to_name: &str,
    knows_validity: bool,
) -> Option<String> {
    let is = |oid: u32, types: &[Type]| types.iter().any(|known| known.oid() == oid);
    let numbers = [Type::INT2, Type::INT4, Type::INT8, Type::NUMERIC, Type::FLOAT4, Type::FLOAT8];
    if is(from, &numbers) {
        let number = format!("CAST({value} AS numeric)");
        let whole =
            |least: i64, most: i64| Some(format!("round({number}) NOT BETWEEN {least} AND {most}"));
        return match to.0 {
            oid if oid == Type::INT2.oid() => whole(i16::MIN.into(), i16::MAX.into()),
            oid if oid == Type::INT4.oid() => whole(i32::MIN.into(), i32::MAX.into()),
            oid if oid == Type::INT8.oid() => whole(i64::MIN, i64::MAX),
            oid if oid == Type::NUMERIC.oid() && to.1 >= 4 => {
                let (precision, scale) = ((to.1 - 4) >> 16, (to.1 - 4) & 0x7ff);
                let scale = if scale & 0x400 == 0 { scale } else { scale - 0x800 };
                Some(format!("abs(round({number}, {scale})) >= 1e{}", precision - scale))
            }
            _ => None,
        };
    }
    let is_text = is(from, &[Type::TEXT, Type::VARCHAR, Type::BPCHAR]);
    (is_text && knows_validity).then(|| {
        let name = to_name.replace('\'', "''");
        format!("NOT pg_input_is_valid(CAST({value} AS text), '{name}')")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_fit_are_told_by_their_range() {
        let of = |from: Type, to: Type, modifier: i32| {
            does_not_fit("t.a", from.oid(), (to.oid(), modifier), "", true)
        };
        assert_eq!(
            of(Type::INT8, Type::INT2, -1).unwrap(),
            "round(CAST(t.a AS numeric)) NOT BETWEEN -32768 AND 32767"
        );
        // numeric(6,2)
        let modifier = ((6 << 16) | 2) + 4;
        assert_eq!(
            of(Type::FLOAT8, Type::NUMERIC, modifier).unwrap(),
            "abs(round(CAST(t.a AS numeric), 2)) >= 1e4"
        );
        assert!(of(Type::JSON, Type::JSONB, -1).is_none());
    }

    #[test]
    fn text_is_judged_by_the_server_if_it_can() {
        let of =
            |knows| does_not_fit("t.a", Type::TEXT.oid(), (Type::UUID.oid(), -1), "uuid", knows);
        assert_eq!(of(true).unwrap(), "NOT pg_input_is_valid(CAST(t.a AS text), 'uuid')");
        assert!(of(false).is_none());
    }
}
