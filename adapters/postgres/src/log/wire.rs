//! A replication connection: how it is opened, and how log data and replies travel on it. It knows
//! the protocol, not what the data means. A read may be dropped at any time: what has arrived stays
//! in the buffer.

use crate::log::decode::Lsn;
use crate::server::connect::{Address, CONNECT_TIMEOUT, Server, Tls};
use crate::server::error;
use crate::sql;
use altergeist_contract::url::TlsMode;
use altergeist_contract::{Error, Kind, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::{backend, frontend};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// The tag of the answer that opens the stream. The protocol crate does not know it.
const COPY_BOTH: u8 = b'W';

/// The most bytes of one read from the socket.
const READ_BYTES: usize = 64 * 1024;

/// Longest time to write one reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// An open replication connection.
pub(crate) struct Replication {
    stream: Box<dyn Transport>,
    input: BytesMut,
    name: String,
    /// The process number that the server gave for cancel requests.
    announced_pid: Option<i32>,
}

/// A message of the stream.
pub(crate) enum Frame {
    /// A piece of the log.
    Data(Bytes),
    /// A keepalive. `true` if the server wants an answer.
    Alive(bool),
}

impl Replication {
    /// Connects and logs in. If a server or pooler answers and refuses this kind of connection,
    /// that is no error: this returns its words.
    pub(crate) async fn open(
        server: &Server,
        application: &str,
    ) -> Result<std::result::Result<Replication, String>> {
        let attempted = || format!("open a replication connection to {}", server.name());
        let beginning = Replication::begin(server, application, Some("database"));
        match tokio::time::timeout(server.patience, beginning).await {
            Err(_) => Err(error::silent(attempted(), server.patience)),
            Ok(Err(WireError::Server { code, message })) if error::is_streaming_refused(&code) => {
                Ok(Err(message))
            }
            Ok(result) => result.map(Ok).map_err(|failure| failure.into_error(attempted())),
        }
    }

    /// Opens a plain connection without any settings.
    pub(crate) async fn open_plain(server: &Server) -> Result<Replication> {
        let attempted = || format!("connect to {}", server.name());
        match tokio::time::timeout(server.patience, Replication::begin(server, "altergeist", None))
            .await
        {
            Err(_) => Err(error::silent(attempted(), server.patience)),
            Ok(result) => result.map_err(|failure| failure.into_login_error(attempted())),
        }
    }

    /// Returns the process number that the server gave at the start.
    pub(crate) fn announced_pid(&self) -> Option<i32> {
        self.announced_pid
    }

    /// Asks for one value.
    pub(crate) async fn ask(&mut self, question: &str) -> Result<String> {
        let attempted = format!("look around on {}", self.name);
        match tokio::time::timeout(CONNECT_TIMEOUT, self.answer(question)).await {
            Err(_) => Err(error::silent(attempted, CONNECT_TIMEOUT)),
            Ok(answer) => answer.map_err(|failure| failure.into_error(attempted)),
        }
    }

    /// The same. None if the server, or a pooler before it, refuses it.
    pub(crate) async fn ask_if_allowed(&mut self, question: &str) -> Result<Option<String>> {
        let attempted = format!("look around on {}", self.name);
        match tokio::time::timeout(CONNECT_TIMEOUT, self.answer(question)).await {
            Err(_) => Err(error::silent(attempted, CONNECT_TIMEOUT)),
            Ok(Err(WireError::Server { .. })) => Ok(None),
            Ok(answer) => answer.map(Some).map_err(|failure| failure.into_error(attempted)),
        }
    }

    /// Ends the connection politely, so that a pooler keeps nothing of it.
    pub(crate) async fn close(mut self) {
        let goodbye = self.send(|out| {
            frontend::terminate(out);
            Ok(())
        });
        // The connection ends in any case.
        let _ = tokio::time::timeout(WRITE_TIMEOUT, goodbye).await;
    }

    async fn begin(
        server: &Server,
        application: &str,
        replication: Option<&str>,
    ) -> std::result::Result<Replication, WireError> {
        let stream = transport(&server.address, &server.tls).await?;
        let mut connection = Replication {
            stream,
            input: BytesMut::new(),
            name: server.name(),
            announced_pid: None,
        };
        let parameters = [
            ("user", server.user.as_str()),
            ("database", &server.database),
            ("application_name", application),
            ("client_encoding", "UTF8"),
        ];
        let kind = replication.map(|kind| ("replication", kind));
        let options = server.options.as_deref().map(|options| ("options", options));
        let parameters = parameters.into_iter().chain(kind).chain(options);
        connection.send(|out| frontend::startup_message(parameters, out)).await?;
        connection.log_in(server).await?;
        loop {
            match connection.message().await? {
                backend::Message::BackendKeyData(body) => {
                    connection.announced_pid = Some(body.process_id())
                }
                backend::Message::ReadyForQuery(_) => break,
                _ => {}
            }
        }
        if replication.is_some() {
            connection.answer(sql::STREAM_SETTINGS).await?;
        }
        Ok(connection)
    }

    async fn log_in(&mut self, server: &Server) -> std::result::Result<(), WireError> {
        let password = || {
            server.password.as_deref().map(str::as_bytes).ok_or(WireError::Refused(
                "the server asks for a password, and none is given".to_owned(),
            ))
        };
        loop {
            match self.message().await? {
                backend::Message::AuthenticationOk => return Ok(()),
                backend::Message::AuthenticationCleartextPassword => {
                    let password = password()?;
                    self.send(|out| frontend::password_message(password, out)).await?;
                }
                backend::Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(server.user.as_bytes(), password()?, body.salt());
                    self.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
                }
                backend::Message::AuthenticationSasl(body) => {
                    let known =
                        body.mechanisms().any(|mechanism| Ok(mechanism == sasl::SCRAM_SHA_256))?;
                    if !known {
                        return Err(WireError::Refused(
                            "the server asks for a way to log in that is not known here".to_owned(),
                        ));
                    }
                    self.scram(password()?).await?;
                }
                _ => {
                    return Err(WireError::Refused(
                        "the server asks for a way to log in that is not known here".to_owned(),
                    ));
                }
            }
        }
    }

    async fn scram(&mut self, password: &[u8]) -> std::result::Result<(), WireError> {
        let mut scram = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
        let first = scram.message().to_vec();
        self.send(|out| frontend::sasl_initial_response(sasl::SCRAM_SHA_256, &first, out)).await?;
        let backend::Message::AuthenticationSaslContinue(body) = self.message().await? else {
            return Err(malformed());
        };
        scram.update(body.data())?;
        let second = scram.message().to_vec();
        self.send(|out| frontend::sasl_response(&second, out)).await?;
        let backend::Message::AuthenticationSaslFinal(body) = self.message().await? else {
            return Err(malformed());
        };
        Ok(scram.finish(body.data())?)
    }

    /// Returns the server's own identity.
    pub(crate) async fn identify(&mut self) -> Result<String> {
        let attempted = || "ask the server who it is";
        self.identity().await.map_err(|failure| failure.into_error(attempted()))
    }

    async fn identity(&mut self) -> std::result::Result<String, WireError> {
        match self.answer(sql::IDENTIFY_SYSTEM).await {
            Ok(identity) if identity.is_empty() => Err(malformed()),
            other => other,
        }
    }

    /// Returns the first value of the first row. Empty if there is none.
    async fn answer(&mut self, question: &str) -> std::result::Result<String, WireError> {
        self.send(|out| frontend::query(question, out)).await?;
        let mut value = None;
        loop {
            match self.message().await? {
                backend::Message::DataRow(row) if value.is_none() => {
                    let range = row.ranges().next()?.flatten().ok_or_else(malformed)?;
                    value = Some(String::from_utf8_lossy(&row.buffer()[range]).into_owned());
                }
                backend::Message::ReadyForQuery(_) => return Ok(value.unwrap_or_default()),
                _ => {}
            }
        }
    }

    /// Starts the stream. Afterwards only [`Replication::frame_at_hand`], [`Replication::more`] and
    /// [`Replication::confirm`] work.
    pub(crate) async fn start(&mut self, slot: &str, publication: &str, from: Lsn) -> Result<()> {
        let command = sql::start_replication(slot, publication, &from.to_string());
        let attempted = || format!("read the log of {} from {from}", self.name);
        let attempted = attempted();
        self.begin_stream(&command).await.map_err(|failure| failure.into_error(attempted))
    }

    async fn begin_stream(&mut self, command: &str) -> std::result::Result<(), WireError> {
        self.send(|out| frontend::query(command, out)).await?;
        loop {
            if self.input.first() == Some(&COPY_BOTH) {
                if let Some(length) = self.whole_message() {
                    self.input.advance(length);
                    return Ok(());
                }
            } else if !self.input.is_empty() && self.whole_message().is_some() {
                // One message at a time: the next may be the answer that the crate does not know.
                if let Some(backend::Message::ErrorResponse(body)) =
                    backend::Message::parse(&mut self.input)?
                {
                    return Err(WireError::of_server(&body));
                }
                continue;
            }
            self.read().await?;
        }
    }

    /// Returns the length of the first message, if all of it has arrived.
    fn whole_message(&self) -> Option<usize> {
        let length = self.input.get(1..5)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize + 1;
        (self.input.len() >= length).then_some(length)
    }

    /// The next frame, if one has already arrived.
    pub(crate) fn frame_at_hand(&mut self) -> Result<Option<Frame>> {
        self.take_frame()
            .map_err(|failure| failure.into_error(format!("read the log of {}", self.name)))
    }

    /// Waits until more arrives. May be dropped: nothing is lost.
    pub(crate) async fn more(&mut self) -> Result<()> {
        let attempted = format!("read the log of {}", self.name);
        self.read().await.map_err(|failure| failure.into_error(attempted))
    }

    fn take_frame(&mut self) -> std::result::Result<Option<Frame>, WireError> {
        loop {
            return match backend::Message::parse(&mut self.input)? {
                None => Ok(None),
                Some(
                    backend::Message::NoticeResponse(_) | backend::Message::ParameterStatus(_),
                ) => continue,
                Some(backend::Message::CopyData(body)) => copied(body.into_bytes()).map(Some),
                Some(backend::Message::ErrorResponse(body)) => Err(WireError::of_server(&body)),
                Some(backend::Message::CopyDone) => {
                    Err(WireError::Lost("the server has ended the stream".to_owned()))
                }
                Some(_) => Err(malformed()),
            };
        }
    }

    /// Confirms the position up to which the server may discard the log, and asks for a keepalive.
    pub(crate) async fn confirm(&mut self, saved: Lsn) -> Result<()> {
        let mut status = BytesMut::with_capacity(34);
        status.put_u8(b'r');
        for _ in 0..3 {
            status.put_u64(saved.0);
        }
        status.put_i64(0);
        status.put_u8(1);
        let attempted = format!("acknowledge the log of {}", self.name);
        let sending = self.send(|out| {
            frontend::CopyData::new(status.freeze())?.write(out);
            Ok(())
        });
        match tokio::time::timeout(WRITE_TIMEOUT, sending).await {
            Err(_) => Err(error::silent(attempted, WRITE_TIMEOUT)),
            Ok(result) => result.map_err(|failure| failure.into_error(attempted)),
        }
    }

    async fn send(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> io::Result<()>,
    ) -> std::result::Result<(), WireError> {
        let mut out = BytesMut::new();
        write(&mut out)?;
        self.stream.write_all(&out).await?;
        Ok(self.stream.flush().await?)
    }

    /// Returns the next message. The server's errors are errors, and its notices are skipped.
    async fn message(&mut self) -> std::result::Result<backend::Message, WireError> {
        loop {
            match backend::Message::parse(&mut self.input)? {
                Some(backend::Message::ErrorResponse(body)) => {
                    return Err(WireError::of_server(&body));
                }
                Some(backend::Message::NoticeResponse(_)) => {}
                Some(message) => return Ok(message),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> std::result::Result<(), WireError> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(WireError::Lost("the server has closed the connection".to_owned())),
            _ => Ok(()),
        }
    }
}

/// Reads a frame of the stream: log data or a keepalive.
fn copied(mut body: Bytes) -> std::result::Result<Frame, WireError> {
    match body.first() {
        Some(b'w') if body.len() >= 25 => {
            body.advance(25);
            Ok(Frame::Data(body))
        }
        Some(b'k') if body.len() == 18 => Ok(Frame::Alive(body[17] != 0)),
        _ => Err(malformed()),
    }
}

async fn transport(
    address: &Address,
    tls: &Tls,
) -> std::result::Result<Box<dyn Transport>, WireError> {
    match address {
        Address::Unix(folder, port) => {
            Ok(Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?))
        }
        Address::Tcp(host, port) => {
            let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            if tls.mode == TlsMode::Disable {
                return Ok(Box::new(stream));
            }
            let mut request = BytesMut::new();
            frontend::ssl_request(&mut request);
            stream.write_all(&request).await?;
            match (stream.read_u8().await?, tls.mode) {
                (b'S', _) => Ok(Box::new(encrypted(stream, host, tls).await?)),
                (_, TlsMode::Prefer) => Ok(Box::new(stream)),
                _ => Err(WireError::Refused("the server does not speak TLS".to_owned())),
            }
        }
    }
}

