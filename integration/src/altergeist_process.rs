//! The real binary, run as a person would run it, and what is on the server before and after.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::servers::{DATABASE, Flavour, Server};

/// No run of a test may take longer than this.
pub const LIMIT: Duration = Duration::from_secs(180);

/// A change that every server has to copy the table for, in its own words.
pub fn widening(flavour: Flavour) -> &'static str {
    match flavour.is_postgres() {
        true => "ALTER COLUMN k TYPE bigint, ADD COLUMN note text NOT NULL DEFAULT 'new'",
        false => {
            "MODIFY COLUMN k bigint NOT NULL, ADD COLUMN note varchar(40) NOT NULL DEFAULT 'new'"
        }
    }
}

/// `altergeist run` that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// All it said.
    pub output: String,
}

impl Ended {
    /// Asserts the exit code.
    ///
    /// # Panics
    /// When it is another; with all that was said.
    pub fn must_be(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "it said:\n{}", self.output);
        self
    }

    /// Asserts that it said all of `words`.
    ///
    /// # Panics
    /// When one is missing.
    pub fn must_say(self, words: &[&str]) -> Self {
        let said = self.output.to_lowercase();
        for word in words {
            assert!(
                said.contains(&word.to_lowercase()),
                "{word:?} is missing in:\n{}",
                self.output
            );
        }
        self
    }
}

/// `altergeist run` that goes on. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    folder: TempDir,
}

/// Starts `altergeist run` with a socket of its own and whatever `more` says.
///
/// # Panics
/// When it cannot be built or started.
pub fn start(url: &str, table: &str, alter: &str, more: &[&str]) -> Running {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let socket = folder.path().join("socket");
    let mut command = Command::new(binary());
    command.args(["run", "--url", url, "--table", table, "--alter", alter, "--progress", "plain"]);
    command.arg("--socket").arg(socket).args(more);
    Running { child: spawn(command, &folder.path().join("output")), folder }
}

/// Starts `altergeist backfill` with a socket of its own.
///
/// # Panics
/// When it cannot be built or started.
pub fn start_backfill(url: &str, table: &str, more: &[&str]) -> Running {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let socket = folder.path().join("socket");
    let mut command = Command::new(binary());
    command.args(["backfill", "--url", url, "--table", table, "--progress", "plain"]);
    command.arg("--socket").arg(socket).args(more);
    Running { child: spawn(command, &folder.path().join("output")), folder }
}

/// Starts `altergeist revert` with a socket of its own.
///
/// # Panics
/// When it cannot be built or started.
pub fn start_revert(url: &str, table: &str, more: &[&str]) -> Running {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let socket = folder.path().join("socket");
    let mut command = Command::new(binary());
    command.args(["revert", "--url", url, "--table", table, "--progress", "plain"]);
    command.arg("--socket").arg(socket).args(more);
    Running { child: spawn(command, &folder.path().join("output")), folder }
}

/// [`start`], to its end.
///
/// # Panics
/// When it does not end.
pub fn run(url: &str, table: &str, alter: &str, more: &[&str]) -> Ended {
    start(url, table, alter, more).wait()
}

/// Any other command on a table. What a plan says stands on one line each, as if no terminal were
/// too narrow.
///
/// # Panics
/// When it does not end.
pub fn command(words: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut command = Command::new(binary());
    command.args(words);
    let ended = Running { child: spawn(command, &folder.path().join("output")), folder }.wait();
    if words.first() == Some(&"plan") {
        return Ended { output: unwrapped(&ended.output), ..ended };
    }
    ended
}

