//! A plan as Markdown, for the description of a pull request.

use crate::interface::numbers::{grouped, size};
use crate::interface::plan::{Judged, change, estimate, strategy};
use altergeist::gate::fingerprint;
use std::fmt::Write;

pub(super) fn render(judged: &Judged) -> String {
    let plan = &judged.plan;
    let title = if plan.table.is_empty() { "statement" } else { &plan.table };
    let mut text = format!("### {title}\n\n{}\n\n", code_block(change(plan)));
    if let Some(place) = &judged.place {
        let _ = writeln!(text, "- **Statement:** {}:{}", place.file, place.line);
    }
    if let Some(strategy) = strategy(judged) {
        let _ = writeln!(text, "- **Strategy:** {strategy}");
        let _ = writeln!(text, "- **Rows:** about {}", grouped(plan.rows_estimated));
        if plan.bytes_estimated > 0 {
            let _ = writeln!(text, "- **Space:** about {}", size(plan.bytes_estimated));
        }
        let _ = writeln!(text, "- **Fingerprint:** `{}`", fingerprint(plan));
    }
    for (title, words) in estimate::sentences(plan) {
        let title = title[..1].to_uppercase() + &title[1..];
        let _ = writeln!(text, "- **{title}:** {words}");
    }
    if !plan.findings.is_empty() {
        text.push_str("\n| severity | code | what | what to do |\n|---|---|---|---|\n");
    }
    for finding in judged.findings() {
        let _ = writeln!(
            text,
            "| {} | `{}` | {} | {} |",
            finding.severity.name(),
            finding.code.name(),
            cell(&finding.to_string()),
            cell(&finding.remedy)
        );
    }
    if !plan.steps.is_empty() {
        text.push_str("\n<details><summary>Steps</summary>\n\n");
        for (nth, step) in plan.steps.iter().enumerate() {
            let _ = writeln!(
                text,
                "{}. {}  \n   lock: {}",
                nth + 1,
                inline(&step.statement),
                step.lock
            );
        }
        text.push_str("\n</details>\n");
    }
    text
}

/// Text in a table: one line, and no bar of its own.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', "<br>")
}

/// Code in a sentence, fenced by more backticks than it holds.
fn inline(code: &str) -> String {
    let fence = "`".repeat(longest_run(code) + 1);
    let space = if fence.len() > 1 { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", code.replace('\n', " "))
}

fn code_block(code: &str) -> String {
    let fence = "`".repeat((longest_run(code) + 1).max(3));
    format!("{fence}sql\n{code}\n{fence}")
}

fn longest_run(code: &str) -> usize {
    code.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::plan::tests::example;

    #[test]
    fn every_finding_is_one_row_of_the_table() {
        let said = render(&example());
        let rows: Vec<&str> = said.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(rows.len(), 4, "{said}");
        assert!(rows[2].contains("5 \\| 6") && rows[2].contains("keep it<br>or not"), "{said}");
    }

    #[test]
    fn a_quoted_name_does_not_end_the_code() {
        assert_eq!(inline("RENAME `a`"), "`` RENAME `a` ``");
        assert!(code_block("a ``` b").starts_with("````sql\n"));
    }
}
