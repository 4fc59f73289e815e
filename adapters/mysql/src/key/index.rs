//! The key that the rows are followed by, and the columns it is made of (law 5). Pure.

use crate::key::mapping::Mapping;
use crate::key::spelling::Spelling;
use crate::schema::table::{Index, Table, is_same};
use altergeist_contract::{Error, Key, Result};

/// The key of the source that rows are followed by.
#[derive(Clone, Debug)]
pub(crate) struct KeyIndex {
    /// The index of the source.
    pub index: String,
    /// The index of the shadow that finds rows by the same columns; [`LOOKUP`] if the altered table
    /// has none.
    pub shadow_index: String,
    pub columns: Vec<KeyColumn>,
}

/// One column of the key.
#[derive(Clone, Debug)]
pub(crate) struct KeyColumn {
    /// In the source.
    pub name: String,
    /// In the shadow.
    pub shadow_name: String,
    /// Its place in the log's row images.
    pub ordinal: usize,
    pub spelling: Spelling,
    /// Whether the source's index has this column in descending order, but not all its columns.
    pub descending: bool,
    /// How many characters of it the index holds, if not the whole value.
    pub prefix: Option<u64>,
    /// How the shadow's values come from the source's.
    pub mapping: Mapping,
}

/// An index of ours. The shadow has it until it has the source's name, if no other index finds rows
/// by the key.
pub(crate) const LOOKUP: &str = "_ag_key";

impl KeyIndex {
    /// Returns whether an index of ours finds the rows of the shadow.
    pub(crate) fn needs_lookup(&self) -> bool {
        self.shadow_index == LOOKUP
    }

    /// Returns the columns of that index as a definition has them: a name, and the length of a
    /// prefix.
    pub(crate) fn shadow_parts(&self) -> Vec<(&str, Option<u64>)> {
        self.columns.iter().map(|column| (&*column.shadow_name, column.prefix)).collect()
    }

    /// Returns whether the index holds only prefixes of some column. Its order is then not quite
    /// that of the values.
    pub(crate) fn has_prefix(&self) -> bool {
        self.columns.iter().any(|column| column.prefix.is_some())
    }

    /// Describes the key in messages: `PRIMARY (id)`.
    pub(crate) fn describe(&self) -> String {
        let described = |column: &KeyColumn| match column.prefix {
            None => column.name.clone(),
            Some(length) => format!("{}({length})", column.name),
        };
        let columns: Vec<String> = self.columns.iter().map(described).collect();
        format!("{} ({})", self.index, columns.join(", "))
    }

    /// Returns whether values of a TIMESTAMP are part of the key.
    pub(crate) fn has_moments(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.spelling, Spelling::Timestamp(_)))
    }

    /// Returns whether the shadow holds the values in another form, and so perhaps in another
    /// order.
    pub(crate) fn is_mapped(&self) -> bool {
        self.columns.iter().any(|column| column.mapping != Mapping::Same)
    }

    /// Returns the key of a row that a query returned.
    pub(crate) fn of_query(&self, row: &[Option<Vec<u8>>]) -> Option<Key> {
        let cells = self.columns.iter().zip(row);
        let columns: Vec<Vec<u8>> = cells
            .map(|(column, cell)| Some(column.spelling.of_query(cell.as_deref()?)))
            .collect::<Option<_>>()?;
        (columns.len() == self.columns.len())
            .then(|| Key::compose(columns.iter().map(Vec::as_slice)))
    }

    /// Returns the literals of a key's columns.
    pub(crate) fn literals(&self, key: &Key) -> Result<Vec<String>> {
        let values = key.columns();
        let literals: Option<Vec<String>> = self
            .columns
            .iter()
            .zip(&values)
            .map(|(column, value)| column.spelling.literal(value))
            .collect();
        literals
            .filter(|literals| {
                literals.len() == self.columns.len() && values.len() == literals.len()
            })
            .ok_or_else(|| Error::fatal("write a key as SQL", "the key is not one of this table's"))
    }
}

/// Returns the keys that rows can be followed by, the best first, with their columns in the shadow
/// unnamed. If there is none, returns the reason for each unique index.
pub(crate) fn candidates(
    table: &Table,
) -> std::result::Result<Vec<(Index, Vec<KeyColumn>)>, Vec<String>> {
    let mut candidates = Vec::new();
    let mut reasons = Vec::new();
    for index in table.indexes.iter().filter(|index| index.unique) {
        match key_columns(table, index) {
            Ok(columns) => candidates.push((index.clone(), columns)),
            Err(reason) => reasons.push(format!("{}: {reason}", index.name)),
        }
    }
    candidates.sort_by_key(|(index, columns)| {
        (
            columns.iter().any(|c| c.prefix.is_some()),
            index.name != "PRIMARY",
            columns.len(),
            columns.iter().any(|c| c.spelling.is_text()),
        )
    });
    if candidates.is_empty() { Err(reasons) } else { Ok(candidates) }
}

