//! One connection, from its first byte to its last. Every wait and every buffer has a limit.

use crate::interface::console::handlers::{Connection, Parameters, Peer, fatal};
use crate::interface::console::kept::Kept;
use crate::interface::console::message::{Broken, First, MESSAGE_MAX, first, next};
use crate::interface::console::refusal::Refusal;
use crate::interface::console::session::Room;
use crate::interface::console::statement::Parsed;
use crate::interface::console::tls::Tls;
use crate::interface::socket::connections::Place;
use bytes::BytesMut;
use futures_util::SinkExt;
use pgwire::api::auth::AuthDriver;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Empty, Join, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::Framed;

/// Longest wait for a client to log in.
const TO_LOG_IN: Duration = Duration::from_secs(10);
/// Longest wait for a statement. A client that waits makes room for others before that.
const OF_A_CLIENT: Duration = Duration::from_secs(600);
/// Longest wait for a client to take its answer.
const TO_TAKE: Duration = Duration::from_secs(5);
/// Longest wait for a client that has its last answer to close.
const TO_CLOSE: Duration = Duration::from_millis(500);
/// Requests for an encryption that a client may send.
const REQUESTS_MAX: usize = 3;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

type Boxed = Box<dyn Stream>;
type Socket = Framed<Join<Empty, WriteHalf<Boxed>>, PgWireMessageServerCodec<Parsed>>;

/// What serves connections.
#[derive(Clone)]
pub struct Server {
    /// What all sessions share.
    pub room: Arc<Room>,
    /// How to encrypt; None if no certificate is given.
    pub tls: Option<Tls>,
    /// Logs clients in.
    pub driver: Arc<AuthDriver<Parameters>>,
    /// Becomes true when the run ends.
    pub ended: watch::Receiver<bool>,
}

/// Refuses a client for whom there is no place.
pub async fn refuse(mut stream: Boxed, reason: &str) {
    // A client takes an error before its first message is answered, encrypted or not.
    let _ = timeout(TO_CLOSE, first(&mut stream)).await;
    farewell(&mut stream, Refusal::full(reason)).await;
}

/// Serves a client, until it leaves, falls silent or its place is needed.
pub async fn talk(stream: Boxed, peer: Peer, server: &Server, place: &Place) {
    let until = Instant::now() + TO_LOG_IN;
    let begun = tokio::select! {
        begun = timeout_at(until, begin(stream, peer, server)) => begun.ok().flatten(),
        () = place.is_needed() => return,
    };
    let Some((stream, peer, startup)) = begun else { return };
    let (mut reader, writer) = tokio::io::split(stream);
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let client = DefaultClient::new(nowhere, peer.certificate.is_some());
    let mut socket = Framed::new(
        tokio::io::join(tokio::io::empty(), writer),
        PgWireMessageServerCodec::new(client),
    );
    socket.set_state(PgWireConnectionState::AwaitingStartup);
    let connection = Connection::new(server.room.clone(), peer, server.driver.clone());
    let connection = Arc::new(connection);
    let ended = server.ended.clone();
    let mut talk = Talk { connection, kept: Kept::default(), until, ended };
    if talk.answer(&mut socket, startup).await {
        talk.go_on(&mut reader, &mut socket, place).await;
    }
    let _ = timeout(TO_CLOSE, socket.close()).await;
    if !*talk.ended.borrow() {
        drain(&mut reader).await;
    }
}

/// Agrees on encryption and reads the message that logs in. None if the client does not log in.
async fn begin(
    mut stream: Boxed,
    mut peer: Peer,
    server: &Server,
) -> Option<(Boxed, Peer, PgWireFrontendMessage)> {
    for _ in 0..REQUESTS_MAX {
        match first(&mut stream).await {
            Ok(First::Startup(message)) => return Some((stream, peer, message)),
            Ok(First::Tls) => match server.tls.as_ref().filter(|_| peer.certificate.is_none()) {
                Some(tls) => {
                    stream.write_all(b"S").await.ok()?;
                    stream.flush().await.ok()?;
                    stream = Box::new(tls.acceptor.accept(stream).await.ok()?);
                    peer.certificate = Some(tls.certificate.clone());
                    peer.is_protected = true;
                }
                None => stream.write_all(b"N").await.ok()?,
            },
            Ok(First::Gss) => stream.write_all(b"N").await.ok()?,
            // No statement takes so long that it could be cancelled.
            Ok(First::Cancel) => return None,
            Err(broken) => {
                if let Some(refusal) = refusal(&broken) {
                    farewell(&mut stream, refusal).await;
                }
                return None;
            }
        }
    }
    None
}

