//! Where a server is and how to get in: URL, password file, environment, TLS. Opens plain sessions and the
//! raw streams the log is read from. A password is never printed: nothing here has `Debug`.

use crate::error;
use crate::session::Session;
use altergeist_contract::{Error, Kind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

/// The longest we wait for a connection, greeting and password included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A network that swallows everything is given up after this long.
const SILENCE: Duration = Duration::from_secs(30);

/// One server, and one role and database on it.
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) password: Option<String>,
    pub(crate) tls: Tls,
}

/// How the server is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Address {
    /// By name or number, and port.
    Tcp(String, u16),
    /// By the folder of its socket, and the port in the socket's name.
    Unix(PathBuf, u16),
}

/// Whether the connection is encrypted, and how far the server is believed.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) config: Arc<ClientConfig>,
}

/// libpq's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TlsMode {
    /// Never.
    Disable,
    /// If the server can.
    Prefer,
    /// Encrypted, without asking who answers.
    Require,
    /// By a certificate somebody we trust has signed.
    VerifyCa,
    /// And made out for this host.
    VerifyFull,
}

/// What a URL says, before environment and files fill the gaps.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    database: Option<String>,
    tls_mode: Option<String>,
    root_certificates: Option<String>,
}

impl Server {
    /// Reads a URL, and what it leaves open from the environment and the password file.
    pub(crate) fn parse(url: &str) -> Result<Server> {
        let (parts, password) = read_url(url)?;
        let user = parts.user.or_else(|| variable("PGUSER")).or_else(|| variable("USER"));
        let user = user.ok_or_else(|| unreadable("it names no user"))?;
        let database = parts.database.or_else(|| variable("PGDATABASE")).unwrap_or_else(|| user.clone());
        let host = parts.host.or_else(|| variable("PGHOST")).unwrap_or_else(|| "localhost".into());
        let port = match parts.port {
            Some(port) => port,
            None => {
                variable("PGPORT").map_or(Ok(5432), |port| port.parse()).map_err(|_| unreadable("PGPORT is no port"))?
            }
        };
        let address = if host.starts_with('/') { Address::Unix(host.into(), port) } else { Address::Tcp(host, port) };
        let mode = parts.tls_mode.or_else(|| variable("PGSSLMODE"));
        let mode = mode.map_or_else(|| Ok(default_mode(&address)), |mode| read_mode(&mode))?;
        let roots = parts.root_certificates.or_else(|| variable("PGSSLROOTCERT"));
        let tls = Tls { mode, config: Arc::new(tls_config(mode, roots.as_deref())?) };
        let password = password
            .or_else(|| variable("PGPASSWORD"))
            .or_else(|| password_file().and_then(|file| look_up(&file, &address, &database, &user)));
        Ok(Server { address, user, database, password, tls })
    }

    /// The server, for people: host and port.
    pub(crate) fn name(&self) -> String {
        match &self.address {
            Address::Tcp(host, port) => format!("{host}:{port}"),
            Address::Unix(folder, port) => format!("{}:{port}", folder.display()),
        }
    }

    /// Opens a session and gives it its settings, as one piece of SQL.
    pub(crate) async fn open(&self, application: &str, settings: &str) -> Result<Session> {
        let attempted = || format!("connect to {}", self.name());
        let config = self.driver_config(application);
        let opening = Session::begin(&config, self.connector(), settings);
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Err(_) => Err(error::silent(attempted(), CONNECT_TIMEOUT)),
            Ok(Err(error)) => Err(refused_or_lost(attempted(), &error)),
            Ok(Ok(session)) => Ok(session),
        }
    }

    fn connector(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new((*self.tls.config).clone())
    }

    fn driver_config(&self, application: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        match &self.address {
            Address::Tcp(host, port) => config.host(host).port(*port),
            Address::Unix(folder, port) => config.host_path(folder).port(*port),
        };
        config.user(&self.user).dbname(&self.database).application_name(application);
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(SILENCE);
        config.keepalives_idle(SILENCE / 3).keepalives_interval(SILENCE / 6).keepalives_retries(3);
        config.ssl_mode(match self.tls.mode {
            TlsMode::Disable => tokio_postgres::config::SslMode::Disable,
            TlsMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        if let Some(password) = &self.password {
            config.password(password);
        }
        config
    }
}

/// A server that answers and will not let us in is not one to try again.
fn refused_or_lost(attempted: String, error: &tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(server) if server.code().code().starts_with("28") || server.code().code() == "3D000" => {
            Error::refused(attempted, server.message())
        }
        Some(_) => {
            let answer = error::of(attempted, error);
            Error::new(Kind::Disconnected, answer.attempted, answer.reason)
        }
        None => error::lost(attempted, error),
    }
}

fn read_url(url: &str) -> Result<(Parts, Option<String>)> {
    let parsed = match Url::parse(url) {
        // A user without a host is usual where the host is a folder and stands among the parameters.
        Err(url::ParseError::EmptyHost) => Url::parse(&url.replacen("@/", "@localhost/", 1)),
        other => other,
    };
    let parsed = parsed.map_err(|error| unreadable(&error.to_string()))?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err(unreadable("its scheme is not postgres"));
    }
    let mut parts = Parts {
        host: parsed.host_str().filter(|host| !host.is_empty()).map(host_name).transpose()?,
        port: parsed.port(),
        user: Some(parsed.username()).filter(|user| !user.is_empty()).map(decoded).transpose()?,
        database: Some(parsed.path().trim_start_matches('/'))
            .filter(|name| !name.is_empty())
            .map(decoded)
            .transpose()?,
        ..Parts::default()
    };
    let mut password = parsed.password().map(decoded).transpose()?;
    for (name, value) in parsed.query_pairs() {
        match &*name {
            "host" => parts.host = Some(value.into_owned()),
            "port" => parts.port = Some(value.parse().map_err(|_| unreadable("its port is no number"))?),
            "user" => parts.user = Some(value.into_owned()),
            "dbname" => parts.database = Some(value.into_owned()),
            "password" => password = Some(value.into_owned()),
            "sslmode" => parts.tls_mode = Some(value.into_owned()),
            "sslrootcert" => parts.root_certificates = Some(value.into_owned()),
            _ => return Err(unreadable(&format!("its parameter {name} is not known"))),
        }
    }
    Ok((parts, password))
}

