//! What ALTER makes of the table: the clauses, the table, and what becomes of its columns.

pub(crate) mod change;
pub(crate) mod check_names;
pub(crate) mod clauses;
pub(crate) mod columns;
pub(crate) mod convert;
pub(crate) mod foreign_key;
pub(crate) mod foreign_key_indexes;
pub(crate) mod harmless;
pub(crate) mod lexer;
pub(crate) mod literals;
pub(crate) mod pair;
pub(crate) mod pasted;
pub(crate) mod rounding;
pub(crate) mod table;
