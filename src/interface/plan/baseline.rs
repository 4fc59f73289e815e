//! The findings that somebody has seen and accepted, in a file that is kept beside the migrations.

use crate::interface::plan::Judged;
use altergeist::contract::Finding;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One accepted finding. Counts and sentences may change from day to day; these do not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    table: String,
    change: String,
    code: String,
    severity: String,
    /// What the finding is about; its sentence, if it is about the change as a whole.
    object: String,
}

/// The accepted findings.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Baseline(BTreeSet<Accepted>);

impl Baseline {
    /// Reads a baseline: one JSON object per line.
    ///
    /// # Errors
    /// Says which line cannot be read.
    pub fn read(text: &str) -> Result<Baseline, String> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(nth, line)| {
                serde_json::from_str(line).map_err(|error| format!("line {}: {error}", nth + 1))
            })
            .collect::<Result<_, _>>()
            .map(Baseline)
    }

    /// Accepts everything that was found.
    pub fn of(judged: &[Judged]) -> Baseline {
        let all = judged.iter().flat_map(|it| {
            let findings = it.plan.findings.iter().chain(&it.known);
            findings.map(|finding| accepted(it, finding)).collect::<Vec<_>>()
        });
        Baseline(all.collect())
    }

    /// The text that [`Baseline::read`] reads.
    pub fn write(&self) -> String {
        let line = |it| serde_json::to_string(it).expect("plain data") + "\n";
        self.0.iter().map(line).collect()
    }

    /// Sets the accepted findings apart.
    pub fn apply(&self, judged: &mut Judged) {
        let (known, new) = std::mem::take(&mut judged.plan.findings)
            .into_iter()
            .partition(|finding| self.0.contains(&accepted(judged, finding)));
        judged.known = known;
        judged.plan.findings = new;
    }
}

fn accepted(judged: &Judged, finding: &Finding) -> Accepted {
    Accepted {
        table: judged.plan.table.clone(),
        change: judged.plan.alter.split_whitespace().collect::<Vec<_>>().join(" "),
        code: finding.code.name().to_owned(),
        severity: finding.severity.name().to_owned(),
        object: match finding.object.as_str() {
            "" => finding.message.clone(),
            object => object.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::plan::tests::example;
    use altergeist::contract::Severity;

    #[test]
    fn what_was_accepted_does_not_count_again() {
        let written = Baseline::of(&[example()]).write();
        let read = Baseline::read(&written).expect("what was written can be read");
        let mut judged = example();
        judged.plan.findings[1].count = Some(4);
        read.apply(&mut judged);
        assert_eq!(judged.worst(), None);
        assert_eq!(judged.known.len(), 3);
    }

    #[test]
    fn a_new_finding_counts() {
        let mut old = example();
        old.plan.findings.remove(1);
        let mut judged = example();
        Baseline::of(&[old]).apply(&mut judged);
        assert_eq!(judged.worst(), Some(Severity::Error));
        assert_eq!(judged.plan.findings.len(), 1);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let broken = Baseline::read("\n{\"table\": 1}\n").expect_err("it is no finding");
        assert!(broken.starts_with("line 2: "), "{broken}");
    }
}