fn key_columns(table: &Table, index: &Index) -> std::result::Result<Vec<KeyColumn>, String> {
    if !index.usable {
        return Err("it is not a visible B-tree".into());
    }
    let is_mixed = index.parts.iter().any(|part| part.descending != index.parts[0].descending);
    index
        .parts
        .iter()
        .map(|part| {
            let column = table.column(&part.column).ok_or("it has an expression")?;
            if column.nullable {
                return Err(format!("column {} may be NULL", column.name));
            }
            if column.generated && !column.is_stored() {
                return Err(format!("column {} is generated and not stored", column.name));
            }
            let spelling =
                part.prefix.map_or_else(|| Spelling::of(column), |_| Spelling::of_prefixed(column));
            let spelling = spelling
                .ok_or(format!("column {} is of type {}", column.name, column.column_type))?;
            Ok(KeyColumn {
                name: column.name.clone(),
                shadow_name: String::new(),
                ordinal: column.ordinal,
                spelling,
                descending: is_mixed && part.descending,
                prefix: part.prefix,
                mapping: Mapping::Same,
            })
        })
        .collect()
}

/// Returns the index of the shadow that finds rows by these columns: it begins with all of them,
/// whole, in any order.
///
/// If a column's values are mapped, two rows of the shadow may be one row of the source. Then the
/// index must be unique over just these columns. Otherwise it could not separate the rows of two
/// keys.
pub(crate) fn lookup_index(shadow: &Table, columns: &[KeyColumn]) -> Option<String> {
    let is_mapped = columns.iter().any(|column| column.mapping != Mapping::Same);
    let begins = |index: &&Index| {
        index.usable
            && index.parts.len() >= columns.len()
            && (!is_mapped || index.unique && index.parts.len() == columns.len())
            && index.parts[..columns.len()].iter().all(|part| {
                let is_over = |column: &KeyColumn| {
                    is_same(&column.shadow_name, &part.column) && column.prefix == part.prefix
                };
                columns.iter().any(is_over)
            })
    };
    let mut found: Vec<&Index> = shadow.indexes.iter().filter(begins).collect();
    found.sort_by_key(|index| (index.name != "PRIMARY", !index.unique, index.parts.len()));
    found.first().map(|index| index.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::table::Column;
    use crate::sql::quote::hex;

    fn spelled(spelling: &Spelling, value: &[u8]) -> String {
        String::from_utf8(spelling.of_log(value).expect("a value of the type")).expect("text")
    }

    #[test]
    fn integers_of_all_sizes_and_signs_are_read_from_the_log() {
        let integer = |bytes, unsigned| Spelling::Integer { bytes, unsigned };
        assert_eq!(spelled(&integer(1, false), &[0xff]), "-1");
        assert_eq!(spelled(&integer(1, true), &[0xff]), "255");
        assert_eq!(spelled(&integer(3, false), &[0, 0, 0x80]), "-8388608");
        assert_eq!(spelled(&integer(3, true), &[0, 0, 0x80]), "8388608");
        assert_eq!(spelled(&integer(8, true), &[0xff; 8]), "18446744073709551615");
        assert_eq!(integer(4, false).of_log(&[1, 2]), None);
    }

    #[test]
    fn decimals_are_read_from_the_log() {
        let money = Spelling::Decimal { precision: 14, scale: 4 };
        assert_eq!(spelled(&money, &[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2]), "1234567890.1234");
        assert_eq!(
            spelled(&money, &[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d]),
            "-1234567890.1234"
        );
        let fraction = Spelling::Decimal { precision: 2, scale: 2 };
        assert_eq!(spelled(&fraction, &[0x85]), "0.05");
        let whole = Spelling::Decimal { precision: 3, scale: 0 };
        assert_eq!(spelled(&whole, &[0x80, 0x00]), "0");
    }

    #[test]
    fn a_number_has_one_spelling_whatever_the_column_prints() {
        let decimal = Spelling::Decimal { precision: 6, scale: 2 };
        assert_eq!(decimal.of_query(b"0000.50"), b"0.50");
        let integer = Spelling::Integer { bytes: 4, unsigned: true };
        assert_eq!(integer.of_query(b"0000000042"), b"42");
        assert_eq!(integer.of_query(b"0000"), b"0");
    }

    #[test]
    fn fixed_bytes_get_back_the_zeros_the_log_cut() {
        assert_eq!(Spelling::FixedBytes(4).of_log(&[1, 0, 2]), Some(vec![1, 0, 2, 0]));
        assert_eq!(Spelling::FixedBytes(4).literal(&[1, 0, 2, 0]).unwrap(), "x'01000200'");
    }

    #[test]
    fn a_literal_says_nothing_but_its_value() {
        let text = Spelling::Text { charset: "latin1".into() };
        assert_eq!(text.literal(b"a' OR 1=1").unwrap(), "_latin1 x'6127204f5220313d31'");
        let integer = Spelling::Integer { bytes: 4, unsigned: false };
        assert_eq!(integer.literal(b"1 OR 1=1"), None);
        assert_eq!(Spelling::Date.literal(b"2024-01-01").unwrap(), "DATE'2024-01-01'");
        assert_eq!(Spelling::Date.literal(b"2024'01-01"), None);
    }

    #[test]
    fn the_primary_key_is_preferred_and_what_cannot_be_a_key_says_why() {
        let column = |name: &str, data_type: &str, nullable| Column {
            name: name.into(),
            data_type: data_type.into(),
            column_type: data_type.into(),
            nullable,
            ..Column::default()
        };
        let index = |name: &str, column: &str| Index {
            name: name.into(),
            unique: true,
            usable: true,
            parts: vec![Part { column: column.into(), ..Part::default() }],
        };
        let columns =
            vec![column("a", "int", false), column("b", "int", true), column("c", "json", false)];
        let both = Table {
            columns: columns.clone(),
            indexes: vec![index("u", "a"), index("PRIMARY", "a")],
        };
        assert_eq!(candidates(&both).unwrap()[0].0.name, "PRIMARY");
        let none = Table { columns, indexes: vec![index("u", "b"), index("v", "c")] };
        assert_eq!(
            candidates(&none).unwrap_err(),
            ["u: column b may be NULL", "v: column c is of type json"]
        );
    }

    #[test]
    fn members_bits_and_years_are_numbers() {
        assert_eq!(spelled(&Spelling::Enum(300), &[0x2c, 1]), "300");
        assert_eq!(spelled(&Spelling::Set, &[0xff; 8]), "18446744073709551615");
        assert_eq!(spelled(&Spelling::Bit, &[1, 0, 1]), "65537");
        assert_eq!(spelled(&Spelling::Year, &[105]), "2005");
        assert_eq!(spelled(&Spelling::Year, &[0]), "0");
    }

    #[test]
    fn a_moment_is_a_number_that_no_time_zone_changes() {
        let moment = Spelling::Timestamp(3);
        assert_eq!(
            moment.of_query(b"1700000000.123000"),
            moment.of_log(&[0x65, 0x53, 0xf1, 0, 0x04, 0xd2]).unwrap()
        );
        assert_eq!(
            moment.literal(b"1700000000.123").unwrap(),
            "CAST(FROM_UNIXTIME(1700000000.123) AS DATETIME(3))"
        );
        assert_eq!(moment.literal(b"0.000").unwrap(), "TIMESTAMP'0000-00-00 00:00:00'");
        assert_eq!(Spelling::Timestamp(0).of_query(b"0"), b"0");
    }

    #[test]
    fn uuids_that_are_kept_in_reverse_are_turned() {
        let mut kept = vec![
            0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x81, 0x23, 0x1d, 0xef, 0x89, 0xab, 0x01, 0x23,
            0x45, 0x67,
        ];
        assert_eq!(hex(&Spelling::Uuid.of_log(&kept).unwrap()), "0123456789ab1def8123456789abcdef");
        kept[8] = 0x7d;
        assert_eq!(Spelling::Uuid.of_log(&kept).unwrap(), kept);
        assert_eq!(hex(&Spelling::Uuid.of_log(&[]).unwrap()), "0".repeat(32));
    }

    #[test]
    fn a_range_of_members_is_a_list() {
        let choice = Spelling::Enum(3);
        assert_eq!(choice.bounded("e", ">", "1"), "e IN (2, 3)");
        assert_eq!(choice.bounded("e", "<", "1"), "e IN (0)");
        assert_eq!(choice.bounded("e", ">", "3"), "FALSE");
        assert_eq!(Spelling::Enum(9000).bounded("e", ">", "1"), "e > 1");
        assert_eq!(Spelling::Set.bounded("s", ">=", "4"), "s >= 4");
    }

    use crate::schema::table::Part;
}
