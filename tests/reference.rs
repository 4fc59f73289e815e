//! The reference pages and the program agree: `--help` and its page, codes and their pages.

use altergeist::contract::Code;
use altergeist::pace::signal::Signal;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const PAGE: &str = "docs/reference/command-line.md";

/// Set, the page is written anew instead of compared: `make reference`.
const WRITE: &str = "ALTERGEIST_WRITE_REFERENCE";

/// A page for each code that a finding may have.
const FINDINGS: &str = "docs/reference/findings";

/// What each page of a code tells, in this order.
const SECTIONS: [&str; 4] =
    ["What is bad about it", "Why altergeist says so", "An example", "What to do"];

const COMMANDS: [&str; 16] = [
    "plan",
    "run",
    "rehearse",
    "notice",
    "status",
    "revert",
    "cleanup",
    "verify",
    "wait",
    "ctl",
    "console-password",
    "backfill",
    "config",
    "completions",
    "man",
    "capabilities",
];

fn help(words: &[&str]) -> String {
    // Without a terminal the width is always the same.
    let output = Command::new(env!("CARGO_BIN_EXE_altergeist"))
        .args(words)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .expect("the binary can be run");
    let text = String::from_utf8(output.stdout).expect("help is text");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn page() -> String {
    let mut page =
        "# The command line\n\nThis page is what `--help` prints. `make reference` writes it \
         again.\n"
            .to_owned();
    let _ = write!(page, "\n## altergeist\n\n```text\n{}```\n", help(&["--help"]));
    for command in COMMANDS {
        let _ = write!(
            page,
            "\n## altergeist {command}\n\n```text\n{}```\n",
            help(&[command, "--help"])
        );
    }
    page
}

#[test]
fn the_page_is_what_the_help_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "{PAGE} is not what --help says: run `make reference` and commit it"
    );
}

#[test]
fn every_command_is_on_the_page() {
    let listed = help(&["--help"]);
    let commands = listed
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names[..names.len() - 1], COMMANDS, "the last is `help`");
}

fn codes() -> BTreeSet<String> {
    Code::ALL.iter().map(|code| code.name().to_owned()).collect()
}

fn read_finding(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FINDINGS).join(format!("{name}.md"));
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{FINDINGS}/{name}.md: {error}"))
}

#[test]
fn every_code_has_a_page_and_every_page_is_a_code_s() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FINDINGS);
    let pages = std::fs::read_dir(folder).expect("the pages are there").map(|entry| {
        let name = entry.expect("it can be read").file_name().to_string_lossy().into_owned();
        name.trim_end_matches(".md").to_owned()
    });
    let pages: BTreeSet<String> = pages.filter(|name| name != "README").collect();
    assert_eq!(pages, codes());
}

#[test]
fn every_page_of_a_code_has_its_sections_and_shows_a_finding() {
    for code in codes() {
        let page = read_finding(&code);
        assert_eq!(page.lines().next(), Some(&*format!("# {code}")));
        let sections: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(sections, SECTIONS, "{code}");
        let shown: Vec<&str> = page
            .lines()
            .filter(|line| ["refused ", "warning ", "note "].iter().any(|it| line.starts_with(it)))
            .collect();
        assert!(!shown.is_empty(), "{code}: no example");
        let is_note = shown.iter().all(|line| line.starts_with("note "));
        assert!(is_note || page.contains(&format!("[{code}]")), "{code}: another code's example");
    }
}

#[test]
fn the_table_of_findings_lists_the_codes_in_their_order() {
    let table = read_finding("README");
    let listed: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| [")?.split(']').next()).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(listed, codes);
}

/// Each signal has a heading on this page.
const SIGNALS: &str = "docs/reference/throttle.md";

/// How the page says how often a signal is asked.
fn asked(signal: Signal) -> String {
    let shown = |time| humantime::format_duration(time).to_string();
    match signal.interval().is_zero() {
        true => "- Asked: before each turn.".into(),
        false => format!(
            "- Asked: every {}; no answer within {} means: wait.",
            shown(signal.interval()),
            shown(signal.time_limit())
        ),
    }
}

#[test]
fn the_page_of_the_signals_describes_each_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(SIGNALS);
    let page = std::fs::read_to_string(path).expect("the page is there");
    let mut sections = page.split("\n## ");
    sections.next();
    let mut names = Vec::new();
    for (section, signal) in sections.zip(Signal::ALL) {
        names.push(section.lines().next().unwrap_or_default());
        for line in ["- Reads: ", "- Unit: ", "- Works on: ", "- Set: "] {
            assert!(section.contains(line), "{}: {line:?} is missing", signal.name());
        }
        let asked = asked(signal);
        assert!(section.contains(&asked), "{}: {asked:?} is missing", signal.name());
    }
    assert_eq!(names, Signal::ALL.map(Signal::name));
    assert_eq!(page.matches("\n## ").count(), Signal::ALL.len());
}
