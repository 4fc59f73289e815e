//! The client's side of the Unix socket: one order, one answer.

use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends an order to a run and returns its answer.
///
/// # Errors
/// The socket's own errors, and a timeout.
pub async fn ask(path: &Path, line: &str) -> std::io::Result<String> {
    let talk = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        // No further line follows, so the run need not wait for one.
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, talk)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}
