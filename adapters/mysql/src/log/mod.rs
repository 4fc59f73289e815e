//! The change stream: from the bytes of the binary log to keys (laws 1 and 6).

pub(crate) mod cascades;
pub(crate) mod completeness;
pub(crate) mod ddl_tables;
pub(crate) mod events;
pub(crate) mod indirect_writes;
pub(crate) mod open;
pub(crate) mod position;
pub(crate) mod restore_point;
pub(crate) mod row_image;
pub(crate) mod shadow_writes;
pub(crate) mod source;
pub(crate) mod statement;
pub(crate) mod stream;
pub(crate) mod transactions;
pub(crate) mod unlogged;
pub(crate) mod written;
pub(crate) mod xa_name;
