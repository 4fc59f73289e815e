//! `verify`: compares two tables of one server, range by range, while the application uses them.

use crate::cli::engines::{Task, with_engine};
use crate::cli::table::TableArgs;
use crate::interface::log::say_error;
use crate::interface::numbers::grouped;
use crate::interface::output::{print, print_line};
use crate::interface::report::json;
use altergeist::Failure;
use altergeist::contract::{Engine, Key, Result, TablePair, Target, Watermark};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::Instant;

/// Rows of the first range, and bounds of all others.
const ROWS: [u64; 3] = [100, 1_000, 20_000];
/// How long the comparison of a range should take.
const RANGE_TIME: Duration = Duration::from_millis(200);
/// Pauses before rows that differ are compared again. A row that is equal once is equal.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];
/// So many rows are compared again at once.
const SUSPECTS_MAX: usize = 5_000;
/// After so many rows that differ, the rest is compared again only once.
const DELAYS_UNLIKELY: u64 = 20_000;
/// So many ranges are listed for people.
const RANGES_SHOWN: usize = 20;

/// `verify`.
///
/// Compares two tables of one server, row by row and column by column, without blocking anybody.
/// The application may write to both meanwhile, if it writes the same to both: a row that differs
/// is compared again after a pause before it counts. Both tables need the same columns and a common
/// key. Exit code 0: equal; 4: not equal.
#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    table: TableArgs,
    /// The other table, or schema.table
    #[arg(long = "with", value_name = "TABLE")]
    other: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What was found. The names are a contract: scripts read them.
#[derive(Serialize)]
struct Found {
    format_version: u32,
    tables: [String; 2],
    key: String,
    equal: bool,
    /// Rows of the first table.
    rows: u64,
    differing: u64,
    /// Whether more rows differ than were counted.
    at_least: bool,
    ranges: Vec<Range>,
}

/// Rows of the first table, counted in the order of the key.
#[derive(Serialize)]
struct Range {
    from_row: u64,
    to_row: u64,
    differing: u64,
    at_least: bool,
}

/// Compares two tables. Exit code 0 if they are equal, 4 if not.
pub async fn verify(args: &VerifyArgs) -> u8 {
    let task = VerifyTask { other: args.other.clone() };
    match with_engine(&args.table.target(), task).await.and_then(|found| found) {
        Err(error) => {
            let failure = Failure::from(error);
            say_error(&format!("altergeist: {failure}"));
            failure.exit_code()
        }
        Ok(found) => {
            let printed = match args.json {
                true => print_line(&json(&found)),
                false => print(&text(&found)),
            };
            if found.equal { printed } else { 4 }
        }
    }
}

/// For people.
fn text(found: &Found) -> String {
    let [one, other] = &found.tables;
    let rows = grouped(found.rows);
    if found.equal {
        return format!(
            "{one} and {other} are equal: {rows} rows, compared by key ({})\n",
            found.key
        );
    }
    let many = |at_least: bool| if at_least { "at least " } else { "" };
    let mut text = format!(
        "{one} and {other} differ in {}{} rows; {one} has {rows} rows. By key ({}):\n",
        many(found.at_least),
        grouped(found.differing),
        found.key
    );
    for range in found.ranges.iter().take(RANGES_SHOWN) {
        let _ = writeln!(
            text,
            "  rows {} to {} of {one}: {}{} differ",
            grouped(range.from_row),
            grouped(range.to_row),
            many(range.at_least),
            grouped(range.differing)
        );
    }
    let hidden = found.ranges.len().saturating_sub(RANGES_SHOWN);
    if hidden > 0 {
        let _ = writeln!(text, "  and {hidden} more ranges (--json lists them)");
    }
    text
}

struct VerifyTask {
    other: String,
}

impl Task for VerifyTask {
    type Outcome = Result<Found>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        compare(&E::pair(target, &self.other).await?).await
    }
}

/// A walk over both tables.
struct Walk {
    found: Found,
    /// Rows that differed once, with the number of their range.
    suspects: Vec<(usize, Key)>,
}

async fn compare<P: TablePair>(pair: &P) -> Result<Found> {
    let found = Found {
        format_version: 1,
        tables: pair.tables().map(str::to_owned),
        key: pair.key(),
        equal: true,
        rows: 0,
        differing: 0,
        at_least: false,
        ranges: Vec::new(),
    };
    let mut walk = Walk { found, suspects: Vec::new() };
    let [least, mut rows, most] = ROWS;
    let mut after = Watermark::Start;
    while after != Watermark::End {
        let chunk = pair.next_chunk(&after, rows).await?;
        let begun = Instant::now();
        let mut compared = pair.compare(&chunk).await?;
        let took = begun.elapsed();
        if compared.is_cut {
            tokio::time::sleep(PAUSES[1]).await;
            compared = pair.compare(&chunk).await?;
        }
        walk.note(compared.found.rows, compared.found.differing, compared.is_cut);
        if walk.suspects.len() >= SUSPECTS_MAX {
            walk.compare_again(pair).await?;
        }
        rows = next_rows(rows, took).clamp(least, most);
        after = chunk.through;
    }
    walk.compare_again(pair).await?;
    Ok(walk.end())
}