/// Joins the lines that continue an entry of a plan.
fn unwrapped(plan: &str) -> String {
    let mut text = String::new();
    for line in plan.lines() {
        let continued = line.strip_prefix("           ").map(str::trim_start);
        match continued.filter(|rest| !rest.starts_with('→')) {
            Some(rest) => {
                text.push(' ');
                text.push_str(rest);
            }
            None => {
                text.push('\n');
                text.push_str(line);
            }
        }
    }
    text
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has said until now.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// Whether it still goes on.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked about").is_none()
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Ended {
        let _already_gone = self.child.kill();
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When there is none within [`LIMIT`].
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked about") {
                return Ended { code: status.code(), output: self.output() };
            }
            assert!(
                Instant::now() < deadline,
                "it goes on after {LIMIT:?}; it said:\n{}",
                self.output()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Where it listens for orders.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Sends one order and returns the answer.
    ///
    /// # Panics
    /// When nobody listens, for as long as a start may take.
    pub fn ask(&mut self, order: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(answer) = ask(&self.socket(), order) {
                return answer;
            }
            assert!(self.is_running(), "it has ended; it said:\n{}", self.output());
            assert!(
                Instant::now() < deadline,
                "nobody answers {order:?}; it said:\n{}",
                self.output()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its status, as scripts read it.
    ///
    /// # Panics
    /// When the answer is no JSON.
    pub fn status(&mut self) -> serde_json::Value {
        let answer = self.ask("status --json");
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("no JSON ({e}): {answer}"))
    }

    /// Asks for the status until `wanted` is true of it.
    ///
    /// # Panics
    /// When that takes longer than [`LIMIT`].
    pub fn wait_until(&mut self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "it is still {status}; it said:\n{}", self.output());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Running {
    /// [`Running::wait_until`], for a run that may end before.
    ///
    /// # Errors
    /// How it ended, when it did.
    ///
    /// # Panics
    /// When neither happens within [`LIMIT`].
    pub fn wait_until_or_end(
        &mut self,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value, Ended> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be asked about") {
                return Err(Ended { code: status.code(), output: self.output() });
            }
            let answer = ask(&self.socket(), "status --json").unwrap_or_default();
            match serde_json::from_str(&answer) {
                Ok(status) if wanted(&status) => return Ok(status),
                _ => thread::sleep(Duration::from_millis(5)),
            }
            assert!(
                Instant::now() < deadline,
                "it goes on after {LIMIT:?}; it said:\n{}",
                self.output()
            );
        }
    }
}

/// Waits until something is so.
///
/// # Panics
/// When it is not so within [`LIMIT`]; it says `what` should have become so.
pub fn must_become(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not become so: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Watches for a second that something does not happen. Absence has no condition to wait for, so
/// time must do.
///
/// # Panics
/// When `is_so` is not true at some moment; it says `what` should have stayed.
pub fn must_stay(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        assert!(is_so(), "it did not stay so: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub(crate) fn ask(socket: &Path, order: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    writeln!(stream, "{order}")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn spawn(mut command: Command, output: &Path) -> Child {
    let output = File::create(output).expect("the temporary folder is writable");
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a file can be shared"))
        .stderr(output);
    command.spawn().unwrap_or_else(|e| panic!("{command:?} could not be started: {e}"))
}

/// The binary, built once, in the profile of the test itself.
///
/// # Panics
/// When it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let own = std::env::current_exe().expect("a test knows where it is");
        let profile = own.ancestors().nth(2).expect("tests are in <target>/<profile>/deps");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Of the whole workspace, as the tests are: with other features everything would be
        // compiled once more.
        build.args(["build", "--quiet", "--workspace", "--bin", "altergeist"]);
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // What a test is told by the cargo that runs it would make dependencies look changed, and
        // they would be compiled once more.
        let told = std::env::vars_os().map(|(name, _)| name);
        for name in told.filter(|name| is_told_by_cargo(&name.to_string_lossy())) {
            build.env_remove(name);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().is_ok_and(|status| status.success()), "altergeist does not build");
        profile.join("altergeist")
    })
}

