//! Throwaway servers: started from throwaway data folders on free ports, gone with the process.
//!
//! The programs come from the cache folder that `integration/install-servers` fills; this file
//! knows its layout (`<name>/bin`, `<name>/template`, `<name>/version`). It holds no test and no
//! SQL but what starting, replicating and steering a server takes.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use crate::session::{Failure, Row, Session, block_on};

/// The database that every server is started with.
pub const DATABASE: &str = "app";

const STARTUP: Duration = Duration::from_secs(90);

/// A kind of server, in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// PostgreSQL 15, the oldest with column lists in publications.
    Postgres15,
    /// PostgreSQL 18.
    Postgres18,
    /// MySQL 9.7.
    MySql97,
    /// MariaDB 10.11. Its `metadata_lock_info` plugin is available, but not loaded.
    MariaDb1011,
}

impl Flavour {
    /// Every kind there is.
    pub fn all() -> [Self; 4] {
        [Self::Postgres15, Self::Postgres18, Self::MySql97, Self::MariaDb1011]
    }

    /// Its name, which is also its folder in the cache and the word `install-servers` knows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres15 => "postgres15",
            Self::Postgres18 => "postgres18",
            Self::MySql97 => "mysql",
            Self::MariaDb1011 => "mariadb",
        }
    }

    /// The flavour a person means by `word`; plain `postgres` is the newest.
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "postgres" => Some(Self::Postgres18),
            other => Self::all().into_iter().find(|flavour| flavour.name() == other),
        }
    }

    /// Whether it speaks the PostgreSQL protocol.
    pub fn is_postgres(self) -> bool {
        matches!(self, Self::Postgres15 | Self::Postgres18)
    }

    /// Whether `install-servers` has been here.
    pub fn is_installed(self) -> bool {
        self.home().join("version").exists()
    }

    /// What the server calls itself.
    pub fn version(self) -> String {
        fs::read_to_string(self.home().join("version")).unwrap_or_default().trim().to_owned()
    }

    /// Another version may stand in its place: `ALTERGEIST_MARIADB=mariadb118`.
    fn home(self) -> PathBuf {
        let instead = env::var(format!("ALTERGEIST_{}", self.name().to_uppercase()));
        cache_folder().join(instead.unwrap_or_else(|_| self.name().to_owned()))
    }

    /// The number of its version, as far as the first dot; 0 if it is not installed.
    pub fn major(self) -> u32 {
        let version = self.version();
        let mut words = version.split(|character: char| !character.is_ascii_digit());
        words.find_map(|word| word.parse().ok()).unwrap_or(0)
    }

    /// One of the programs that came with it.
    pub fn program(self, name: &str) -> PathBuf {
        self.home().join("bin").join(name)
    }
}

/// Where the programs are; the same rule as in `install-servers`.
fn cache_folder() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    match (set("ALTERGEIST_SERVERS"), set("XDG_CACHE_HOME")) {
        (Some(folder), _) => folder,
        (None, Some(cache)) => cache.join("altergeist-servers"),
        (None, None) if is_root() => PathBuf::from("/var/cache/altergeist-servers"),
        (None, None) => set("HOME").unwrap_or_default().join(".cache/altergeist-servers"),
    }
}

/// A running server, or one that was killed and may be restarted. Dropping it kills it and
/// deletes its data.
#[derive(Debug)]
pub struct Server {
    flavour: Flavour,
    port: u16,
    claim: Option<UdpSocket>,
    folder: PathBuf,
    settings: Vec<(String, String)>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server with `settings` laid over the defaults of this file. `None`, and a word
    /// about it, when it isn't installed.
    ///
    /// # Panics
    /// When the server does not come up; and when it isn't installed, unless the environment says
    /// that tests may be skipped for that (`ALTERGEIST_WITHOUT_SERVERS=1`).
    pub fn start(flavour: Flavour, settings: &[(&str, &str)]) -> Option<Self> {
        if !flavour.is_installed() {
            let missing = format!(
                "{} is not installed, and this test needs it. Run integration/install-servers all, \
                 or set ALTERGEIST_WITHOUT_SERVERS=1 to skip such tests",
                flavour.name()
            );
            assert!(!servers_are_required(), "{missing}");
            println!("SKIP: {missing}");
            return None;
        }
        let mut server = Self::in_a_fresh_folder(flavour, settings);
        copy_folder(&flavour.home().join("template"), &server.data());
        server.own_the_folder();
        server.run_on_a_free_port();
        server.must(
            if flavour.is_postgres() { "postgres" } else { "mysql" },
            &format!("CREATE DATABASE {DATABASE}"),
        );
        Some(server)
    }

