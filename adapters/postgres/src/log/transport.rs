//! Connects to a server: by TCP, with TLS or without, or by a local socket.

use crate::log::wire_error::WireError;
use crate::server::connect::{Address, Tls};
use altergeist_contract::url::TlsMode;
use bytes::BytesMut;
use postgres_protocol::message::frontend;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// A connection that carries messages.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Connects, and negotiates TLS as the settings demand.
pub(crate) async fn transport(
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
