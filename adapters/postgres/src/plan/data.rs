//! Checks the rows for values that the shadow would refuse, and for values that the change loses.

use crate::change::Change;
use crate::plan::data_checks;
use crate::plan::losses;
use crate::plan::row_counts;
use crate::plan::set_samples;
use crate::plan::survey::Survey;
use crate::schema::altered::Altered;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::shadow::duplicates;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Duplicates, Finding, Result};

/// Returns what the rows are in the way of, and what they lose.
pub(crate) async fn check_data(
    session: &Session,
    change: &Change,
    survey: &Survey,
) -> Result<Vec<Finding>> {
    let Some(altered) = &survey.altered else { return Ok(Vec::new()) };
    if altered.refusals.iter().any(|refusal| refusal.object.starts_with("--set")) {
        return Ok(Vec::new());
    }
    let unfit = match &altered.layout {
        Some(layout) if !survey.is_native => {
            data_checks::unfit_values(session, change.version, layout, &altered.changes).await?
        }
        _ => Vec::new(),
    };
    let converts = unfit.is_empty();
    let mut findings = unfit;
    // A value that does not fit would end the other questions.
    if converts && altered.layout.is_some() && !survey.is_native {
        findings.extend(unfit_rows(session, change, survey, altered).await?);
    }
    findings.extend(losses::find(session, change, survey, converts).await?);
    findings.extend(set_samples::find(session, change, survey).await?);
    Ok(findings)
}

/// Returns refusals for rows that the altered table cannot hold.
async fn unfit_rows(
    session: &Session,
    change: &Change,
    survey: &Survey,
    altered: &Altered,
) -> Result<Vec<Finding>> {
    let names = &change.names;
    let (source, alias) = (names.source(), quote::quoted(&names.table));
    let mut findings = without_value(session, change, altered).await?;
    for (column, value) in &altered.changes.not_null {
        let (count, words) =
            row_counts::count_up_to_max(session, (&source, &alias), &sql::is_null(value)).await?;
        if count > 0 {
            findings.push(
                Finding::error(
                    Code::NullValues,
                    format!("column {column}"),
                    format!("it becomes NOT NULL, and {words} hold NULL in it"),
                    "fill it first",
                )
                .count(count),
            );
        }
    }
    findings.extend(data_checks::refusals(session, &names.display, &survey.questions).await?);
    let duplicates = duplicates::count(session, &survey.duplicates).await?;
    findings.extend(duplicates.iter().map(duplicate_values));
    Ok(findings)
}

/// Refuses new columns without a value for the rows that exist.
async fn without_value(
    session: &Session,
    change: &Change,
    altered: &Altered,
) -> Result<Vec<Finding>> {
    if altered.changes.without_value.is_empty() {
        return Ok(Vec::new());
    }
    let any = session.one(&sql::any_row(&change.names.source()), &[]).await;
    if !any.doing(format!("look at the rows of {}", change.names.display))?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let refusal = |column: &String| {
        Finding::error(
            Code::NoDefault,
            format!("column {column}"),
            "it is NOT NULL without a default, and the table has rows",
            "give it a default, or allow NULL",
        )
    };
    Ok(altered.changes.without_value.iter().map(refusal).collect())
}

fn duplicate_values(found: &Duplicates) -> Finding {
    let message = format!("{} values are held by more than one row each", found.values);
    let object = format!("unique index {}", found.index);
    Finding::error(Code::UniqueDuplicates, object, message, "make them unique first")
        .count(found.values)
}