    /// A second server that follows this one: a hot standby fed by streaming for PostgreSQL, a
    /// replica by GTID for MySQL and MariaDB (which needs the binlog from its beginning).
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_replica(&self) -> Self {
        let mut replica = Self::in_a_fresh_folder(self.flavour, &[]);
        replica.settings.clone_from(&self.settings);
        if self.flavour.is_postgres() {
            replica.own_the_folder();
            replica.base_backup_of(self);
            replica.run_on_a_free_port();
        } else {
            copy_folder(&self.flavour.home().join("template"), &replica.data());
            replica.run_on_a_free_port();
            replica.must("mysql", &replication_from(self));
        }
        replica
    }

    /// The kind of server this is.
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// Its TCP port on 127.0.0.1; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with its Unix socket (`.s.PGSQL.<port>` or `mysql.sock`).
    pub fn socket_dir(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Where clients find `database`; the superuser, without a password.
    pub fn url(&self, database: &str) -> String {
        bare_url(self.flavour, self.port, database)
    }

    /// Runs statements in `database`.
    ///
    /// # Errors
    /// What the server answered.
    pub fn execute(&self, database: &str, sql: &str) -> Result<u64, Failure> {
        let url = self.url(database);
        block_on(async move { Session::connect(&url).await?.execute(sql).await })
    }

    /// The rows of a query in `database`.
    ///
    /// # Errors
    /// What the server answered.
    pub fn query(&self, database: &str, sql: &str) -> Result<Vec<Row>, Failure> {
        let url = self.url(database);
        block_on(async move { Session::connect(&url).await?.rows(sql).await })
    }

    /// What `pg_dump` of the server's own version says of a database's definitions, but for what is
    /// in `but`: patterns of schemas.
    ///
    /// # Panics
    /// When it fails.
    pub fn dump(&self, database: &str, but: &[&str]) -> String {
        let mut command = Command::new(self.flavour.program("pg_dump"));
        command
            .arg("--schema-only")
            .args(but.iter().map(|schema| format!("--exclude-schema={schema}")));
        let output = command.arg(self.url(database)).output().expect("pg_dump can be started");
        assert!(
            output.status.success(),
            "pg_dump failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout);
        // These two lines carry a random word.
        let is_said =
            |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
        text.lines().filter(is_said).map(|line| format!("{line}\n")).collect()
    }

    /// The server's log.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    /// The end of the server's log.
    pub fn log_tail(&self) -> String {
        let log = self.log_text();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The crash of the machine, as the server sees it: SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _already_gone = child.kill();
            child.wait().expect("a killed child can be waited for");
        }
    }

    /// Lets no file grow beyond so many bytes that a session begun from now on writes to, as if the
    /// disk were full; None lets them grow again. A bound that is no multiple of a page gives what
    /// a full disk gives: a write that ends in the middle.
    ///
    /// # Panics
    /// When the server does not run, or the kernel refuses.
    pub fn bound_files(&self, bytes: Option<u64>) {
        let child = self.child.as_ref().expect("the server runs");
        let bound = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        // Only the same user may, and only the soft limit is moved.
        let mut command = dying_with_us(self.flavour.is_postgres() && is_root());
        command
            .arg("prlimit")
            .arg(format!("--pid={}", child.id()))
            .arg(format!("--fsize={bound}:"));
        must_run(&mut command);
    }

    /// An orderly shutdown that does not wait for clients.
    ///
    /// # Panics
    /// When the server does not stop.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let signal = if self.flavour.is_postgres() { "-INT" } else { "-TERM" };
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "no signal could be sent");
        let deadline = Instant::now() + STARTUP;
        while child.try_wait().expect("a child can be asked about").is_none() {
            if Instant::now() > deadline {
                let _already_gone = child.kill();
                panic!("{} does not stop; its log ends:\n{}", self.flavour.name(), self.log_tail());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again after [`Server::kill`] or [`Server::stop`], on the same port and data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
        // Backends of a killed postmaster need a moment to notice, and hold its memory until then.
        let deadline = Instant::now() + STARTUP;
        while let Err(why) = self.run() {
            assert!(
                Instant::now() < deadline,
                "{} does not restart: {why}\n{}",
                self.flavour.name(),
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Its process.
    ///
    /// # Panics
    /// When the server does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// On a replica: keep receiving, stop applying.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn pause_replay(&self) {
        self.must(
            self.system_database(),
            match self.flavour {
                Flavour::Postgres15 | Flavour::Postgres18 => "SELECT pg_wal_replay_pause()",
                Flavour::MySql97 => "STOP REPLICA SQL_THREAD",
                Flavour::MariaDb1011 => "STOP SLAVE SQL_THREAD",
            },
        );
    }

    /// On a replica: apply again.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn resume_replay(&self) {
        self.must(
            self.system_database(),
            match self.flavour {
                Flavour::Postgres15 | Flavour::Postgres18 => "SELECT pg_wal_replay_resume()",
                Flavour::MySql97 => "START REPLICA SQL_THREAD",
                Flavour::MariaDb1011 => "START SLAVE SQL_THREAD",
            },
        );
    }

    fn system_database(&self) -> &'static str {
        if self.flavour.is_postgres() { "postgres" } else { "mysql" }
    }

    fn in_a_fresh_folder(flavour: Flavour, settings: &[(&str, &str)]) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(delete_folders_of_dead_processes);

        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let folder =
            env::temp_dir().join(format!("{FOLDER_PREFIX}{}-{number}", std::process::id()));
        fs::create_dir_all(folder.join("socket")).expect("the temporary folder is writable");
        Self {
            flavour,
            port: 0,
            claim: None,
            folder,
            settings: settings.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
            child: None,
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn own_the_folder(&self) {
        if self.flavour.is_postgres() && is_root() {
            must_run(Command::new("chown").arg("-R").arg(unprivileged_user()).arg(&self.folder));
        }
    }

    fn run_on_a_free_port(&mut self) {
        for _ in 0..5 {
            let (port, claim) = claim_a_free_port();
            (self.port, self.claim) = (port, Some(claim));
            match self.run() {
                Ok(()) => return,
                Err(why) if why.contains("exited") && self.log_tail().contains("in use") => {}
                Err(why) => {
                    panic!("{} does not start: {why}\n{}", self.flavour.name(), self.log_tail())
                }
            }
        }
        panic!("{} found no free port", self.flavour.name());
    }

    /// Starts the program and waits until it answers.
    fn run(&mut self) -> Result<(), String> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(|e| e.to_string())?;
        let mut command = self.command();
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log can be shared"))
            .stderr(log);
        self.child = Some(spawn_for_life(command).map_err(|e| e.to_string())?);
        self.wait_until_it_answers().inspect_err(|_| self.kill())
    }

    fn wait_until_it_answers(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + STARTUP;
        let url = self.url(self.system_database());
        loop {
            let child = self.child.as_mut().expect("it was just started");
            if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                return Err(format!("exited with {status}"));
            }
            let answer = block_on(async {
                let asking = async { Session::connect(&url).await?.value("SELECT 1").await };
                tokio::time::timeout(Duration::from_secs(2), asking).await
            });
            match answer {
                Ok(Ok(_)) => return Ok(()),
                failed if Instant::now() > deadline => {
                    return Err(format!("no answer: {failed:?}"));
                }
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn command(&self) -> Command {
        match self.flavour {
            Flavour::Postgres15 | Flavour::Postgres18 => self.postgres_command(),
            Flavour::MySql97 => self.mysql_command(MYSQL_DEFAULTS, "mysqld"),
            Flavour::MariaDb1011 => self.mysql_command(MARIADB_DEFAULTS, "mariadbd"),
        }
    }

    fn postgres_command(&self) -> Command {
        let mut command = dying_with_us(is_root());
        command.arg(self.flavour.program("postgres")).arg("-D").arg(self.data());
        let own = [
            ("port", self.port.to_string()),
            ("unix_socket_directories", display(&self.socket_dir())),
        ];
        for (name, value) in merged(POSTGRES_DEFAULTS, &own, &self.settings) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }

    fn mysql_command(&self, defaults: &[(&str, &str)], program: &str) -> Command {
        let mut command = dying_with_us(false);
        command.arg(self.flavour.program(program)).arg("--no-defaults");
        if is_root() {
            command.arg("--user=root");
        }
        let root = self.flavour.home().join("root/usr");
        let own = [
            ("datadir", display(&self.data())),
            ("socket", display(&self.socket_dir().join("mysql.sock"))),
            ("pid-file", display(&self.folder.join("pid"))),
            // A server that starts deletes the temporary tables it finds, its neighbour's too.
            ("tmpdir", display(&self.socket_dir())),
            ("port", self.port.to_string()),
            // The port is unique on the machine, and so is the number made of it.
            ("server-id", self.port.to_string()),
            ("lc-messages-dir", display(&root.join("share/mysql"))),
            ("character-sets-dir", display(&root.join("share/mysql/charsets"))),
            ("plugin-dir", display(&root.join("lib/mysql/plugin"))),
        ];
        for (name, value) in merged(defaults, &own, &self.settings) {
            command.arg(if name.starts_with("skip") {
                format!("--{name}")
            } else {
                format!("--{name}={value}")
            });
        }
        command
    }

    fn base_backup_of(&self, primary: &Self) {
        let mut command = dying_with_us(is_root());
        command
            .arg(self.flavour.program("pg_basebackup"))
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
                "-p",
            ])
            .arg(primary.port.to_string())
            .arg("-D")
            .arg(self.data())
            .current_dir("/");
        must_run(&mut command);
    }

    fn must(&self, database: &str, sql: &str) {
        if let Err(failure) = self.execute(database, sql) {
            panic!("{} refused {sql:?}: {failure}", self.flavour.name());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _best_effort = fs::remove_dir_all(&self.folder);
    }
}

/// The address of a server behind a proxy of ours, for the tool: a proxy must be able to read what
/// passes.
#[must_use]
pub fn url(flavour: Flavour, port: u16, database: &str) -> String {
    let url = bare_url(flavour, port, database);
    if flavour.is_postgres() { url } else { format!("{url}?ssl-mode=DISABLED") }
}

fn bare_url(flavour: Flavour, port: u16, database: &str) -> String {
    match flavour.is_postgres() {
        true => format!("postgres://postgres@127.0.0.1:{port}/{database}"),
        false => format!("mysql://root@127.0.0.1:{port}/{database}"),
    }
}

/// Whether a missing server is a failure and not a reason to skip.
pub fn servers_are_required() -> bool {
    env::var_os("ALTERGEIST_WITHOUT_SERVERS").is_none()
}

/// PgBouncer with these settings, whose file goes into `folder`. `None`, and a word about it, where
/// it isn't installed.
///
/// # Panics
/// When it is missing and servers are required, or cannot be started.
pub fn start_pooler(folder: &Path, settings: &str) -> Option<Child> {
    let program = cache_folder().join("pgbouncer/bin/pgbouncer");
    if !program.exists() {
        assert!(
            !servers_are_required(),
            "pgbouncer is missing: integration/install-servers pgbouncer"
        );
        println!("SKIP: pgbouncer is not installed (integration/install-servers pgbouncer)");
        return None;
    }
    let file = folder.join("settings");
    fs::write(&file, settings).expect("the temporary folder is writable");
    let mut command = dying_with_us(is_root());
    command.arg(program).arg("-q").arg(file).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if is_root() {
        must_run(Command::new("chown").arg("-R").arg(unprivileged_user()).arg(folder));
    }
    Some(spawn_for_life(command).expect("pgbouncer can be started"))
}

const POSTGRES_DEFAULTS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("wal_level", "logical"),
    ("max_connections", "150"),
    ("max_wal_senders", "20"),
    ("max_replication_slots", "20"),
    ("max_prepared_transactions", "10"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "4GB"),
    ("fsync", "off"),
    ("timezone", "UTC"),
];

const MYSQL_DEFAULTS: &[(&str, &str)] = &[
    ("bind-address", "127.0.0.1"),
    ("mysqlx", "OFF"),
    ("secure-file-priv", ""),
    ("log-bin", "binlog"),
    ("binlog-format", "ROW"),
    ("binlog-row-image", "FULL"),
    ("gtid-mode", "ON"),
    ("enforce-gtid-consistency", "ON"),
    ("sync-binlog", "0"),
    ("innodb-flush-log-at-trx-commit", "2"),
    ("innodb-buffer-pool-size", "512M"),
    ("innodb-redo-log-capacity", "512M"),
    ("relay-log", "relay"),
];

const MARIADB_DEFAULTS: &[(&str, &str)] = &[
    ("bind-address", "127.0.0.1"),
    ("log-bin", "binlog"),
    ("binlog-format", "ROW"),
    ("binlog-row-image", "FULL"),
    ("log-slave-updates", "ON"),
    ("sync-binlog", "0"),
    ("innodb-flush-log-at-trx-commit", "2"),
    ("innodb-buffer-pool-size", "512M"),
    ("innodb-log-file-size", "512M"),
    ("relay-log", "relay"),
];

/// Defaults, then what the server must have of its own, then the test's wishes: the last wins.
fn merged(
    defaults: &[(&str, &str)],
    own: &[(&str, String)],
    settings: &[(String, String)],
) -> impl Iterator<Item = (String, String)> {
    let defaults = defaults.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let own = own.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let all: Vec<_> = defaults.chain(own).chain(settings.iter().cloned()).collect();
    all.into_iter()
}

fn replication_from(source: &Server) -> String {
    let port = source.port;
    match source.flavour {
        Flavour::MySql97 => format!(
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {port}, \
             SOURCE_USER = 'root', SOURCE_AUTO_POSITION = 1, SOURCE_CONNECT_RETRY = 1, \
             GET_SOURCE_PUBLIC_KEY = 1; START REPLICA"
        ),
        _ => format!(
            "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {port}, MASTER_USER = \
             'root', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1; START SLAVE"
        ),
    }
}

/// A command that the kernel kills when we die, however we die; as another user when it must not
/// be root. `setpriv` becomes the program by exec, so its process is the program's.
fn dying_with_us(as_other_user: bool) -> Command {
    let mut command = Command::new("setpriv");
    if as_other_user {
        let user = unprivileged_user();
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={}", group_of(user)))
            .arg("--clear-groups");
    }
    command.args(["--pdeathsig", "KILL", "--"]);
    command
}

/// Starts a child from a thread that never ends: the kernel's promise to kill a child together
/// with its parent is about the thread that started it.
fn spawn_for_life(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let _asker_gone = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::channel();
    spawner.send((command, answer)).expect("the spawner never ends");
    child.recv().expect("the spawner answers every order")
}

const FOLDER_PREFIX: &str = "altergeist-server-";

/// A test that was killed could not clean up; the next one does.
fn delete_folders_of_dead_processes() {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(FOLDER_PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _best_effort = fs::remove_dir_all(entry.path());
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    must_run(Command::new("cp").args(["-R", "--reflink=auto"]).arg(from).arg(to));
    must_run(Command::new("chmod").arg("700").arg(to));
}

fn must_run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|e| panic!("{command:?} could not be started: {e}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A port that is this process's as long as the claim is kept, and through a server's restarts: no
/// server of a test beside it is started there, which would be taken for this one, and no outgoing
/// connection is given it (the kernel takes those from 32768 up). Servers use TCP alone, so the
/// same number's UDP port can be the claim; it is gone with the process, however that dies.
fn claim_a_free_port() -> (u16, UdpSocket) {
    const PORTS: Range<u16> = 12_000..32_000;
    static TURN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..count {
        // Processes begin far from one another, so that a port is not given again at once.
        let turn =
            std::process::id().wrapping_mul(97).wrapping_add(TURN.fetch_add(1, Ordering::Relaxed))
                % count;
        let port = PORTS.start + u16::try_from(turn).expect("it is less than the number of ports");
        let address = ("127.0.0.1", port);
        if let (Ok(claim), Ok(_)) = (UdpSocket::bind(address), TcpListener::bind(address)) {
            return (port, claim);
        }
    }
    panic!("no port in {PORTS:?} is free");
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| id(&["-u"]).is_some_and(|id| id == "0"))
}

fn unprivileged_user() -> &'static str {
    static USER: OnceLock<&str> = OnceLock::new();
    USER.get_or_init(|| if id(&["-u", "postgres"]).is_some() { "postgres" } else { "nobody" })
}

fn group_of(user: &str) -> String {
    id(&["-g", user]).expect("the user exists")
}

fn id(args: &[&str]) -> Option<String> {
    let output = Command::new("id").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
