//! Hooks: executable files of the operator, one for each event, with an end in sight.

use crate::interface::notify::document::Document;
use altergeist::{Event, News};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often a running hook is checked.
const LOOK: Duration = Duration::from_millis(10);

/// Variables with passwords in them. A hook does not inherit them.
const SECRETS: [&str; 6] = [
    "ALTERGEIST_URL",
    "ALTERGEIST_WEBHOOK",
    "ALTERGEIST_PASSWORD",
    "ALTERGEIST_CONSOLE_PASSWORD",
    "MYSQL_PWD",
    "PGPASSWORD",
];

/// The hooks of a folder.
pub struct Hooks {
    folder: PathBuf,
    time_limit: Duration,
}

impl Hooks {
    /// Takes the hooks of this folder. None may take longer than the limit.
    pub fn new(folder: PathBuf, time_limit: Duration) -> Hooks {
        Hooks { folder, time_limit }
    }

    /// Returns the longest time of a hook.
    pub fn time_limit(&self) -> Duration {
        self.time_limit
    }

    /// Runs the hook of an event that may stop the run, and gives its answer.
    pub fn answer(&self, news: News) {
        let answer = self.run(&news);
        if let Some(asked) = news.answer {
            // The run may have been stopped meanwhile.
            let _ = asked.send(answer);
        }
    }

    /// Runs the hook of any other event. A failure is reported, and changes nothing.
    pub fn report(&self, news: &News) {
        if let Err(reason) = self.run(news) {
            tracing::warn!("the hook on-{} failed: {reason}", news.event.name());
        }
    }

    fn run(&self, news: &News) -> Result<(), String> {
        let path = self.folder.join(format!("on-{}", news.event.name()));
        if !path.exists() {
            return Ok(());
        }
        let until = Instant::now() + self.time_limit;
        let document = Document::of(news);
        let mut child = start(&path, &document, until)?;
        if let Some(mut input) = child.stdin.take() {
            let json = document.json();
            // A hook need not read it, so this may wait until the hook ends.
            std::thread::spawn(move || input.write_all(format!("{json}\n").as_bytes()));
        }
        match wait(&mut child, until) {
            Some(status) => judge(status),
            None => {
                end(&mut child);
                let limit = humantime::format_duration(self.time_limit);
                Err(format!("it took longer than {limit}, the limit of --hook-timeout"))
            }
        }
    }
}

/// Starts a hook in a process group of its own. What it prints goes to standard error: standard
/// output is for results.
fn start(path: &Path, document: &Document, until: Instant) -> Result<Child, String> {
    let failed = |error: std::io::Error| format!("it could not be started: {error}");
    loop {
        let output = std::io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
        let mut command = Command::new(path);
        for secret in SECRETS {
            command.env_remove(secret);
        }
        let without_nul = |(name, text): (_, String)| (name, text.replace('\0', ""));
        command
            .envs(document.variables().into_iter().map(without_nul))
            .stdin(Stdio::piped())
            .stdout(output)
            .process_group(0);
        match command.spawn() {
            // It is being written this moment.
            Err(error)
                if error.kind() == ErrorKind::ExecutableFileBusy && Instant::now() < until =>
            {
                std::thread::sleep(LOOK);
            }
            started => return started.map_err(failed),
        }
    }
}

/// Waits for the end of a hook. None if the time is over before.
fn wait(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
            _ => return None,
        }
    }
}

fn judge(status: ExitStatus) -> Result<(), String> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(format!("it ended with exit code {code}")),
        None => Err("it was killed".into()),
    }
}

/// Ends a hook with everything that it has started.
fn end(child: &mut Child) {
    let group = child.id().to_string();
    let killed = Command::new("sh")
        .args(["-c", "kill -s KILL -- -$0", &group])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !killed.is_ok_and(|status| status.success()) {
        let _ = child.kill();
    }
    let _ = child.wait();
}

