//! The columns that `--set` computes: their names as the server reads them, and their expressions.

use crate::schema::definition::Attribute;
use crate::schema::lexer;
use altergeist_contract::{Code, ColumnSet, Finding};

/// A column that `--set` computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetColumn {
    /// Its name in the altered table.
    pub(crate) name: String,
    /// The expression over the source's columns.
    pub(crate) expression: String,
}

impl SetColumn {
    /// Returns what a finding names.
    pub(crate) fn object(&self) -> String {
        format!("--set {}", self.name)
    }
}

/// Reads names and expressions, or says which of them cannot be read.
pub(crate) fn read(sets: &[ColumnSet]) -> Result<Vec<SetColumn>, Finding> {
    let mut columns: Vec<SetColumn> = Vec::new();
    for set in sets {
        let refused = |why: String| {
            let remedy = "write one column, and one expression over the columns of the table";
            Finding::error(Code::ClauseRejected, format!("--set {}", set.column), why, remedy)
        };
        let name = name_of(&set.column)
            .ok_or_else(|| refused("it does not begin with the name of one column".into()))?;
        is_one_expression(&set.expression).map_err(refused)?;
        if columns.iter().any(|known| known.name == name) {
            return Err(refused("another --set computes the same column".into()));
        }
        columns.push(SetColumn { name, expression: set.expression.clone() });
    }
    Ok(columns)
}

/// Checks that a text stays within the brackets that are put around it.
fn is_one_expression(text: &str) -> Result<(), String> {
    let statements =
        lexer::statements(text).map_err(|why| format!("its expression cannot be read: {why}"))?;
    let [tokens] = &statements[..] else {
        return Err("it has no expression, or more than one statement".into());
    };
    match tokens.iter().any(|token| token.depth == 0 && (token.is_sign(',') || token.is_sign(';')))
    {
        true => Err("it has more than one expression".into()),
        false => Ok(()),
    }
}

/// The column that a name stands for; None if the text is no name.
pub(crate) fn name_of(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let is_whole = !inner.replace("\"\"", "").contains('"');
        return (is_whole && !inner.is_empty()).then(|| inner.replace("\"\"", "\""));
    }
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    let is_name = !text.is_empty()
        && text.chars().all(is_part)
        && !text.starts_with(|letter: char| letter.is_ascii_digit() || letter == '$');
    is_name.then(|| text.to_lowercase())
}

/// Gives the columns the names that they have in the clone. A renamed column has its old name there
/// until the swap.
pub(crate) fn as_held(
    sets: &[SetColumn],
    named: &[Attribute],
    held: &[Attribute],
) -> Vec<SetColumn> {
    let name = |set: &SetColumn| {
        let number = named.iter().find(|column| column.name == set.name)?.number;
        Some(held.iter().find(|column| column.number == number)?.name.clone())
    };
    let renamed = |set: &SetColumn| SetColumn {
        name: name(set).unwrap_or_else(|| set.name.clone()),
        expression: set.expression.clone(),
    };
    sets.iter().map(renamed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_the_server_reads_it() {
        assert_eq!(name_of("Id").as_deref(), Some("id"));
        assert_eq!(name_of("\"Id\"").as_deref(), Some("Id"));
        assert_eq!(name_of("\"a\"\"b\"").as_deref(), Some("a\"b"));
        for text in ["", "a, b", "(a, b)", "\"a\", \"b\"", "a[1]", "1a", "\"\""] {
            assert_eq!(name_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_expression_does_not_leave_its_brackets() {
        for text in ["a || ')'", "f(a, b) -- )", "(a)", "ARRAY[a, b]"] {
            assert_eq!(is_one_expression(text), Ok(()), "{text}");
        }
        for text in ["a) AS x, (b", "a, b", "a; DROP TABLE t", "(a", "/* a", "a /*", ""] {
            assert!(is_one_expression(text).is_err(), "{text}");
        }
    }
}
