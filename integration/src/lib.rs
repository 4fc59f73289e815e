//! Real servers, real load, real faults: what the integration tests and the demo are made of.
//!
//! Nothing here knows how altergeist works inside. It starts servers, fills tables, writes to
//! them, breaks connections, and says afterwards whether a row was lost.

pub mod altergeist_process;
pub mod bench;
pub mod cases;
pub mod faults;
pub mod servers;
pub mod session;
pub mod statement_fault;
pub mod workload;
