//! Reads messages of the PostgreSQL protocol, each within a limit. The library that decodes them
//! trusts their inner lengths, so these are checked first.

use bytes::BytesMut;
use pgwire::messages::{DecodeContext, PgWireFrontendMessage, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message. Clients that ask the catalogue send some thousand bytes.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// The longest first message, as with PostgreSQL.
const STARTUP_MAX: usize = 10_000;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// The first message of a connection.
pub enum First {
    /// It wants TLS.
    Tls,
    /// It wants another encryption.
    Gss,
    /// It wants another connection's statement to end.
    Cancel,
    /// It logs in.
    Startup(PgWireFrontendMessage),
}

/// Why no message could be read.
#[derive(PartialEq, Eq, Debug)]
pub enum Broken {
    /// The client has gone.
    Gone,
    /// The message is too long.
    TooLong,
    /// It is no message.
    Malformed,
}

/// Reads the first message of a connection.
///
/// # Errors
/// Why there is none.
pub async fn first<R: AsyncRead + Unpin>(stream: &mut R) -> Result<First, Broken> {
    let length = stream.read_u32().await.map_err(|_| Broken::Gone)? as usize;
    if !(8..=STARTUP_MAX).contains(&length) {
        return Err(if length > STARTUP_MAX { Broken::TooLong } else { Broken::Malformed });
    }
    let mut bytes = BytesMut::from(&(length as u32).to_be_bytes()[..]);
    bytes.resize(length, 0);
    stream.read_exact(&mut bytes[4..]).await.map_err(|_| Broken::Gone)?;
    first_of(bytes)
}

fn first_of(mut bytes: BytesMut) -> Result<First, Broken> {
    let code = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    match code {
        SSL_REQUEST => return Ok(First::Tls),
        GSS_REQUEST => return Ok(First::Gss),
        CANCEL_REQUEST => return Ok(First::Cancel),
        _ => {}
    }
    // Pairs of texts follow, and an empty one.
    if !bytes[8..].is_empty() && bytes.last() != Some(&0) {
        return Err(Broken::Malformed);
    }
    let mut context = DecodeContext::default();
    context.awaiting_frontend_ssl = false;
    match PgWireFrontendMessage::decode(&mut bytes, &context) {
        Ok(Some(message)) => Ok(First::Startup(message)),
        Ok(None) | Err(_) => Err(Broken::Malformed),
    }
}

/// Reads the next message of a connection that has sent its first.
///
/// # Errors
/// Why there is none.
pub async fn next<R: AsyncRead + Unpin>(
    stream: &mut R,
    version: ProtocolVersion,
) -> Result<PgWireFrontendMessage, Broken> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.map_err(|_| Broken::Gone)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if !(4..=MESSAGE_MAX).contains(&length) {
        return Err(if length > MESSAGE_MAX { Broken::TooLong } else { Broken::Malformed });
    }
    let mut bytes = BytesMut::from(&head[..]);
    bytes.resize(1 + length, 0);
    stream.read_exact(&mut bytes[5..]).await.map_err(|_| Broken::Gone)?;
    decoded(bytes, version)
}

/// Decodes one whole message.
fn decoded(mut bytes: BytesMut, version: ProtocolVersion) -> Result<PgWireFrontendMessage, Broken> {
    if !is_well_formed(bytes[0], &bytes[5..]) {
        return Err(Broken::Malformed);
    }
    let mut context = DecodeContext::new(version);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    match PgWireFrontendMessage::decode(&mut bytes, &context) {
        Ok(Some(message)) => Ok(message),
        Ok(None) | Err(_) => Err(Broken::Malformed),
    }
}

/// Whether every length within a message is true.
fn is_well_formed(kind: u8, body: &[u8]) -> bool {
    let mut rest = Rest(body);
    let read = || -> Option<()> {
        match kind {
            b'Q' => rest.text()?,
            b'P' => {
                rest.text()?;
                rest.text()?;
                let types = rest.count()?;
                rest.skip(4 * types)?;
            }
            b'B' => {
                rest.text()?;
                rest.text()?;
                let formats = rest.count()?;
                rest.skip(2 * formats)?;
                for _ in 0..rest.count()? {
                    rest.value()?;
                }
                let formats = rest.count()?;
                rest.skip(2 * formats)?;
            }
            b'D' | b'C' => {
                rest.skip(1)?;
                rest.text()?;
            }
            b'E' => {
                rest.text()?;
                rest.skip(4)?;
            }
            b'S' | b'H' | b'X' | b'c' => {}
            // Two forms: the first of SCRAM names its mechanism, the second is free.
            b'p' => rest.0 = &[],
            b'd' | b'f' => rest.0 = &[],
            _ => return None,
        }
        Some(())
    };
    let mut read = read;
    read().is_some() && rest.0.is_empty()
}

