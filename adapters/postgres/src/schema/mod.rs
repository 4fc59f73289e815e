//! What ALTER makes of the table.

pub(crate) mod alter_request;
pub(crate) mod alteration;
pub(crate) mod altered;
pub(crate) mod cascades;
pub(crate) mod catalogue;
pub(crate) mod clause;
pub(crate) mod clauses;
pub(crate) mod clone_checks;
pub(crate) mod column_mapping;
pub(crate) mod columns;
pub(crate) mod definition;
pub(crate) mod expression;
pub(crate) mod foreign_key_clauses;
pub(crate) mod identity_names;
pub(crate) mod key_clauses;
pub(crate) mod late_clauses;
pub(crate) mod lexer;
pub(crate) mod lookup_index;
pub(crate) mod pasted;
pub(crate) mod requested;
pub(crate) mod retarget;
pub(crate) mod reverse_mapping;
pub(crate) mod statements;
pub(crate) mod user_definition;
