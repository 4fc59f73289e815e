//! Where a server is and how to get in: URL, password file, environment, TLS. Opens plain sessions
//! and the raw streams that the log is read from. Nothing here has `Debug`: it would print
//! passwords.

use crate::server::parameters::{Parameters, variable};
use altergeist_contract::url::{TlsMode, unreadable};
use altergeist_contract::{Error, Passwords, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres_rustls::MakeRustlsConnect;

/// The longest we wait for a connection, greeting and password included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection counts as lost after so long without an answer.
const SILENCE: Duration = Duration::from_secs(30);

/// One server, and one role and database on it.
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) password: Option<String>,
    /// Where the password comes from, if it may change.
    pub(crate) passwords: Passwords,
    pub(crate) tls: Tls,
    /// Every host in the URL; `address` is the one in use.
    pub(crate) addresses: Vec<Address>,
    /// What kind of server to choose, if the URL names several.
    pub(crate) wanted: Wanted,
    /// Settings that the session has from its beginning.
    pub(crate) options: Option<String>,
    /// The longest wait for a connection.
    pub(crate) patience: Duration,
    /// Whether a pooler answers. It may have fewer sessions than a server.
    pub(crate) is_pooled: bool,
}

/// The kind of server to choose, in libpq's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

impl Wanted {
    fn read(word: &str) -> Result<Wanted> {
        match word {
            "any" => Ok(Wanted::Any),
            "read-write" => Ok(Wanted::ReadWrite),
            "read-only" => Ok(Wanted::ReadOnly),
            "primary" => Ok(Wanted::Primary),
            "standby" => Ok(Wanted::Standby),
            "prefer-standby" => Ok(Wanted::PreferStandby),
            _ => Err(unreadable(
                "its target_session_attrs is not one of any, read-write, read-only, primary, \
                 standby, prefer-standby",
            )),
        }
    }

    /// Its name, for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Wanted::Any | Wanted::PreferStandby => "a server",
            Wanted::ReadWrite => "one that takes writes",
            Wanted::ReadOnly => "one that takes no writes",
            Wanted::Primary => "a primary",
            Wanted::Standby => "a standby",
        }
    }
}

/// Where the server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Address {
    /// A host by name or number, and its port.
    Tcp(String, u16),
    /// The folder of its socket, and the port in the socket's name.
    Unix(PathBuf, u16),
}

/// Whether the connection is encrypted, and how far we trust the server.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) config: Arc<ClientConfig>,
}

impl Server {
    /// Reads a URL or `key=value` pairs. A service, the environment and the password file supply
    /// the rest; `passwords` goes before them.
    pub(crate) fn parse(url: &str, passwords: &Passwords) -> Result<Server> {
        let mut parameters = Parameters::read(url)?;
        let is_in_url = parameters.get("password").is_some();
        let passwords = if is_in_url { passwords.without_source() } else { passwords.clone() };
        parameters.fill()?;
        let get = |word: &str| parameters.get(word).map(str::to_owned);
        let user =
            get("user").or_else(system_user).ok_or_else(|| unreadable("it names no user"))?;
        let database = get("dbname").unwrap_or_else(|| user.clone());
        let addresses = addresses(&parameters)?;
        let address = addresses[0].clone();
        let mode = get("sslmode")
            .map_or_else(|| Ok(default_mode(&address)), |mode| TlsMode::read(&mode))?;
        let tls = Tls { mode, config: Arc::new(tls_config(mode, parameters.get("sslrootcert"))?) };
        let password = get("password").or_else(|| {
            password_file(parameters.get("passfile"))
                .and_then(|file| look_up(&file, &address, &database, &user))
        });
        let wanted = Wanted::read(parameters.get("target_session_attrs").unwrap_or("any"))?;
        let patience = match parameters.get("connect_timeout") {
            None | Some("0") => CONNECT_TIMEOUT,
            // As libpq has it, no wait is shorter than two seconds.
            Some(seconds) => {
                let seconds: u64 = seconds
                    .parse()
                    .map_err(|_| unreadable("its connect_timeout is no number of seconds"))?;
                Duration::from_secs(seconds.max(2))
            }
        };
        let options = get("options");
        Ok(Server {
            address,
            user,
            database,
            password,
            passwords,
            tls,
            addresses,
            wanted,
            options,
            patience,
            is_pooled: false,
        })
    }

