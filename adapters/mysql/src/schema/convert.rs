//! Converts a value of the source to the shadow's type, in SQL, for comparing and for finding
//! duplicates. Copying needs little of it: the server converts by itself, and only needs help where
//! its ALTER does otherwise. `plan` refuses what is not listed here. Pure.

use crate::schema::pair::Pair;
use crate::schema::table::Column;
use crate::server::version::Flavour;
use crate::sql::{quote, string};

/// Kinds of types that convert alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Integer,
    Decimal,
    Float,
    Double,
    Bit,
    Year,
    Text,
    Bytes,
    Choice,
    Date,
    DateTime,
    Time,
    Json,
    Vector,
    Spatial,
    Uuid,
    Inet6,
    Inet4,
    Other,
}

fn family(column: &Column) -> Family {
    match &*column.data_type {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Family::Integer,
        "decimal" => Family::Decimal,
        "float" => Family::Float,
        "double" => Family::Double,
        "bit" => Family::Bit,
        "year" => Family::Year,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Family::Text,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Family::Bytes,
        "enum" | "set" => Family::Choice,
        "date" => Family::Date,
        "datetime" | "timestamp" => Family::DateTime,
        "time" => Family::Time,
        "json" => Family::Json,
        "vector" => Family::Vector,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geomcollection" | "geometrycollection" => Family::Spatial,
        "uuid" => Family::Uuid,
        "inet6" => Family::Inet6,
        "inet4" => Family::Inet4,
        _ => Family::Other,
    }
}

/// Returns whether the server's ALTER uses a value's text where INSERT … SELECT does not. INSERT …
/// SELECT takes a number for a member's place or for no JSON (MySQL), a FLOAT for the nearest
/// DOUBLE, and the year 0000 for 0. (Tried on MySQL 9.7, MariaDB 10.11.)
pub(crate) fn goes_by_text(source: &Column, shadow: &Column, flavour: Flavour) -> bool {
    use Family::*;
    match (family(source), family(shadow)) {
        (Float | Year, Text | Bytes) => true,
        (Integer | Decimal | Float | Double | Year | Date | DateTime | Time, Choice)
        | (Integer | Decimal | Float | Double | Choice, Json)
        | (Json, Integer) => flavour == Flavour::MySql,
        _ => false,
    }
}

/// Returns what a copy selects: the value for the server to convert, or its text.
pub(crate) fn copied(pair: &Pair) -> String {
    let name = match &pair.formula {
        Some(formula) => formula.expression.clone(),
        None => quote(&pair.source.name),
    };
    if pair.by_text { format!("CAST({name} AS CHAR)") } else { name }
}

/// Returns the condition that a row's value is the same in the source and in the shadow, exactly
/// and with NULLs. None if SQL cannot express that.
pub(crate) fn equal(pair: &Pair, source: &str, shadow: &str) -> Option<String> {
    let from = format!("{source}{}", quote(&pair.source.name));
    let into = format!("{shadow}{}", quote(&pair.shadow.name));
    let to = family(&pair.shadow);
    if pair.source.is_alike(&pair.shadow) {
        if pair.source.data_type == "timestamp" {
            // They are compared as moments: two of them may look the same in the session's time
            // zone.
            return Some(format!("UNIX_TIMESTAMP({from}) <=> UNIX_TIMESTAMP({into})"));
        }
        return Some(equal_alike(to, &from, &into));
    }
    if let Some(numbers) = renumbered(pair, &from) {
        return Some(format!("{numbers} <=> {into} + 0"));
    }
    if let Some(members) = member_numbers(pair, &from) {
        return Some(format!("{members} <=> {into} + 0"));
    }
    let value = converted(pair, &from)?;
    Some(match to {
        Family::Text | Family::Vector | Family::Spatial => {
            format!("{} <=> {}", as_bytes(&value), as_bytes(&into))
        }
        Family::Choice if family(&pair.source) == Family::Integer && !pair.by_text => {
            format!("{value} <=> {into} + 0")
        }
        Family::Json => format!(
            "{} <=> {}",
            as_bytes(&format!("CAST({value} AS CHAR)")),
            as_bytes(&format!("CAST({into} AS CHAR)"))
        ),
        Family::Bit | Family::Year => format!("{value} <=> {into} + 0"),
        _ => format!("{value} <=> {into}"),
    })
}

