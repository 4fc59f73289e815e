//! The socket that steers a run: one line in, text out, with the words that DBAs' scripts already
//! use.

use crate::interface::report;
use altergeist::contract::{Error, Kind, Result, Target};
use altergeist::gate::{GateState, POSTPONED};
use altergeist::{Limits, Settings, Status};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The orders, as `ctl help` lists them.
pub const HELP: &str = "\
status               show the run; status --json for scripts
sup                  show the run in one line
coordinates          show the position in the log
throttle             pause the copy; the run still follows the log
no-throttle          resume the copy
cut-over             swap the tables, if that is postponed
overrule NAME        let the gate of this name count as open
stop                 stop as soon as nothing is in flight; the same command resumes
panic                stop at once; the same command resumes
chunk-rows=N         rows per chunk; 0 sizes chunks by time (also: chunk-size)
chunk-time=MS        target time to copy a chunk
workers=N            upper limit of chunks, or batches of changed rows, in flight at once
batch-keys=N         upper limit of changed rows refreshed in one transaction (also: dml-batch-size)
nice=RATIO           after each turn, rest this many times as long as it took
max-lag-millis=N     pause the copy while a replica lags more
max-commit-millis=N  slow down while small commits take longer; 0 turns it off
max-load=NAME=N,...  pause the copy while a load metric exceeds its limit; empty turns it off
critical-load=NAME=N,...  stop when a load metric exceeds its limit; empty turns it off
help                 show this help
NAME=? shows a value
";

/// gh-ost's word for: stop at once.
const PANIC: &str = "panic";

/// The order that opens a gate against its own answer.
const OVERRULE: &str = "overrule ";

/// The longest wait for an order, and for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest order in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// A socket with its server task. Dropping it removes both.
pub struct Listening {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves orders and status at `path`. None if another run on this table listens there: the run
/// lock will name its holder.
///
/// # Errors
/// `Usage` if the socket cannot be made there, or a run on another table listens there.
pub async fn listen(
    path: &Path,
    table: &str,
    settings: Arc<watch::Sender<Settings>>,
    status: watch::Receiver<Status>,
) -> Result<Option<Listening>> {
    let wrong =
        |reason: String| Error::new(Kind::Usage, format!("listen at {}", path.display()), reason);
    if let Ok(answer) = ask(path, "status --json").await {
        let other: Status = serde_json::from_str(&answer).unwrap_or_default();
        return match other.table == table
            || other.table.ends_with(&format!(".{table}"))
            || other.table.is_empty()
        {
            true => Ok(None),
            false => Err(wrong(format!(
                "the run on {} listens there; give this one another --socket",
                other.table
            ))),
        };
    }
    remove_stale(path).map_err(wrong)?;
    if path.parent() == Some(&folder()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder());
        made.map_err(|error| wrong(error.to_string()))?;
    }
    let listener = UnixListener::bind(path).map_err(|error| wrong(error.to_string()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| wrong(error.to_string()))?;
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, settings.clone(), status.clone()));
        }
    });
    Ok(Some(Listening { path: path.to_owned(), task }))
}

/// Removes the socket of a run that is gone. Anything else at that path belongs to somebody.
fn remove_stale(path: &Path) -> std::result::Result<(), String> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(found) if !found.file_type().is_socket() => {
            Err("a file is there that is no socket; give another --socket".into())
        }
        Ok(_) => std::fs::remove_file(path).map_err(|error| error.to_string()),
    }
}

async fn serve(
    stream: UnixStream,
    settings: Arc<watch::Sender<Settings>>,
    status: watch::Receiver<Status>,
) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(LINE_BYTES_MAX));
    let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await else {
        return;
    };
    let line = line.trim();
    let answer = answer(line, &settings, &status.borrow());
    let _ = write.write_all(answer.as_bytes()).await;
    // The process may be gone right after this; the operator has the answer by then.
    if line == PANIC {
        let _ = write.shutdown().await;
        settings.send_modify(|settings| settings.panic = true);
    }
}

/// Carries out one order and returns the answer.
fn answer(line: &str, settings: &watch::Sender<Settings>, status: &Status) -> String {
    let order = |change: fn(&mut Settings), done: &str| {
        settings.send_modify(change);
        format!("{done}\n")
    };
    match line {
        "status" | "info" => report::status(status),
        "status --json" => format!("{}\n", report::json(status)),
        "sup" => format!("{}\n", report::line(status)),
        "coordinates" => format!("{}\n", status.stream_position),
        "throttle" | "pause" | "suspend" => order(|settings| settings.throttle = true, "throttled"),
        "no-throttle" | "unthrottle" | "resume" | "continue" => {
            order(|settings| settings.throttle = false, "not throttled")
        }
        "cut-over" | "unpostpone" | "no-postpone" => {
            order(|settings| settings.postpone_cut_over = false, "cut-over allowed")
        }
        "stop" => order(|settings| settings.stop = true, "stopping when nothing is in flight"),
        PANIC => "stopping at once\n".into(),
        _ if line.starts_with(OVERRULE) => {
            overrule(line[OVERRULE.len()..].trim(), settings, status)
        }
        "help" => HELP.to_owned(),
        _ => match line.split_once('=') {
            Some((name, value)) => set(name.trim(), value.trim(), settings),
            None => format!("error: unknown command {line:?}; help lists them\n"),
        },
    }
}