    /// The same way in, to another server.
    pub(crate) fn at(&self, address: Address) -> Server {
        Server {
            addresses: vec![address.clone()],
            address,
            user: self.user.clone(),
            database: self.database.clone(),
            password: self.password.clone(),
            passwords: self.passwords.clone(),
            tls: self.tls.clone(),
            wanted: Wanted::Any,
            options: self.options.clone(),
            patience: self.patience,
            is_pooled: false,
        }
    }

    /// The server, for people: host and port.
    pub(crate) fn name(&self) -> String {
        match &self.address {
            Address::Tcp(host, port) => format!("{host}:{port}"),
            Address::Unix(folder, port) => format!("{}:{port}", folder.display()),
        }
    }

    /// The server and the database: a password counts there.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.name(), self.database)
    }

    pub(crate) fn connector(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new((*self.tls.config).clone())
    }

    pub(crate) fn driver_config(
        &self,
        application: &str,
        password: Option<String>,
    ) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        match &self.address {
            Address::Tcp(host, port) => config.host(host).port(*port),
            Address::Unix(folder, port) => config.host_path(folder).port(*port),
        };
        config.user(&self.user).dbname(&self.database).application_name(application);
        if let Some(options) = &self.options {
            config.options(options);
        }
        config.connect_timeout(self.patience).tcp_user_timeout(SILENCE);
        config.keepalives_idle(SILENCE / 3).keepalives_interval(SILENCE / 6).keepalives_retries(3);
        config.ssl_mode(match self.tls.mode {
            TlsMode::Disable => tokio_postgres::config::SslMode::Disable,
            TlsMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            _ => tokio_postgres::config::SslMode::Require,
        });
        if let Some(password) = password {
            config.password(password);
        }
        config
    }
}

/// Every host in the URL, with its port. Without any: the server's usual socket, or this machine.
fn addresses(parameters: &Parameters) -> Result<Vec<Address>> {
    let hosts = parameters.get("hostaddr").or_else(|| parameters.get("host"));
    let ports: Vec<&str> = parameters.get("port").unwrap_or_default().split(',').collect();
    let port =
        |at: usize| match ports.get(at).or(if ports.len() == 1 { ports.first() } else { None }) {
            None | Some(&"") => Ok(5432),
            Some(port) => port.parse::<u16>().map_err(|_| unreadable("its port is no number")),
        };
    let Some(hosts) = hosts else {
        let port = port(0)?;
        let folders = ["/var/run/postgresql", "/tmp"].map(PathBuf::from);
        let folder =
            folders.into_iter().find(|folder| folder.join(format!(".s.PGSQL.{port}")).exists());
        return Ok(vec![folder.map_or_else(
            || Address::Tcp("localhost".into(), port),
            |folder| Address::Unix(folder, port),
        )]);
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(unreadable("it names another number of ports than of hosts"));
    }
    let address = |(at, host): (usize, &&str)| match *host {
        "" => Ok(Address::Tcp("localhost".into(), port(at)?)),
        folder if folder.starts_with('/') => Ok(Address::Unix(folder.into(), port(at)?)),
        host => Ok(Address::Tcp(host.to_owned(), port(at)?)),
    };
    hosts.iter().enumerate().map(address).collect()
}

/// The system's name for the user who runs this program.
fn system_user() -> Option<String> {
    variable("USER").or_else(|| variable("LOGNAME")).or_else(|| {
        let own = own_number()?.to_string();
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let user = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == own).then(|| name.to_owned())
        };
        users.lines().find_map(user)
    })
}