/// Checks that a folder holds hooks that can be run, and nothing that looks like a hook and is
/// none: a misspelled gate would never close.
///
/// # Errors
/// What is wrong, and how to repair it.
pub fn check_folder(folder: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(event) = name.strip_prefix("on-") else { continue };
        if !Event::ALL.iter().any(|known| known.name() == event) {
            let known: Vec<&str> = Event::ALL.iter().map(|event| event.name()).collect();
            return Err(format!(
                "{name} is the hook of no event. Rename it, or take it away; events: {}",
                known.join(", ")
            ));
        }
        let mode = std::fs::metadata(&path).map_err(|error| error.to_string())?.permissions();
        if mode.mode() & 0o111 == 0 {
            return Err(format!("{name} cannot be run: chmod +x {}", path.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use altergeist::Status;

    /// Writes a hook that can be run.
    pub fn write_hook(folder: &Path, event: &str, script: &str) {
        let path = folder.join(format!("on-{event}"));
        std::fs::write(&path, script).expect("a hook can be written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("its mode can be set");
    }

    fn hooks(event: &str, script: &str, limit: Duration) -> (tempfile::TempDir, Hooks) {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        write_hook(folder.path(), event, script);
        let hooks = Hooks::new(folder.path().to_owned(), limit);
        (folder, hooks)
    }

    #[test]
    fn a_hook_gets_the_document_and_its_exit_code_is_the_answer() {
        let script = "#!/bin/sh\ncat > $(dirname $0)/seen\nexec test $ALTERGEIST_TICKET = OPS-7\n";
        let (folder, hooks) = hooks("planned", script, Duration::from_secs(10));
        let news = |ticket: &str| {
            let status = Status { ticket: Some(ticket.into()), ..Status::default() };
            News::of(Event::Planned, status)
        };
        assert_eq!(hooks.run(&news("OPS-7")), Ok(()));
        let seen = std::fs::read_to_string(folder.path().join("seen")).expect("it was run");
        let seen: serde_json::Value = serde_json::from_str(&seen).expect("it got JSON");
        assert_eq!((&seen["event"], &seen["ticket"]), (&"planned".into(), &"OPS-7".into()));
        assert_eq!(hooks.run(&news("OPS-8")), Err("it ended with exit code 1".into()));
        assert_eq!(hooks.run(&News::of(Event::Proven, Status::default())), Ok(()), "none is there");
    }

    #[test]
    fn a_hook_that_hangs_is_ended_with_its_children() {
        let script = "#!/bin/sh\nsleep 600 &\necho $! > $(dirname $0)/child\nsleep 600\n";
        let (folder, hooks) = hooks("status", script, Duration::from_secs(1));
        let begun = Instant::now();
        let ended = hooks.run(&News::of(Event::Status, Status::default()));
        assert!(ended.is_err_and(|reason| reason.contains("1s")));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let child = std::fs::read_to_string(folder.path().join("child")).expect("it was started");
        // A process ends some time after its signal.
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let until = Instant::now() + Duration::from_secs(10);
        while lives() {
            assert!(Instant::now() < until, "it lives on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_misspelled_hook_and_one_that_cannot_be_run_are_refused() {
        let (folder, _) = hooks("cut-over-begin", "#!/bin/sh\n", Duration::ZERO);
        std::fs::write(folder.path().join("README"), "").expect("a file can be written");
        assert_eq!(check_folder(folder.path()), Ok(()));
        std::fs::write(folder.path().join("on-success"), "").expect("a file can be written");
        assert!(check_folder(folder.path()).is_err_and(|reason| reason.contains("chmod +x")));
        write_hook(folder.path(), "success", "#!/bin/sh\n");
        write_hook(folder.path(), "cutover-begin", "#!/bin/sh\n");
        assert!(check_folder(folder.path()).is_err_and(|reason| reason.contains("on-cutover")));
        assert!(check_folder(&folder.path().join("nowhere")).is_err());
    }
}
