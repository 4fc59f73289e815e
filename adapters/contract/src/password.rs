//! Passwords that may change during a run. A command or a file gives the present one for each new
//! session. A password that the server refused is not sent again, so that no account gets locked.

use crate::{Error, Kind, Result};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Mutex as AsyncMutex;

/// Longest time a password command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// After a refusal, or while the source gives nothing: how long another password may take to come.
const ROTATION: Duration = Duration::from_secs(3);
/// How often the source is asked meanwhile.
const ROTATION_POLL: Duration = Duration::from_millis(250);
/// Passwords that one session may try. A command may give another one each time.
const TRIES: usize = 2;
/// After a refusal nobody tries the same server again for this long.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// The longest password in bytes. Cloud tokens have a few thousand.
const BYTES_MAX: u64 = 64 * 1024;

/// Where the passwords of a run come from. Clones share what the servers refused. Has no `Debug`.
#[derive(Clone, Default)]
pub struct Passwords {
    source: Option<Source>,
    servers: Arc<Mutex<HashMap<String, Arc<AsyncMutex<Refused>>>>>,
}

#[derive(Clone)]
enum Source {
    Command(String),
    File(PathBuf),
}

/// How a login ended that the server answered.
pub enum Login<T> {
    /// The session is open.
    Done(T),
    /// The server refused the password.
    Refused(Error),
}

/// What one server refused last.
#[derive(Default)]
struct Refused {
    password: Option<String>,
    /// The words of the refusal.
    answer: Option<(Kind, String, String)>,
    /// When it was final.
    at: Option<Instant>,
}

impl Passwords {
    /// Asks a command, run by `/bin/sh`, for each new session.
    pub fn of_command(command: impl Into<String>) -> Passwords {
        Passwords { source: Some(Source::Command(command.into())), ..Passwords::default() }
    }

    /// Reads a file for each new session.
    pub fn of_file(path: impl Into<PathBuf>) -> Passwords {
        Passwords { source: Some(Source::File(path.into())), ..Passwords::default() }
    }

    /// Whether there is a command or a file.
    pub fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// The same without command and file, for a URL with a password of its own.
    pub fn without_source(&self) -> Passwords {
        Passwords { source: None, servers: self.servers.clone() }
    }

    /// Asks the source once, before anything is done.
    ///
    /// # Errors
    /// `Usage` if the file or the command gives no password, with the reason.
    pub async fn check(&self) -> Result<()> {
        match &self.source {
            None => Ok(()),
            Some(source) => source.ask().await.map(drop),
        }
    }

