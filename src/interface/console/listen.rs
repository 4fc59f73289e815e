//! The port or the socket of the console, and the thread that serves it. The run shares nothing
//! with it but settings and status.

use crate::interface::console::address::Address;
use crate::interface::console::handlers::{Parameters, Peer};
use crate::interface::console::session::Room;
use crate::interface::console::talk::{Server, Stream, refuse, talk};
use crate::interface::console::tls::Tls;
use crate::interface::socket::connections::{Admission, Connections, FULL};
use crate::interface::socket::{lock_folder, name_of};
use altergeist::contract::{Error, Kind, Result};
use pgwire::api::auth::AuthDriver;
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};

/// The rest after a failed accept. It fails when the process has too many open files.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How often the diary is written.
const DIARY: Duration = Duration::from_secs(1);
/// Longest wait, at the end of the run, for clients to hear of it.
const TO_TELL: Duration = Duration::from_millis(300);

/// A console that listens. Dropping it ends it.
pub struct Listening {
    open: Option<oneshot::Sender<Infallible>>,
    /// Disconnected once the thread has told its clients that the run has ended.
    told: mpsc::Receiver<Infallible>,
    /// The socket, with its device and inode: another run may have one at the same path by now.
    socket: Option<(PathBuf, Option<(u64, u64)>)>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.open.take());
        let _ = self.told.recv_timeout(TO_TELL * 2);
        if let Some((path, is)) = &self.socket
            && is.is_some()
            && identity(path) == *is
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Bound {
    Tcp(StdTcpListener),
    Unix(StdUnixListener),
}

/// Serves the console at an address.
///
/// # Errors
/// `Usage` if the address cannot be used.
pub async fn listen(address: &Address, tls: Option<Tls>, room: Room) -> Result<Listening> {
    let wrong = |reason: String| {
        let place = match address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => path.display().to_string(),
        };
        Error::new(Kind::Usage, format!("open the console at {place}"), reason)
    };
    let (bound, socket) = match address {
        Address::Tcp(address) => {
            let bound = StdTcpListener::bind(address).map_err(|error| wrong(taken(&error)))?;
            bound.set_nonblocking(true).map_err(|error| wrong(error.to_string()))?;
            (Bound::Tcp(bound), None)
        }
        Address::Unix(path) => {
            let bound = bind(path).await.map_err(wrong)?;
            (Bound::Unix(bound), Some((path.clone(), identity(path))))
        }
    };
    let (ending, ended) = watch::channel(false);
    let driver = Arc::new(AuthDriver::new(Parameters));
    let server = Server { room: Arc::new(room), tls, driver, ended };
    let (open, closed) = oneshot::channel();
    let is_local = address.is_local();
    let thread = std::thread::Builder::new().name("console".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| wrong(error.to_string()))?;
    let (telling, told) = mpsc::channel::<Infallible>();
    let serving = move || {
        runtime.block_on(async {
            tokio::select! {
                ended = serve(bound, server, is_local) => if let Err(error) = ended {
                    tracing::warn!(%error, "the console has ended; the run goes on");
                },
                _ = closed => {}
            }
            // Every client holds a receiver until it is told.
            let _ = ending.send(true);
            let _ = tokio::time::timeout(TO_TELL, ending.closed()).await;
        });
        runtime.shutdown_background();
        drop(telling);
    };
    thread.spawn(serving).map_err(|error| wrong(error.to_string()))?;
    Ok(Listening { open: Some(open), told, socket })
}

fn taken(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "another process listens there; give another port".into(),
        _ => error.to_string(),
    }
}

/// Makes the socket. One of a run that is gone is taken over, one of a living process never.
async fn bind(path: &Path) -> std::result::Result<StdUnixListener, String> {
    // Of two processes that begin at once, neither may take the other's new socket for an old one.
    let locked = lock_folder(path).await;
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.to_string()),
        Ok(found) if !found.file_type().is_socket() => {
            return Err("a file is there that is no socket; give another path".into());
        }
        Ok(_) => match StdUnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(|error| error.to_string())?;
            }
            _ => return Err("another process listens there; give another path".into()),
        },
    }
    let bound = StdUnixListener::bind(path).map_err(|error| error.to_string())?;
    drop(locked);
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(|error| error.to_string())?;
    bound.set_nonblocking(true).map_err(|error| error.to_string())?;
    Ok(bound)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

async fn serve(bound: Bound, server: Server, is_local: bool) -> io::Result<()> {
    let listener = match bound {
        Bound::Tcp(bound) => Listener::Tcp(TcpListener::from_std(bound)?),
        Bound::Unix(bound) => Listener::Unix(UnixListener::from_std(bound)?),
    };
    tokio::spawn(keep_diary(server.room.clone()));
    let connections = Arc::new(Connections::default());
    loop {
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, from)| {
                let peer = by_tcp(&stream, from, is_local);
                (Box::new(stream) as Box<dyn Stream>, peer)
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                let peer = by_socket(&stream);
                (Box::new(stream) as Box<dyn Stream>, peer)
            }),
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(AFTER_FAILURE).await;
            continue;
        };
        let (admission, server) = (connections.admit().await, server.clone());
        tokio::spawn(async move {
            match admission {
                Admission::Place(place) => talk(stream, peer, &server, &place).await,
                Admission::Full(_turn) => refuse(stream, FULL).await,
            }
        });
    }
}

fn by_tcp(stream: &TcpStream, from: SocketAddr, is_local: bool) -> Peer {
    // Answers are small, and a person waits for them.
    let _ = stream.set_nodelay(true);
    let is_protected = is_local || from.ip().is_loopback();
    Peer { name: from.to_string(), is_own_user: false, is_protected, certificate: None }
}

fn by_socket(stream: &UnixStream) -> Peer {
    let own = std::fs::metadata("/proc/self").ok().map(|process| process.uid());
    let user = stream.peer_cred().ok().map(|peer| peer.uid());
    let name = user.map_or_else(|| "an unknown user".into(), name_of);
    let is_own_user = user.is_some() && user == own;
    Peer { name, is_own_user, is_protected: true, certificate: None }
}

async fn keep_diary(room: Arc<Room>) {
    loop {
        let status = room.steering.status.borrow().clone();
        room.diary.note(&status);
        tokio::time::sleep(DIARY).await;
    }
}
