//! What an expression of `--set` gives for sampled rows, as a finding.

use crate::{Code, Finding};

/// How many sampled rows give what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcomes {
    /// Rows of the sample.
    pub rows: u64,
    /// Rows for which the expression gives NULL.
    pub nulls: u64,
    /// Rows for which it gives an empty value: `''`, `{}`, `[]`.
    pub empties: u64,
    /// Rows for which it fails.
    pub errors: u64,
}

/// Returns the finding about an expression. `is_all` says that the sample is the whole table.
pub fn finding(object: &str, outcomes: Outcomes, is_all: bool) -> Finding {
    let Outcomes { rows, nulls, empties, errors } = outcomes;
    let of = if is_all { "rows" } else { "sampled rows" };
    let share = |count: u64| match count {
        0 => "0".to_owned(),
        _ => format!("{count} ({} %)", percent(count, rows)),
    };
    let message = format!(
        "of {rows} {of}, it gives NULL for {}, an empty value for {}, and an error for {}",
        share(nulls),
        share(empties),
        share(errors)
    );
    let count = nulls + empties + errors;
    let finding = match (errors, nulls + empties) {
        (0, 0) => Finding::note(Code::ComputedValues, message).about(object),
        (0, _) => Finding::warning(
            Code::ComputedValues,
            object,
            message,
            "look at these rows. If they are right, allow more with --max-null-increase and \
             --max-empty-increase, or the run waits before the swap",
        ),
        _ => Finding::error(
            Code::ComputedValues,
            object,
            message,
            "write an expression that gives a value for these rows, or correct the rows first",
        ),
    };
    finding.count(count)
}

/// A share in percent, with a digit more where it is small.
fn percent(count: u64, rows: u64) -> String {
    let share = count as f64 * 100.0 / rows.max(1) as f64;
    match share {
        _ if share >= 10.0 => format!("{share:.0}"),
        _ if share >= 0.1 => format!("{share:.1}"),
        _ => "less than 0.1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;

    #[test]
    fn a_finding_tells_each_share() {
        let outcomes = Outcomes { rows: 2_000, nulls: 60, empties: 1, errors: 0 };
        let found = finding("--set street", outcomes, false);
        assert_eq!(found.severity, Severity::Warning);
        assert_eq!(
            found.message,
            "of 2000 sampled rows, it gives NULL for 60 (3.0 %), an empty value for 1 (less than \
             0.1 %), and an error for 0"
        );
        let failing = Outcomes { errors: 400, ..outcomes };
        assert_eq!(finding("--set a", failing, true).severity, Severity::Error);
        let good = Outcomes { rows: 5, ..Outcomes::default() };
        assert_eq!(finding("--set a", good, true).severity, Severity::Note);
    }
}
