//! How a row is named: the same bytes wherever its key comes from.

pub(crate) mod candidates;
pub(crate) mod missing_key;
pub(crate) mod order;
pub(crate) mod types;
pub(crate) mod values;