/// Whether the first message of SCRAM names a mechanism and a response of a true length.
pub fn is_first_of_scram(body: &[u8]) -> bool {
    let mut rest = Rest(body);
    rest.text().is_some() && rest.value().is_some() && rest.0.is_empty()
}

/// The rest of a message.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// A text and the zero behind it.
    fn text(&mut self) -> Option<()> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        self.skip(end + 1)
    }

    fn count(&mut self) -> Option<usize> {
        let count = u16::from_be_bytes(self.0.get(..2)?.try_into().ok()?);
        self.skip(2)?;
        Some(count.into())
    }

    /// A value behind its length; minus one is NULL.
    fn value(&mut self) -> Option<()> {
        let length = i32::from_be_bytes(self.0.get(..4)?.try_into().ok()?);
        self.skip(4)?;
        match length {
            -1 => Some(()),
            length => self.skip(usize::try_from(length).ok()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use std::time::{Duration, Instant};

    fn whole(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::from(&[kind][..]);
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn a_message_with_a_false_length_is_refused() {
        let bind = b"\0s\0\0\x01\0\x01\0\x01\0\0\0\x02ab\0\x01\0\x01";
        let version = ProtocolVersion::PROTOCOL3_0;
        assert!(decoded(whole(b'B', bind), version).is_ok());
        for cut in 0..bind.len() {
            assert!(decoded(whole(b'B', &bind[..cut]), version).is_err(), "{cut}");
        }
        for (kind, body) in [
            (b'Q', &b"SELECT 1"[..]),
            (b'P', b"\0a\0\xff\xff"),
            (b'E', b"\0\0\0"),
            (b'?', b""),
            (b'D', b""),
            (b'S', b"x"),
        ] {
            assert!(decoded(whole(kind, body), version).is_err(), "{kind} {body:?}");
        }
        assert!(is_first_of_scram(b"SCRAM-SHA-256\0\0\0\0\x01n"));
        assert!(!is_first_of_scram(b"SCRAM-SHA-256\0\xff\xff\xff\xf0n"));
        assert!(!is_first_of_scram(b"SCRAM"));
    }

    #[tokio::test]
    async fn a_message_that_is_too_long_is_not_read() {
        let mut huge: &[u8] = b"Q\x7f\xff\xff\xff and so on";
        let read = next(&mut huge, ProtocolVersion::PROTOCOL3_0).await;
        assert_eq!(read.err(), Some(Broken::TooLong));
        let mut huge: &[u8] = b"\x00\x0f\xff\xff\x00\x03\x00\x00";
        assert_eq!(first(&mut huge).await.err(), Some(Broken::TooLong));
    }

    /// Random messages, half of them nearly right.
    #[test]
    fn no_bytes_make_the_decoder_panic() {
        let until = Instant::now() + Duration::from_millis(500);
        for seed in 0.. {
            if Instant::now() > until {
                break;
            }
            let mut random = SmallRng::seed_from_u64(seed);
            let kinds = b"QPBDCESHXpcdf?";
            let mut body: Vec<u8> =
                (0..random.random_range(0..64)).map(|_| random.random()).collect();
            for byte in &mut body {
                if random.random_bool(0.7) {
                    *byte = *b"\0\0\0\x01\x02a$'".get(random.random_range(0..8)).unwrap_or(&0);
                }
            }
            let kind = kinds[random.random_range(0..kinds.len())];
            let _ = decoded(whole(kind, &body), ProtocolVersion::PROTOCOL3_0);
            let _ = is_first_of_scram(&body);
            if body.len() > 4 {
                let mut first = BytesMut::from(&(body.len() as u32 + 4).to_be_bytes()[..]);
                first.extend_from_slice(&body);
                let _ = first_of(first);
            }
        }
    }
}