/// Ranges grow and shrink until they take their time.
fn next_rows(rows: u64, took: Duration) -> u64 {
    match took {
        took if took > RANGE_TIME * 2 => rows / 2,
        took if took < RANGE_TIME / 2 => rows * 2,
        _ => rows,
    }
}

impl Walk {
    fn note(&mut self, rows: u64, differing: Vec<Key>, is_cut: bool) {
        let from_row = self.found.rows + 1;
        self.found.rows += rows;
        if differing.is_empty() {
            return;
        }
        let nth = self.found.ranges.len();
        let to_row = self.found.rows.max(from_row);
        let mut range = Range { from_row, to_row, differing: 0, at_least: is_cut };
        // So many rows are no delay of a writer.
        if is_cut {
            range.differing = differing.len() as u64;
        } else {
            self.suspects.extend(differing.into_iter().map(|key| (nth, key)));
        }
        self.found.ranges.push(range);
    }

    /// Compares the suspects after each pause. Those that still differ count.
    async fn compare_again<P: TablePair>(&mut self, pair: &P) -> Result<()> {
        let counted: u64 = self.found.ranges.iter().map(|range| range.differing).sum();
        let looks = if counted < DELAYS_UNLIKELY { PAUSES.len() } else { 1 };
        for pause in PAUSES.into_iter().take(looks) {
            if self.suspects.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            let keys: Vec<Key> = self.suspects.iter().map(|(_, key)| key.clone()).collect();
            let differing = pair.compare_keys(&keys).await?;
            let differing: std::collections::HashSet<Key> = differing.into_iter().collect();
            self.suspects.retain(|(_, key)| differing.contains(key));
        }
        for (nth, _) in self.suspects.drain(..) {
            self.found.ranges[nth].differing += 1;
        }
        Ok(())
    }

    fn end(self) -> Found {
        let mut found = self.found;
        found.ranges.retain(|range| range.differing > 0);
        found.differing = found.ranges.iter().map(|range| range.differing).sum();
        found.at_least = found.ranges.iter().any(|range| range.at_least);
        found.equal = found.ranges.is_empty();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::contract::{Chunk, Comparison, RangeComparison};
    use std::cell::Cell;

    /// Three ranges. The second has two rows that differ; one of them is equal the next time.
    #[derive(Default)]
    struct Model {
        looks: Cell<u32>,
    }

    fn key(nth: u8) -> Key {
        Key::compose([&[nth][..]])
    }

    impl TablePair for Model {
        fn tables(&self) -> [&str; 2] {
            ["d.a", "d.b"]
        }

        fn key(&self) -> String {
            "id".into()
        }

        async fn next_chunk(&self, after: &Watermark, _rows: u64) -> Result<Chunk> {
            let through = match after {
                Watermark::Start => Watermark::At(key(1)),
                Watermark::At(last) if *last == key(1) => Watermark::At(key(2)),
                _ => Watermark::End,
            };
            Ok(Chunk { after: after.clone(), through })
        }

        async fn compare(&self, chunk: &Chunk) -> Result<RangeComparison> {
            let is_second = chunk.through == Watermark::At(key(2));
            let differing = if is_second { vec![key(7), key(8)] } else { Vec::new() };
            let found = Comparison { rows: 10, differing, ..Comparison::default() };
            Ok(RangeComparison { found, is_cut: false })
        }

        async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
            self.looks.set(self.looks.get() + 1);
            Ok(keys.iter().filter(|one| **one != key(8)).cloned().collect())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_counts_if_it_differs_every_time() {
        let model = Model::default();
        let found = compare(&model).await.unwrap();
        assert_eq!(model.looks.get() as usize, PAUSES.len());
        assert!(!found.equal);
        assert_eq!((found.rows, found.differing), (30, 1));
        let shown = text(&found);
        assert!(shown.contains("differ in 1 rows") && shown.contains("rows 11 to 20"), "{shown}");
    }

    #[test]
    fn ranges_follow_the_time_they_take() {
        assert_eq!(next_rows(1_000, Duration::from_millis(10)), 2_000);
        assert_eq!(next_rows(1_000, Duration::from_secs(1)), 500);
        assert_eq!(next_rows(1_000, RANGE_TIME), 1_000);
    }
}