fn host_name(host: &str) -> Result<String> {
    decoded(host.trim_start_matches('[').trim_end_matches(']'))
}

/// Undoes %-escapes.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.ok_or_else(|| unreadable("it has a broken % escape"))?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8"))
}

/// Says what is wrong with a URL without showing it: it may hold a password.
fn unreadable(why: &str) -> Error {
    Error::refused("read the server's URL", why)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn default_mode(address: &Address) -> TlsMode {
    match address {
        Address::Unix(..) => TlsMode::Disable,
        Address::Tcp(host, _) if matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") => TlsMode::Disable,
        Address::Tcp(..) => TlsMode::Prefer,
    }
}

fn read_mode(word: &str) -> Result<TlsMode> {
    match word {
        "disable" => Ok(TlsMode::Disable),
        "allow" | "prefer" => Ok(TlsMode::Prefer),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(unreadable("its sslmode is not one of disable, prefer, require, verify-ca, verify-full")),
    }
}

/// The password file's whole text, if there is one only its owner can read.
fn password_file() -> Option<String> {
    let path =
        variable("PGPASSFILE").map(PathBuf::from).or_else(|| Some(PathBuf::from(variable("HOME")?).join(".pgpass")))?;
    if !is_private(&path) {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

#[cfg(unix)]
fn is_private(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_path: &std::path::Path) -> bool {
    true
}

/// The first line of a password file that speaks of this server, database and user.
fn look_up(file: &str, address: &Address, database: &str, user: &str) -> Option<String> {
    let (host, port) = match address {
        Address::Tcp(host, port) => (host.as_str(), port.to_string()),
        Address::Unix(_, port) => ("localhost", port.to_string()),
    };
    let wanted = [host, &port, database, user];
    let lines = file.lines().filter(|line| !line.starts_with('#')).map(fields);
    lines.filter(|fields| fields.len() == 5).find_map(|fields| {
        let speaks = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        speaks.then(|| fields[4].clone())
    })
}

/// The fields of a line, between colons that no backslash precedes; the fifth takes the rest.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields.last_mut().expect("there is always a field").extend(characters.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields.last_mut().expect("there is always a field").push(other),
        }
    }
    fields
}

fn tls_config(mode: TlsMode, roots: Option<&str>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::refused("prepare TLS", error.to_string()))?;
    let builder = match mode {
        TlsMode::VerifyFull => builder.with_root_certificates(root_store(roots)?),
        TlsMode::VerifyCa => {
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(root_store(roots)?), provider.clone());
            let inner = inner.build().map_err(|error| Error::refused("prepare TLS", error.to_string()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { inner: Some(inner), provider }))
        }
        _ => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { inner: None, provider })),
    };
    Ok(builder.with_no_client_auth())
}

fn root_store(file: Option<&str>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match file.filter(|file| *file != "system") {
        Some(file) => {
            let unreadable = |error: &dyn std::fmt::Display| Error::refused(format!("read {file}"), error.to_string());
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
                store.add(certificate.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

/// Believes a certificate whatever host it is made out for; without a verifier inside, whoever signed it.
#[derive(Debug)]
struct AnyName {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_its_parts_with_escapes_undone() {
        let (parts, password) = read_url("postgres://a%40b:p%3Aw@[::1]:5433/my%20db?sslmode=require").unwrap();
        assert_eq!(parts.user.as_deref(), Some("a@b"));
        assert_eq!(parts.host.as_deref(), Some("::1"));
        assert_eq!(parts.port, Some(5433));
        assert_eq!(parts.database.as_deref(), Some("my db"));
        assert_eq!(parts.tls_mode.as_deref(), Some("require"));
        assert_eq!(password.as_deref(), Some("p:w"));
    }

    #[test]
    fn a_socket_folder_is_an_address() {
        let in_query = Server::parse("postgres://u@/db?host=/run/pg&port=5433").unwrap();
        let in_host = Server::parse("postgres://u@%2Frun%2Fpg:5433/db").unwrap();
        assert_eq!(in_query.address, Address::Unix("/run/pg".into(), 5433));
        assert_eq!(in_query.address, in_host.address);
    }

    #[test]
    fn an_error_about_a_url_does_not_show_it() {
        let error = Server::parse("postgres://u:secret@h/db?nonsense=secret").err().unwrap();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn a_password_file_is_read_with_wildcards_and_escapes() {
        let file = "# note\nother:*:*:*:no\n*:5432:d\\:b:u:p\\:w:x\n";
        let address = Address::Tcp("h".into(), 5432);
        assert_eq!(look_up(file, &address, "d:b", "u").as_deref(), Some("p:w:x"));
        assert_eq!(look_up(file, &address, "db", "u"), None);
    }
}
