//! What the user should know of columns that `--set` computes, and of those that `--hold` keeps.

use crate::change::Change;
use crate::plan::stability;
use crate::schema::clauses::Clauses;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::computed::{object, reads};
use crate::schema::pair::Pair;
use crate::schema::table::{Table, is_same};
use crate::server::doing::Doing;
use crate::server::session::{Session, number};
use crate::sql;
use altergeist_contract::{Code, Finding, Outcomes, Result, computed_values};

/// How many rows are sampled.
const SAMPLE_ROWS: u64 = 50_000;

/// Samples what each expression gives: NULL, an empty value, an error.
pub(crate) async fn sample(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Vec<Finding>> {
    let attempted = || change.doing("sample what --set gives for");
    let zone = mapping.in_utc.then_some((sql::session::IN_UTC, sql::session::IN_SERVERS_ZONE));
    if let Some((utc, _)) = zone {
        session.execute(utc).await.doing(attempted)?;
    }
    let mut findings = Vec::new();
    for pair in &mapping.columns {
        findings.extend(sample_of(change, session, pair).await?);
        findings.extend(stability::check(change, session, pair).await?);
    }
    if let Some((_, servers)) = zone {
        session.execute(servers).await.doing(attempted)?;
    }
    Ok(findings)
}

async fn sample_of(change: &Change, session: &mut Session, pair: &Pair) -> Result<Option<Finding>> {
    let attempted = || change.doing("sample what --set gives for");
    let Some(formula) = &pair.formula else { return Ok(None) };
    let most = change.target.look.most(SAMPLE_ROWS);
    let query = sql::computed::sample_values(&change.source, &formula.expression, most);
    let object = object(&pair.shadow.name);
    let (row, warnings) = match session.row_with_warnings(&query).await {
        Ok(answer) => answer,
        Err(failure) if failure.ends_session() => return Err(failure.of_rows(attempted())),
        Err(failure) => {
            let reason = format!("it fails for a row: {}", failure.of_rows(attempted()).reason);
            let remedy = "write an expression that gives a value for this row, or correct the row";
            return Ok(Some(Finding::error(Code::ComputedValues, object, reason, remedy)));
        }
    };
    let count = |at: usize| row.get(at).and_then(number).unwrap_or_default();
    let errors = u64::from(warnings);
    let outcomes = Outcomes {
        rows: count(0),
        // A value that fails is NULL here.
        nulls: count(1).saturating_sub(errors),
        empties: count(2),
        errors,
    };
    Ok(Some(computed_values::finding(&object, outcomes, count(0) < most)))
}

/// Warns of functions of loaded libraries: the server does not tell what they do.
pub(crate) fn loaded(clauses: &Clauses) -> Vec<Finding> {
    let finding = |(name, function): (&str, &String)| {
        let message = format!(
            "the function {function} is of a loaded library, and the server does not tell whether \
             it always gives the same value"
        );
        let remedy = "make sure that it does, or write the expression without it";
        Finding::warning(Code::VolatileExpression, object(name), message, remedy)
    };
    let all = clauses.computed.iter();
    let calls = all.flat_map(|it| it.loaded.iter().map(move |function| (&*it.name, function)));
    calls.map(finding).collect()
}

/// Warns of columns that the clauses drop, and from which others are computed.
pub(crate) fn still_read(clauses: &Clauses, source: &Table) -> Vec<Finding> {
    let dropped = source.columns.iter().filter(|it| clauses.name_after(&it.name).is_none());
    let finding = |column: &str| {
        let computed = clauses.computed.iter().find(|computed| reads(computed, column))?;
        let message = format!(
            "the clauses drop it, and --set computes column {} from it: nobody can compute that \
             again",
            computed.name
        );
        let remedy = format!("keep it for now: --hold {column}");
        let object = format!("column {column}");
        Some(Finding::warning(Code::ContractTooEarly, object, message, remedy))
    };
    dropped.filter_map(|column| finding(&column.name)).collect()
}

/// Says which columns stay, and how to drop them later.
pub(crate) fn held(change: &Change, source: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    for hold in &change.target.holds {
        let name = hold.trim_matches('`');
        let Some(column) = source.columns.iter().find(|it| is_same(&it.name, name)) else {
            continue;
        };
        let object = format!("column {}", column.name);
        let later = sql::clauses::drop_column(&change.source, &column.name);
        findings.push(Finding::held(&column.name, later));
        let fills_itself = column.has_default
            || column.generated
            || column.extra.to_uppercase().contains("AUTO_INCREMENT");
        if !column.nullable && !fills_itself {
            findings.push(Finding::warning(
                Code::Left,
                object,
                "it is NOT NULL without a default: an application that no longer writes it fails",
                "let the column be NULL in the same change, or give it a default",
            ));
        }
    }
    findings
}
