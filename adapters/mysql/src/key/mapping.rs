//! How a key column's values change in the shadow. Most changes of type keep the order of values
//! and their equality. So the source's values find rows in the shadow. For other changes the run
//! finds a row by its value in the shadow's form. It turns the shadow's value back to distinguish
//! rows. If that is impossible, the plan refuses the change. Pure.

use crate::key::spelling::Spelling;
use crate::schema::table::Column;

/// How values of the shadow's column come from the source's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Mapping {
    /// They are the same values in the same order.
    Same,
    /// Texts whose character set or collation changes.
    Text { from: Collated, into: Collated },
    /// Numbers that become texts.
    Digits { charset: String, collation: String, unsigned: bool },
    /// Members of an ENUM that get other numbers: the new number of each, in the order of the old
    /// ones, and the way back.
    Members { into: Vec<usize>, back: Vec<usize> },
}

/// A character set and one of its collations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Collated {
    charset: String,
    collation: String,
}

impl Collated {
    pub(crate) fn of(column: &Column) -> Collated {
        Collated { charset: column.charset.clone(), collation: column.collation.clone() }
    }

    pub(crate) fn say(&self, text: &str) -> String {
        format!("CONVERT({text} USING {}) COLLATE {}", self.charset, self.collation)
    }
}

impl Mapping {
    /// Returns a source's value as the shadow holds it.
    pub(crate) fn to_shadow(&self, value: &str) -> String {
        match self {
            Mapping::Same => value.to_owned(),
            Mapping::Text { into, .. } => into.say(value),
            Mapping::Digits { charset, collation, .. } => {
                format!("CONVERT(CAST({value} AS CHAR) USING {charset}) COLLATE {collation}")
            }
            Mapping::Members { into, .. } => chosen(value, into),
        }
    }

    /// Returns a shadow's value as the source holds it.
    pub(crate) fn back(&self, value: &str) -> String {
        match self {
            Mapping::Same => value.to_owned(),
            Mapping::Text { from, .. } => from.say(value),
            Mapping::Digits { unsigned, .. } => {
                format!("CAST({value} AS {})", if *unsigned { "UNSIGNED" } else { "SIGNED" })
            }
            Mapping::Members { back, .. } => chosen(value, back),
        }
    }

    /// Returns the mapping of a key column's change, if there is one. `is_zone_fixed` says that no
    /// hour comes twice in the server's time zone.
    pub(crate) fn of(source: &Column, shadow: &Column, is_zone_fixed: bool) -> Option<Mapping> {
        mapping(source, shadow, is_zone_fixed)
    }

    /// Returns the mapping for a column of which the key holds prefixes. Only the maximum length
    /// may change.
    pub(crate) fn of_prefix(source: &Column, shadow: &Column) -> Option<Mapping> {
        let is_fixed = |column: &Column| matches!(&*column.data_type, "char" | "binary");
        let is_text = |column: &Column| {
            column.data_type.ends_with("text") || column.data_type.ends_with("char")
        };
        let is_kind = is_text(source) == is_text(shadow) && Spelling::of_prefixed(shadow).is_some();
        let is_same = source.is_alike(shadow)
            || is_kind
                && !is_fixed(source)
                && !is_fixed(shadow)
                && source.collation == shadow.collation;
        is_same.then_some(Mapping::Same)
    }
}

fn chosen(value: &str, numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("COALESCE(ELT({value} + 0, {}) + 0, 0)", numbers.join(", "))
}

fn mapping(source: &Column, shadow: &Column, is_zone_fixed: bool) -> Option<Mapping> {
    use Spelling::*;
    let (from, into) = (Spelling::of(source)?, Spelling::of(shadow)?);
    let is_same = match (&from, &into) {
        (Integer { .. } | Year, Integer { .. } | Decimal { .. }) => true,
        (Bit, Bit | Integer { .. }) => true,
        (Decimal { scale: one, .. }, Decimal { scale: other, .. }) => one <= other,
        (DateTime(one), DateTime(other))
        | (Timestamp(one), Timestamp(other))
        | (Time(one), Time(other)) => one <= other,
        (Timestamp(one), DateTime(other)) | (DateTime(one), Timestamp(other)) => {
            is_zone_fixed && one <= other
        }
        (Date, DateTime(_)) => true,
        (FixedBytes(_), Bytes) => true,
        (Set, Set) => {
            shadow.members().starts_with(&source.members()) && source.collation == shadow.collation
        }
        (Enum(_), Enum(_)) => shadow.members().starts_with(&source.members()),
        (Text { .. }, Text { .. }) => {
            let loses_spaces = shadow.data_type == "char" && source.data_type != "char";
            source.collation == shadow.collation
                && !(loses_spaces && is_unpadded(&source.collation))
        }
        (one, other) => one == other,
    };
    if is_same {
        return Some(Mapping::Same);
    }
    match (&from, &into) {
        (Text { .. }, Text { .. }) if shadow.data_type != "char" || source.data_type == "char" => {
            Some(Mapping::Text { from: Collated::of(source), into: Collated::of(shadow) })
        }
        (Integer { unsigned, .. }, Text { .. }) if !source.column_type.contains("zerofill") => {
            Some(Mapping::Digits {
                charset: shadow.charset.clone(),
                collation: shadow.collation.clone(),
                unsigned: *unsigned,
            })
        }
        (Enum(_), Enum(_)) => members(&source.members(), &shadow.members()),
        _ => None,
    }
}

