//! Refuses columns of `--set` that cannot be computed, whatever their expressions say.

use crate::schema::altered::CloneRequest;
use crate::schema::definition::Attribute;
use crate::schema::set_columns::SetColumn;
use altergeist_contract::{Code, Finding};

/// Returns why columns cannot be computed, whatever the expressions say.
pub(crate) fn refusals(
    request: &CloneRequest<'_>,
    before: &[Attribute],
    after: &[Attribute],
) -> Vec<Finding> {
    let refusal = |set: &SetColumn| {
        let refused = |code: Code, why: &str, remedy: &str| {
            Some(Finding::error(code, set.object(), why, remedy))
        };
        let Some(new) = after.iter().find(|column| column.name == set.name) else {
            return refused(
                Code::ClauseRejected,
                "the altered table has no such column",
                "write the column's name as the altered table has it, or add the column",
            );
        };
        if new.generated {
            return refused(
                Code::ClauseRejected,
                "the server generates the column by an expression of its own",
                "leave it out, or drop the column's expression",
            );
        }
        let old = before.iter().find(|old| old.number == new.number)?;
        if request.clauses.using.iter().any(|using| using.column == old.name) {
            return refused(
                Code::ClauseRejected,
                "the clauses compute the column too, by USING",
                "leave one of the two out",
            );
        }
        let mut keys = request.key.into_iter().flat_map(|key| &key.columns).chain(request.order);
        if keys.any(|key| key.source == old.name) {
            return refused(
                Code::KeyChoice,
                "the run follows the rows by this column, so it cannot compute it",
                "give the table another unique index over NOT NULL columns, or leave the column as \
                 it is",
            );
        }
        None
    };
    request.sets.iter().filter_map(refusal).collect()
}
