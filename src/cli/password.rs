//! Where a run's passwords come from, beside the environment and the files of the servers' clients.

use crate::cli::url::without_password;
use altergeist::contract::Passwords;
use clap::Args;
use std::path::PathBuf;

/// Sources of passwords.
#[derive(Args, Clone)]
pub struct PasswordArgs {
    /// Command that prints the password; /bin/sh runs it for each new session, so the password may
    /// change during a run
    #[arg(long, value_name = "COMMAND")]
    password_command: Option<String>,
    /// File with the password, read for each new session; only its owner may read it
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// Returns the source. The command goes before the file.
    pub fn passwords(&self) -> Passwords {
        match (&self.password_command, &self.password_file) {
            (Some(command), _) => Passwords::of_command(command),
            (None, Some(path)) => Passwords::of_file(path),
            (None, None) => Passwords::default(),
        }
    }

    /// Returns the URL as engines get it: a source goes before a password in it.
    pub fn url(&self, url: &str) -> String {
        if self.passwords().has_source() { without_password(url) } else { url.to_owned() }
    }
}
