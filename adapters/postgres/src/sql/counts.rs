//! What a comparison counts of the columns whose values change, beside the comparison itself.

use crate::schema::columns::{Column, Counted, Layout};
use crate::sql::quote::quoted;
use std::fmt::Write;

/// The parts of the comparison that count; empty if there is nothing to count.
#[derive(Default)]
pub(crate) struct Counts {
    /// Columns of the source's side and of the shadow's.
    pub(crate) before: String,
    pub(crate) after: String,
    /// Columns of the joined rows.
    pub(crate) both: String,
    /// What is selected in the end: the shadow's rows, then seven numbers for each column.
    pub(crate) sums: String,
}

/// Returns the columns to count, with their places in the layout.
pub(crate) fn counted(layout: &Layout) -> Vec<(usize, &Column, &Counted)> {
    let columns = layout.columns.iter().enumerate();
    columns.filter_map(|(at, column)| Some((at, column, column.counted.as_ref()?))).collect()
}

impl Counts {
    pub(crate) fn of(columns: &[(usize, &Column, &Counted)]) -> Counts {
        let mut counts = Counts::default();
        if columns.is_empty() {
            return counts;
        }
        counts.both.push_str(", coalesce(t.here, false) AS in_shadow");
        counts.sums.push_str(", count(*) FILTER (WHERE in_shadow)");
        for (at, column, counted) in columns {
            let (old, new) = (format!("o{at}"), format!("n{at}"));
            let has_old = counted.before.is_some();
            if let Some(value) = &counted.before {
                let _ = write!(counts.before, ", {value} AS {old}");
                let _ = write!(counts.both, ", s.{old}");
            }
            let _ = write!(counts.after, ", t.{} AS {new}", quoted(&column.name));
            let _ = write!(counts.both, ", t.{new}");
            let before = [
                nulls(&old, "in_source"),
                empties(&old, counted.may_be_empty_before),
                distinct(&old, counted.distinct),
            ];
            let before = before.map(|count| if has_old { count } else { NOTHING.to_owned() });
            let after = [
                nulls(&new, "in_shadow"),
                empties(&new, counted.may_be_empty),
                distinct(&new, counted.distinct),
            ];
            let ends = match counted.ends {
                true => format!(
                    "(min({old}) IS DISTINCT FROM min({new}) OR max({old}) IS DISTINCT FROM \
                     max({new}))::int::int8"
                ),
                false => NOTHING.to_owned(),
            };
            for count in before.iter().chain(&after).chain([&ends]) {
                let _ = write!(counts.sums, ", {count}");
            }
        }
        counts
    }
}

const NOTHING: &str = "NULL::int8";

fn nulls(value: &str, is_there: &str) -> String {
    format!("count(*) FILTER (WHERE {is_there} AND {value} IS NULL)")
}

fn empties(value: &str, may_be: bool) -> String {
    match may_be {
        true => format!("count(*) FILTER (WHERE {})", is_empty(value)),
        false => "0::int8".to_owned(),
    }
}

/// A value is empty and not NULL.
pub(crate) fn is_empty(value: &str) -> String {
    format!("CAST({value} AS text) COLLATE \"C\" IN ('', '{{}}', '[]')")
}

/// The hashes of the values stand for them: every type has a text, not every type an order.
fn distinct(value: &str, is_wanted: bool) -> String {
    match is_wanted {
        true => format!(
            "count(DISTINCT pg_catalog.hashtextextended(CAST({value} AS text) COLLATE \"C\", 0))"
        ),
        false => NOTHING.to_owned(),
    }
}
