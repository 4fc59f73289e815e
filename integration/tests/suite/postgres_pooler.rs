//! A pooler that lends its sessions for one transaction is refused before anything is set on one of
//! them; one that keeps them for their client is as good as the server.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{command, run};
use altergeist_integration::servers::{DATABASE, Flavour, Server, start_pooler};
use altergeist_integration::session::{Session, block_on};
use tempfile::TempDir;

const ALTER: &str = "ALTER COLUMN n TYPE bigint";

/// PgBouncer before a server, with as many sessions as it is given.
struct Pooler {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    fn start(server: &Server, mode: &str, sessions: u32) -> Option<Pooler> {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "[databases]\n{DATABASE} = host=127.0.0.1 port={} \
             user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type \
             = any\npool_mode = {mode}\ndefault_pool_size = {sessions}\nunix_socket_dir =\n",
            server.port()
        );
        let child = start_pooler(folder.path(), &settings)?;
        let pooler = Pooler { child, port, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while pooler.ask("SELECT '1'").is_none() {
            assert!(Instant::now() < deadline, "the pooler does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Some(pooler)
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{DATABASE}", self.port)
    }

    fn ask(&self, query: &str) -> Option<String> {
        let (url, query) = (self.url(), query.to_owned());
        block_on(async move { Session::connect(&url).await.ok()?.value(&query).await.ok()? })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[test]
fn a_pooler_that_lends_its_sessions_is_refused_and_nothing_stays_on_them() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else { return };
    server
        .execute(
            DATABASE,
            "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)",
        )
        .unwrap();
    for (mode, sessions) in [("transaction", 20), ("transaction", 1), ("statement", 20)] {
        let Some(pooler) = Pooler::start(&server, mode, sessions) else { return };
        let before = pooler.ask("SHOW search_path");
        for _ in 0..3 {
            command(&["plan", "--url", &pooler.url(), "--table", "t", "--alter", ALTER])
                .must_be(3)
                .must_say(&["pooler", "own address"]);
        }
        run(&pooler.url(), "t", ALTER, &[]).must_be(3).must_say(&["pooler"]);
        command(&["cleanup", "--url", &pooler.url(), "--table", "t"])
            .must_be(3)
            .must_say(&["pooler"]);
        assert_eq!(pooler.ask("SHOW search_path"), before, "{mode} {sessions}");
        assert_eq!(pooler.ask("SELECT count(*)::text FROM t").as_deref(), Some("1"));
        assert_eq!(
            pooler
                .ask("SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory'")
                .as_deref(),
            Some("0")
        );
    }
}

#[test]
fn a_pooler_that_keeps_a_session_for_its_client_is_as_good_as_the_server() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else { return };
    server
        .execute(
            DATABASE,
            "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)",
        )
        .unwrap();
    let Some(pooler) = Pooler::start(&server, "session", 40) else { return };
    run(&pooler.url(), "t", ALTER, &["--strategy", "copy"]).must_be(0);
    command(&["cleanup", "--url", &pooler.url(), "--table", "t", "--drop-old"]).must_be(0);
}

#[test]
fn a_pool_with_too_few_sessions_is_refused_by_name() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else { return };
    server
        .execute(
            DATABASE,
            "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 1)",
        )
        .unwrap();
    for sessions in [2, 3, 8] {
        let Some(pooler) = Pooler::start(&server, "session", sessions) else { return };
        let words = [&*format!("its pool has {sessions} sessions"), "default_pool_size"];
        let url = pooler.url();
        command(&["plan", "--url", &url, "--table", "t", "--alter", ALTER])
            .must_be(3)
            .must_say(&words);
        run(&url, "t", ALTER, &["--strategy", "copy", "--workers", "1"])
            .must_be(3)
            .must_say(&words);
    }
    let Some(pooler) = Pooler::start(&server, "session", 9) else { return };
    run(&pooler.url(), "t", ALTER, &["--strategy", "copy", "--workers", "1"]).must_be(0);
}
