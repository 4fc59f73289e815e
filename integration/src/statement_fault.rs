//! A TCP proxy that knows one moment: when a client sends a statement with certain words for the
//! n-th time. That statement does not arrive, or its answer does not. It knows no protocol; a
//! statement is taken to come in one piece.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of the statement and its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It does not arrive, and nothing moves in this direction any more.
    Hold,
    /// It does not arrive, and the connection is closed on both sides.
    Close,
    /// It arrives, and then the connection is closed on both sides: no answer comes.
    CloseBehind,
}

/// A running proxy.
#[derive(Debug)]
pub struct StatementFault {
    port: u16,
    reached: Receiver<String>,
}

struct Wire {
    /// Nothing counts before a statement with these words.
    behind: Mutex<Option<String>>,
    words: Vec<String>,
    then: Then,
    left: Mutex<u32>,
    tell: Mutex<Sender<String>>,
}

impl StatementFault {
    /// Starts a proxy in front of `port` on this machine, for the n-th statement (from 1) with any
    /// of these words.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(port: u16, words: &[&str], nth: u32, then: Then) -> Self {
        Self::watch(port, None, words, nth, then)
    }

    /// For the n-th statement of all, counted from the one with these words on.
    ///
    /// # Panics
    /// When no port is free.
    pub fn from(port: u16, words: &str, nth: u32, then: Then) -> Self {
        Self::watch(port, Some(words.to_owned()), &[""], nth, then)
    }

    fn watch(port: u16, behind: Option<String>, words: &[&str], nth: u32, then: Then) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let own = listener.local_addr().expect("a bound socket has an address").port();
        let (tell, reached) = channel();
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let (behind, left) = (Mutex::new(behind), Mutex::new(nth));
        let wire = Arc::new(Wire { behind, words, then, left, tell: Mutex::new(tell) });
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for stream in [&client, &server] {
                    let _nodelay = stream.set_nodelay(true);
                }
                let ends = (client.try_clone(), server.try_clone());
                let (Ok(to_client), Ok(from_server)) = ends else { continue };
                thread::spawn(move || pump(from_server, to_client, None));
                let wire = wire.clone();
                thread::spawn(move || pump(client, server, Some(&wire)));
            }
        });
        Self { port: own, reached }
    }

    /// The port that clients connect to instead of the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits a while for the moment; gives the statement.
    pub fn wait(&self, within: Duration) -> Option<String> {
        self.reached.recv_timeout(within).ok()
    }
}

impl Wire {
    fn trips(&self, piece: &[u8]) -> bool {
        let text = String::from_utf8_lossy(piece);
        let mut behind = self.behind.lock().expect("nobody panics with it");
        if behind.as_ref().is_some_and(|words| !text.contains(words)) {
            return false;
        }
        *behind = None;
        if !self.words.iter().any(|word| text.contains(word)) {
            return false;
        }
        let mut left = self.left.lock().expect("nobody panics with it");
        *left = left.saturating_sub(1);
        // Only once: what comes later passes.
        let trips = *left == 0;
        if trips {
            *left = u32::MAX;
            let _nobody_waits =
                self.tell.lock().expect("nobody panics with it").send(text.into_owned());
        }
        trips
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, wire: Option<&Wire>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if let Some(wire) = wire.filter(|wire| wire.trips(&buffer[..read])) {
            match wire.then {
                // Until the client goes away.
                Then::Hold => while let Ok(1..) = from.read(&mut buffer) {},
                Then::Close => {}
                Then::CloseBehind => {
                    let _it_may_be_gone = to.write_all(&buffer[..read]);
                }
            }
            break;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    for stream in [&from, &to] {
        let _already_closed = stream.shutdown(Shutdown::Both);
    }
}
