//! A column of the shadow, and where its values come from.

use crate::schema::table::Column;

/// A column of the shadow, and the column of the source its values come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    pub source: Column,
    pub shadow: Column,
    /// Whether the value's text is copied, see [`convert::goes_by_text`].
    pub by_text: bool,
}

/// A column that is added NOT NULL without a default, and the value that the server's own ALTER
/// gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Given {
    pub column: Column,
    pub value: &'static str,
}
