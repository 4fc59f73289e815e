//! A column of the shadow, and where its values come from.

use crate::schema::table::Column;

/// A column of the shadow, and the column of the source its values come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    pub source: Column,
    pub shadow: Column,
    /// Whether the value's text is copied, see [`convert::goes_by_text`].
    pub by_text: bool,
    /// How `--set` computes the value. Then `source` is the value as a column, with a name of ours.
    pub formula: Option<Formula>,
}

/// How `--set` computes a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Formula {
    /// The expression over the source's columns, in brackets.
    pub expression: String,
    /// The column of the source that becomes this column; None for a new column.
    pub replaces: Option<Column>,
}

impl Pair {
    /// Returns the column's name in messages.
    pub(crate) fn title(&self) -> &str {
        if self.formula.is_some() { &self.shadow.name } else { &self.source.name }
    }

    /// Returns the column of the source whose values change; None for a new column.
    pub(crate) fn before(&self) -> Option<&Column> {
        match &self.formula {
            Some(formula) => formula.replaces.as_ref(),
            None => Some(&self.source),
        }
    }
}

/// A column that is added NOT NULL without a default, and the value that the server's own ALTER
/// gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Given {
    pub column: Column,
    pub value: &'static str,
}
