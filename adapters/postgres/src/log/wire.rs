//! A replication connection: how it is opened, and how log data and replies travel on it. It knows
//! the protocol, not what the data means. A read may be dropped at any time: what has arrived stays
//! in the buffer.

use crate::log::decode::Lsn;
use crate::log::transport::{Transport, transport};
use crate::log::wire_error::{WireError, malformed};
use crate::server::connect::{CONNECT_TIMEOUT, Server};
use crate::server::error;
use crate::sql;
use altergeist_contract::{Login, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::{backend, frontend};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The tag of the answer that opens the stream. The protocol crate does not know it.
const COPY_BOTH: u8 = b'W';

/// The most bytes of one read from the socket.
const READ_BYTES: usize = 64 * 1024;

/// Longest time to write one reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

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
        let log_in = |password: Option<String>| async move {
            let beginning = Replication::begin(server, application, Some("database"), password);
            match tokio::time::timeout(server.patience, beginning).await {
                Err(_) => Err(error::silent(attempted(), server.patience)),
                Ok(Err(WireError::Server { code, message }))
                    if error::is_streaming_refused(&code) =>
                {
                    Ok(Login::Done(Err(message)))
                }
                Ok(Ok(connection)) => Ok(Login::Done(Ok(connection))),
                Ok(Err(failure)) => failure.into_refusal(attempted(), WireError::into_error),
            }
        };
        server.passwords.log_in(&server.place(), server.password.as_deref(), log_in).await
    }

    /// Opens a plain connection without any settings.
    pub(crate) async fn open_plain(server: &Server) -> Result<Replication> {
        let attempted = || format!("connect to {}", server.name());
        let log_in = |password: Option<String>| async move {
            let beginning = Replication::begin(server, "altergeist", None, password);
            match tokio::time::timeout(server.patience, beginning).await {
                Err(_) => Err(error::silent(attempted(), server.patience)),
                Ok(Ok(connection)) => Ok(Login::Done(connection)),
                Ok(Err(failure)) => failure.into_refusal(attempted(), WireError::into_login_error),
            }
        };
        server.passwords.log_in(&server.place(), server.password.as_deref(), log_in).await
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
        password: Option<String>,
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
        connection.log_in(&server.user, password.as_deref()).await?;
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

    async fn log_in(
        &mut self,
        user: &str,
        given: Option<&str>,
    ) -> std::result::Result<(), WireError> {
        let password = || {
            given.map(str::as_bytes).ok_or(WireError::Refused(
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
                    let hash = md5_hash(user.as_bytes(), password()?, body.salt());
                    self.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
                }
                backend::Message::AuthenticationSasl(body) => {
                    let known =
                        body.mechanisms().any(|mechanism| Ok(mechanism == sasl::SCRAM_SHA_256))?;
                    if !known {
                        return Err(WireError::Refused(
                            "the server asks for a login method that altergeist does not know"
                                .to_owned(),
                        ));
                    }
                    self.scram(password()?).await?;
                }
                _ => {
                    return Err(WireError::Refused(
                        "the server asks for a login method that altergeist does not know"
                            .to_owned(),
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