/// Lets one gate count as open, by name only.
fn overrule(name: &str, settings: &watch::Sender<Settings>, status: &Status) -> String {
    let is_known = |state: &GateState| state.name == name && name != POSTPONED;
    if !status.gates.iter().any(is_known) {
        let known: Vec<&str> =
            status.gates.iter().map(|gate| &*gate.name).filter(|name| *name != POSTPONED).collect();
        return format!("error: no gate is called {name:?}; gates: {}\n", known.join(", "));
    }
    settings.send_modify(|settings| settings.overruled.push(name.to_owned()));
    tracing::warn!(gate = name, "a gate is overruled by order of the operator");
    format!("gate {name} counts as open\n")
}

/// Sets `name=value`, or returns the value for `name=?`.
fn set(name: &str, value: &str, settings: &watch::Sender<Settings>) -> String {
    if let Some(limits) = LIMITS.iter().find(|limits| limits.name == name) {
        return set_limits(limits, value, settings);
    }
    let Some(setting) = SETTINGS.iter().find(|setting| setting.names.contains(&name)) else {
        return format!("error: unknown setting {name:?}; help lists them\n");
    };
    if value == "?" {
        return format!("{}\n", (setting.read)(&settings.borrow()));
    }
    let number: f64 = match value.parse() {
        Ok(number) => number,
        Err(_) => return format!("error: {name} takes a number, not {value:?}\n"),
    };
    if !setting.from_to.contains(&number) || (setting.is_whole && number.fract() != 0.0) {
        let (from, to) = (setting.from_to.start(), setting.from_to.end());
        let whole = if setting.is_whole { "a whole number " } else { "" };
        return format!("error: {name} must be {whole}from {from} to {to}\n");
    }
    settings.send_modify(|settings| (setting.write)(settings, number));
    format!("{name}={number}\n")
}

fn set_limits(limits: &LimitsSetting, value: &str, settings: &watch::Sender<Settings>) -> String {
    if value == "?" {
        return format!("{}\n", (limits.of)(&mut settings.borrow().clone()));
    }
    match value.parse::<Limits>() {
        Err(reason) => format!("error: {}: {reason}\n", limits.name),
        Ok(given) => {
            let answer = format!("{}={given}\n", limits.name);
            settings.send_modify(|settings| *(limits.of)(settings) = given);
            answer
        }
    }
}

/// Load limits that can be read and set during a run.
struct LimitsSetting {
    name: &'static str,
    of: fn(&mut Settings) -> &mut Limits,
}

const LIMITS: &[LimitsSetting] = &[
    LimitsSetting { name: "max-load", of: |settings| &mut settings.max_load },
    LimitsSetting { name: "critical-load", of: |settings| &mut settings.critical_load },
];

/// A number that can be read and set during a run.
struct Setting {
    names: &'static [&'static str],
    from_to: RangeInclusive<f64>,
    is_whole: bool,
    read: fn(&Settings) -> f64,
    write: fn(&mut Settings, f64),
}

const SETTINGS: &[Setting] = &[
    Setting {
        names: &["chunk-rows", "chunk-size"],
        from_to: 0.0..=1e6,
        is_whole: true,
        read: |settings| settings.chunk_rows.unwrap_or(0) as f64,
        write: |settings, rows| settings.chunk_rows = (rows > 0.0).then_some(rows as u64),
    },
    Setting {
        names: &["chunk-time"],
        from_to: 1.0..=60_000.0,
        is_whole: true,
        read: |settings| settings.chunk_time.as_millis() as f64,
        write: |settings, millis| settings.chunk_time = Duration::from_millis(millis as u64),
    },
    Setting {
        names: &["workers"],
        from_to: 1.0..=64.0,
        is_whole: true,
        read: |settings| settings.workers as f64,
        write: |settings, workers| settings.workers = workers as usize,
    },
    Setting {
        names: &["batch-keys", "dml-batch-size"],
        from_to: 1.0..=10_000.0,
        is_whole: true,
        read: |settings| settings.batch_keys as f64,
        write: |settings, keys| settings.batch_keys = keys as usize,
    },
    Setting {
        names: &["nice", "nice-ratio"],
        from_to: 0.0..=100.0,
        is_whole: false,
        read: |settings| settings.nice,
        write: |settings, ratio| settings.nice = ratio,
    },
    Setting {
        names: &["max-lag-millis"],
        from_to: 0.0..=1e9,
        is_whole: true,
        read: |settings| settings.max_lag.as_millis() as f64,
        write: |settings, millis| settings.max_lag = Duration::from_millis(millis as u64),
    },
    Setting {
        names: &["max-commit-millis"],
        from_to: 0.0..=60_000.0,
        is_whole: true,
        read: |settings| {
            settings.max_commit_latency.map_or(0.0, |latency| latency.as_millis() as f64)
        },
        write: |settings, millis| {
            settings.max_commit_latency =
                (millis > 0.0).then(|| Duration::from_millis(millis as u64));
        },
    },
];

