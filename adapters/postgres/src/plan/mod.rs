//! What would happen, and what stands in the way. One check, one file.

pub(crate) mod cascade;
pub(crate) mod data;
pub(crate) mod data_checks;
pub(crate) mod held;
pub(crate) mod inspect;
pub(crate) mod leftovers;
pub(crate) mod losses;
pub(crate) mod lost_keys;
pub(crate) mod measure;
pub(crate) mod native;
pub(crate) mod oids;
pub(crate) mod online_steps;
pub(crate) mod others_flags;
pub(crate) mod refusals;
pub(crate) mod rehearsal;
pub(crate) mod reversible;
pub(crate) mod row_counts;
pub(crate) mod set_checks;
pub(crate) mod set_samples;
pub(crate) mod stand_ins;
pub(crate) mod steps;
pub(crate) mod surroundings;
pub(crate) mod survey;
pub(crate) mod trial;
pub(crate) mod unstable;
