//! A column of the altered table that is computed from each row of the source.

/// A column, and the expression that computes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColumnSet {
    /// The column's name in the altered table, as the user wrote it: it may be quoted.
    pub column: String,
    /// An expression over the columns of the source. It gives the same value for the same row each
    /// time.
    pub expression: String,
}

impl ColumnSet {
    /// Reads `column = expression`. A quoted name may hold the sign.
    ///
    /// # Errors
    /// How to write it.
    pub fn read(text: &str) -> Result<ColumnSet, String> {
        let wrong = || "write it as 'column = expression'".to_owned();
        let after_name = match text.trim_start().chars().next() {
            Some(quote @ ('"' | '`')) => {
                let begin = text.find(quote).map_or(0, |at| at + 1);
                text[begin..].find(quote).map(|at| begin + at + 1).ok_or_else(wrong)?
            }
            _ => 0,
        };
        let at = text[after_name..].find('=').map(|at| after_name + at).ok_or_else(wrong)?;
        let (column, expression) = (text[..at].trim(), text[at + 1..].trim());
        match column.is_empty() || expression.is_empty() {
            true => Err(wrong()),
            false => Ok(ColumnSet { column: column.to_owned(), expression: expression.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_column_and_an_expression() {
        let read = |text| ColumnSet::read(text).map(|set| (set.column, set.expression));
        let pair = |one: &str, other: &str| Ok((one.to_owned(), other.to_owned()));
        assert_eq!(read("n = n + 1"), pair("n", "n + 1"));
        assert_eq!(read("b=a = 2"), pair("b", "a = 2"));
        assert_eq!(read("\"a=b\" = 'x'"), pair("\"a=b\"", "'x'"));
        assert_eq!(read("`a=b`=1"), pair("`a=b`", "1"));
        for wrong in ["n", "= 1", "n =", "\"n = 1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
