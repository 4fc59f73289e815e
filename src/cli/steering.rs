//! Where a run takes orders: its flags, and the sockets they open.

use crate::cli::console::ConsoleArgs;
use crate::interface::console;
use crate::interface::socket::{
    Listening, ListeningTcp, Steering, Token, default_path, listen, listen_tcp,
};
use altergeist::contract::{Error, Kind, Result, Target};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a run takes orders.
#[derive(Args)]
pub struct SteeringArgs {
    /// Socket for altergeist ctl; by default in the user's runtime folder, named after the table
    #[arg(long)]
    socket: Option<PathBuf>,
    /// Also take orders at this port, from clients that send the token of --token-file first
    #[arg(
        long,
        value_name = "127.0.0.1:PORT",
        value_parser = local_address,
        requires = "token_file"
    )]
    serve_tcp: Option<SocketAddr>,
    /// File with the token for --serve-tcp in its first line; only its owner may have access
    #[arg(long, value_name = "FILE", requires = "serve_tcp")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    console: ConsoleArgs,
}

/// The open sockets of a run. Dropping them closes them.
pub struct Sockets {
    _unix: Option<Listening>,
    _tcp: Option<ListeningTcp>,
    _console: Option<console::Listening>,
}

impl SteeringArgs {
    /// Returns the path of the socket.
    pub fn path(&self, target: &Target) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| default_path(target))
    }

    /// Opens the sockets of a run. Those of a living run on the same table stay with it.
    ///
    /// # Errors
    /// `Usage` if a socket, a port or a file cannot be used.
    pub async fn listen(&self, target: &Target, steering: &mut Steering) -> Result<Sockets> {
        let token = self.token_file.as_deref().map(Token::read).transpose();
        let token = token.map_err(|reason| Error::new(Kind::Usage, "read --token-file", reason))?;
        let console = self.console.prepare(&mut steering.listeners)?;
        let path = self.path(target);
        let unix = listen(&path, &target.table, steering).await?;
        let tcp = match (self.serve_tcp, token) {
            (Some(address), Some(token)) if unix.is_some() => {
                Some(listen_tcp(address, token, steering).await?)
            }
            _ => None,
        };
        let console = match console {
            Some(console) if unix.is_some() => Some(console.open(steering).await?),
            _ => None,
        };
        Ok(Sockets { _unix: unix, _tcp: tcp, _console: console })
    }
}

/// The token crosses the connection as it is, so the port must not be reachable from elsewhere.
fn local_address(text: &str) -> std::result::Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write it as 127.0.0.1:5433".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("orders are not encrypted: use 127.0.0.1, and a tunnel from elsewhere".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_local_machine_reaches_the_port() {
        assert!(local_address("127.0.0.1:5433").is_ok() && local_address("[::1]:5433").is_ok());
        for wrong in ["0.0.0.0:5433", "10.0.0.1:5433", "5433", "localhost", "127.0.0.1"] {
            assert!(local_address(wrong).is_err(), "{wrong}");
        }
    }
}
