//! Which values of a column its new type does not take: too long, out of range, without a meaning.
//! `plan` counts them before the copy. What a type only rounds is in [`crate::schema::rounding`].
//! Pure.

use crate::schema::pair::Pair;
use crate::schema::table::Column;
use crate::sql::quote;
use crate::sql::quote::string;
use altergeist_contract::Code;

/// Values that do not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Misfit {
    pub code: Code,
    /// A condition on the source's rows.
    pub condition: String,
    /// What these rows do: "hold a text that is too long for varchar(10)".
    pub words: String,
    pub remedy: &'static str,
}

const SHORTEN: &str = "shorten these values first, or choose a longer type";
const ENLARGE: &str = "correct these values first, or choose a larger type";
const CORRECT: &str = "correct these values first, or keep the type";

/// Returns which values of a column do not fit into what it becomes.
pub(crate) fn misfits(pair: &Pair) -> Vec<Misfit> {
    if pair.source.is_alike(&pair.shadow) || pair.shadow.generated {
        return Vec::new();
    }
    let found = [too_long(pair), out_of_range(pair), foreign_letters(pair), meaningless(pair)];
    found.into_iter().flatten().collect()
}

fn is_text(column: &Column) -> bool {
    matches!(&*column.data_type, "char" | "varchar") || column.data_type.ends_with("text")
}

fn is_integer(column: &Column) -> bool {
    column.data_type.ends_with("int")
}

fn is_number(column: &Column) -> bool {
    is_integer(column) || matches!(&*column.data_type, "decimal" | "float" | "double")
}

fn size(column: &Column) -> Option<u64> {
    column.sizes().first().map(|size| u64::from(*size))
}

/// The longest value of a type that has no length of its own, in bytes.
fn bytes_max(data_type: &str) -> Option<u64> {
    Some(match data_type {
        "tinytext" | "tinyblob" => 255,
        "text" | "blob" => 65_535,
        "mediumtext" | "mediumblob" => 16_777_215,
        _ => return None,
    })
}

fn too_long(pair: &Pair) -> Option<Misfit> {
    let (source, shadow) = (&pair.source, &pair.shadow);
    let column = quote(&source.name);
    let misfit = |condition: String| {
        let words = format!("hold a value that is too long for {}", shadow.column_type);
        Some(Misfit { code: Code::ValueTooLong, condition, words, remedy: SHORTEN })
    };
    match &*shadow.data_type {
        "char" | "varchar" => {
            let length = size(shadow)?;
            let is_short = matches!(&*source.data_type, "char" | "varchar")
                && size(source).is_some_and(|from| from <= length);
            let value = match is_text(source) {
                true => column,
                false if is_number(source) || source.data_type == "enum" => {
                    format!("CAST({column} AS CHAR)")
                }
                false => return None,
            };
            if is_short {
                return None;
            }
            misfit(format!("CHAR_LENGTH(TRIM(TRAILING ' ' FROM {value})) > {length}"))
        }
        "binary" | "varbinary" if is_text(source) || source.data_type.contains("bin") => {
            let length = size(shadow)?;
            misfit(format!("LENGTH({column}) > {length}"))
        }
        "binary" | "varbinary" if source.data_type.ends_with("blob") => {
            let length = size(shadow)?;
            misfit(format!("LENGTH({column}) > {length}"))
        }
        other => {
            let length = bytes_max(other)?;
            let value = match (is_text(source), is_text(shadow)) {
                (true, true) => format!("CONVERT({column} USING {})", shadow.charset),
                (false, true) => return None,
                _ => column,
            };
            let is_short = bytes_max(&source.data_type).is_some_and(|from| from <= length)
                && source.charset == shadow.charset;
            if is_short {
                return None;
            }
            misfit(format!("LENGTH({value}) > {length}"))
        }
    }
}

/// The least and the greatest number of an integer type.
pub(crate) fn bounds(column: &Column) -> Option<(i128, i128)> {
    let bits = match &*column.data_type {
        "tinyint" => 8,
        "smallint" => 16,
        "mediumint" => 24,
        "int" => 32,
        "bigint" => 64,
        _ => return None,
    };
    Some(match column.is_unsigned() {
        true => (0, (1 << bits) - 1),
        false => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
    })
}

fn out_of_range(pair: &Pair) -> Option<Misfit> {
    let (source, shadow) = (&pair.source, &pair.shadow);
    let column = quote(&source.name);
    let misfit = |condition: String| {
        let words = format!("hold a value out of the range of {}", shadow.column_type);
        Some(Misfit { code: Code::ValueOutOfRange, condition, words, remedy: ENLARGE })
    };
    match &*shadow.data_type {
        _ if bounds(shadow).is_some() && is_number(source) => {
            let (least, greatest) = bounds(shadow)?;
            if bounds(source).is_some_and(|(from, to)| from >= least && to <= greatest) {
                return None;
            }
            let value = if is_integer(source) { column } else { format!("ROUND({column})") };
            misfit(format!("({value} < {least} OR {value} > {greatest})"))
        }
        "decimal" if is_number(source) => {
            let [precision, scale] = shadow.sizes()[..] else { return None };
            let value = match is_integer(source) {
                true => column,
                false => format!("ROUND({column}, {scale})"),
            };
            let limit = format!("1e{}", precision.checked_sub(scale)?);
            let negative =
                if shadow.is_unsigned() { format!(" OR {value} < 0") } else { String::new() };
            misfit(format!("({value} >= {limit} OR {value} <= -{limit}{negative})"))
        }
        "timestamp" if matches!(&*source.data_type, "date" | "datetime") => {
            let last = 2_147_483_647;
            misfit(format!(
                "(MONTH({column}) <> 0 AND ({column} < FROM_UNIXTIME(1) OR {column} > \
                 FROM_UNIXTIME({last})))"
            ))
        }
        "year" if is_integer(source) => misfit(format!(
            "({column} NOT BETWEEN 1901 AND 2155 AND {column} NOT BETWEEN 0 AND 99)"
        )),
        _ => None,
    }
}

