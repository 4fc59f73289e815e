//! The same orders at a TCP port, for those who bring the token.

use crate::interface::socket::connections::{Admission, Connections, FULL};
use crate::interface::socket::conversation::{Steering, converse, farewell, next_line};
use crate::interface::socket::token::Token;
use altergeist::contract::{Error, Kind, Result};
use altergeist::{Door, Giver};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for the token.
const FOR_TOKEN: Duration = Duration::from_secs(5);
/// The rest after a failed accept.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// A port with its server task. Dropping it closes the port.
pub struct ListeningTcp(JoinHandle<()>);

impl Drop for ListeningTcp {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves orders and status at a port. The first line of a client must be the token.
///
/// # Errors
/// `Usage` if the port is taken.
pub async fn listen_tcp(
    address: SocketAddr,
    token: Token,
    steering: &Steering,
) -> Result<ListeningTcp> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Error::new(Kind::Usage, format!("listen at {address}"), error.to_string())
    })?;
    Ok(ListeningTcp(tokio::spawn(serve(listener, token, steering.clone()))))
}

async fn serve(listener: TcpListener, token: Token, steering: Steering) {
    let (connections, refused) = (Arc::new(Connections::default()), Arc::new(AtomicU64::new(0)));
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(AFTER_FAILURE).await;
            continue;
        };
        let admission = connections.admit().await;
        let (token, steering, refused) = (token.clone(), steering.clone(), refused.clone());
        tokio::spawn(async move {
            let mut stream = BufReader::new(stream);
            let Admission::Place(place) = &admission else {
                return farewell(&mut stream, FULL).await;
            };
            let is_let_in = tokio::select! {
                is_let_in = has_token(&mut stream, &token) => is_let_in,
                () = place.is_needed() => false,
            };
            match is_let_in {
                true => {
                    let giver = Giver::new(peer.to_string(), Door::Tcp);
                    converse(&mut stream, &steering, place, &giver).await
                }
                false => {
                    warn_of(peer, refused.fetch_add(1, Ordering::Relaxed) + 1);
                    farewell(&mut stream, "the first line must be the token").await;
                }
            }
        });
    }
}

async fn has_token(stream: &mut BufReader<TcpStream>, token: &Token) -> bool {
    match timeout(FOR_TOKEN, next_line(stream)).await {
        Ok(Ok(Some(line))) => token.is(line.as_bytes()),
        _ => false,
    }
}

/// Warns of a client without the token, and of many ever more seldom.
fn warn_of(peer: SocketAddr, refused: u64) {
    if refused.is_power_of_two() {
        tracing::warn!(%peer, refused, "a TCP client did not send the token and was refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::recorder::Recorder;
    use altergeist::{Listeners, Settings, Status};
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::watch;

    #[tokio::test]
    async fn only_a_client_with_the_token_is_answered() {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let path = folder.path().join("token");
        let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(b"a-token-of-some-length\n")).expect("it is new");
        let token = Token::read(&path).expect("it is well made");
        let status = watch::Sender::new(Status::default());
        let settings = Arc::new(watch::Sender::new(Settings::default()));
        let steering = Steering {
            settings,
            status: status.subscribe(),
            listeners: Listeners::default(),
            recorder: Recorder::default(),
        };
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = free.local_addr().expect("it is bound");
        assert!(listen_tcp(address, token.clone(), &steering).await.is_err(), "it is taken");
        drop(free);
        let _listening = listen_tcp(address, token, &steering).await.expect("it is free");
        let say = |lines: &'static str| async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(lines.as_bytes()).await.expect("it is open");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("it is closed in order");
            answer
        };
        assert_eq!(say("a-token-of-some-length\nworkers=?\nnice=?\n").await, "4\n0\n");
        for wrong in ["workers=?\nworkers=2\n", "a-token-of-some-lengtH\nworkers=2\n", "\n"] {
            assert_eq!(say(wrong).await, "error: the first line must be the token\n");
        }
        assert_eq!(steering.settings.borrow().workers, 4);
    }
}
