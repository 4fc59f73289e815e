//! `--config FILE`: flags as the keys of a TOML file. The known keys are the flags of clap's own
//! command, so the two cannot drift. A flag wins, then the environment, then the file.

mod file;
pub mod show;

use crate::cli::args::Cli;
use crate::interface::output::warn_early;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use file::Settings;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::exit;

/// Flags that say the same thing. If a flag or the environment gives one, the file's other goes.
const RIVALS: [[&str; 2]; 2] = [["alter", "create"], ["password-command", "password-file"]];

/// Flags before the command that take a value.
const BEFORE_COMMAND: [&str; 2] = ["--config", "--log"];

/// A command line, with what the file adds to it.
pub(crate) struct Completed {
    words: Vec<OsString>,
    /// The file, and the flags that it gives.
    file: Option<(PathBuf, Vec<String>)>,
}

/// Reads the command line of this process, and the file that it names. Ends the process with exit
/// code 2 if either is wrong.
pub fn command_line() -> Cli {
    let completed =
        completed(std::env::args_os().collect()).unwrap_or_else(|reason| wrong(&reason));
    let cli = Cli::command()
        .try_get_matches_from(&completed.words)
        .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    match cli {
        Ok(cli) => cli,
        Err(error) => {
            if let Some(place) = completed.origin(&error) {
                warn_early(&format!("altergeist: {place}"));
            }
            error.exit()
        }
    }
}

fn wrong(reason: &str) -> ! {
    warn_early(&format!("altergeist: {reason}"));
    exit(2)
}

impl Completed {
    /// Says that a rejected flag comes from the file.
    fn origin(&self, error: &clap::Error) -> Option<String> {
        let (path, keys) = self.file.as_ref()?;
        let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
            return None;
        };
        let flag = flag.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-');
        let is_from_file = keys.iter().any(|key| key == flag);
        is_from_file.then(|| format!("{} sets {flag}", path.display()))
    }
}

/// Adds the file's flags to a command line. Wrong words are left for clap to name.
///
/// # Errors
/// What is wrong with the file.
pub(crate) fn completed(mut words: Vec<OsString>) -> Result<Completed, String> {
    let command = relaxed(Cli::command());
    let off = switched_off(&mut words, &command);
    let Ok(matches) = command.clone().try_get_matches_from(&words) else {
        return Ok(Completed { words, file: None });
    };
    let found = (matches.get_one::<PathBuf>("config"), matches.subcommand());
    let (Some(path), Some((name, given))) = found else {
        return Ok(Completed { words, file: None });
    };
    let settings = Settings::read(path, &command)?;
    let own = command.find_subcommand(name).expect("clap found it");
    let mut keys = Vec::new();
    let mut added = Vec::new();
    for arg in own.get_arguments().chain(command.get_arguments()).filter(|arg| is_flag(arg)) {
        let key = key(arg);
        if is_given(given, own, arg) || off.iter().any(|switch| switch == key) {
            continue;
        }
        let values = settings.flags(key);
        if !values.is_empty() {
            keys.push(key.to_owned());
            added.extend(values.iter().map(OsString::from));
        }
    }
    let behind = position(&words, name) + 1;
    words.splice(behind..behind, added);
    Ok(Completed { words, file: Some((path.clone(), keys)) })
}

/// Whether a flag or the environment says this, or something that excludes it.
fn is_given(given: &ArgMatches, command: &Command, arg: &Arg) -> bool {
    let is_explicit = |arg: &&Arg| {
        let source = given.value_source(arg.get_id().as_str());
        source.is_some_and(|source| source != ValueSource::DefaultValue)
    };
    let excludes = |one: &Arg, other: &Arg| {
        let conflicts = command.get_arg_conflicts_with(one);
        conflicts.iter().any(|conflict| conflict.get_id() == other.get_id())
    };
    let are_rivals = |one: &Arg, other: &Arg| {
        RIVALS.iter().any(|pair| pair.contains(&key(one)) && pair.contains(&key(other)))
    };
    let mut explicit = command.get_arguments().filter(is_explicit);
    is_explicit(&arg)
        || explicit.any(|it| are_rivals(it, arg) || excludes(it, arg) || excludes(arg, it))
}

