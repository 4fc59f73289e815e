//! The built-in checks of columns whose values change: how many rows hold NULL or an empty value,
//! how many different values there are, whether the least or the greatest moved. The verification
//! counts them. A column that fails keeps the swap from happening, and names itself.

use altergeist_contract::{ColumnCounts, ValueCounts};
use std::str::FromStr;

/// How much a column may change.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Tolerance {
    /// How much the share of NULLs may grow.
    pub null_increase: Share,
    /// How much the share of empty values may grow: `''`, `{}`, `[]`.
    pub empty_increase: Share,
    /// By what share the number of different values may fall.
    pub distinct_decrease: Share,
    /// Whether the least and the greatest value must stay.
    pub keeps_ends: bool,
}

impl Default for Tolerance {
    fn default() -> Tolerance {
        Tolerance {
            null_increase: Share(0.01),
            empty_increase: Share(0.01),
            distinct_decrease: Share(0.5),
            keeps_ends: false,
        }
    }
}

/// A share of rows or values, from 0 to 1.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
pub struct Share(f64);

impl Share {
    /// A part of a whole. Nothing is no part of nothing.
    fn of(part: u64, whole: u64) -> Share {
        Share(part as f64 / whole.max(1) as f64)
    }

    /// As it is written.
    pub fn percent(self) -> String {
        let text = format!("{:.2}", self.0 * 100.0);
        format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        const FORM: &str = "must be a percentage, as 1% or 0.5%";
        let number: f64 = text.strip_suffix('%').and_then(|it| it.parse().ok()).ok_or(FORM)?;
        let is_share = (0.0..=100.0).contains(&number);
        is_share.then_some(Share(number / 100.0)).ok_or_else(|| FORM.into())
    }
}

/// What was found of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColumnVerdict {
    /// The name of its gate.
    pub gate: String,
    /// Whether it lets the swap happen.
    pub passes: bool,
    /// What changed too much, or what changed and is allowed.
    pub reason: String,
}

/// Returns the columns that changed in a way worth telling.
pub fn verdicts(columns: &[ColumnCounts], tolerance: &Tolerance) -> Vec<ColumnVerdict> {
    columns.iter().filter_map(|counts| verdict(counts, tolerance)).collect()
}

fn verdict(counts: &ColumnCounts, tolerance: &Tolerance) -> Option<ColumnVerdict> {
    let has_moved = counts.ends_moved.is_some_and(|ranges| ranges > 0);
    let moved = has_moved.then(|| "the least or the greatest value is another one".to_owned());
    let mut wrong = Vec::new();
    wrong.extend(grown("null-increase", |it| it.nulls, counts, tolerance.null_increase));
    wrong.extend(grown("empty-increase", |it| it.empties, counts, tolerance.empty_increase));
    wrong.extend(fallen(counts, tolerance.distinct_decrease));
    wrong.extend(moved.clone().filter(|_| tolerance.keeps_ends));
    let gate = format!("column:{}", counts.column);
    match (wrong.is_empty(), moved) {
        (false, _) => Some(ColumnVerdict { gate, passes: false, reason: wrong.join(", ") }),
        (true, Some(reason)) => Some(ColumnVerdict { gate, passes: true, reason }),
        (true, None) => None,
    }
}

/// A kind of rows whose share has grown too much.
fn grown(
    signal: &str,
    rows: impl Fn(&ValueCounts) -> u64,
    counts: &ColumnCounts,
    limit: Share,
) -> Option<String> {
    let share = |counts: &ValueCounts| Share::of(rows(counts), counts.rows);
    let before = counts.before.as_ref().map(share);
    // Rows that differ are not refreshed yet. They may be why.
    let certain = rows(&counts.after).saturating_sub(counts.differing);
    let after = Share::of(certain, counts.after.rows);
    let increase = Share(after.0 - before.map_or(0.0, |share| share.0));
    let was = before.map_or_else(String::new, |before| format!(", {} before", before.percent()));
    (increase > limit).then(|| {
        format!(
            "{signal} {} > {} ({} of {} rows{was})",
            increase.percent(),
            limit.percent(),
            rows(&counts.after),
            counts.after.rows
        )
    })
}

/// The number of different values, if it has fallen too much.
fn fallen(counts: &ColumnCounts, limit: Share) -> Option<String> {
    let (before, after) = (counts.before.as_ref()?.distinct?, counts.after.distinct?);
    let after = after.saturating_add(counts.differing);
    let decrease = Share::of(before.saturating_sub(after), before);
    (decrease > limit).then(|| {
        format!(
            "distinct-decrease {} > {} (about {after} values, {before} before)",
            decrease.percent(),
            limit.percent()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(nulls: u64, empties: u64, distinct: u64) -> ValueCounts {
        ValueCounts { rows: 2_000, nulls, empties, distinct: Some(distinct) }
    }

    fn told(before: Option<ValueCounts>, after: ValueCounts, ends_moved: u64) -> Vec<String> {
        let counts = ColumnCounts {
            column: "a".into(),
            before,
            after,
            ends_moved: Some(ends_moved),
            differing: 0,
        };
        let found = verdicts(&[counts], &Tolerance::default());
        found.into_iter().map(|it| format!("{} {}: {}", it.passes, it.gate, it.reason)).collect()
    }

    #[test]
    fn rows_that_are_not_refreshed_yet_are_no_reason() {
        let (before, after) = (Some(values(0, 0, 900)), values(30, 25, 440));
        let counts = |differing| ColumnCounts {
            column: "a".into(),
            before,
            after,
            ends_moved: Some(0),
            differing,
        };
        assert_eq!(verdicts(&[counts(10)], &Tolerance::default()), []);
        assert_eq!(verdicts(&[counts(9)], &Tolerance::default()).len(), 1);
    }

    #[test]
    fn what_vanishes_is_named_with_its_share() {
        assert_eq!(
            told(Some(values(0, 0, 900)), values(0, 60, 880), 0),
            ["false column:a: empty-increase 3% > 1% (60 of 2000 rows, 0% before)"]
        );
        assert_eq!(
            told(None, values(60, 0, 9), 0),
            ["false column:a: null-increase 3% > 1% (60 of 2000 rows)"]
        );
        assert_eq!(
            told(Some(values(0, 0, 900)), values(0, 0, 1), 3),
            ["false column:a: distinct-decrease 99.89% > 50% (about 1 values, 900 before)"]
        );
    }

    #[test]
    fn what_stays_within_its_limits_passes() {
        assert!(told(Some(values(300, 5, 900)), values(310, 20, 600), 0).is_empty());
        assert_eq!(
            told(Some(values(0, 0, 9)), values(0, 0, 9), 1),
            ["true column:a: the least or the greatest value is another one"]
        );
        let empty = ValueCounts::default();
        assert!(told(Some(empty), empty, 0).is_empty());
    }

    #[test]
    fn a_share_is_a_percentage() {
        assert_eq!("0.5%".parse(), Ok(Share(0.005)));
        for wrong in ["", "1", "-1%", "101%", "x%", "NaN%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
