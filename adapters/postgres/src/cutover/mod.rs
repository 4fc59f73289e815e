//! The cut-over: one lock, one transaction, and how to learn the outcome if its answer is lost.

pub(crate) mod blockers;
pub(crate) mod dependents;
pub(crate) mod finish;
pub(crate) mod lock;
pub(crate) mod locked_relations;
pub(crate) mod materialized_views;
pub(crate) mod moves;
pub(crate) mod owned;
pub(crate) mod ownership;
pub(crate) mod replacement_views;
pub(crate) mod reversible;
pub(crate) mod swap;
