//! Real servers, real load, real faults.
