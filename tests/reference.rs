//! `docs/reference/command-line.md` is what the binary's `--help` says.

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const PAGE: &str = "docs/reference/command-line.md";

/// Set, the page is written anew instead of compared: `make reference`.
const WRITE: &str = "ALTERGEIST_WRITE_REFERENCE";

const COMMANDS: [&str; 5] = ["plan", "run", "status", "cleanup", "ctl"];

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
