//! Checks the rows for values that the shadow would refuse, and for values that the change loses.

use crate::change::Change;
use crate::plan::data_checks;
use crate::plan::losses;
use crate::plan::row_counts;
use crate::plan::set_samples;
use crate::plan::survey::Survey;
use crate::schema::altered::Altered;
use crate::server::doing::Doing;
use crate::server::limited;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Code, Finding, Result};

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
            data_checks::unfit_values(session, change, layout, &altered.changes).await?
        }
        _ => Vec::new(),
    };
    let converts = unfit.is_empty();
    let is_open = unfit.iter().any(|it| it.code == Code::NotCounted);
    let mut findings = unfit;
    if is_open {
        let others = "rows that the altered table refuses for other reasons";
        findings.push(limited::unanswered(change.target.look, "the change", others));
    }
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
    let (names, look) = (&change.names, change.target.look);
    let (source, alias) = (names.source(), quote::quoted(&names.table));
    let mut findings = without_value(session, change, altered).await?;
    for (column, value) in &altered.changes.not_null {
        let condition = sql::is_null(value);
        let counted =
            row_counts::count_up_to_max(session, look, (&source, &alias), &condition).await?;
        let Some((count, words)) = counted else {
            findings.push(limited::unanswered(look, &format!("column {column}"), "NULLs"));
            continue;
        };
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
    let table = &names.display;
    findings.extend(data_checks::refusals(session, look, table, &survey.questions).await?);
    for question in &survey.duplicates {
        let row = limited::ask(session, look, &question.statement).await;
        let attempted = || format!("look for duplicates over the unique index {}", question.index);
        let object = format!("unique index {}", question.index);
        findings.extend(
            match row.doing(attempted)?.map(|row| row.get::<_, i64>(0).unsigned_abs()) {
                None => Some(limited::unanswered(look, &object, "duplicates")),
                Some(values) => (values > 0).then(|| duplicate_values(object, values)),
            },
        );
    }
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

fn duplicate_values(object: String, values: u64) -> Finding {
    let message = format!("{values} values are held by more than one row each");
    Finding::error(Code::UniqueDuplicates, object, message, "make them unique first").count(values)
}
