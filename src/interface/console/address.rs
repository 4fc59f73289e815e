//! Where the console listens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The beginning of a socket's name. Clients look for the port behind it.
const SOCKET: &str = ".s.PGSQL.";

/// Where the console listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Whether only processes of this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Address::Tcp(address) => address.ip().is_loopback(),
            Address::Unix(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if !text.contains('/') {
            let wrong = || "write 127.0.0.1:5433, or the path of a socket".to_owned();
            return text.parse().map(Address::Tcp).map_err(|_| wrong());
        }
        let path = Path::new(text);
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let port = name.strip_prefix(SOCKET).and_then(|port| port.parse::<u16>().ok());
        match port.filter(|port| *port > 0) {
            Some(_) => Ok(Address::Unix(path.to_owned())),
            None => Err(format!(
                "clients look for {SOCKET}PORT in a folder: write {}/{SOCKET}5433",
                text.trim_end_matches('/')
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_port_or_a_socket_that_clients_find() {
        let port: Address = "127.0.0.1:5433".parse().expect("it is a port");
        assert!(port.is_local());
        assert!(!"10.0.0.1:5433".parse::<Address>().expect("it is a port").is_local());
        let path = "/run/altergeist/.s.PGSQL.5433";
        assert_eq!(path.parse(), Ok(Address::Unix(path.into())));
        for wrong in ["5433", "localhost", "/run/altergeist", "/run/.s.PGSQL.x", "./.s.PGSQL."] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        let hint = "/run/ag/".parse::<Address>().expect_err("it is a folder");
        assert!(hint.contains("/run/ag/.s.PGSQL.5433"), "{hint}");
    }
}
