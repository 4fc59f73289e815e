//! Times a change of one table by altergeist, by the server itself and by whatever peers are
//! installed, in turn, on the same server: ratios, never absolute times. Nothing here judges;
//! `docs/benchmarks.md` says how to read it.

pub mod competitor;
pub mod load;
pub mod plot;
pub mod refresh;
pub mod setup;
pub mod shape;
pub mod steered;
pub mod summary;
pub mod way_back;
