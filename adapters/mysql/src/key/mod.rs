//! The key that rows are followed by, and how its values are spelled (law 5).

pub(crate) mod index;
pub(crate) mod kept;
pub(crate) mod mapping;
pub(crate) mod missing_key;
pub(crate) mod spelling;
pub(crate) mod temporal;
