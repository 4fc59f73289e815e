//! Passwords that change during a run, and passwords that are wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use altergeist_integration::altergeist_process::{command, must_become, start, widening};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Mix, Table, Writers};
use std::thread;
use std::time::{Duration, Instant};

every_server!(
    a_run_survives_passwords_that_change_while_its_sessions_are_killed,
    a_run_survives_a_password_that_changes_each_minute_for_five_minutes,
);

/// So many sessions a run has at least, while it waits for the order to swap.
const SESSIONS: usize = 4;

/// Characters that end a password in one form of connection string or another.
const ODD: &str = "a,b@c:d/e%f g?h#";

fn a_run_survives_passwords_that_change_while_its_sessions_are_killed(flavour: Flavour) {
    let access = Access::new();
    let settings = access.settings(flavour);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, to)| (*name, &**to)).collect();
    let Some(server) = Server::start(flavour, &settings) else { return };
    Table::load(&server.url(DATABASE), "orders", 2_000).unwrap();
    Table::load(&server.url(DATABASE), "other", 10).unwrap();
    create_user(&server, &password(0));
    access.write(&password(0), 0o600);
    let url = server.url(DATABASE).replace("postgres@", "ag@").replace("root@", "ag@");
    let file = ["--password-file", access.secret()];
    let more = [&file[..], &["--postpone-cut-over"]].concat();
    let mut running = start(&url, "orders", widening(flavour), &more);
    running.wait_until(|status| status["phase"] == "waiting");

    for nth in 1..=3 {
        // As rotations do it: the server knows the new password before the file does.
        set_password(&server, &password(nth));
        let killed = kill_sessions(&server);
        assert!(!killed.is_empty(), "there was nothing to kill");
        access.write(&password(nth), 0o600);
        must_become("the run has its sessions again", || {
            let new = sessions(&server).into_iter().filter(|session| !killed.contains(session));
            new.count() >= SESSIONS
        });
        running.wait_until(|status| status["phase"] == "waiting");
    }
    running.ask("cut-over");
    let ended = running.wait().must_be(0);
    assert!(!ended.output.contains("secret"), "{}", ended.output);

    // A wrong password is sent once: two would lock this account.
    if flavour == Flavour::MySql97 {
        let limit = "ALTER USER ag@'%' FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME 1";
        server.execute("", limit).unwrap();
    }
    let plan = |source: [&str; 2]| {
        let words = ["plan", "--url", &url, "--table", "other", "--alter", ""];
        command(&[&words[..], &source].concat())
    };
    access.write("secret-wrong", 0o600);
    let refused = plan(file).must_be(1);
    assert!(!refused.output.contains("secret"), "{}", refused.output);
    access.write(&password(3), 0o600);
    let show = format!("cat '{}'", access.secret());
    plan(["--password-command", &show]).must_be(0);
    access.write(&password(3), 0o644);
    plan(file).must_be(2).must_say(&["chmod 0600"]);
}

/// Rows are copied and written all the time, and sessions are killed every few seconds.
fn a_run_survives_a_password_that_changes_each_minute_for_five_minutes(flavour: Flavour) {
    const KILLS_EVERY: Duration = Duration::from_secs(5);
    let access = Access::new();
    let settings = access.settings(flavour);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, to)| (*name, &**to)).collect();
    let Some(server) = Server::start(flavour, &settings) else { return };
    let owner = server.url(DATABASE);
    let table = Table::load(&owner, "orders", 20_000).unwrap();
    create_user(&server, &password(0));
    access.write(&password(0), 0o600);
    let url = owner.replace("postgres@", "ag@").replace("root@", "ag@");
    let slowly = ["--chunk-rows", "20", "--workers", "1", "--nice", "30", "--chunk-time", "20ms"];
    let more = [&["--password-file", access.secret(), "--postpone-cut-over"][..], &slowly].concat();
    let mut running = start(&url, "orders", widening(flavour), &more);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(100));
    let writers = Writers::start(&owner, &table, 20, 2, 1, &Mix::everything());
    let mut kills = 0;
    for minute in 1..=5 {
        let begun = Instant::now();
        set_password(&server, &password(minute));
        kills += kill_sessions(&server).len();
        access.write(&password(minute), 0o600);
        while begun.elapsed() < Duration::from_secs(60) {
            thread::sleep(KILLS_EVERY);
            kills += kill_sessions(&server).len();
            assert!(running.is_running(), "it has ended:\n{}", running.output());
        }
        println!("minute {minute}: {kills} sessions were killed, {}", running.ask("sup"));
    }
    running.ask("nice=0");
    running.ask("chunk-rows=1000");
    running.ask("cut-over");
    let ended = running.wait().must_be(0);
    assert!(!ended.output.contains("secret"), "{}", ended.output);
    writers.stop().prove(&owner).unwrap();
}

fn password(nth: u32) -> String {
    format!("secret-{nth}-{ODD}")
}

/// The files of the test, in a folder that the server's own user can enter.
struct Access {
    folder: PathBuf,
    secret: String,
}

impl Access {
    fn new() -> Access {
        let folder = tempfile::tempdir().unwrap().keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let secret = folder.join("secret").display().to_string();
        Access { folder, secret }
    }

    fn secret(&self) -> &str {
        &self.secret
    }

    /// PostgreSQL asks only this user for a password.
    fn settings(&self, flavour: Flavour) -> Vec<(&'static str, String)> {
        if !flavour.is_postgres() {
            return Vec::new();
        }
        let path = self.folder.join("hba");
        let lines = "host all,replication ag 127.0.0.1/32 scram-sha-256\n\
                     host all,replication all 127.0.0.1/32 trust\nlocal all all trust\n";
        fs::write(&path, lines).unwrap();
        vec![("hba_file", path.display().to_string())]
    }

    /// Replaces the file at once, as a rotation does.
    fn write(&self, password: &str, mode: u32) {
        let new = self.folder.join("new");
        fs::write(&new, format!("{password}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(new, Path::new(&self.secret)).unwrap();
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn create_user(server: &Server, password: &str) {
    if server.flavour().is_postgres() {
        let create = format!("CREATE ROLE ag SUPERUSER LOGIN PASSWORD '{password}'");
        server.execute("postgres", &create).unwrap();
    } else {
        server.execute("", &format!("CREATE USER ag@'%' IDENTIFIED BY '{password}'")).unwrap();
        server.execute("", "GRANT ALL ON *.* TO ag@'%'").unwrap();
    }
}

fn set_password(server: &Server, password: &str) {
    match server.flavour().is_postgres() {
        true => server.execute("postgres", &format!("ALTER ROLE ag PASSWORD '{password}'")),
        false => server.execute("", &format!("ALTER USER ag@'%' IDENTIFIED BY '{password}'")),
    }
    .unwrap();
}

fn sessions(server: &Server) -> Vec<String> {
    let rows = match server.flavour().is_postgres() {
        true => {
            server.query("postgres", "SELECT pid::text FROM pg_stat_activity WHERE usename = 'ag'")
        }
        false => server.query(
            "",
            "SELECT CAST(ID AS CHAR) FROM information_schema.PROCESSLIST WHERE USER = 'ag'",
        ),
    };
    rows.unwrap().into_iter().flatten().flatten().collect()
}

fn kill_sessions(server: &Server) -> Vec<String> {
    let sessions = sessions(server);
    for session in &sessions {
        // A session may have ended by itself.
        let _ = match server.flavour().is_postgres() {
            true => server.query("postgres", &format!("SELECT pg_terminate_backend({session})")),
            false => server.execute("", &format!("KILL {session}")).map(|_| Vec::new()),
        };
    }
    sessions
}
