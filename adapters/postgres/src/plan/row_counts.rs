//! Counts rows for the plan, within bounds. The plan must not cost the server more than a few
//! seconds of reading, however big the table is.

use crate::server::doing::Doing;
use crate::server::error;
use crate::server::limited;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Look, Result};
use std::time::{Duration, Instant};

/// Where a count of rows that prevent the change stops. One such row is enough.
pub(crate) const COUNT_MAX: u64 = 10_000;

/// Longest time for the count of rows that do not prevent it.
const COUNT_TIME: Duration = Duration::from_secs(5);

/// The first step through the table, in blocks, and the largest.
const BLOCKS_FIRST: i64 = 512;
const BLOCKS_MAX: i64 = 65_536;

/// How long one step may take before the next one is larger.
const STEP_TIME: Duration = Duration::from_millis(400);

/// How many rows meet each condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowCounts {
    pub(crate) counts: Vec<u64>,
    /// The share of the table that was read, in percent.
    pub(crate) percent: u64,
}

impl RowCounts {
    /// The number, for people: "at least 5 rows" if the table was not read to its end.
    pub(crate) fn words(&self, nth: usize) -> String {
        rows(self.counts[nth], self.percent == 100)
    }
}

/// A number of rows, for people.
pub(crate) fn rows(count: u64, is_exact: bool) -> String {
    let least = if is_exact { "" } else { "at least " };
    let noun = if count == 1 { "row" } else { "rows" };
    format!("{least}{} {noun}", grouped(count))
}

/// A number with its thousands set apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Counts in one pass from the first block on, until the time is up.
pub(crate) async fn count(
    session: &Session,
    look: Look,
    source: u32,
    (table, alias): (&str, &str),
    conditions: &[String],
) -> Result<RowCounts> {
    let attempted = || format!("count rows of {table}");
    let mut counts = vec![0; conditions.len()];
    let blocks: i64 = session.one(sql::BLOCKS, &[&source]).await.doing(attempted)?.get(0);
    let statement = sql::count_in_blocks(table, alias, conditions);
    let begun = Instant::now();
    let (mut from, mut step) = (0, BLOCKS_FIRST);
    while from < blocks && begun.elapsed() < look.time(COUNT_TIME) && !conditions.is_empty() {
        let step_begun = Instant::now();
        let to = from + step;
        let (first, behind) = (format!("({from},0)"), format!("({to},0)"));
        let row = match session.one(&statement, &[&first, &behind]).await {
            // A conversion that the way back does not take: what was counted is a least number.
            Err(error) if error::is_of_value(&error) => break,
            row => row.doing(attempted)?,
        };
        for (nth, count) in counts.iter_mut().enumerate() {
            *count += row.get::<_, i64>(nth).unsigned_abs();
        }
        from = to;
        if step_begun.elapsed() < STEP_TIME {
            step = (step * 2).min(BLOCKS_MAX);
        }
    }
    let percent = if from >= blocks { 100 } else { (from * 100 / blocks).unsigned_abs() };
    Ok(RowCounts { counts, percent })
}

/// Counts the rows that meet a condition, up to [`COUNT_MAX`]. Returns the number also for people;
/// None if the time was up.
pub(crate) async fn count_up_to_max(
    session: &Session,
    look: Look,
    (table, alias): (&str, &str),
    condition: &str,
) -> Result<Option<(u64, String)>> {
    let most = look.most(COUNT_MAX);
    let statement = sql::count_rows(table, alias, condition, most);
    let row = limited::ask(session, look, &statement).await;
    let row = row.doing(format!("count rows of {table}"))?;
    Ok(row.map(|row| {
        let count = row.get::<_, i64>(0).unsigned_abs();
        (count, rows(count, count < most))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_did_not_end_is_a_least_number() {
        let half = RowCounts { counts: vec![1_234_567, 1], percent: 50 };
        assert_eq!(half.words(0), "at least 1,234,567 rows");
        let whole = RowCounts { percent: 100, ..half };
        assert_eq!(whole.words(1), "1 row");
    }
}
