//! The socket that steers a run: one line in, text out, with the words that DBAs' scripts already
//! use.

use crate::interface::report;
use altergeist::contract::{Error, Kind, Result, Target};
use altergeist::{Order, Settings, Status};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

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
    let (order, answer) = answer(line.trim(), &settings, &status.borrow());
    let _ = write.write_all(answer.as_bytes()).await;
    // The process may be gone right after this; the operator has the answer by then.
    if let Some(Order::Panic(_)) = order {
        let _ = write.shutdown().await;
        settings.send_modify(|settings| settings.panic = true);
    }
}

/// Carries out one order. Returns it, if it was carried out, and the answer.
pub(crate) fn answer(
    line: &str,
    settings: &watch::Sender<Settings>,
    status: &Status,
) -> (Option<Order>, String) {
    let done = Order::parse(line).and_then(|order| {
        let answer = order.carry_out(settings, status)?;
        let answer = answer.unwrap_or_else(|| match order {
            Order::StatusJson => report::json(status),
            Order::Sup => report::line(status),
            _ => report::status(status).trim_end().to_owned(),
        });
        Ok((order, answer))
    });
    match done {
        Ok((order, answer)) => (Some(order), format!("{answer}\n")),
        Err(reason) => (None, format!("error: {reason}\n")),
    }
}

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

    #[test]
    fn an_order_is_answered_and_a_wrong_one_is_an_error() {
        let settings = watch::Sender::new(Settings::default());
        let say = |line: &str| answer(line, &settings, &Status::default());
        assert_eq!(say("workers=?"), (Some(Order::Get("workers".into())), "4\n".into()));
        assert!(say("workers=2").1.contains("chunk"), "a change shows the status");
        assert_eq!(say("workers=0").0, None);
        assert!(say("workers=0").1.starts_with("error: workers must be"));
        assert!(say("panic").1.starts_with("stopping at once"));
        assert!(say("status --json").1.starts_with('{'));
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
