//! The story of an online schema change: copy, follow, prove, swap. It names no engine, builds no
//! SQL and holds no value; see `docs/story.md` for how to read it, and `docs/laws.md` for what it
//! must never break.
// The core runs as one task and never spawns, so no future here needs to be `Send`.
#![allow(async_fn_in_trait)]

pub mod backfill;
pub mod control;
pub mod gate;
pub mod migration;
pub mod pace;

pub use altergeist_contract as contract;
pub use control::{
    Control, Door, Event, Failure, Giver, Goal, Limit, Limits, Listeners, News, Options, Order,
    Outcome, Phase, Settings, Status, Wishes,
};
pub use migration::hold::hold;
pub use migration::planning::{plan, plan_with_cost};
pub use migration::rehearse::{Rehearsal, Rehearsed, rehearse};
pub use migration::run::run;
