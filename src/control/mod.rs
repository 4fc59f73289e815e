//! Settings in, status out, and the ways a run can end.

pub mod approval;
pub mod effort;
pub mod event;
pub mod failure;
pub mod giver;
pub mod limits;
pub mod options;
pub mod order;
pub mod setting;
pub mod settings;
pub mod status;

mod controls;

pub use controls::Control;
pub use event::{Event, Listeners, News};
pub use failure::Failure;
pub use giver::{Door, Giver};
pub use limits::{Limit, Limits};
pub use options::{Goal, Options, Outcome, Wishes};
pub use order::Order;
pub use settings::Settings;
pub use status::{Phase, SignalState, Status};