async fn encrypted(
    stream: TcpStream,
    host: &str,
    tls: &Tls,
) -> std::result::Result<impl Transport + use<>, WireError> {
    let name = host
        .to_owned()
        .try_into()
        .map_err(|_| WireError::Refused("the host's name cannot be verified".to_owned()))?;
    Ok(TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await?)
}

/// An error of the connection.
enum WireError {
    /// The connection is lost, or was never open.
    Lost(String),
    /// A retry cannot help.
    Refused(String),
    /// The server's answer: its code and its words. They name only slots and roles.
    Server { code: String, message: String },
}

impl WireError {
    fn of_server(body: &backend::ErrorResponseBody) -> WireError {
        let (mut code, mut message) = (String::new(), String::new());
        let mut fields = body.fields();
        while let Ok(Some(field)) = fields.next() {
            let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => code = value(),
                b'M' => message = value(),
                _ => {}
            }
        }
        WireError::Server { code, message }
    }

    /// The same during the login. A login that fails is no refusal of the plan.
    fn into_login_error(self, attempted: impl Into<String>) -> Error {
        match self {
            WireError::Server { code, message } if error::is_login_refused(&code) => {
                Error::fatal(attempted, message)
            }
            WireError::Refused(reason) => Error::fatal(attempted, reason),
            other => other.into_error(attempted),
        }
    }

    fn into_error(self, attempted: impl Into<String>) -> Error {
        match self {
            WireError::Lost(reason) => Error::new(Kind::Disconnected, attempted, reason),
            WireError::Refused(reason) => Error::refused(attempted, reason),
            WireError::Server { code, message } => {
                Error::new(error::walsender_kind(&code), attempted, message)
            }
        }
    }
}

fn malformed() -> WireError {
    WireError::Lost("the server's answer is not formed as it should be".to_owned())
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> WireError {
        WireError::Lost(error.to_string())
    }
}
