//! What is printed about a reversible change and its revert.

use crate::interface::durations::{moment, time};
use crate::interface::numbers;
use altergeist::contract::{Disposal, Leftover, Misfits, Record, Stage};
use altergeist::{Phase, Status};
use std::fmt::Write;

/// What a revert has done.
pub fn reverted(table: &str, rows_discarded: u64) -> String {
    let lost = match rows_discarded {
        0 => "every row that was written since".to_owned(),
        rows => format!(
            "every row that was written since, but for the last changes of {} that it cannot \
             hold",
            numbers::rows(rows)
        ),
    };
    format!(
        "{table}: reverted. The old table has its name again, with {lost}. The altered table is \
         kept; the next run of a change drops it, and so does `altergeist cleanup --drop-old`"
    )
}

/// What a revert says that has nothing to do.
pub fn already_reverted(table: &str, by: &str, at_seconds: u64) -> String {
    format!(
        "{table}: already reverted at {} by {by}. The old table has its name; nothing was done",
        moment(at_seconds)
    )
}

/// What a cleanup takes besides objects of the server: the way back.
pub fn way_back(record: &Option<Record>, table: &str) -> Vec<Leftover> {
    let is_reversible = |record: &Record| record.stage == Stage::Reversible;
    let way_back = || Leftover {
        object: format!("way back of {table}"),
        reason: "until a cleanup, `altergeist revert` can undo the change; afterwards the change \
                 is done"
            .into(),
        disposal: Disposal::Dropped,
    };
    record.iter().filter(|record| is_reversible(record)).map(|_| way_back()).collect()
}

/// The reversible phase in the one-line status.
pub fn part_of_line(status: &Status) -> String {
    if !matches!(status.phase, Phase::Reversible | Phase::Reverting) {
        return String::new();
    }
    let mut text = String::new();
    if let Some(seconds) = status.reversible_seconds_left
        && status.phase == Phase::Reversible
    {
        let _ = write!(text, " for {}", time(seconds));
    }
    match rows(&status.not_revertible) {
        0 => {}
        rows => drop(write!(text, ", {} cannot go back", numbers::rows(rows))),
    }
    text
}

/// The rows that cannot go back, in the status.
pub fn lines(status: &Status) -> String {
    let mut text = String::new();
    for found in &status.not_revertible {
        let _ = writeln!(text, "no way back {}: {}", numbers::rows(found.rows), found.object);
    }
    text
}

/// The same in one line; None if every row can go back.
pub fn not_revertible(status: &Status) -> Option<String> {
    let parts = status.not_revertible.iter();
    let parts: Vec<String> =
        parts.map(|found| format!("{}: {}", numbers::rows(found.rows), found.object)).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The state of a reversible change that no process answers for.
pub fn of_journal(record: &Record, holder: Option<&str>) -> String {
    let Some(reversible) = &record.reversible else { return String::new() };
    match (record.stage, &reversible.lost) {
        (Stage::Reversible | Stage::Reverting, Some(reason)) => {
            format!("no way back {reason}\n")
        }
        (Stage::Reversible | Stage::Reverting, None) => {
            let until = moment(reversible.until_seconds);
            let whether = match holder {
                Some(_) => "until",
                None => "no process keeps the old table current now; it can be put back until",
            };
            format!("reversible {whether} {until}: altergeist revert\n")
        }
        _ => String::new(),
    }
}

fn rows(misfits: &[Misfits]) -> u64 {
    misfits.iter().map(|found| found.rows).sum()
}