fn refusal(broken: &Broken) -> Option<Refusal> {
    match broken {
        Broken::Gone => None,
        Broken::TooLong => {
            Some(Refusal::limit(format!("a message has at most {MESSAGE_MAX} bytes")))
        }
        Broken::Malformed => Some(Refusal::protocol("the client sent no message of PostgreSQL")),
    }
}

/// The conversation with a client.
struct Talk {
    connection: Arc<Connection>,
    kept: Kept,
    /// When the client must have logged in.
    until: Instant,
    ended: watch::Receiver<bool>,
}

impl Talk {
    async fn go_on<R>(&mut self, reader: &mut R, socket: &mut Socket, place: &Place)
    where
        R: AsyncRead + Unpin,
    {
        loop {
            let version = socket.protocol_version();
            let message = match self.next_message(reader, version, place).await {
                Ok(PgWireFrontendMessage::Terminate(_)) | Err(None) => return,
                Ok(message) => message,
                Err(Some(refusal)) => return send(socket, fatal(refusal)).await,
            };
            let has_logged_in = self.connection.session().is_some();
            if has_logged_in {
                place.works();
            }
            if self.kept.is_too_much(&message) {
                let reason = "this connection keeps too many prepared statements";
                return send(socket, fatal(Refusal::limit(reason))).await;
            }
            if !self.answer(socket, message).await {
                return;
            }
            if has_logged_in {
                place.answered();
            }
        }
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// Why the connection ends. None if the client has gone.
    async fn next_message<R>(
        &mut self,
        reader: &mut R,
        version: ProtocolVersion,
        place: &Place,
    ) -> Result<PgWireFrontendMessage, Option<Refusal>>
    where
        R: AsyncRead + Unpin,
    {
        let has_logged_in = self.connection.session().is_some();
        let until = if has_logged_in { Instant::now() + OF_A_CLIENT } else { self.until };
        tokio::select! {
            biased;
            read = timeout_at(until, next(reader, version)) => match read {
                Ok(Ok(message)) => Ok(message),
                Ok(Err(broken)) => Err(refusal(&broken)),
                Err(_) => Err(Some(Refusal::ended("this connection was silent"))),
            },
            () = place.is_needed() => {
                Err(Some(Refusal::full("too many connections, and this one was silent")))
            }
            _ = self.ended.wait_for(|ended| *ended) => {
                Err(Some(Refusal::ended("the run has ended")))
            }
        }
    }

    /// Answers a message. Returns whether the conversation goes on.
    async fn answer(&self, socket: &mut Socket, message: PgWireFrontendMessage) -> bool {
        let is_extended = message.is_extended_query();
        let (connection, noop) = (&self.connection, Arc::new(NoopHandler));
        let answering = process_message(
            message,
            socket,
            connection.clone(),
            connection.clone(),
            connection.clone(),
            noop.clone(),
            noop,
        );
        let goes_on = match timeout(TO_TAKE, answering).await {
            Err(_) => false,
            Ok(Ok(())) => true,
            Ok(Err(error)) if error.is_fatal() => {
                send(socket, error).await;
                false
            }
            Ok(Err(error)) => {
                let told = timeout(TO_TAKE, process_error(socket, error, is_extended)).await;
                told.is_ok_and(|told| told.is_ok())
            }
        };
        // The process may be gone right after this; the operator has the answer by then.
        let session = connection.session();
        if let Some(session) = session.filter(|session| session.panics()) {
            let _ = timeout(TO_TAKE, socket.flush()).await;
            session.stop_at_once(connection.room());
        }
        goes_on
    }
}

async fn send(socket: &mut Socket, error: PgWireError) {
    let info: ErrorInfo = error.into();
    let message = PgWireBackendMessage::ErrorResponse(info.into());
    let _ = timeout(TO_TAKE, socket.send(message)).await;
}

/// Says why a connection ends, and reads what the client still sends.
async fn farewell(stream: &mut Boxed, refusal: Refusal) {
    let info: ErrorInfo = fatal(refusal).into();
    let mut bytes = BytesMut::new();
    if PgWireBackendMessage::ErrorResponse(info.into()).encode(&mut bytes).is_err() {
        return;
    }
    let sent = timeout(TO_TAKE, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    });
    if sent.await.is_ok_and(|sent| sent.is_ok()) {
        drain(stream).await;
    }
}

/// A connection that is closed with unread bytes can lose its last answer.
async fn drain<R: AsyncRead + Unpin>(reader: &mut R) {
    let mut rest = reader.take(4 * MESSAGE_MAX as u64);
    let _ = timeout(TO_CLOSE, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}
