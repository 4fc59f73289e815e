//! `config show`: the effective value of every flag of `run`, and where it comes from. The output
//! is itself a file for `--config`. Passwords are never shown.

use super::{Completed, completed, is_flag, is_switch, key, relaxed};
use crate::cli::args::Cli;
use crate::cli::url;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory};
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

/// Values that may hold a password in a form that cannot be known.
const HIDDEN: [&str; 1] = ["password-command"];

/// Returns the flags as text, as `run` would get them from these words.
///
/// # Errors
/// What is wrong with the file, or with the words.
pub fn text(config: Option<&Path>, words: &[OsString]) -> Result<String, String> {
    let begin = [OsString::from("altergeist"), OsString::from("run")];
    let config = config.map(|path| [OsString::from("--config"), path.into()]);
    let words = begin.into_iter().chain(config.into_iter().flatten()).chain(words.iter().cloned());
    let completed = completed(words.collect())?;
    let command = relaxed(Cli::command());
    let matches = command
        .clone()
        .try_get_matches_from(&completed.words)
        .map_err(|error| error.to_string().trim_end().to_owned())?;
    let given = matches.subcommand_matches("run").expect("the words name this command");
    let run = command.find_subcommand("run").expect("it is a command");
    let args = run.get_arguments().chain(command.get_arguments()).filter(|arg| is_flag(arg));
    let lines: Vec<(String, String)> =
        args.map(|arg| (value(arg, given), origin(arg, given, &completed))).collect();
    let width = lines.iter().map(|(value, _)| value.chars().count()).filter(|width| *width < 50);
    let width = width.max().unwrap_or_default();
    let mut text = String::new();
    for (value, origin) in lines {
        let _ = writeln!(text, "{value:width$}  # {origin}");
    }
    Ok(text)
}

/// A line of the file; a comment if there is no value to show.
fn value(arg: &Arg, given: &ArgMatches) -> String {
    let key = key(arg);
    let values = given.get_raw(arg.get_id().as_str());
    let values: Vec<String> = values
        .into_iter()
        .flatten()
        .map(|value| shown(key, &value.to_string_lossy()))
        .filter(|value| !value.is_empty() || key == "alter")
        .collect();
    match &values[..] {
        [] => format!("# {key}"),
        _ if HIDDEN.contains(&key) => format!("# {key}"),
        [value] if is_switch(arg) => format!("{key} = {value}"),
        _ if matches!(arg.get_action(), ArgAction::Append) => {
            let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("{key} = [{}]", values.join(", "))
        }
        [value, ..] => format!("{key} = {}", quoted(value)),
    }
}

fn shown(key: &str, value: &str) -> String {
    match key {
        "url" | "stream-from" | "replica" => url::without_password(value),
        _ => url::shown(value),
    }
}

/// A value of TOML: a number, or a text whose escapes are JSON's.
fn quoted(value: &str) -> String {
    match value.parse::<i64>() {
        Ok(number) if number.to_string() == value => value.to_owned(),
        _ => crate::interface::report::json(&value),
    }
}

fn origin(arg: &Arg, given: &ArgMatches, completed: &Completed) -> String {
    let hidden = if HIDDEN.contains(&key(arg)) { ", not shown" } else { "" };
    let in_file = |(path, keys): &(std::path::PathBuf, Vec<String>)| {
        keys.iter().any(|known| known == key(arg)).then(|| path.display().to_string())
    };
    match (given.value_source(arg.get_id().as_str()), completed.file.as_ref().and_then(in_file)) {
        (_, Some(path)) => format!("{path}{hidden}"),
        (Some(ValueSource::CommandLine), None) => format!("flag{hidden}"),
        (Some(ValueSource::EnvVariable), None) => {
            let name = arg.get_env().unwrap_or_default().to_string_lossy().into_owned();
            format!("environment {name}{hidden}")
        }
        (Some(_), None) if given.get_raw(arg.get_id().as_str()).is_some() => "default".into(),
        _ => "not set".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_origin_and_no_password_is_shown() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("shop.toml");
        let file = "workers = 8\npassword-command = 'echo hush'\nreplica = ['mysql://u:hush@r/d']\n\
                    alter = 'ADD c text DEFAULT \"x\"'\n";
        std::fs::write(&path, file).expect("a file can be written");
        let words = ["--url", "postgres://me:hush@h/d", "--kill-blockers"].map(OsString::from);
        let shown = text(Some(&path), &words).unwrap();
        assert!(!shown.contains("hush"), "{shown}");
        let line = |key: &str| {
            let line = shown.lines().find(|line| line.trim_start_matches("# ").starts_with(key));
            let line = line.unwrap_or_else(|| panic!("{key} is missing in {shown}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let file = path.display();
        assert_eq!(line("workers"), format!("workers = 8 # {file}"));
        assert_eq!(line("url"), "url = \"postgres://me@h/d\" # flag");
        assert_eq!(line("replica"), format!("replica = [\"mysql://u@r/d\"] # {file}"));
        assert_eq!(line("password-command"), format!("# password-command # {file}, not shown"));
        assert_eq!(line("kill-blockers"), "kill-blockers = true # flag");
        assert_eq!(line("chunk-time"), "chunk-time = \"100ms\" # default");
        assert_eq!(line("deadline"), "# deadline # not set");
        assert!(shown.parse::<toml::Table>().is_ok(), "{shown}");
    }
}