#[cfg(unix)]
fn own_number() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|own| own.uid())
}

#[cfg(not(unix))]
fn own_number() -> Option<u32> {
    None
}

fn default_mode(address: &Address) -> TlsMode {
    match address {
        Address::Unix(..) => TlsMode::Disable,
        Address::Tcp(host, _) if matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") => {
            TlsMode::Disable
        }
        Address::Tcp(..) => TlsMode::Prefer,
    }
}

/// The text of the password file, if only its owner can read it.
fn password_file(named: Option<&str>) -> Option<String> {
    let path = named
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".pgpass")))?;
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

/// The first password in the file that matches this server, database and user.
fn look_up(file: &str, address: &Address, database: &str, user: &str) -> Option<String> {
    let (host, port) = match address {
        Address::Tcp(host, port) => (host.as_str(), port.to_string()),
        Address::Unix(_, port) => ("localhost", port.to_string()),
    };
    let wanted = [host, &port, database, user];
    let lines = file.lines().filter(|line| !line.starts_with('#')).map(fields);
    lines.filter(|fields| fields.len() == 5).find_map(|fields| {
        let speaks =
            fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        speaks.then(|| fields[4].clone())
    })
}

/// The fields of a line, between colons without a backslash. The fifth takes the rest.
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
            let inner = WebPkiServerVerifier::builder_with_provider(
                Arc::new(root_store(roots)?),
                provider.clone(),
            );
            let inner =
                inner.build().map_err(|error| Error::refused("prepare TLS", error.to_string()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName {
                inner: Some(inner),
                provider,
            }))
        }
        _ => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName { inner: None, provider })),
    };
    Ok(builder.with_no_client_auth())
}

fn root_store(file: Option<&str>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match file.filter(|file| *file != "system") {
        Some(file) => {
            let unreadable = |error: &dyn std::fmt::Display| {
                Error::refused(format!("read {file}"), error.to_string())
            };
            for certificate in
                CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?
            {
                store
                    .add(certificate.map_err(|error| unreadable(&error))?)
                    .map_err(|error| unreadable(&error))?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(store)
}

/// Accepts a certificate made out for any host. Without a verifier inside, it accepts any signer
/// too.
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
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_is_an_address() {
        let in_query =
            Server::parse("postgres://u@/db?host=/run/pg&port=5433", &Passwords::default())
                .unwrap();
        let in_host =
            Server::parse("postgres://u@%2Frun%2Fpg:5433/db", &Passwords::default()).unwrap();
        assert_eq!(in_query.address, Address::Unix("/run/pg".into(), 5433));
        assert_eq!(in_query.address, in_host.address);
    }

    #[test]
    fn several_hosts_have_a_port_each_or_share_one() {
        let both =
            Server::parse("host=a,b port=1,2 user=u", &Passwords::default()).unwrap().addresses;
        assert_eq!(both, [Address::Tcp("a".into(), 1), Address::Tcp("b".into(), 2)]);
        let shared = Server::parse("host=a,/run/pg port=5433 user=u", &Passwords::default())
            .unwrap()
            .addresses;
        assert_eq!(shared, [Address::Tcp("a".into(), 5433), Address::Unix("/run/pg".into(), 5433)]);
        assert!(Server::parse("host=a,b,c port=1,2 user=u", &Passwords::default()).is_err());
    }

    #[test]
    fn a_password_file_is_read_with_wildcards_and_escapes() {
        let file = "# note\nother:*:*:*:no\n*:5432:d\\:b:u:p\\:w:x\n";
        let address = Address::Tcp("h".into(), 5432);
        assert_eq!(look_up(file, &address, "d:b", "u").as_deref(), Some("p:w:x"));
        assert_eq!(look_up(file, &address, "db", "u"), None);
    }
}