    /// Opens a session on `server`. `known` is the password from elsewhere, used without a source.
    /// `log_in` tries one password. A refused password is not sent to this server again. The source
    /// gets a moment to give another one, because a rotation is rarely atomic.
    ///
    /// # Errors
    /// Those of `log_in`; `Disconnected` if the source gives no password.
    pub async fn log_in<T, F>(
        &self,
        server: &str,
        known: Option<&str>,
        log_in: impl Fn(Option<String>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<Login<T>>>,
    {
        let gate = self.gate(server);
        match &self.source {
            None => {
                if let Some(error) = gate.lock().await.answer_for(known) {
                    return Err(error);
                }
                match log_in(known.map(str::to_owned)).await? {
                    Login::Done(session) => Ok(session),
                    Login::Refused(error) => {
                        gate.lock().await.note(known.map(str::to_owned), &error, true);
                        Err(error)
                    }
                }
            }
            // One login at a time: a wrong password is sent by one session, not by each of them.
            Some(source) => log_in_from(source, &mut *gate.lock().await, log_in).await,
        }
    }

    fn gate(&self, server: &str) -> Arc<AsyncMutex<Refused>> {
        let mut servers = self.servers.lock().expect("no code panics with this lock");
        servers.entry(server.to_owned()).or_default().clone()
    }
}

async fn log_in_from<T, F>(
    source: &Source,
    refused: &mut Refused,
    log_in: impl Fn(Option<String>) -> F,
) -> Result<T>
where
    F: Future<Output = Result<Login<T>>>,
{
    if let Some(error) = refused.final_answer() {
        return Err(error);
    }
    let mut tries = 0;
    let mut waiting_since = None;
    loop {
        let why_not = match source.ask().await {
            Ok(password) if refused.password.as_ref() != Some(&password) => {
                match log_in(Some(password.clone())).await? {
                    Login::Done(session) => {
                        *refused = Refused::default();
                        return Ok(session);
                    }
                    Login::Refused(error) => {
                        tries += 1;
                        refused.note(Some(password), &error, false);
                        error
                    }
                }
            }
            Ok(_) => refused.error().expect("a refused password has its answer"),
            Err(error) => Error { kind: Kind::Disconnected, ..error },
        };
        let since = *waiting_since.get_or_insert_with(Instant::now);
        if tries >= TRIES || since.elapsed() >= ROTATION {
            if refused.password.is_some() {
                refused.at = Some(Instant::now());
            }
            return Err(why_not);
        }
        tokio::time::sleep(ROTATION_POLL).await;
    }
}

impl Refused {
    fn note(&mut self, password: Option<String>, error: &Error, is_final: bool) {
        self.password = password;
        self.answer = Some((error.kind.clone(), error.attempted.clone(), error.reason.clone()));
        self.at = is_final.then(Instant::now);
    }

    fn error(&self) -> Option<Error> {
        let (kind, attempted, reason) = self.answer.clone()?;
        Some(Error { kind, attempted, reason })
    }

    /// The refusal, while it is too early for another login.
    fn final_answer(&self) -> Option<Error> {
        self.at.filter(|at| at.elapsed() < REFUSED_PAUSE).and_then(|_| self.error())
    }

    /// The same for one password.
    fn answer_for(&self, password: Option<&str>) -> Option<Error> {
        self.final_answer().filter(|_| self.password.as_deref() == password)
    }
}

impl Source {
    async fn ask(&self) -> Result<String> {
        match self {
            Source::Command(command) => {
                let wrong = |reason: String| Error::new(Kind::Usage, ASK_COMMAND, reason);
                let text = printed(command).await.map_err(wrong)?;
                one_line(text).map_err(|reason| wrong(format!("it printed {reason}")))
            }
            Source::File(path) => {
                let wrong = |reason: String| {
                    Error::new(Kind::Usage, format!("read {}", path.display()), reason)
                };
                let text = private_text(path).map_err(wrong)?;
                one_line(text).map_err(|reason| wrong(format!("it holds {reason}")))
            }
        }
    }
}

const ASK_COMMAND: &str = "ask --password-command for the password";

/// What a command prints. Its stderr is shown, its stdout never.
async fn printed(command: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it could not be run: {error}"))?;
    let mut text = Vec::new();
    let mut output = child.stdout.take().expect("stdout is a pipe").take(BYTES_MAX);
    let ended = async {
        output.read_to_end(&mut text).await?;
        drop(output);
        child.wait().await
    };
    match tokio::time::timeout(COMMAND_TIMEOUT, ended).await {
        Err(_) => Err(format!("it gave no answer in {} s", COMMAND_TIMEOUT.as_secs())),
        Ok(Err(error)) => Err(format!("it could not be run: {error}")),
        Ok(Ok(status)) => match status.code() {
            Some(0) => Ok(text),
            Some(code) => Err(format!("it ended with exit code {code}")),
            None => Err("it was killed".into()),
        },
    }
}

/// The text of a file that only its owner can read.
fn private_text(path: &Path) -> Result<Vec<u8>, String> {
    let found = fs::metadata(path).map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is not a plain file. Use --password-command for anything else".into());
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err(format!(
            "other users can read or write it. Run: chmod 0600 {}",
            path.display()
        ));
    }
    if found.len() > BYTES_MAX {
        return Err("it is too long for a password".into());
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// The password in a text, without the newline at its end.
fn one_line(text: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(text).map_err(|_| "text that is not UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("no password"),
        line if line.contains(['\n', '\r', '\0']) => Err("more than one line"),
        line => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests;
