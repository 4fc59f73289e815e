//! The shadow: how it is created, filled, compared and kept current.

pub(crate) mod compare;
pub(crate) mod concurrent_ddl;
pub(crate) mod create;
pub(crate) mod duplicates;
pub(crate) mod guard;
pub(crate) mod indexes;
pub(crate) mod known;
pub(crate) mod pair;
pub(crate) mod returned_rows;
pub(crate) mod row_error;
pub(crate) mod rows;
