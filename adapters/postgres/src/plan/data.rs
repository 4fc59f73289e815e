//! Checks the rows for values that the shadow would refuse.

use crate::plan::data_checks;
use crate::plan::survey::Survey;
use crate::server::doing::Doing;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::shadow::duplicates;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Duplicates, Refusal, Result};

/// Returns refusals for rows that the altered table cannot hold.
pub(crate) async fn check_data(
    session: &Session,
    names: &Names,
    survey: &Survey,
) -> Result<Vec<Refusal>> {
    let Some(altered) = survey.altered.as_ref().filter(|_| !survey.is_native) else {
        return Ok(Vec::new());
    };
    let Some(layout) = &altered.layout else { return Ok(Vec::new()) };
    let unfit_values = data_checks::unfit_values(session, layout, &altered.changes.risks).await?;
    if !unfit_values.is_empty() {
        return Ok(unfit_values);
    }
    let attempted = || format!("look at the rows of {}", names.display);
    let source = names.source();
    let mut refusals = Vec::new();
    if !altered.changes.without_value.is_empty()
        && session.one(&sql::any_row(&source), &[]).await.doing(attempted)?.get(0)
    {
        refusals.extend(altered.changes.without_value.iter().map(|column| {
            Refusal::new(
                format!("column {column}"),
                "it may not be NULL, has no default, and the table has rows",
                "give it a default, or let it be NULL",
            )
        }));
    }
    for (column, value) in &altered.changes.not_null {
        let statement = sql::any_null(&source, &quote::quoted(&names.table), value);
        if session.one(&statement, &[]).await.doing(attempted)?.get(0) {
            refusals.push(Refusal::new(
                format!("column {column}"),
                "it may not be NULL any more, and rows hold NULL in it",
                "fill it first",
            ));
        }
    }
    refusals.extend(data_checks::refusals(session, &names.display, &survey.questions).await?);
    let duplicates = duplicates::count(session, &survey.duplicates).await?;
    refusals.extend(duplicates.iter().map(duplicate_values));
    Ok(refusals)
}

fn duplicate_values(found: &Duplicates) -> Refusal {
    let reason = format!("{} values are held by more than one row each", found.values);
    Refusal::new(format!("unique index {}", found.index), reason, "make them unique first")
}
