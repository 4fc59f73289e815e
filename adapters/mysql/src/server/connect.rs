//! From a URL to a connection: where the server is, who we are, and how the wire is protected.
//! Nothing here prints: the options hold a password.

use crate::server::error::{self, Failure};
use crate::server::option_file::Client;
use crate::server::reachability::Reachability;
use altergeist_contract::url::{TlsMode, percent_decoded, unreadable};
use altergeist_contract::{Error, Kind, Login, Passwords, Result};
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// How long a server may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest packet of the protocol: a row in the log may be as large as the server allows.
const LARGEST_PACKET: usize = 1 << 30;

/// Where the server is and how to get in. Has no `Debug`: the options would print the password.
#[derive(Clone)]
pub(crate) struct Access {
    opts: OptsBuilder,
    passwords: Passwords,
    tls: TlsMode,
    /// The schema of the connection, for tables named without one.
    pub schema: Option<String>,
    /// Host and port, or socket, for people.
    pub address: String,
    pub reachability: Reachability,
}

impl Access {
    /// Reads `mysql://user:password@host:port/schema?parameters`. The environment and the option
    /// files supply the rest, and `passwords` goes before them. As in the servers' own clients, TLS
    /// is preferred, except for sockets.
    pub(crate) fn read(text: &str, passwords: &Passwords) -> Result<Access> {
        // The parser takes no user, or port, without a host.
        let (text, has_host) = with_host(text);
        let url = Url::parse(&text).map_err(|_| unreadable("it is not a URL"))?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err(unreadable(format!(
                "its scheme '{}' is neither mysql nor mariadb",
                url.scheme()
            )));
        }
        let file = Client::of_home();
        let parameters = Parameters::read(&url)?;
        let given = url.host_str().filter(|_| has_host);
        // A socket of a file is for this machine only, as in the servers' own clients. A port means
        // TCP.
        let is_here = given.is_none()
            && url.port().is_none()
            && file.host.as_deref().is_none_or(|host| host == "localhost");
        let socket = parameters.socket.clone().or_else(|| file.socket.clone().filter(|_| is_here));
        let host = given
            .map(|host| host.trim_matches(['[', ']']).to_owned())
            .or(file.host)
            .unwrap_or_else(|| "127.0.0.1".into());
        let port = url.port().or(file.port).unwrap_or(3306);
        let schema = Some(percent_decoded(url.path().trim_start_matches('/'))?)
            .filter(|schema| !schema.is_empty());
        let user = Some(percent_decoded(url.username())?)
            .filter(|user| !user.is_empty())
            .or(file.user)
            .or_else(|| std::env::var("USER").ok());
        let in_url = url.password().map(percent_decoded).transpose()?;
        let passwords =
            if in_url.is_some() { passwords.without_source() } else { passwords.clone() };
        let password = in_url.or_else(|| std::env::var("MYSQL_PWD").ok()).or(file.password);

        let address = socket.clone().unwrap_or_else(|| format!("{host}:{port}"));
        let of_file = file.ssl_mode.as_deref().map(TlsMode::read).transpose()?;
        let ca = parameters.ca.or(file.ssl_ca);
        let unsaid = if socket.is_some() { TlsMode::Disable } else { TlsMode::Prefer };
        let tls = parameters.tls.or(of_file).unwrap_or(unsaid);
        // A socket is used only if one was asked for: the driver's own preference for it would
        // change the account.
        let opts = OptsBuilder::default()
            .prefer_socket(false)
            .ip_or_hostname(host)
            .tcp_port(port)
            .socket(socket)
            .user(user)
            .pass(password)
            .stmt_cache_size(0)
            .max_allowed_packet(Some(LARGEST_PACKET))
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .ssl_opts(ssl_opts(tls, ca));
        Ok(Access { opts, passwords, tls, schema, address, reachability: Reachability::new() })
    }

    /// The same way in, to another server.
    pub(crate) fn at(&self, host: &str, port: u16) -> Access {
        let opts = self.opts.clone().ip_or_hostname(host).tcp_port(port).socket(None::<String>);
        Access {
            opts,
            address: format!("{host}:{port}"),
            reachability: Reachability::new(),
            ..self.clone()
        }
    }

    /// A new connection, within a bounded time.
    pub(crate) async fn open(&self) -> Result<Conn> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let known = Opts::from(self.opts.clone()).pass().map(str::to_owned);
        let log_in = |password: Option<String>| async move {
            match self.open_or_without_tls(self.opts.clone().pass(password)).await {
                Ok(conn) => Ok(Login::Done(conn)),
                Err(error) if error::is_login_refused(&error) => {
                    Ok(Login::Refused(self.explain(error)))
                }
                Err(error) => Err(self.explain(error)),
            }
        };
        self.passwords.log_in(&self.address, known.as_deref(), log_in).await
    }

    async fn open_or_without_tls(&self, opts: OptsBuilder) -> mysql_async::Result<Conn> {
        match self.open_with(opts.clone()).await {
            Err(
                mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer)
                | mysql_async::Error::Io(mysql_async::IoError::Tls(_)),
            ) if self.tls == TlsMode::Prefer => self.open_with(opts.ssl_opts(None)).await,
            outcome => outcome,
        }
    }

    async fn open_with(&self, opts: OptsBuilder) -> mysql_async::Result<Conn> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Conn::new(Opts::from(opts))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    fn explain(&self, error: mysql_async::Error) -> Error {
        let attempted = format!("connect to {}", self.address);
        match error {
            mysql_async::Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer) => {
                Error::refused(attempted, "the server offers no TLS, and the URL asks for it")
            }
            mysql_async::Error::Io(error) => {
                Error::new(Kind::Disconnected, attempted, error.to_string())
            }
            // Whoever is not let in has got no plan that could refuse anything.
            other => {
                let error = Failure::from_driver(other).of_catalogue(attempted);
                if error.kind == Kind::Refused {
                    Error { kind: Kind::Fatal, ..error }
                } else {
                    error
                }
            }
        }
    }
}

