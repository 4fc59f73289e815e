//! Counts rows that the altered table cannot hold, or would hold otherwise. One pass over the table
//! answers all questions, in order of the key. It stops after a while: then the counts are the
//! least.

use crate::change::Change;
use crate::plan::count::Count;
use crate::schema::column_mapping::ColumnMapping;
use crate::server::doing::Doing;
use crate::server::session::{Cells, Session, number};
use crate::sql;
use altergeist_contract::{Chunk, Code, Error, Finding, Result, Watermark};
use std::time::{Duration, Instant};

/// Longest look at the rows.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Rows that one query counts.
const ROWS_OF_QUERY: u64 = 20_000;

/// Which rows are counted, and what is said of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RowCheck {
    /// A condition on the source's columns.
    pub condition: String,
    /// The finding. Its message follows the number of rows: "hold NULLs".
    pub finding: Finding,
}

/// Counts the rows of each check. Returns a finding for each that has some.
pub(crate) async fn scan_rows(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    checks: Vec<RowCheck>,
) -> Result<Vec<Finding>> {
    let checks = answerable(change, session, mapping, checks).await?;
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let attempted = change.doing("count rows that do not fit in");
    let zone = mapping.in_utc.then_some((sql::session::IN_UTC, sql::session::IN_SERVERS_ZONE));
    if let Some((utc, _)) = zone {
        session.execute(utc).await.doing(&attempted)?;
    }
    let most = change.target.look.time(LOOK_MAX);
    let scanned = scan(session, mapping, &checks, most, &attempted).await;
    if let Some((_, servers)) = zone {
        session.execute(servers).await.doing(&attempted)?;
    }
    let (rows, counts) = scanned?;
    let found = checks.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    let mut findings: Vec<Finding> =
        found.map(|(check, count)| told(check, Count { count, is_least: rows.is_least })).collect();
    if rows.is_least {
        let note = format!(
            "the plan looked for values that do not fit in the first {} rows, for {} s; plan \
             --thorough looks in all",
            rows.count,
            LOOK_MAX.as_secs()
        );
        findings.push(Finding::note(Code::Method, note).count(rows.count));
    }
    Ok(findings)
}

fn told(check: RowCheck, count: Count) -> Finding {
    let message = count.rows(&check.finding.message);
    Finding { message, ..check.finding }.count(count.count)
}

/// Leaves out the checks that this server does not understand.
async fn answerable(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    checks: Vec<RowCheck>,
) -> Result<Vec<RowCheck>> {
    let mut answerable = Vec::new();
    for check in checks {
        match session.rows(&sql::rows::try_condition(mapping, &check.condition)).await {
            Ok(_) => answerable.push(check),
            Err(failure) if failure.ends_session() => {
                return Err(failure.of_rows(change.doing("look for rows that do not fit in")));
            }
            Err(_) => tracing::debug!("{} is not counted", check.finding.object),
        }
    }
    Ok(answerable)
}

/// Returns how many rows it has seen, and how many of them meet each condition.
async fn scan(
    session: &mut Session,
    mapping: &ColumnMapping,
    checks: &[RowCheck],
    most: Duration,
    attempted: &str,
) -> Result<(Count, Vec<u64>)> {
    let conditions: Vec<&str> = checks.iter().map(|check| &*check.condition).collect();
    let begun = Instant::now();
    let mut after = Watermark::Start;
    let mut counts = vec![0; checks.len()];
    let mut rows = Count { count: 0, is_least: false };
    while after != Watermark::End {
        if begun.elapsed() > most {
            rows.is_least = true;
            break;
        }
        let end = session.row(&sql::rows::range_end(mapping, &after, ROWS_OF_QUERY)?).await;
        let through = match end.doing(attempted)? {
            Some(row) => Watermark::At(key_of(mapping, &row, attempted)?),
            None => Watermark::End,
        };
        let chunk = Chunk { after, through: through.clone() };
        let query = sql::rows::count_conditions(mapping, &chunk, &conditions)?;
        let row = session.row(&query).await.doing(attempted)?.unwrap_or_default();
        let mut cells = row.iter().map(|cell| number(cell).unwrap_or_default());
        rows.count += cells.next().unwrap_or_default();
        counts.iter_mut().zip(cells).for_each(|(count, more)| *count += more);
        after = through;
    }
    Ok((rows, counts))
}

fn key_of(
    mapping: &ColumnMapping,
    row: &Cells,
    attempted: &str,
) -> Result<altergeist_contract::Key> {
    mapping.key.of_query(row).ok_or_else(|| Error::fatal(attempted, "a key cannot be read"))
}
