//! The Unix socket. One of a run that is gone is taken over, one of a living process never.

use crate::interface::socket::ask::ask;
use crate::interface::socket::connections::{Admission, Connections, FULL};
use crate::interface::socket::conversation::{Steering, converse, farewell};
use crate::interface::socket::place::folder;
use altergeist::contract::{Error, Kind, Result};
use altergeist::{Door, Giver, Status};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// Longest wait for another process that makes a socket in the same folder.
const FOLDER_LOCK: Duration = Duration::from_secs(5);
/// How often the folder's lock is tried.
const FOLDER_LOCK_LOOK: Duration = Duration::from_millis(50);
/// The rest after a failed accept. It fails when the process has too many open files.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A socket with its server task. Dropping it removes both.
pub struct Listening {
    path: PathBuf,
    /// Device and inode of the socket: another run may have one at the same path by now.
    is: Option<(u64, u64)>,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
        if self.is.is_some() && identity(&self.path) == self.is {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Serves orders and status at `path`. None if another run on this table listens there: the run
/// lock will name its holder.
///
/// # Errors
/// `Usage` if the socket cannot be made there, or another process listens there.
pub async fn listen(path: &Path, table: &str, steering: &Steering) -> Result<Option<Listening>> {
    let wrong =
        |reason: String| Error::new(Kind::Usage, format!("listen at {}", path.display()), reason);
    if path.parent() == Some(&folder()) {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder());
        made.map_err(|error| wrong(error.to_string()))?;
    }
    // Of two processes that begin at once, neither may take the other's new socket for an old one.
    let locked = lock_folder(path).await;
    match occupant(path, table).await.map_err(wrong)? {
        Occupant::SameTable => return Ok(None),
        Occupant::Stale => std::fs::remove_file(path).map_err(|error| wrong(error.to_string()))?,
        Occupant::Nobody => {}
    }
    let listener = UnixListener::bind(path).map_err(|error| wrong(error.to_string()))?;
    drop(locked);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| wrong(error.to_string()))?;
    let task = tokio::spawn(serve(listener, steering.clone()));
    Ok(Some(Listening { path: path.to_owned(), is: identity(path), task }))
}

async fn serve(listener: UnixListener, steering: Steering) {
    let connections = Arc::new(Connections::default());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(AFTER_FAILURE).await;
            continue;
        };
        let (admission, steering) = (connections.admit().await, steering.clone());
        tokio::spawn(async move {
            let giver = Giver::new(user_of(&stream), Door::Socket);
            let mut stream = BufReader::new(stream);
            match admission {
                Admission::Place(place) => converse(&mut stream, &steering, &place, &giver).await,
                Admission::Full(_turn) => farewell(&mut stream, FULL).await,
            }
        });
    }
}

/// Who is at the other end of a socket.
pub fn user_of(stream: &UnixStream) -> String {
    stream.peer_cred().map_or_else(|_| "an unknown user".into(), |peer| name_of(peer.uid()))
}

/// The name of a user of this machine, or the number if the machine's file of users lacks it.
pub fn name_of(user: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let has_number = |line: &&str| line.split(':').nth(2) == Some(&*user.to_string());
    let name = users.lines().find(has_number).and_then(|line| line.split(':').next());
    name.filter(|name| !name.is_empty()).map_or_else(|| format!("user {user}"), str::to_owned)
}

/// Who has a path.
#[derive(PartialEq, Eq, Debug)]
enum Occupant {
    Nobody,
    /// The socket of a process that is gone.
    Stale,
    /// A living run on the same table.
    SameTable,
}

/// Finds out who has a path. A socket is stale only if the operating system says that nobody
/// listens: a process that is slow to answer is alive.
///
/// # Errors
/// Who else has it.
async fn occupant(path: &Path, table: &str) -> std::result::Result<Occupant, String> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::Nobody),
        Err(error) => return Err(error.to_string()),
        Ok(found) if !found.file_type().is_socket() => {
            return Err("a file is there that is no socket; give another --socket".into());
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Occupant::Stale),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Occupant::Nobody),
        Err(error) => {
            return Err(format!(
                "it is unknown who listens there ({error}); give another --socket"
            ));
        }
    }
    let silent = || "a process listens there and does not answer; give another --socket".to_owned();
    let answer = ask(path, "status --json").await.map_err(|_| silent())?;
    let other: Status = serde_json::from_str(&answer).map_err(|_| silent())?;
    let is_same = other.table == table
        || other.table.ends_with(&format!(".{table}"))
        || other.table.is_empty();
    match is_same {
        true => Ok(Occupant::SameTable),
        false => {
            Err(format!("the run on {} listens there; give this one another --socket", other.table))
        }
    }
}

