//! Counts values of the source that the altered table does not take: NULLs, zero dates, values that
//! are too long, out of range, lossy or without a meaning.

use crate::change::Change;
use crate::plan::row_scan::{RowCheck, scan_rows};
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::misfits::misfits;
use crate::schema::pair::Pair;
use crate::schema::rounding::{Loss, loss};
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Looks at every column that changes.
pub(crate) async fn find_misfits(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Vec<Finding>> {
    let rules = session.text(sql::catalogue::REFUSES_ZERO_DATES).await;
    let rules = rules.doing_in_catalogue(change.doing("look for zero dates in"))?;
    let refuses_zero_dates = rules == "1" && !change.target.allow_zero_dates;
    let mut findings = Vec::new();
    if refuses_zero_dates {
        findings.extend(refuse_zero_defaults(change, session, mapping).await?);
    }
    let mut checks = Vec::new();
    for pair in &mapping.columns {
        checks.extend(nulls(pair));
        if pair.source.is_alike(&pair.shadow) {
            continue;
        }
        checks.extend(zero_dates(pair).filter(|_| refuses_zero_dates));
        checks.extend(losses(change, pair));
        checks.extend(misfits(pair).into_iter().map(|misfit| {
            let finding = Finding::error(misfit.code, object(pair), misfit.words, misfit.remedy);
            RowCheck { condition: misfit.condition, finding }
        }));
    }
    findings.extend(scan_rows(change, session, mapping, checks).await?);
    Ok(findings)
}

fn object(pair: &Pair) -> String {
    format!("column {}", pair.title())
}

fn nulls(pair: &Pair) -> Option<RowCheck> {
    let condition = sql::clauses::is_null(&pair.source.name);
    (pair.source.nullable && !pair.shadow.nullable).then(|| RowCheck {
        condition,
        finding: Finding::error(
            Code::NullValues,
            object(pair),
            "hold NULL, and the clauses make the column NOT NULL",
            "give these rows a value first, or keep the column nullable",
        ),
    })
}

fn is_date(data_type: &str) -> bool {
    matches!(data_type, "date" | "datetime" | "timestamp")
}

/// Zero dates in a column that is converted, if the server's own rules refuse them.
fn zero_dates(pair: &Pair) -> Option<RowCheck> {
    let is_due = is_date(&pair.source.data_type) && is_date(&pair.shadow.data_type);
    is_due.then(|| RowCheck {
        condition: sql::clauses::is_zero_date(&pair.source.name),
        finding: Finding::error(
            Code::ZeroDates,
            object(pair),
            "hold a zero date, and the server's sql_mode refuses it in the new type",
            "give them another value first, or allow them with --allow-zero-dates",
        ),
    })
}

/// What the server would round or cut. That is a warning if it is allowed.
fn losses(change: &Change, pair: &Pair) -> Option<RowCheck> {
    let (from, into) = (&pair.source.column_type, &pair.shadow.column_type);
    let object = object(pair);
    let (condition, finding) = match loss(pair, change.server.version.flavour)? {
        Loss::Rounded(condition) => {
            let lose = format!("lose digits or the time of day: {from} becomes {into}");
            let finding = match change.target.allow_rounding {
                true => {
                    let remedy = "leave out --allow-rounding, and the plan refuses it";
                    Finding::warning(Code::ValueLossy, object, lose, remedy)
                }
                false => {
                    let remedy = "keep a type that holds them, or allow it with --allow-rounding";
                    Finding::error(Code::ValueLossy, object, format!("would {lose}"), remedy)
                }
            };
            (condition, finding)
        }
        Loss::Silent(condition) => {
            let lose =
                format!("lose digits: {from} becomes {into}, and the server rounds silently");
            let remedy = "keep a type that holds them, if these digits matter";
            (condition, Finding::warning(Code::ValueLossy, object, lose, remedy))
        }
        Loss::Refused(condition) => {
            let reason = format!("hold a number that the server does not accept as {into}");
            let remedy = "give them a date of eight digits first (20240131), or NULL";
            (condition, Finding::error(Code::ValueInvalid, object, reason, remedy))
        }
    };
    Some(RowCheck { condition, finding })
}

/// Refuses new columns whose implicit default is a zero date, if there are rows.
async fn refuse_zero_defaults(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Vec<Finding>> {
    let mut refusals = Vec::new();
    for given in mapping.given.iter().filter(|given| is_date(&given.column.data_type)) {
        let row = session.row(&sql::catalogue::has_rows(&change.source)).await;
        if row.doing(change.doing("look for zero dates in"))?.is_some() {
            refusals.push(Finding::error(
                Code::ZeroDates,
                format!("column {}", given.column.name),
                "the server's sql_mode refuses zero dates, and the existing rows would get one",
                "give it a default, or allow zero dates with --allow-zero-dates",
            ));
        }
    }
    Ok(refusals)
}