/// The position of the command among the words.
fn position(words: &[OsString], name: &str) -> usize {
    let mut at = 1;
    while words.get(at).is_some_and(|word| word != name) {
        at += if BEFORE_COMMAND.iter().any(|flag| words[at] == *flag) { 2 } else { 1 };
    }
    at
}

/// The same command without required flags: the file may give them.
fn relaxed(command: Command) -> Command {
    command.mut_subcommands(|sub| sub.mut_args(|arg| arg.required(false)))
}

/// Removes `--switch=false`, which undoes a switch of the file, and returns these switches.
fn switched_off(words: &mut Vec<OsString>, command: &Command) -> Vec<String> {
    let switches: Vec<String> =
        flags(command).filter(|arg| is_switch(arg)).map(|arg| key(arg).to_owned()).collect();
    let mut off = Vec::new();
    words.retain(|word| {
        let word = word.to_string_lossy();
        let name = word.strip_prefix("--").and_then(|word| word.strip_suffix("=false"));
        let is_off = name.filter(|name| switches.iter().any(|switch| switch == name));
        off.extend(is_off.map(str::to_owned));
        is_off.is_none()
    });
    off
}

/// The name of a flag.
fn key(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// Whether the flag takes no value.
fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Every flag of every command.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    let of_commands = command.get_subcommands().flat_map(Command::get_arguments);
    command.get_arguments().chain(of_commands).filter(|arg| is_flag(arg))
}

/// Whether a file may give it.
fn is_flag(arg: &Arg) -> bool {
    !matches!(arg.get_long(), None | Some("help" | "version" | "config"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn complete(file: &str, words: &[&str]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("shop.toml");
        fs::write(&path, file).expect("a file can be written");
        let config = ["--config", path.to_str().expect("a path of text")];
        let words = ["altergeist"].iter().chain(&config).chain(words).map(OsString::from);
        let words = completed(words.collect())?.words;
        Ok(words.iter().skip(3).map(|word| word.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn the_file_adds_what_no_flag_says() {
        let file = "workers = 8\ntable = 'orders'\nkill-blockers = true\nagain = false\n\
                    replica = ['mysql://a/d', 'mysql://b/d']\nnice = 0.5\njson = true\n";
        let words = complete(file, &["run", "--workers", "2", "--alter", "ADD c int"]).unwrap();
        let expected = [
            "run",
            "--table=orders",
            "--replica=mysql://a/d",
            "--replica=mysql://b/d",
            "--nice=0.5",
            "--kill-blockers",
            "--workers",
            "2",
            "--alter",
            "ADD c int",
        ];
        assert_eq!(words, expected);
        let words = complete(file, &["plan", "--table", "t", "--replica", "mysql://c/d"]).unwrap();
        assert_eq!(words, ["plan", "--json", "--table", "t", "--replica", "mysql://c/d"]);
    }

    #[test]
    fn a_flag_undoes_a_switch_and_its_rival() {
        let file = "kill-blockers = true\npassword-file = 'f'\nalter = 'ADD c int'\n";
        let words = ["run", "--kill-blockers=false", "--password-command", "c", "--create", "new"];
        let create = tempfile::NamedTempFile::new().expect("a file can be made");
        let create = create.path().to_str().expect("a path of text");
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "new" { create } else { word }).collect();
        let kept = ["run", "--password-command", "c", "--create", create];
        assert_eq!(complete(file, &words).unwrap(), kept);
    }

    #[test]
    fn a_wrong_file_is_refused_by_name() {
        for (file, words) in [
            ("wrokers = 8", "'wrokers' is no flag. The nearest is 'workers'"),
            ("chunk_rows = 8", "The nearest is 'chunk-rows'"),
            ("password = 'hush'", "'password' is no flag"),
            ("kill-blockers = 'hush'", "kill-blockers is a switch: write true or false"),
            ("workers = [1, 2]", "workers takes one value"),
            ("[run]\nworkers = 1", "'run' is no flag"),
            ("max-load = { hush = 1 }", "max-load: write a text or a number"),
            ("url = 'hush", "shop.toml:1:"),
            ("config = 'x'", "'config' is no flag"),
        ] {
            let reason = complete(file, &["run"]).unwrap_err();
            assert!(reason.contains(words), "{reason}");
            assert!(!reason.contains("hush"), "{reason}");
        }
    }
}