/// Sends an order to a run and returns its answer.
///
/// # Errors
/// The socket's own errors, and a timeout.
pub async fn ask(path: &Path, line: &str) -> std::io::Result<String> {
    let talk = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, talk)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Returns the default socket of a run on this table.
pub fn default_path(target: &Target) -> PathBuf {
    let name: String = target
        .table
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' })
        .collect();
    let mut hasher = DefaultHasher::new();
    without_password(&target.url).hash(&mut hasher);
    target.table.hash(&mut hasher);
    let short: String = name.chars().take(40).collect();
    folder().join(format!("{short}-{:08x}.sock", hasher.finish() as u32))
}

/// Returns the only socket in the user's runtime folder.
///
/// # Errors
/// What to do if there is none, or more than one.
pub fn only_one() -> std::result::Result<PathBuf, String> {
    let files = std::fs::read_dir(folder()).into_iter().flatten().flatten().map(|file| file.path());
    let mut sockets: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "sock")).collect();
    sockets.sort();
    match sockets.len() {
        0 => Err(format!("no run listens in {}; give --socket", folder().display())),
        1 => Ok(sockets.remove(0)),
        _ => {
            let listed: Vec<String> =
                sockets.iter().map(|path| format!("\n  {}", path.display())).collect();
            Err(format!("several runs listen; choose one with --socket:{}", listed.concat()))
        }
    }
}

fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) => PathBuf::from(runtime).join("altergeist"),
        None => {
            let user = std::fs::metadata("/proc/self").map_or(0, |process| process.uid());
            std::env::temp_dir().join(format!("altergeist-{user}"))
        }
    }
}

fn without_password(url: &str) -> String {
    let Some((head, tail)) = url.split_once('@') else {
        return url.to_owned();
    };
    let user = head.rsplit_once("://").map_or(head, |(_, login)| login);
    format!("{}@{tail}", user.split(':').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(line: &str, settings: &watch::Sender<Settings>) -> String {
        answer(line, settings, &Status::default())
    }

    #[test]
    fn orders_are_states_and_can_be_taken_back() {
        let settings =
            watch::Sender::new(Settings { postpone_cut_over: true, ..Settings::default() });
        assert_eq!(say("throttle", &settings), "throttled\n");
        assert!(settings.borrow().throttle);
        assert_eq!(say("no-throttle", &settings), "not throttled\n");
        assert!(!settings.borrow().throttle);
        say("cut-over", &settings);
        assert!(!settings.borrow().postpone_cut_over);
        say("stop", &settings);
        assert!(settings.borrow().stop);
    }

    #[test]
    fn settings_are_read_and_set_and_nonsense_changes_nothing() {
        let settings = watch::Sender::new(Settings::default());
        assert_eq!(say("workers=4", &settings), "workers=4\n");
        assert_eq!(say("workers=?", &settings), "4\n");
        assert!(say("workers=0", &settings).starts_with("error:"));
        assert!(say("workers=many", &settings).starts_with("error:"));
        assert!(say("frobnicate", &settings).starts_with("error:"));
        assert!(say("colour=7", &settings).starts_with("error:"));
        assert_eq!(settings.borrow().workers, 4);
        say("chunk-size=10", &settings);
        assert_eq!(settings.borrow().chunk_rows, Some(10));
        say("chunk-rows=0", &settings);
        assert_eq!(settings.borrow().chunk_rows, None);
        assert_eq!(
            say("max-load=Threads_running=25, lock_waits=3", &settings),
            "max-load=Threads_running=25,lock_waits=3\n"
        );
        assert_eq!(say("max-load=?", &settings), "Threads_running=25,lock_waits=3\n");
        assert!(say("max-load=many", &settings).starts_with("error:"));
        assert_eq!(say("max-load=", &settings), "max-load=\n");
        assert_eq!(say("critical-load=?", &settings), "\n");
    }

    #[test]
    fn only_a_socket_that_nobody_serves_is_removed() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let (file, socket) = (folder.path().join("precious"), folder.path().join("socket"));
        std::fs::write(&file, "precious").expect("a file can be written");
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket can be bound"));
        assert!(remove_stale(&file).is_err_and(|reason| reason.contains("no socket")));
        assert!(remove_stale(folder.path()).is_err());
        assert_eq!(std::fs::read_to_string(&file).expect("the file is still there"), "precious");
        assert_eq!(remove_stale(&socket), Ok(()));
        assert!(!socket.exists());
        assert_eq!(remove_stale(&socket), Ok(()), "there is nothing");
    }

    #[test]
    fn a_password_does_not_reach_the_socket_s_name() {
        assert_eq!(without_password("mysql://me:secret@h/db"), "me@h/db");
        let with = |url: &str| {
            default_path(&Target { url: url.into(), table: "t".into(), ..Target::default() })
        };
        assert_eq!(with("mysql://me:secret@h/db"), with("mysql://me:other@h/db"));
    }
}
