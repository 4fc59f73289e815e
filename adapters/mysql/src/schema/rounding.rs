//! Finds values that a change of type rounds or cuts, although the server's own ALTER only notes
//! it. Also finds values that the ALTER refuses, although an INSERT takes them. `plan` counts both
//! before the copy. Pure.

use crate::schema::pair::Pair;
use crate::schema::table::Column;
use crate::server::version::Flavour;
use crate::sql::quote;

/// A condition on the source's rows, and what happens to them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    /// They lose digits, or a part of a moment. That is done if it is allowed.
    Rounded(String),
    /// They lose digits, and the server says nothing about it, at no INSERT and no ALTER.
    Silent(String),
    /// The server's ALTER would refuse them.
    Refused(String),
}

/// Returns which rows lose something by the change of a column; None if no value can.
pub(crate) fn loss(pair: &Pair, flavour: Flavour) -> Option<Loss> {
    let (source, shadow) = (&pair.source, &pair.shadow);
    let column = quote(&source.name);
    let exact = |kept: String, whole: String| Some(Loss::Rounded(format!("{kept} <> {whole}")));
    let to_date = || {
        exact(
            format!("CAST(CAST({column} AS DATE) AS DATETIME(6))"),
            format!("CAST({column} AS DATETIME(6))"),
        )
    };
    match (kind(source), kind(shadow)) {
        (Kind::Number | Kind::Decimal | Kind::Text, Kind::Decimal) => {
            let [precision, scale] = shadow.sizes()[..] else { return None };
            let is_kept = source.data_type == "decimal"
                && source.sizes().get(1).is_some_and(|from| *from <= scale);
            let is_whole = source.data_type.ends_with("int");
            let whole = match source.data_type.as_str() {
                "float" | "double" => format!("({column} + 0e0)"),
                "decimal" => column.clone(),
                _ => format!("CAST({column} AS DECIMAL(65, 30))"),
            };
            if is_kept || is_whole {
                None
            } else {
                // The values are subtracted, not compared. In a WHERE both servers take two casts
                // of one column as equal, whatever their scales.
                Some(Loss::Rounded(format!(
                    "CAST({column} AS DECIMAL({precision}, {scale})) - {whole} <> 0"
                )))
            }
        }
        (Kind::Moment | Kind::Text, Kind::Date) => to_date(),
        // MySQL drops a moment's date silently.
        (Kind::Moment, Kind::Time) if flavour == Flavour::MariaDb => {
            Some(Loss::Rounded(format!("{column} IS NOT NULL")))
        }
        (Kind::Text, Kind::Time) => {
            Some(Loss::Rounded(format!("{column} REGEXP '^[[:space:]]*[0-9]+-[0-9]+-[0-9]+[ T]'")))
        }
        (Kind::Number | Kind::Decimal, Kind::Number)
            if !source.data_type.ends_with("int") && shadow.data_type.ends_with("int") =>
        {
            Some(Loss::Silent(format!("{column} <> ROUND({column})")))
        }
        (Kind::Moment, Kind::Moment) | (Kind::Time, Kind::Time) => {
            let digits = |of: &Column| of.sizes().first().copied().unwrap_or_default();
            let cut = 10_u32.pow(6 - digits(shadow).min(6));
            (digits(source) > digits(shadow))
                .then(|| Loss::Silent(format!("MICROSECOND({column}) % {cut} <> 0")))
        }
        // A number is a date of eight digits; MySQL's ALTER takes no shorter one, and no zero.
        (Kind::Number, Kind::Date | Kind::Moment) if flavour == Flavour::MySql => {
            Some(Loss::Refused(format!("{column} < 10000101")))
        }
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Decimal,
    Text,
    Date,
    Moment,
    Time,
    Other,
}

/// Returns the kind of a type. A DECIMAL is a number, and the only number that rounds with a note.
fn kind(column: &Column) -> Kind {
    match column.data_type.as_str() {
        "decimal" => Kind::Decimal,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "float" | "double" => {
            Kind::Number
        }
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Kind::Text,
        "date" => Kind::Date,
        "datetime" | "timestamp" => Kind::Moment,
        "time" => Kind::Time,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: &str, into: &str, flavour: Flavour) -> Option<Loss> {
        let column = |column_type: &str| Column {
            name: "c".into(),
            data_type: column_type.split('(').next().unwrap_or_default().into(),
            column_type: column_type.into(),
            ..Column::default()
        };
        loss(
            &Pair { source: column(from), shadow: column(into), by_text: false, formula: None },
            flavour,
        )
    }

    #[test]
    fn what_may_be_rounded_is_counted() {
        let rounded = |condition: &str| Some(Loss::Rounded(condition.into()));
        assert_eq!(
            found("decimal(12,4)", "decimal(10,2)", Flavour::MySql),
            rounded("CAST(`c` AS DECIMAL(10, 2)) - `c` <> 0")
        );
        assert_eq!(
            found("double", "decimal(10,2)", Flavour::MariaDb),
            rounded("CAST(`c` AS DECIMAL(10, 2)) - (`c` + 0e0) <> 0")
        );
        assert_eq!(
            found("datetime", "date", Flavour::MySql),
            rounded("CAST(CAST(`c` AS DATE) AS DATETIME(6)) <> CAST(`c` AS DATETIME(6))")
        );
        let silent = |condition: &str| Some(Loss::Silent(condition.into()));
        assert_eq!(found("double", "int", Flavour::MySql), silent("`c` <> ROUND(`c`)"));
        assert_eq!(
            found("datetime(6)", "datetime(3)", Flavour::MariaDb),
            silent("MICROSECOND(`c`) % 1000 <> 0")
        );
        assert_eq!(found("datetime", "time", Flavour::MySql), None);
        assert_eq!(
            found("int", "date", Flavour::MySql),
            Some(Loss::Refused("`c` < 10000101".into()))
        );
    }

    #[test]
    fn what_cannot_be_rounded_is_not_counted() {
        for (from, into) in [
            ("decimal(10,2)", "decimal(12,4)"),
            ("int", "decimal(10,2)"),
            ("date", "datetime"),
            ("int", "double"),
            ("int", "bigint"),
            ("datetime", "datetime(6)"),
        ] {
            assert_eq!(found(from, into, Flavour::MariaDb), None, "{from} to {into}");
        }
    }
}
