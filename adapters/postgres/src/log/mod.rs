//! The change stream: the keys of changed rows, and when they are visible.

pub(crate) mod completeness;
pub(crate) mod decode;
pub(crate) mod follow;
pub(crate) mod identity;
pub(crate) mod orphaned;
pub(crate) mod polling;
pub(crate) mod reader;
pub(crate) mod retained;
pub(crate) mod slot;
pub(crate) mod source;
pub(crate) mod stream;
pub(crate) mod transport;
pub(crate) mod visibility;
pub(crate) mod wire;
pub(crate) mod wire_error;
