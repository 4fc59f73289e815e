//! The paragraph to send ahead of a change. Nothing here does I/O.

use crate::interface::durations::{millis, span};
use altergeist::contract::{Blocks, Estimate, Verdict};

/// What the paragraph says, beyond what the plan knows.
#[derive(Clone, Debug, Default)]
pub struct Wording {
    /// When the change begins, as the operator says it.
    pub at: Option<String>,
    /// Who carries it out.
    pub owner: Option<String>,
    /// Who decides whether it is stopped or undone.
    pub decider: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
}

/// What of a plan the paragraph needs.
#[derive(Clone, Debug)]
pub struct Announced {
    /// The table, qualified.
    pub table: String,
    /// The clauses asked for.
    pub alter: String,
    /// How it will be done.
    pub verdict: Verdict,
    /// How long it will take.
    pub estimate: Option<Estimate>,
}

/// Writes the paragraph.
pub fn render(announced: &Announced, wording: &Wording) -> String {
    let Announced { table, alter, verdict, estimate } = announced;
    let when = wording.at.as_deref().unwrap_or("(when?)");
    let who = wording.owner.as_deref().unwrap_or("(who?)");
    let decider = wording.decider.as_deref().unwrap_or("(who decides?)");
    let change = if alter.is_empty() { "It rebuilds the table.".into() } else { changed(alter) };
    let mut sentences = vec![format!("{when}: {who} changes the table {table}."), change];
    let estimate = estimate.as_ref();
    sentences.push(match (verdict, estimate) {
        (Verdict::Online, _) | (_, None) => {
            "The duration is not known; reads and writes go on meanwhile.".into()
        }
        (_, Some(estimate)) => format!("It takes {}.", span(estimate.total)),
    });
    sentences.push(felt(verdict, estimate));
    sentences.push(format!("{decider} decides whether it is stopped or undone."));
    if let Some(ticket) = &wording.ticket {
        sentences.push(format!("Ticket: {ticket}."));
    }
    sentences.join(" ") + "\n"
}

fn changed(alter: &str) -> String {
    format!("The change: {}.", alter.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn felt(verdict: &Verdict, estimate: Option<&Estimate>) -> String {
    let most = estimate.map_or_else(String::new, |estimate| {
        format!(" for {} at most", millis(estimate.longest_wait_ms))
    });
    let in_place = estimate.and_then(|estimate| estimate.in_place.as_ref());
    match in_place.filter(|in_place| in_place.is_chosen).map(|in_place| in_place.way.blocks) {
        Some(Blocks::Writes) => {
            format!("Every write to the table waits meanwhile{most}; reads go on.")
        }
        Some(Blocks::ReadsAndWrites) => {
            format!("Every read and every write of the table waits meanwhile{most}.")
        }
        Some(Blocks::Nothing) | None if *verdict == Verdict::Copy => format!(
            "Reads and writes go on; at its end single queries on this table may wait{most}."
        ),
        Some(Blocks::Nothing) | None => {
            format!("Reads and writes go on; single queries on this table may wait{most}.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::contract::{InPlace, InPlaceEstimate, Span};

    fn announced(blocks: Option<Blocks>) -> Announced {
        let total = Span { low_seconds: 1200, likely_seconds: 2100, high_seconds: 4200 };
        let way = |blocks| InPlace { statement: "ALTER".into(), blocks };
        let in_place = |blocks| InPlaceEstimate { way: way(blocks), time: total, is_chosen: true };
        Announced {
            table: "shop.orders".into(),
            alter: "MODIFY a\n  bigint".into(),
            verdict: if blocks.is_some() { Verdict::Native("A".into()) } else { Verdict::Copy },
            estimate: Some(Estimate {
                total,
                longest_wait_ms: 2000,
                in_place: blocks.map(in_place),
                ..Estimate::default()
            }),
        }
    }

    #[test]
    fn a_notice_says_when_how_long_what_and_who() {
        let wording = Wording {
            at: Some("On Tuesday at 02:00 UTC".into()),
            owner: Some("the platform team".into()),
            decider: Some("Kim".into()),
            ticket: Some("OPS-7".into()),
        };
        assert_eq!(
            render(&announced(None), &wording),
            "On Tuesday at 02:00 UTC: the platform team changes the table shop.orders. The change: \
             MODIFY a bigint. It takes about 35 min (20 min to 1 h 10 min). Reads and writes go \
             on; at its end single queries on this table may wait for 2 s at most. Kim decides \
             whether it is stopped or undone. Ticket: OPS-7.\n"
        );
    }

    #[test]
    fn a_blocking_way_is_not_called_harmless() {
        let said = render(&announced(Some(Blocks::Writes)), &Wording::default());
        assert!(
            said.contains("Every write to the table waits meanwhile for 2 s at most"),
            "{said}"
        );
        assert!(said.starts_with("(when?): (who?) changes"), "{said}");
    }
}