/// Compares texts as bytes, because collations call different texts equal, and some ignore spaces
/// at the end.
fn equal_alike(family: Family, from: &str, into: &str) -> String {
    match family {
        Family::Text
        | Family::Vector
        | Family::Spatial
        | Family::Uuid
        | Family::Inet6
        | Family::Inet4
        | Family::Other => {
            format!("{} <=> {}", as_bytes(from), as_bytes(into))
        }
        Family::Json => {
            format!(
                "{} <=> {}",
                as_bytes(&format!("CAST({from} AS CHAR)")),
                as_bytes(&format!("CAST({into} AS CHAR)"))
            )
        }
        // If MariaDB knows a YEAR beforehand (it reads both tables by a whole key), it finds equal
        // years different.
        Family::Choice | Family::Bit | Family::Year => format!("{from} + 0 <=> {into} + 0"),
        _ => format!("{from} <=> {into}"),
    }
}

/// Returns the numbers that the members of an ENUM or a SET have in the shadow. None if the members
/// are not the same, spelled alike. A value of a dropped member does not fit, and the copy fails by
/// name.
fn renumbered(pair: &Pair, from: &str) -> Option<String> {
    if pair.source.data_type != pair.shadow.data_type
        || !matches!(&*pair.source.data_type, "enum" | "set")
    {
        return None;
    }
    let shadow = pair.shadow.members();
    let places = pair
        .source
        .members()
        .into_iter()
        .map(|member| shadow.iter().position(|other| *other == member));
    let places: Vec<usize> = places.collect::<Option<_>>()?;
    if pair.source.data_type == "enum" {
        let numbers: Vec<String> = places.iter().map(|place| (place + 1).to_string()).collect();
        // 0 is the empty value of a member that was refused.
        return Some(format!("IF({from} + 0 = 0, 0, ELT({from} + 0, {}) + 0)", numbers.join(", ")));
    }
    let bit = |(from_place, place): (usize, &usize)| {
        format!("IF({from} & {}, {}, 0)", 1_u64 << from_place, 1_u64 << place)
    };
    let bits: Vec<String> = places.iter().enumerate().map(bit).collect();
    Some(format!("IF({from} IS NULL, NULL, {})", bits.join(" | ")))
}

/// Returns the number that a text gets in an ENUM, or the bits in a SET. If it names no member, it
/// is read as a number. None if the value is no text.
fn member_numbers(pair: &Pair, from: &str) -> Option<String> {
    let is_text = pair.by_text || matches!(family(&pair.source), Family::Text | Family::Choice);
    if family(&pair.shadow) != Family::Choice || !is_text {
        return None;
    }
    let Column { charset, collation, .. } = &pair.shadow;
    let said = |text: &str| format!("CONVERT({text} USING {charset}) COLLATE {collation}");
    let text = format!("CAST({from} AS CHAR)");
    let value = format!("TRIM(TRAILING ' ' FROM {})", said(&text));
    let members = pair.shadow.members();
    let members = members.iter().map(|member| said(&string(member)));
    let named = if pair.shadow.data_type == "enum" {
        format!("FIELD({value}, {})", members.collect::<Vec<_>>().join(", "))
    } else {
        let bit = |(place, member): (usize, String)| {
            format!("IF(FIND_IN_SET({member}, {value}) > 0, {}, 0)", 1_u64 << place)
        };
        format!("({})", members.enumerate().map(bit).collect::<Vec<_>>().join(" | "))
    };
    Some(format!(
        "IF({from} IS NULL, NULL, COALESCE(NULLIF({named}, 0), IF({text} REGEXP '^[0-9]+$', {text} \
         + 0, 0)))"
    ))
}

fn as_bytes(value: &str) -> String {
    format!("CAST({value} AS BINARY)")
}

/// Returns the source's value in the shadow's type and collation, for grouping.
pub(crate) fn grouped(pair: &Pair, source: &str) -> Option<String> {
    let from = format!("{source}{}", quote(&pair.source.name));
    if pair.source.is_alike(&pair.shadow) {
        return Some(from);
    }
    if let Some(members) = member_numbers(pair, &from) {
        return Some(members);
    }
    let value = converted(pair, &from)?;
    let collated = matches!(family(&pair.shadow), Family::Text | Family::Choice)
        && !pair.shadow.collation.is_empty();
    Some(if collated { format!("{value} COLLATE {}", pair.shadow.collation) } else { value })
}

