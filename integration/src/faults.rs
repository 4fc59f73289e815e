//! A TCP proxy that breaks connections on demand: it passes, stalls, delays or cuts.
//!
//! Faults come from the network, never from a seam in the product. The proxy knows no protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Connections stay open, and no byte moves.
    Stall,
    /// Every piece arrives this much later.
    Delay(Duration),
    /// Every connection is reset, and every new one too.
    Cut,
    /// Every connection is reset once this many bytes more came from the server.
    CutAfter(u64),
    /// A connection on which the client has said the first words is reset when the server answers
    /// the second: what was asked for happens, and the client never hears of it.
    LoseAnswer(&'static str, &'static str),
}

/// A running proxy; dropping it resets everything.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    allowance: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl FaultProxy {
    /// Starts a proxy in front of `port` on this machine.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(port: u16) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (fault, faults) = watch::channel(Fault::Pass);
        let (_stop, stopped) = oneshot::channel();
        let allowance = Arc::new(AtomicU64::new(0));
        let remaining = allowance.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can always be built").block_on(async {
                tokio::select! {
                    () = accept(listener, port, &faults, &remaining) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, fault, allowance, _stop }
    }

    /// The port that clients connect to instead of the server's.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on, for open connections and for new ones.
    pub fn set(&self, fault: Fault) {
        if let Fault::CutAfter(bytes) = fault {
            self.allowance.store(bytes, Ordering::SeqCst);
        }
        self.fault.send_replace(fault);
    }
}

async fn accept(
    listener: std::net::TcpListener,
    port: u16,
    faults: &watch::Receiver<Fault>,
    allowance: &Arc<AtomicU64>,
) {
    let listener = TcpListener::from_std(listener).expect("the listener is non-blocking");
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
            continue;
        };
        tokio::spawn(serve(client, server, faults.clone(), allowance.clone()));
    }
}

/// Ends when either side ends or the fault says so; both are reset then, not closed.
async fn serve(
    client: TcpStream,
    server: TcpStream,
    faults: watch::Receiver<Fault>,
    allowance: Arc<AtomicU64>,
) {
    for stream in [&client, &server] {
        let _nodelay = stream.set_nodelay(true);
        let _reset_on_drop = stream.set_zero_linger();
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = faults.clone();
    let told = Told::default();
    tokio::select! {
        () = pump(from_client, to_server, faults.clone(), Side::Client(&told)) => {}
        () = pump(from_server, to_client, faults, Side::Server(allowance, &told)) => {}
        _ = cut.wait_for(|fault| *fault == Fault::Cut) => {}
    }
}

/// How much of what [`Fault::LoseAnswer`] waits for the client has said: nothing, the first words,
/// all.
#[derive(Default)]
struct Told(AtomicU64);

impl Told {
    fn listen(&self, fault: Fault, bytes: &[u8]) {
        let Fault::LoseAnswer(first, second) = fault else { return };
        let says =
            |words: &str| bytes.windows(words.len()).any(|window| window == words.as_bytes());
        if says(first) {
            self.0.fetch_max(1, Ordering::SeqCst);
        } else if self.0.load(Ordering::SeqCst) == 1 && says(second) {
            self.0.store(2, Ordering::SeqCst);
        }
    }

    fn everything(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 2
    }
}

/// Whose bytes are passed on; the allowance is that of [`Fault::CutAfter`].
enum Side<'a> {
    Client(&'a Told),
    Server(Arc<AtomicU64>, &'a Told),
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut faults: watch::Receiver<Fault>,
    side: Side<'_>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let Ok(fault) = faults.wait_for(|fault| *fault != Fault::Stall).await.map(|fault| *fault)
        else {
            return;
        };
        let mut passed = read;
        match (fault, &side) {
            (Fault::Delay(time), _) => tokio::time::sleep(time).await,
            (Fault::LoseAnswer(..), Side::Client(told)) => told.listen(fault, &buffer[..read]),
            (Fault::LoseAnswer(..), Side::Server(_, told)) if told.everything() => return,
            (Fault::CutAfter(_), Side::Server(left, _)) => {
                let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| {
                    Some(n.saturating_sub(read as u64))
                });
                passed = before.map_or(0, |before| before.min(read as u64)) as usize;
            }
            _ => {}
        }
        if to.write_all(&buffer[..passed]).await.is_err() || passed < read {
            return;
        }
    }
}