/// Locks the socket's folder, if it can: the lock of a folder leaves no file behind. Without it
/// the run begins all the same.
pub async fn lock_folder(path: &Path) -> Option<File> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new("."))).ok()?;
    let until = tokio::time::Instant::now() + FOLDER_LOCK;
    while folder.try_lock().is_err() {
        if tokio::time::Instant::now() > until {
            return None;
        }
        tokio::time::sleep(FOLDER_LOCK_LOOK).await;
    }
    Some(folder)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::recorder::Recorder;
    use altergeist::{Listeners, Settings};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::watch;

    fn steering(status: &watch::Sender<Status>) -> Steering {
        let settings = Arc::new(watch::Sender::new(Settings::default()));
        Steering {
            settings,
            status: status.subscribe(),
            listeners: Listeners::default(),
            recorder: Recorder::default(),
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_taken_over_and_a_living_one_never() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let (file, socket) = (folder.path().join("precious"), folder.path().join("socket"));
        std::fs::write(&file, "precious").expect("a file can be written");
        let status = watch::Sender::new(Status { table: "shop.t".into(), ..Status::default() });
        let steering = steering(&status);
        assert!(listen(&file, "t", &steering).await.is_err());
        assert!(listen(folder.path(), "t", &steering).await.is_err());
        assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), "precious");

        // A process that listens and never answers is alive.
        let silent = std::os::unix::net::UnixListener::bind(&socket).expect("it can be bound");
        assert!(listen(&socket, "t", &steering).await.is_err());
        assert!(socket.exists());
        drop(silent);
        let listening = listen(&socket, "t", &steering).await.expect("it is stale");
        let listening = listening.expect("nobody listens");
        let mode = std::fs::metadata(&socket).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(listen(&socket, "t", &steering).await.expect("it is alive").is_none());
        assert!(listen(&socket, "other", &steering).await.is_err());
        assert_eq!(ask(&socket, "workers=?").await.expect("it answers"), "4\n");
        drop(listening);
        assert!(!socket.exists());
    }

    #[test]
    fn a_user_has_a_name_or_a_number() {
        assert_eq!(name_of(0), "root");
        assert_eq!(name_of(4_000_000_001), "user 4000000001");
    }

    #[tokio::test]
    async fn of_two_that_take_over_at_once_one_listens() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let socket = folder.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&socket).expect("it can be bound"));
        let status = watch::Sender::new(Status { table: "shop.t".into(), ..Status::default() });
        let steering = steering(&status);
        let begin = || listen(&socket, "t", &steering);
        let (a, b, c) = tokio::join!(begin(), begin(), begin());
        let listening = [a, b, c].map(|one| one.expect("one of them is alive"));
        assert_eq!(listening.iter().filter(|one| one.is_some()).count(), 1);
        assert_eq!(ask(&socket, "workers=?").await.expect("it answers"), "4\n");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_thousand_clients_at_once_are_answered_or_refused_in_words() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let socket = folder.path().join("socket");
        let status = watch::Sender::new(Status { table: "shop.t".into(), ..Status::default() });
        let _listening = listen(&socket, "t", &steering(&status)).await.expect("it is free");
        // These connect first, and say nothing.
        let mut silent = Vec::new();
        for _ in 0..200 {
            silent.push(UnixStream::connect(&socket).await.expect("it listens"));
        }
        let client = || async {
            let mut stream = UnixStream::connect(&socket).await?;
            stream.write_all(b"workers=?\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<String, std::io::Error>(answer)
        };
        for _ in 0..10 {
            let clients = (0..100).map(|_| client());
            for answer in futures_util::future::join_all(clients).await {
                let answer = answer.expect("nobody is cut off");
                assert!(answer == "4\n" || answer.starts_with("error: too many"), "{answer:?}");
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(client().await.expect("there is room again"), "4\n");
    }
}