fn converted(pair: &Pair, from: &str) -> Option<String> {
    use Family::*;
    match family(&pair.shadow) {
        Integer | Decimal | Float | Double | Bit | Year => to_number(pair, from),
        Date | DateTime | Time => to_moment(pair, from),
        _ => to_others(pair, from),
    }
}

fn to_number(pair: &Pair, from: &str) -> Option<String> {
    let shadow = &pair.shadow;
    let sizes = shadow.sizes();
    use Family::*;
    let expression = match (family(&pair.source), family(shadow)) {
        (Integer, Integer) => from.to_owned(),
        (Bit, Integer | Bit) | (Choice | Year, Integer) => format!("{from} + 0"),
        (Decimal, Integer) => format!("ROUND({from})"),
        (Float | Double, Integer) if shadow.is_unsigned() => format!("CAST({from} AS UNSIGNED)"),
        (Float | Double, Integer) => format!("CAST({from} AS SIGNED)"),
        (Text, Integer) => format!("ROUND(CAST({from} AS DECIMAL(65, 30)))"),
        (Integer | Decimal | Float | Double | Text, Decimal) => {
            format!("CAST({from} AS DECIMAL({}, {}))", sizes.first()?, sizes.get(1)?)
        }
        (Integer | Decimal | Float | Double | Text, Double) => format!("{from} + 0e0"),
        (Integer | Decimal | Double | Text, Float) => format!("CAST({from} AS FLOAT)"),
        (Integer, Bit) => format!("CAST({from} AS UNSIGNED)"),
        // A year of one or two digits is of this century or the last.
        (Integer, Year) => format!("IF({from} = 0, 0, {})", year(from)),
        (Text, Year) => {
            format!("IF({from} = 0 AND CHAR_LENGTH(TRIM({from})) >= 4, 0, {})", year(from))
        }
        (Date, Integer) => format!("{from} + 0"),
        (DateTime, Integer) => format!("CAST({from} AS DATETIME) + 0"),
        (Time, Integer) => format!("CAST({from} AS TIME) + 0"),
        (Json, Integer) if pair.by_text => {
            format!("ROUND(CAST(CAST({from} AS CHAR) AS DECIMAL(65, 30)))")
        }
        _ => return None,
    };
    Some(expression)
}

fn to_moment(pair: &Pair, from: &str) -> Option<String> {
    let fraction = pair.shadow.sizes().first().copied().unwrap_or(0);
    use Family::*;
    Some(match (family(&pair.source), family(&pair.shadow)) {
        (Integer | DateTime | Text, Date) => format!("CAST({from} AS DATE)"),
        (Integer | Date | DateTime | Text, DateTime) => {
            format!("CAST({from} AS DATETIME({fraction}))")
        }
        (Integer | DateTime | Time | Text, Time) => format!("CAST({from} AS TIME({fraction}))"),
        _ => return None,
    })
}

fn to_others(pair: &Pair, from: &str) -> Option<String> {
    let shadow = &pair.shadow;
    use Family::*;
    let expression = match (family(&pair.source), family(shadow)) {
        (Text | Bytes, Text) => text(format!("CONVERT({from} USING {})", shadow.charset), shadow),
        (Bit, Text) => {
            text(format!("CONVERT(CAST({from} + 0 AS CHAR) USING {})", shadow.charset), shadow)
        }
        (Bit, Bytes) => bytes(&format!("CAST({from} + 0 AS CHAR)"), shadow),
        (Json, Bytes) => bytes(&format!("CAST({from} AS CHAR)"), shadow),
        (Spatial, Spatial) => from.to_owned(),
        (Text | Bytes, Uuid) => format!("CAST({from} AS UUID)"),
        (Text | Bytes, Inet6) => format!("CAST({from} AS INET6)"),
        (Text | Bytes, Inet4) => format!("CAST({from} AS INET4)"),
        (
            Integer | Decimal | Float | Double | Year | Date | DateTime | Time | Json | Choice
            | Uuid | Inet6 | Inet4,
            Text,
        ) => text(format!("CONVERT(CAST({from} AS CHAR) USING {})", shadow.charset), shadow),
        (Vector | Bytes, Vector) => from.to_owned(),
        (Text | Bytes | Vector, Bytes) => bytes(from, shadow),
        (Uuid | Inet6 | Inet4, Bytes) if shadow.data_type == "binary" => bytes(from, shadow),
        (Integer | Decimal | Float | Double | Year | Date | DateTime | Time, Bytes) => {
            bytes(&format!("CAST({from} AS CHAR)"), shadow)
        }
        (Integer | Decimal | Float | Double | Choice, Json) if pair.by_text => {
            format!("CAST(CAST({from} AS CHAR) AS JSON)")
        }
        (Integer, Choice) => from.to_owned(),
        (Text, Json) => format!("CAST({from} AS JSON)"),
        _ => return None,
    };
    Some(expression)
}

