//! How people and scripts see a run and steer it.

pub mod order_door;
pub mod plan;
pub mod progress;
pub mod report;
pub mod socket;
