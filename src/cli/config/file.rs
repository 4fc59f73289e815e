//! The file of `--config`: its keys and values. Nothing here shows a value: it may be a password.

use super::{flags, is_switch, key};
use clap::{Arg, ArgAction, Command};
use std::path::Path;
use toml::{Table, Value};

/// The flags in a file.
pub(super) struct Settings(Vec<(String, Vec<String>)>);

impl Settings {
    /// Reads a file. Each key must be the name of a flag of any command.
    ///
    /// # Errors
    /// What is wrong, with the file, the line or the key.
    pub(super) fn read(path: &Path, command: &Command) -> Result<Settings, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            // Its own words would quote the line.
            let before = error.span().map_or("", |span| &text[..span.start.min(text.len())]);
            format!("{shown}:{}: {}", before.matches('\n').count() + 1, error.message())
        })?;
        let settings = table.iter().map(|(name, value)| {
            let arg = flags(command).find(|arg| key(arg) == name);
            let arg = arg.ok_or_else(|| unknown(name, command))?;
            Ok((name.clone(), words(arg, value)?))
        });
        let settings: Result<_, String> = settings.collect();
        settings.map(Settings).map_err(|reason| format!("{shown}: {reason}"))
    }

    /// The words that a flag has on a command line, if the file gives it.
    pub(super) fn flags(&self, key: &str) -> &[String] {
        self.0.iter().find(|(name, _)| name == key).map_or(&[], |(_, words)| words)
    }
}

fn words(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let key = key(arg);
    if is_switch(arg) {
        return match value {
            Value::Boolean(true) => Ok(vec![format!("--{key}")]),
            Value::Boolean(false) => Ok(Vec::new()),
            _ => Err(format!("{key} is a switch: write true or false")),
        };
    }
    let word = |value: &Value| match value {
        Value::String(text) => Ok(format!("--{key}={text}")),
        Value::Integer(number) => Ok(format!("--{key}={number}")),
        Value::Float(number) => Ok(format!("--{key}={number}")),
        _ => Err(format!("{key}: write a text or a number")),
    };
    match value {
        Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            values.iter().map(word).collect()
        }
        Value::Array(_) => Err(format!("{key} takes one value")),
        value => Ok(vec![word(value)?]),
    }
}

fn unknown(name: &str, command: &Command) -> String {
    let nearest = flags(command).map(key).min_by_key(|known| distance(name, known));
    format!("'{name}' is no flag. The nearest is '{}'", nearest.unwrap_or_default())
}

/// How many letters must change to make one word of another.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (nth, letter) in one.chars().enumerate() {
        let mut diagonal = nth;
        row[0] = nth + 1;
        for (at, own) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *own);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_a_distance() {
        assert_eq!(distance("wrokers", "workers"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("chunk_rows", "chunk-rows"), 1);
    }
}
