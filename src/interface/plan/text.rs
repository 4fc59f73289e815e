//! A plan for a terminal: what was found first, then the steps.

use crate::interface::numbers::{grouped, size};
use crate::interface::plan::{Judged, change, estimate, strategy};
use altergeist::contract::{Cost, Severity, Verdict};
use textwrap::{Options, WordSplitter};

/// No line is longer, unless one word is.
const WIDTH: usize = 100;
/// Where what a line says begins, behind its title.
const INDENT: &str = "           ";

pub(super) fn render(judged: &Judged) -> String {
    let plan = &judged.plan;
    let mut text = String::new();
    let mut say = |title: &str, words: &str| {
        text.push_str(&entry(title, words));
        text.push('\n');
    };
    if let Some(place) = &judged.place {
        say("statement", &format!("{}:{}", place.file, place.line));
    }
    if !plan.table.is_empty() {
        say("table", &plan.table);
    }
    say("change", change(plan));
    if let Some(strategy) = strategy(judged) {
        say("strategy", &strategy);
        say("rows", &format!("about {}", grouped(plan.rows_estimated)));
    }
    if plan.verdict == Verdict::Copy && plan.bytes_estimated > 0 {
        say("space", &format!("about {}", size(plan.bytes_estimated)));
    }
    for (title, words) in estimate::sentences(plan) {
        say(title, &words);
    }
    for words in plan.cost.iter().map(cost) {
        say("cost", &words);
    }
    for finding in judged.findings() {
        let code = finding.code.name();
        let said = match finding.severity {
            Severity::Note => finding.to_string(),
            _ => format!("{finding} [{code}]"),
        };
        say(label(finding.severity), &said);
        if !finding.remedy.is_empty() {
            say("", &format!("→ {}", finding.remedy));
        }
    }
    if !judged.known.is_empty() {
        say("known", &format!("{} findings of the baseline are left out", judged.known.len()));
    }
    for (nth, step) in plan.steps.iter().enumerate() {
        let title = if nth == 0 { "steps" } else { "" };
        say(title, &format!("{}. {}", nth + 1, one_line(&step.statement)));
        say("", &format!("   lock: {}", step.lock));
    }
    text
}

/// What the plan itself took.
fn cost(cost: &Cost) -> String {
    let limit = match cost.question_limit_seconds {
        Some(seconds) => format!("ends after {seconds} s; --thorough waits for each answer"),
        None => "takes as long as it needs".to_owned(),
    };
    let took = cost.took_ms as f64 / 1000.0;
    format!("the plan took {took:.1} s; a question about the rows {limit}")
}

/// The label of a finding. An error is what the run refuses.
fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "refused",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// A statement of many lines, on one.
fn one_line(statement: &str) -> String {
    statement.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// One entry, wrapped, its later lines under the beginning of what it says.
fn entry(title: &str, words: &str) -> String {
    let first = format!("{title:<width$}", width = INDENT.len());
    let lead: usize = words.chars().take_while(|letter| *letter == ' ').count();
    let later = format!("{INDENT}{}", " ".repeat(lead.max(hanging(words))));
    let options = Options::new(WIDTH)
        .initial_indent(&first)
        .subsequent_indent(&later)
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(words, options)
}

/// How far the later lines of a numbered step, or of a remedy, are set in.
fn hanging(words: &str) -> usize {
    match words.split_once(' ') {
        Some(("→", _)) => 2,
        Some((mark, _)) if mark.ends_with('.') && mark.len() > 1 => {
            let digits = mark.trim_end_matches('.');
            if digits.chars().all(|digit| digit.is_ascii_digit()) { mark.len() + 1 } else { 0 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::plan::tests::example;

    #[test]
    fn what_was_found_comes_before_the_steps() {
        let text = render(&example());
        let expected = "\
statement  db/1.sql:7
table      shop.orders
change     ADD UNIQUE (mail)
strategy   refused
rows       about 1,234,567
space      about 12 MB
refused    unique index mail: 3 values occur more than once [unique-duplicates]
           → remove the duplicates
warning    column a: 5 | 6 [drops-data]
           → keep it
             or not
note       the old table stays as shop._orders_ag_old
steps      1. RENAME TABLE
              lock: exclusive
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_line_is_longer_than_a_terminal() {
        let said = entry("note", &"word ".repeat(60));
        assert!(said.lines().all(|line| line.len() <= WIDTH), "{said}");
        assert!(said.lines().skip(1).all(|line| line.starts_with(INDENT)), "{said}");
        let step = entry("steps", &format!("1. {}", "word ".repeat(60)));
        assert!(step.lines().skip(1).all(|line| line.starts_with("              word")), "{step}");
    }
}
