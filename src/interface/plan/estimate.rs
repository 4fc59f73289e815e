//! How long a change will take, in words.

use crate::interface::durations::{millis, span, time};
use crate::interface::numbers::{grouped, size};
use altergeist::contract::{Blocks, Estimate, InPlaceEstimate, Plan, Verdict};

/// What the plan says of time: a title and a sentence each.
pub fn sentences(plan: &Plan) -> Vec<(&'static str, String)> {
    let Some(estimate) = plan.estimate.as_ref().filter(|_| !plan.is_refused()) else {
        return Vec::new();
    };
    let mut said = Vec::new();
    let is_copy = plan.verdict == Verdict::Copy;
    let chosen = estimate.in_place.as_ref().filter(|in_place| in_place.is_chosen);
    if is_copy || chosen.is_some() {
        said.push(("duration", format!("{}; {}", span(estimate.total), basis(estimate))));
    }
    said.push(("waits", waits(estimate, chosen)));
    if is_copy {
        said.extend(estimate.in_place.as_ref().map(|it| ("in place", in_place(it, estimate))));
        said.push(("log", format!("about {}", size(estimate.log_bytes))));
    }
    said
}

/// What a statement blocks while it runs.
pub fn blocked(blocks: Blocks) -> &'static str {
    match blocks {
        Blocks::Nothing => "nothing is blocked, but the server cannot pause it, for",
        Blocks::Writes => "writes blocked",
        Blocks::ReadsAndWrites => "reads and writes blocked",
    }
}

fn basis(estimate: &Estimate) -> String {
    match estimate.sample_rows {
        0 => "a guess by size, without a sample".into(),
        rows => format!("a sample of {} rows took {} ms", grouped(rows), estimate.sample_ms),
    }
}

fn waits(estimate: &Estimate, chosen: Option<&InPlaceEstimate>) -> String {
    let most = millis(estimate.longest_wait_ms);
    match chosen {
        Some(chosen) if chosen.way.blocks != Blocks::Nothing => format!(
            "a query may wait {most} at most: {} while the statement runs",
            blocked(chosen.way.blocks)
        ),
        _ => format!("a query may wait {most} at most, for the lock and behind it"),
    }
}

fn in_place(in_place: &InPlaceEstimate, estimate: &Estimate) -> String {
    format!(
        "{} {}; online: about {}. The statement: {}",
        blocked(in_place.way.blocks),
        span(in_place.time),
        time(estimate.total.likely_seconds),
        in_place.way.statement
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::contract::{InPlace, Span};

    fn plan() -> Plan {
        let seconds = |low_seconds, likely_seconds, high_seconds| Span {
            low_seconds,
            likely_seconds,
            high_seconds,
        };
        let way = InPlace {
            statement: "ALTER TABLE `t` LOCK=SHARED, MODIFY a bigint".into(),
            blocks: Blocks::Writes,
        };
        Plan {
            estimate: Some(Estimate {
                sample_rows: 12_000,
                sample_ms: 410,
                total: seconds(1200, 2100, 4200),
                longest_wait_ms: 2000,
                log_bytes: 9_000_000_000,
                in_place: Some(InPlaceEstimate {
                    way,
                    time: seconds(15, 41, 90),
                    is_chosen: false,
                }),
                ..Estimate::default()
            }),
            ..Plan::default()
        }
    }

    #[test]
    fn both_ways_are_said_with_what_they_block() {
        let said: Vec<String> = sentences(&plan())
            .into_iter()
            .map(|(title, words)| format!("{title}: {words}"))
            .collect();
        assert_eq!(
            said,
            [
                "duration: about 35 min (20 min to 1 h 10 min); a sample of 12,000 rows took 410 \
                 ms",
                "waits: a query may wait 2 s at most, for the lock and behind it",
                "in place: writes blocked about 41 s (15 s to 90 s); online: about 35 min. The \
                 statement: ALTER TABLE `t` LOCK=SHARED, MODIFY a bigint",
                "log: about 9.0 GB",
            ]
        );
    }

    #[test]
    fn the_chosen_way_says_what_it_blocks() {
        let mut plan = plan();
        let estimate = plan.estimate.as_mut().expect("it is there");
        estimate.longest_wait_ms = 61_000;
        estimate.in_place.as_mut().expect("it is there").is_chosen = true;
        plan.verdict = Verdict::Native("ALTER".into());
        let said = sentences(&plan);
        assert_eq!(
            said[1].1,
            "a query may wait 61 s at most: writes blocked while the statement runs"
        );
    }

    #[test]
    fn a_refused_change_takes_no_time() {
        let refused = altergeist::contract::Finding::error(
            altergeist::contract::Code::Other,
            "table t",
            "it is odd",
            "mend it",
        );
        assert!(sentences(&Plan { findings: vec![refused], ..plan() }).is_empty());
    }
}