/// Texts with letters that the new character set lacks.
fn foreign_letters(pair: &Pair) -> Option<Misfit> {
    let (source, shadow) = (&pair.source, &pair.shadow);
    let has_all = matches!(&*shadow.charset, "utf8mb4" | "utf16" | "utf16le" | "utf32" | "binary");
    let is_same = source.charset == shadow.charset || source.charset == "ascii";
    if !is_text(source) || !is_text(shadow) || has_all || is_same {
        return None;
    }
    let (column, charset) = (quote(&source.name), &shadow.charset);
    let bytes = |text: String| format!("CAST({text} AS BINARY)");
    let there_and_back = format!("CONVERT(CONVERT({column} USING {charset}) USING utf8mb4)");
    let condition = format!(
        "{} <> {}",
        bytes(there_and_back),
        bytes(format!("CONVERT({column} USING utf8mb4)"))
    );
    Some(Misfit {
        code: Code::ValueLossy,
        condition,
        words: format!("hold characters that {charset} lacks"),
        remedy: "replace these characters first, or keep the character set",
    })
}

/// Texts that the new type cannot read.
fn meaningless(pair: &Pair) -> Option<Misfit> {
    let (source, shadow) = (&pair.source, &pair.shadow);
    let column = quote(&source.name);
    let misfit = |condition: String, words: String| {
        Some(Misfit { code: Code::ValueInvalid, condition, words, remedy: CORRECT })
    };
    let is_member = source.data_type == "enum";
    match &*shadow.data_type {
        _ if is_text(source) && is_number(shadow) => misfit(
            format!(
                "{column} NOT REGEXP \
                 '^[[:space:]]*[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?[[:space:]]*$'"
            ),
            "hold a text that is not a number".into(),
        ),
        "date" | "datetime" | "timestamp" if is_text(source) => misfit(
            format!("({column} IS NOT NULL AND CAST({column} AS DATETIME) IS NULL)"),
            "hold a text that is not a date".into(),
        ),
        "json" if is_text(source) => {
            misfit(format!("NOT JSON_VALID({column})"), "hold a text that is not JSON".into())
        }
        "enum" if is_text(source) || is_member => {
            let members: Vec<String> =
                shadow.members().iter().map(|member| string(member)).collect();
            let (charset, collation) = (&shadow.charset, &shadow.collation);
            let value = format!(
                "CONVERT(TRIM(TRAILING ' ' FROM CAST({column} AS CHAR)) USING {charset}) COLLATE \
                 {collation}"
            );
            // A text of digits may be a member's number. The number 0 stands for a lost value.
            let but = match is_member {
                true => format!("{column} + 0 <> 0"),
                false => format!("{column} NOT REGEXP '^[0-9]+$'"),
            };
            misfit(
                format!("({but} AND {value} NOT IN ({}))", members.join(", ")),
                "hold a value that is no member of the new type".into(),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(column_type: &str) -> Column {
        let data_type = column_type.split(['(', ' ']).next().unwrap_or_default();
        let charset =
            if data_type.ends_with("char") || data_type.ends_with("text") { "utf8mb4" } else { "" };
        Column {
            name: "c".into(),
            data_type: data_type.into(),
            column_type: column_type.into(),
            charset: charset.into(),
            ..Column::default()
        }
    }

    fn conditions(from: &str, to: &str) -> Vec<String> {
        let pair = Pair { source: column(from), shadow: column(to), by_text: false, formula: None };
        misfits(&pair).into_iter().map(|misfit| misfit.condition).collect()
    }

    #[test]
    fn a_larger_type_takes_every_value() {
        for (from, to) in [
            ("int", "bigint"),
            ("tinyint unsigned", "smallint"),
            ("varchar(10)", "varchar(20)"),
            ("varchar(20)", "text"),
            ("text", "mediumtext"),
            ("int", "int"),
        ] {
            let found = conditions(from, to);
            let may_be_long = from == "varchar(20)";
            assert!(found.is_empty() || may_be_long, "{from} to {to}: {found:?}");
        }
    }

    #[test]
    fn what_a_smaller_type_does_not_take_is_counted() {
        assert_eq!(conditions("int", "tinyint"), ["(`c` < -128 OR `c` > 127)"]);
        assert_eq!(conditions("int", "int unsigned"), ["(`c` < 0 OR `c` > 4294967295)"]);
        assert_eq!(
            conditions("bigint unsigned", "bigint"),
            ["(`c` < -9223372036854775808 OR `c` > 9223372036854775807)"]
        );
        assert_eq!(
            conditions("varchar(20)", "varchar(10)"),
            ["CHAR_LENGTH(TRIM(TRAILING ' ' FROM `c`)) > 10"]
        );
        assert_eq!(conditions("int", "decimal(4,2)"), ["(`c` >= 1e2 OR `c` <= -1e2)"]);
    }
}
