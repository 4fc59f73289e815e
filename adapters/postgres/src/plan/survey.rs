//! The result of the inspection of the table.

use crate::cutover::materialized_views::MaterializedView;
use crate::facts::OnlineSteps;
use crate::key::candidates::Candidate;
use crate::plan::cascade::Cascade;
use crate::plan::data_checks;
use crate::schema::altered::Altered;
use crate::shadow::duplicates;
use altergeist_contract::Finding;

/// What the inspection found, before any row was read.
pub(crate) struct Survey {
    pub(crate) altered: Option<Altered>,
    pub(crate) key: Option<Candidate>,
    pub(crate) obstacles: Vec<Finding>,
    /// Refusals that hold for every way to make the change.
    pub(crate) refusals: Vec<Finding>,
    pub(crate) is_native: bool,
    /// The online steps, if they are possible.
    pub(crate) online_steps: Option<OnlineSteps>,
    /// Clauses that only a native change can do.
    pub(crate) native_only: Vec<Finding>,
    /// What keeps the server from changing a column.
    pub(crate) bound: Vec<Finding>,
    pub(crate) duplicates: Vec<duplicates::Count>,
    pub(crate) questions: Vec<data_checks::Question>,
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
    pub(crate) notes: Vec<Finding>,
    /// Notes for a change by a copy.
    pub(crate) notes_on_copy: Vec<Finding>,
    /// The dependents of the table by name, and the relations that the swap locks with it.
    pub(crate) dependents: Vec<String>,
    pub(crate) locked_relations: Vec<String>,
    /// The materialized views that the swap replaces with the table.
    pub(crate) materialized: Vec<MaterializedView>,
    /// Each column that --set reads, with the column that it computes.
    pub(crate) set_reads: Vec<(String, String)>,
    /// What CASCADE drops.
    pub(crate) cascade: Cascade,
}
