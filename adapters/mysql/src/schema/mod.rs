//! How ALTER changes the table: the clauses, the table, and its columns.

pub(crate) mod alter_request;
pub(crate) mod carried_keys;
pub(crate) mod check_names;
pub(crate) mod clause_text;
pub(crate) mod clauses;
pub(crate) mod column_mapping;
pub(crate) mod convert;
pub(crate) mod definition_diff;
pub(crate) mod foreign_key;
pub(crate) mod foreign_key_indexes;
pub(crate) mod full_text;
pub(crate) mod harmless;
pub(crate) mod identity;
pub(crate) mod index_definition;
pub(crate) mod key_choice;
pub(crate) mod lexer;
pub(crate) mod literals;
pub(crate) mod lookup;
pub(crate) mod misfits;
pub(crate) mod pair;
pub(crate) mod pasted;
pub(crate) mod reverse;
pub(crate) mod reverse_mapping;
pub(crate) mod rounding;
pub(crate) mod table;