/// Every member must stay: a value of a dropped member would not fit.
fn members(source: &[String], shadow: &[String]) -> Option<Mapping> {
    let place = |of: &String, within: &[String]| {
        within.iter().position(|member| member == of).map_or(0, |place| place + 1)
    };
    let into: Vec<usize> = source.iter().map(|member| place(member, shadow)).collect();
    let back = shadow.iter().map(|member| place(member, source)).collect();
    (!into.contains(&0)).then_some(Mapping::Members { into, back })
}

/// Returns whether spaces at the end of a text count. They do in the collations of Unicode 9, and
/// in MariaDB's "nopad" ones.
fn is_unpadded(collation: &str) -> bool {
    collation == "binary" || collation.contains("_0900_") || collation.contains("nopad")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(column_type: &str, collation: &str) -> Column {
        let charset = collation.split('_').next().unwrap_or_default();
        Column {
            name: "k".into(),
            data_type: column_type.split(['(', ' ']).next().unwrap_or_default().into(),
            column_type: column_type.into(),
            charset: charset.into(),
            collation: collation.into(),
            ..Column::default()
        }
    }

    fn found(from: (&str, &str), into: (&str, &str)) -> Option<Mapping> {
        Mapping::of(&column(from.0, from.1), &column(into.0, into.1), false)
    }

    #[test]
    fn wider_types_keep_their_values() {
        for (from, into) in [
            ("int", "bigint unsigned"),
            ("int", "decimal(20,2)"),
            ("decimal(10,2)", "decimal(12,4)"),
            ("datetime(3)", "datetime(6)"),
            ("timestamp", "timestamp(3)"),
            ("enum('a','b')", "enum('a','b','c')"),
            ("binary(16)", "varbinary(20)"),
            ("date", "datetime"),
        ] {
            assert_eq!(found((from, ""), (into, "")), Some(Mapping::Same), "{from} to {into}");
        }
    }

    #[test]
    fn what_cannot_be_turned_back_has_no_mapping() {
        for (from, into) in [
            ("decimal(10,4)", "decimal(10,2)"),
            ("datetime(6)", "datetime"),
            ("varchar(9)", "int"),
            ("datetime", "timestamp"),
            ("timestamp", "datetime"),
            ("enum('a','b')", "enum('a')"),
            ("binary(4)", "binary(8)"),
            ("int(4) unsigned zerofill", "varchar(9)"),
        ] {
            assert!(found((from, ""), (into, "")).is_none(), "{from} to {into}");
        }
        assert!(
            found(("varchar(9)", "utf8mb4_0900_ai_ci"), ("char(9)", "utf8mb4_0900_ai_ci"))
                .is_none()
        );
    }

    #[test]
    fn a_collation_that_changes_is_said_both_ways() {
        let mapping =
            found(("varchar(9)", "latin1_bin"), ("varchar(9)", "utf8mb4_general_ci")).unwrap();
        assert_eq!(
            mapping.to_shadow("_latin1 x'61'"),
            "CONVERT(_latin1 x'61' USING utf8mb4) COLLATE utf8mb4_general_ci"
        );
        assert_eq!(mapping.back("`k`"), "CONVERT(`k` USING latin1) COLLATE latin1_bin");
        assert_eq!(
            found(("varchar(9)", "latin1_bin"), ("char(9)", "latin1_bin")),
            Some(Mapping::Same)
        );
    }

    #[test]
    fn members_that_change_places_are_followed() {
        let mapping = found(("enum('a','b')", ""), ("enum('x','b','a')", "")).unwrap();
        assert_eq!(mapping, Mapping::Members { into: vec![3, 2], back: vec![0, 2, 1] });
        assert_eq!(mapping.to_shadow("1"), "COALESCE(ELT(1 + 0, 3, 2) + 0, 0)");
    }
}