/// What may follow the question mark.
#[derive(Default)]
struct Parameters {
    tls: Option<TlsMode>,
    ca: Option<PathBuf>,
    socket: Option<String>,
}

impl Parameters {
    pub(crate) fn read(url: &Url) -> Result<Parameters> {
        let mut parameters = Parameters::default();
        for (name, value) in url.query_pairs() {
            match &*name.to_ascii_lowercase().replace('_', "-") {
                "ssl-mode" | "sslmode" => parameters.tls = Some(TlsMode::read(&value)?),
                "ssl-ca" | "sslrootcert" => parameters.ca = Some(PathBuf::from(&*value)),
                "socket" => parameters.socket = Some(value.into_owned()),
                _ => return Err(unreadable(format!("its parameter '{name}' is not known"))),
            }
        }
        Ok(parameters)
    }
}

fn ssl_opts(tls: TlsMode, ca: Option<PathBuf>) -> Option<SslOpts> {
    match tls {
        TlsMode::Disable => None,
        TlsMode::Prefer | TlsMode::Require => {
            Some(SslOpts::default().with_danger_accept_invalid_certs(true))
        }
        // The driver cannot check a certificate without its name.
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let roots = match ca {
                Some(path) => vec![path.into()],
                None => rustls_native_certs::load_native_certs()
                    .certs
                    .iter()
                    .map(|root| root.to_vec().into())
                    .collect(),
            };
            Some(SslOpts::default().with_disable_built_in_roots(true).with_root_certs(roots))
        }
    }
}

/// The URL with a host in it, and whether it had one: `mysql://user@/schema?socket=…` has none.
fn with_host(text: &str) -> (String, bool) {
    let Some((scheme, rest)) = text.split_once("://") else { return (text.to_owned(), true) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let (user, place) =
        authority.rsplit_once('@').map_or(("", authority), |(user, place)| (user, place));
    if !place.is_empty() && !place.starts_with(':') || authority.is_empty() {
        return (text.to_owned(), !authority.is_empty());
    }
    let at = if authority.contains('@') { "@" } else { "" };
    (format!("{scheme}://{user}{at}unsaid{place}{behind}"), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Access {
        Access::read(url, &Passwords::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_url_says_where_and_who() {
        let access = read("mariadb://me:p%40ss@db.example:3307/shop?ssl-mode=REQUIRED");
        let opts = Opts::from(access.opts);
        assert_eq!((opts.ip_or_hostname(), opts.tcp_port()), ("db.example", 3307));
        assert_eq!((opts.user(), opts.pass()), (Some("me"), Some("p@ss")));
        assert_eq!(access.schema.as_deref(), Some("shop"));
        assert_eq!(access.tls, TlsMode::Require);
        assert!(!opts.prefer_socket());
    }

    #[test]
    fn a_url_needs_no_host() {
        for (url, schema) in [
            ("mysql://root@/db?socket=/tmp/s", Some("db")),
            ("mysql:///db?socket=/tmp/s", Some("db")),
            ("mysql://root:a%2Fb@?socket=/tmp/s", None),
        ] {
            let access = read(url);
            assert_eq!((access.schema.as_deref(), &*access.address), (schema, "/tmp/s"), "{url}");
        }
        assert_eq!(read("mysql://root@:3307/db").address, "127.0.0.1:3307");
    }

    #[test]
    fn tls_is_preferred_but_for_sockets() {
        assert_eq!(read("mysql://me@127.0.0.1/x").tls, TlsMode::Prefer);
        assert_eq!(read("mysql://me@/x?socket=/tmp/s").tls, TlsMode::Disable);
        assert_eq!(read("mysql://me@10.0.0.1/x").tls, TlsMode::Prefer);
        assert_eq!(read("mysql://me@10.0.0.1/x?sslmode=verify-full").tls, TlsMode::VerifyFull);
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_the_password() {
        for url in [
            "postgres://me:hush@h/x",
            "mysql://me:hush@h/x?colour=red",
            "mysql://me:hush%4@h/x",
            "mysql://me:hush@h/x?ssl-mode=maybe",
        ] {
            let error = Access::read(url, &Passwords::default()).err().expect("refused");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }
}
