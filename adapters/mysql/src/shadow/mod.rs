//! The shadow: how it is created, filled, kept current and compared (laws 2 and 4).

pub(crate) mod clone;
pub(crate) mod column_mapping;
pub(crate) mod compare;
pub(crate) mod complete;
pub(crate) mod concurrent_ddl;
pub(crate) mod create;
pub(crate) mod documents;
pub(crate) mod duplicates;
pub(crate) mod early_keys;
pub(crate) mod full_text;
pub(crate) mod indexes;
pub(crate) mod insert;
pub(crate) mod kept_columns;
pub(crate) mod late_index;
pub(crate) mod misfits;
pub(crate) mod pair;
pub(crate) mod rows;
pub(crate) mod statistics;
pub(crate) mod way_back;
