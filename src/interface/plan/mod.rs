//! A plan as people, pull requests and other tools read it. Nothing here does I/O.

pub mod baseline;
pub mod estimate;
mod github;
mod json;
mod markdown;
mod sarif;
mod text;

use altergeist::contract::{Finding, Plan, Severity};
use clap::ValueEnum;

/// How a plan is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For a terminal
    Text,
    /// One JSON object, or one for each statement of a file
    Json,
    /// For the description of a pull request
    Markdown,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}

/// The severity from which on the exit code is 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FailOn {
    /// What the run would refuse
    Error,
    /// Warnings, too
    Warning,
    /// Anything that was found
    Note,
}

impl FailOn {
    /// The severity itself.
    pub fn severity(self) -> Severity {
        match self {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
            FailOn::Note => Severity::Note,
        }
    }
}

/// A plan, and where its statement stands.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What was judged.
    pub plan: Plan,
    /// The file and the line of the statement; None for `--alter`.
    pub place: Option<Place>,
    /// Findings that the baseline lists: shown, and not counted.
    pub known: Vec<Finding>,
}

/// Where a statement stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file as it was given.
    pub file: String,
    /// The statement's first line, from 1.
    pub line: u64,
}

impl Judged {
    /// The worst finding that is not in the baseline; None if there is none.
    pub fn worst(&self) -> Option<Severity> {
        self.plan.findings.iter().map(|finding| finding.severity).max()
    }

    /// The findings, the worst first.
    fn findings(&self) -> Vec<&Finding> {
        let mut findings: Vec<&Finding> = self.plan.findings.iter().collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings
    }
}

/// Prints what was judged.
pub fn render(format: Format, judged: &[Judged]) -> String {
    match format {
        Format::Text => judged.iter().map(text::render).collect::<Vec<_>>().join("\n"),
        Format::Json => judged.iter().map(|it| json::render(it) + "\n").collect(),
        Format::Markdown => judged.iter().map(markdown::render).collect::<Vec<_>>().join("\n"),
        Format::Sarif => sarif::render(judged) + "\n",
        Format::Github => judged.iter().map(github::render).collect(),
    }
}

/// How the change will be done, for people. A finding that somebody accepted still refuses it. None
/// if nothing was planned.
fn strategy(judged: &Judged) -> Option<String> {
    use altergeist::contract::Verdict;
    let plan = &judged.plan;
    if plan.server.is_empty() {
        return None;
    }
    let is_refused =
        plan.is_refused() || judged.known.iter().any(|it| it.severity == Severity::Error);
    Some(match (&plan.verdict, is_refused) {
        (_, true) => "refused".to_owned(),
        (Verdict::Native(_), false) if is_in_place(plan) => {
            "native, in place: the server rewrites or scans the table".to_owned()
        }
        (Verdict::Native(_), false) => {
            "native: the server neither rewrites nor scans the table".to_owned()
        }
        (Verdict::Online, false) => {
            "online: native, in steps that each hold a lock only briefly".to_owned()
        }
        (Verdict::Copy, false) => {
            format!("copy into a shadow table; follow the log by key {}", plan.key)
        }
    })
}

/// Whether the plan chose the server's own way, because it blocks no longer than allowed.
fn is_in_place(plan: &Plan) -> bool {
    let in_place = plan.estimate.as_ref().and_then(|estimate| estimate.in_place.as_ref());
    in_place.is_some_and(|in_place| in_place.is_chosen)
}

/// The clauses, for people.
fn change(plan: &Plan) -> &str {
    if plan.alter.is_empty() { "(plain rebuild)" } else { &plan.alter }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use altergeist::contract::{Code, Step};

    /// A plan with one finding of each severity.
    pub fn example() -> Judged {
        let plan = Plan {
            table: "shop.orders".into(),
            server: "MySQL 9.7".into(),
            alter: "ADD UNIQUE (mail)".into(),
            key: "PRIMARY (id)".into(),
            rows_estimated: 1_234_567,
            bytes_estimated: 12_000_000,
            steps: vec![Step { statement: "RENAME TABLE".into(), lock: "exclusive".into() }],
            findings: vec![
                Finding::note(Code::Left, "the old table stays as shop._orders_ag_old"),
                Finding::error(
                    Code::UniqueDuplicates,
                    "unique index mail",
                    "3 values occur more than once",
                    "remove the duplicates",
                )
                .count(3),
                Finding::warning(Code::DropsData, "column a", "5 | 6", "keep it\nor not").count(5),
            ],
            ..Plan::default()
        };
        let place = Some(Place { file: "db/1.sql".into(), line: 7 });
        Judged { plan, place, known: Vec::new() }
    }

    #[test]
    fn the_worst_finding_counts_and_comes_first() {
        let judged = example();
        assert_eq!(judged.worst(), Some(Severity::Error));
        let order: Vec<Severity> = judged.findings().iter().map(|it| it.severity).collect();
        assert_eq!(order, [Severity::Error, Severity::Warning, Severity::Note]);
    }
}