/// Whether cargo tells a test about its own package in this variable.
fn is_told_by_cargo(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_"]
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

/// Everything on the server that somebody made: schemas, tables, slots, publications.
///
/// # Panics
/// When the server does not answer.
pub fn inventory(server: &Server) -> BTreeSet<String> {
    let sql = if server.flavour().is_postgres() {
        "SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ \
         '^(pg_|information_schema|public$)' UNION ALL SELECT 'relation ' || \
         relnamespace::regnamespace || '.' || relname FROM pg_class WHERE \
         relnamespace::regnamespace::text !~ '^(pg_|information_schema)' AND relkind IN ('r', 'p', \
         'v', 'm', 'S') UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots UNION ALL \
         SELECT 'publication ' || pubname FROM pg_publication UNION ALL SELECT 'trigger ' || \
         tgname FROM pg_trigger WHERE NOT tgisinternal"
    } else {
        "SELECT CONCAT('relation ', table_schema, '.', table_name) FROM information_schema.tables \
         WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
         UNION ALL SELECT CONCAT('trigger ', trigger_name) FROM information_schema.triggers WHERE \
         trigger_schema <> 'sys'"
    };
    server
        .query(DATABASE, sql)
        .expect("the catalogue can be read")
        .into_iter()
        .flatten()
        .flatten()
        .collect()
}

/// What `now` holds that `before` did not, but for the journal.
pub fn left_behind(before: &BTreeSet<String>, now: &BTreeSet<String>) -> Vec<String> {
    let is_journal = |name: &String| {
        let name = name.split_once(' ').map_or("", |(_, name)| name);
        name == "altergeist" || name.starts_with("altergeist.") || name.contains("._altergeist")
    };
    now.difference(before).filter(|name| !is_journal(name)).cloned().collect()
}

/// What a finished change leaves on purpose: the old table of `table`.
pub fn old_table(flavour: Flavour, table: &str) -> Vec<String> {
    match flavour.is_postgres() {
        true => vec![format!("relation ag_old_public.{table}"), "schema ag_old_public".into()],
        false => vec![format!("relation {DATABASE}._{table}_ag_old")],
    }
}

/// The name SQL knows the old table of `table` by.
pub fn old_name(flavour: Flavour, table: &str) -> String {
    match flavour.is_postgres() {
        true => format!("ag_old_public.{table}"),
        false => format!("_{table}_ag_old"),
    }
}

/// The columns and indexes of `table`, one line each.
///
/// # Panics
/// When the server does not answer.
pub fn structure(server: &Server, table: &str) -> BTreeSet<String> {
    let (schema, indexes) = if server.flavour().is_postgres() {
        (
            "public",
            format!(
                "SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND \
                 tablename = '{table}'"
            ),
        )
    } else {
        (
            DATABASE,
            format!(
                "SELECT CONCAT('index ', index_name, ' ', non_unique, ' ', seq_in_index, ' ', \
                 column_name) FROM information_schema.statistics WHERE table_schema = '{DATABASE}' \
                 AND table_name = '{table}'"
            ),
        )
    };
    let columns = format!(
        "SELECT concat('column ', column_name, ' ', data_type, ' ', is_nullable) FROM \
         information_schema.columns WHERE table_schema = '{schema}' AND table_name = '{table}'"
    );
    let rows = [columns, indexes]
        .map(|sql| server.query(DATABASE, &sql).expect("the catalogue can be read"));
    rows.into_iter().flatten().flatten().flatten().collect()
}

/// One test for every kind of server: `every_server!(a_sentence)` for `fn a_sentence(Flavour)`.
#[macro_export]
macro_rules! every_server {
    ($($sentence:ident),* $(,)?) => {
        $(mod $sentence {
            use $crate::servers::Flavour;

            #[test]
            #[ignore = "as on postgres18; make long and make versions run it"]
            fn postgres15() {
                super::$sentence(Flavour::Postgres15);
            }

            #[test]
            fn postgres18() {
                super::$sentence(Flavour::Postgres18);
            }

            #[test]
            fn mysql() {
                super::$sentence(Flavour::MySql97);
            }

            #[test]
            fn mariadb() {
                super::$sentence(Flavour::MariaDb1011);
            }
        })*
    };
}

/// One test for each PostgreSQL: `every_postgres!(a_sentence)` for `fn a_sentence(Flavour)`.
#[macro_export]
macro_rules! every_postgres {
    ($($sentence:ident),* $(,)?) => {
        $(mod $sentence {
            use $crate::servers::Flavour;

            #[test]
            #[ignore = "as on postgres18; make long and make versions run it"]
            fn postgres15() {
                super::$sentence(Flavour::Postgres15);
            }

            #[test]
            fn postgres18() {
                super::$sentence(Flavour::Postgres18);
            }
        })*
    };
}
