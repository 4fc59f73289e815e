//! A plan as annotations of GitHub Actions: workflow commands on standard output.

use crate::interface::plan::Judged;
use altergeist::contract::Severity;

pub(super) fn render(judged: &Judged) -> String {
    let place = judged.place.as_ref();
    let at = place.map(|place| format!("file={},line={},", property(&place.file), place.line));
    let at = at.unwrap_or_default();
    judged
        .findings()
        .into_iter()
        .map(|finding| {
            let command = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "notice",
            };
            let of = Some(judged.plan.table.as_str()).filter(|table| !table.is_empty());
            let of = of.map(|table| format!("{table}: ")).unwrap_or_default();
            let title = property(&format!("{of}{}", finding.code.name()));
            let remedy = match finding.remedy.as_str() {
                "" => String::new(),
                remedy => format!("\n{remedy}"),
            };
            format!("::{command} {at}title={title}::{}\n", message(&format!("{finding}{remedy}")))
        })
        .collect()
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::plan::tests::example;

    #[test]
    fn each_finding_is_one_command_on_one_line() {
        let said = render(&example());
        let first = "::error file=db/1.sql,line=7,title=shop.orders%3A unique-duplicates::unique \
                     index mail: 3 values occur more than once%0Aremove the duplicates";
        assert_eq!(said.lines().next(), Some(first));
        assert_eq!(said.lines().count(), 3);
        assert!(said.lines().nth(2).is_some_and(|line| line.starts_with("::notice ")));
    }
}
