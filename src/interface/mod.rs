//! How people and scripts see a run and steer it.

pub mod plan;
pub mod progress;
pub mod report;
pub mod socket;
