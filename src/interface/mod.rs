//! How people and scripts see a run and steer it.

pub mod address;
pub mod console;
pub mod durations;
pub mod log;
pub mod notice;
pub mod notify;
pub mod numbers;
pub mod order_door;
pub mod output;
pub mod plan;
pub mod progress;
pub mod recorder;
pub mod report;
pub mod report_backfill;
pub mod report_later;
pub mod report_reversible;
pub mod runbook;
pub mod socket;
