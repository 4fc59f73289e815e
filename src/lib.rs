//! The story of an online schema change: copy, follow, prove, swap. It names no engine, builds no SQL and
//! holds no value; see `docs/story.md` for how to read it, and `docs/laws.md` for what it must never break.
// The core runs as one task and never spawns, so no future here needs to be `Send`.
#![allow(async_fn_in_trait)]

pub mod behind;
pub mod checkpoint;
pub mod chunk_size;
pub mod copy;
pub mod cutover;
pub mod desk;
pub mod effort;
pub mod failure;
pub mod keyset;
pub mod listen;
pub mod load;
pub mod pace;
pub mod quiet;
pub mod refresh;
pub mod run;
pub mod throttle;
pub mod verify;

pub use altergeist_contract as contract;
pub use desk::{Desk, Orders, Phase, Status};
pub use failure::Failure;
pub use load::Limits;
pub use run::{Options, Outcome, run};
