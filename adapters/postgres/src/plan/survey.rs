//! What was seen of the table.

use crate::cutover::materialized_views::MaterializedView;
use crate::facts::OnlineSteps;
use crate::key::candidates::Candidate;
use crate::plan::cascade::Cascade;
use crate::plan::data_checks;
use crate::schema::altered::Altered;
use crate::shadow::duplicates;
use altergeist_contract::Refusal;

/// What was seen of the table, before any row was asked.
pub(crate) struct Survey {
    pub(crate) altered: Option<Altered>,
    pub(crate) key: Option<Candidate>,
    pub(crate) obstacles: Vec<Refusal>,
    /// Refusals that hold however the change is done.
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) is_native: bool,
    /// How it can be done in steps.
    pub(crate) online_steps: Option<OnlineSteps>,
    /// Clauses that only the server itself can carry out.
    pub(crate) native_only: Vec<Refusal>,
    /// What keeps the server from changing a column.
    pub(crate) bound: Vec<Refusal>,
    pub(crate) duplicates: Vec<duplicates::Count>,
    pub(crate) questions: Vec<data_checks::Question>,
    pub(crate) rows: i64,
    pub(crate) bytes: i64,
    pub(crate) notes: Vec<String>,
    /// The same, if it is done by a copy.
    pub(crate) notes_on_copy: Vec<String>,
    /// What hangs on the table, by name, and the relations that are locked with it in the swap.
    pub(crate) dependents: Vec<String>,
    pub(crate) locked_relations: Vec<String>,
    /// The materialized views that are replaced with the table.
    pub(crate) materialized: Vec<MaterializedView>,
    /// What CASCADE drops.
    pub(crate) cascade: Cascade,
}
