//! The list of statements. Its orders and settings are those of the parser.

use crate::interface::console::cell::Cell;
use altergeist::control::order::WORDS;
use altergeist::control::setting::SETTINGS;

/// The tables, as SHOW names them, with what they show. They stand here for the list only.
pub fn rows(views: &[(&str, &str)]) -> Vec<Vec<Cell>> {
    let row = |statement: String, meaning: &str, role: &str| {
        vec![Cell::Text(statement), Cell::Text(meaning.into()), Cell::Text(role.into())]
    };
    let views = views
        .iter()
        .map(|(name, meaning)| row(format!("SHOW {}", name.to_uppercase()), meaning, "watcher"));
    let orders = WORDS.iter().filter_map(|(word, meaning)| {
        let (statement, role) = said(word)?;
        Some(row(statement, meaning.split(" (").next().unwrap_or(meaning), role))
    });
    let settings = SETTINGS.iter().map(|setting| {
        let statement = format!("SET {} = {}", setting.names[0], setting.value);
        row(statement, setting.help, "operator")
    });
    views.chain(orders).chain(settings).collect()
}

/// An order as it is said here, and who may say it. None if a table shows the same.
fn said(word: &str) -> Option<(String, &'static str)> {
    let (first, rest) = word.split_once(' ').unwrap_or((word, ""));
    let said = match first {
        "status" | "sup" | "coordinates" | "applier" | "help" | "NAME=?" | "NAME=VALUE" => {
            return None;
        }
        "throttle" => "PAUSE".into(),
        "no-throttle" => "RESUME".into(),
        "cut-over" => "CUT OVER".into(),
        first => first.to_uppercase(),
    };
    let role = if first == "approve" { "approver" } else { "operator" };
    Some((format!("{said} {rest}").trim_end().to_owned(), role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_and_setting_is_listed_as_it_is_said_here() {
        let listed: Vec<String> = rows(&[("status", "the run")])
            .into_iter()
            .map(|row| match &row[0] {
                Cell::Text(text) => text.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        for statement in
            ["SHOW STATUS", "PAUSE", "CUT OVER [TABLE]", "APPROVE PLAN", "SET workers = N"]
        {
            assert!(listed.iter().any(|it| it == statement), "{statement}: {listed:?}");
        }
        assert!(!listed.iter().any(|it| it.contains('?')), "{listed:?}");
    }
}