fn year(from: &str) -> String {
    format!("{from} + IF({from} < 70, 2000, IF({from} < 100, 1900, 0))")
}

/// CHAR columns lose the spaces at their ends.
fn text(value: String, shadow: &Column) -> String {
    if shadow.data_type == "char" { format!("TRIM(TRAILING ' ' FROM {value})") } else { value }
}

/// BINARY columns get zeros at their ends.
fn bytes(value: &str, shadow: &Column) -> String {
    match shadow.sizes().first() {
        Some(length) if shadow.data_type == "binary" => {
            format!("CAST({value} AS BINARY({length}))")
        }
        _ => as_bytes(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str, column_type: &str, charset: &str) -> Column {
        let collation = if charset.is_empty() { String::new() } else { format!("{charset}_bin") };
        Column {
            name: "c".into(),
            data_type: data_type.into(),
            column_type: column_type.into(),
            charset: charset.into(),
            collation,
            ..Column::default()
        }
    }

    fn pair(source: Column, shadow: Column) -> Pair {
        Pair {
            by_text: goes_by_text(&source, &shadow, Flavour::MySql),
            source,
            shadow,
            formula: None,
        }
    }

    #[test]
    fn a_number_becomes_the_member_of_its_text() {
        let pair = pair(column("int", "int", ""), column("enum", "enum('2','1')", "ascii"));
        assert_eq!(copied(&pair), "CAST(`c` AS CHAR)");
        assert_eq!(
            equal(&pair, "s.", "d.").unwrap(),
            "IF(s.`c` IS NULL, NULL, COALESCE(NULLIF(FIELD(TRIM(TRAILING ' ' FROM \
             CONVERT(CAST(s.`c` AS CHAR) USING ascii) COLLATE ascii_bin), CONVERT('2' USING ascii) \
             COLLATE ascii_bin, CONVERT('1' USING ascii) COLLATE ascii_bin), 0), IF(CAST(s.`c` AS \
             CHAR) REGEXP '^[0-9]+$', CAST(s.`c` AS CHAR) + 0, 0))) <=> d.`c` + 0"
        );
        assert_eq!(
            equal(&Pair { by_text: false, ..pair }, "s.", "d.").unwrap(),
            "s.`c` <=> d.`c` + 0"
        );
    }

    #[test]
    fn texts_are_compared_as_bytes() {
        let pair =
            pair(column("varchar", "varchar(9)", "latin1"), column("char", "char(9)", "utf8mb4"));
        assert_eq!(
            equal(&pair, "s.", "d.").unwrap(),
            "CAST(TRIM(TRAILING ' ' FROM CONVERT(s.`c` USING utf8mb4)) AS BINARY) <=> CAST(d.`c` \
             AS BINARY)"
        );
    }

    #[test]
    fn members_that_change_places_are_compared_by_their_new_numbers() {
        let pair = |data_type: &str, one: &str, other: &str| {
            pair(
                column(data_type, &format!("{data_type}({one})"), "utf8mb4"),
                column(data_type, &format!("{data_type}({other})"), "utf8mb4"),
            )
        };
        assert_eq!(
            equal(&pair("set", "'x','y'", "'y','x'"), "s.", "d.").unwrap(),
            "IF(s.`c` IS NULL, NULL, IF(s.`c` & 1, 2, 0) | IF(s.`c` & 2, 1, 0)) <=> d.`c` + 0"
        );
        assert_eq!(
            equal(&pair("enum", "'x','y'", "'y','x'"), "s.", "d.").unwrap(),
            "IF(s.`c` + 0 = 0, 0, ELT(s.`c` + 0, 2, 1) + 0) <=> d.`c` + 0"
        );
        assert_eq!(renumbered(&pair("enum", "'x','y'", "'y'"), "c"), None);
    }

    #[test]
    fn what_is_not_known_is_not_compared() {
        let pair = pair(column("geometry", "geometry", ""), column("int", "int", ""));
        assert_eq!(equal(&pair, "s.", "d."), None);
    }
}
