//! Times a change of one table by altergeist, by the server itself and by whatever peers are installed, in turn, on the
//! same server: ratios, never absolute times. Nothing here judges; `docs/performance.md` says how to read it.

pub mod contender;
pub mod load;
pub mod scene;
pub mod summary;
