//! The failures that a DBA buys this tool to avoid, from postmortems of migrations. Each test first
//! shows the failure with a plain statement, and then that the tool prevents or finds it. What
//! other files show is listed in `docs/traps.md`.

use altergeist_integration::altergeist_process::{
    command, must_become, must_stay, run, start, start_backfill, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::Table;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

every_server!(
    a_lock_storm,
    replicas_that_lag_behind_the_swap,
    two_pods_that_start_the_same_backfill,
    not_null_on_production_and_exact_counts,
);

fn execute(server: &Server, statement: &str) {
    server.execute(DATABASE, statement).unwrap_or_else(|failure| panic!("{statement}: {failure}"));
}

fn value(server: &Server, query: &str) -> String {
    let rows = server.query(DATABASE, query).unwrap_or_else(|failure| panic!("{query}: {failure}"));
    rows.first().and_then(|row| row[0].clone()).unwrap_or_default()
}

/// Waits for a lock no longer than some seconds.
fn patience(flavour: Flavour, seconds: u32) -> String {
    match flavour.is_postgres() {
        true => format!("SET lock_timeout = '{seconds}s'"),
        false => format!("SET lock_wait_timeout = {seconds}"),
    }
}

/// Sessions that wait for a lock of a table.
fn waiting(flavour: Flavour) -> &'static str {
    match flavour.is_postgres() {
        true => "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        false => {
            "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table \
             metadata lock%'"
        }
    }
}

/// ALTER waits behind an old reader, and everybody else waits behind ALTER. A run gives the lock up
/// each time, so that the application goes on.
fn a_lock_storm(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let plan = ["plan", "--url", &url, "--table", "orders", "--alter", widening(flavour)];
    command(&plan).must_be(0).must_say(&["lock: ", "exclusive"]);
    let query = "SELECT count(*) FROM orders";
    block_on(async {
        let mut reader = Session::connect(&url).await.unwrap();
        reader.execute("BEGIN").await.unwrap();
        reader.rows(query).await.unwrap();

        let alter = format!("ALTER TABLE orders {}", widening(flavour));
        thread::scope(|scope| {
            let plain = scope.spawn(|| server.execute(DATABASE, &alter));
            must_become("ALTER waits", || !value(&server, waiting(flavour)).is_empty());
            let blocked = block_on(async {
                let mut application = Session::connect(&url).await.unwrap();
                application.execute(&patience(flavour, 1)).await.unwrap();
                application.rows(query).await
            });
            let code = if flavour.is_postgres() { "55P03" } else { "1205" };
            assert_eq!(blocked.expect_err("the plain statement blocks readers").code, code);
            let id = value(&server, waiting(flavour));
            let end = match flavour.is_postgres() {
                true => format!("SELECT pg_terminate_backend({id})"),
                false => format!("KILL {id}"),
            };
            execute(&server, &end);
            plain.join().unwrap().expect_err("its session was ended");
        });

        let quick = ["--lock-timeout", "500ms", "--strategy", "copy"];
        let mut running = start(&url, "orders", widening(flavour), &quick);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            // Longer than any wait that the run may cause, and far shorter than the reader's.
            let application = scope.spawn(|| {
                block_on(async {
                    let mut application = Session::connect(&url).await.unwrap();
                    application.execute(&patience(flavour, 5)).await.unwrap();
                    while !is_over.load(Ordering::SeqCst) {
                        application.rows(query).await.expect("the application goes on");
                    }
                });
            });
            let status = running.wait_until(|status| status["lock_attempts"].as_u64() >= Some(3));
            is_over.store(true, Ordering::SeqCst);
            application.join().unwrap();
            assert!(status["last_error"].is_string(), "{status}");
        });
        reader.execute("COMMIT").await.unwrap();
        running.wait().must_be(0);
    });
}

/// A statement is over on the primary, and the replicas do not know it yet: what reads there is
/// stale, or fails. A run waits with the swap.
fn replicas_that_lag_behind_the_swap(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    let url = primary.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    execute(&primary, "CREATE TABLE plain (id int PRIMARY KEY)");
    let replica = primary.start_replica();
    must_become("the replica is there", || replica.query(DATABASE, "SELECT 1 FROM plain").is_ok());
    let replica_url = replica.url(DATABASE);
    let watched = ["--replica", &replica_url, "--max-lag", "1s", "--postpone-cut-over"];
    let mut running = start(&url, "orders", widening(flavour), &watched);
    running.wait_until(|status| {
        status["phase"] == "waiting" && gate(status).is_some_and(|gate| gate["open"] == true)
    });
    replica.pause_replay();
    execute(&primary, "ALTER TABLE plain ADD COLUMN extra int");
    replica.query(DATABASE, "SELECT extra FROM plain").expect_err("the replica is behind");

    running.wait_until(|status| gate(status).is_some_and(|gate| gate["open"] == false));
    running.ask("cut-over");
    let status = running.wait_until(|status| {
        let reason = status["waiting_for"].as_str().unwrap_or_default();
        reason.starts_with("gate replicas: replica-lag ")
    });
    let reason = gate(&status).and_then(|gate| gate["reason"].as_str()).unwrap_or_default();
    assert!(reason.contains(&replica.port().to_string()), "{status}");
    assert!(running.ask("status").contains("gate       replicas is closed: replica-lag"));
    must_stay("it waits for the replica", || running.status()["phase"] == "waiting");
    match flavour {
        // By name the operator may give up on a replica.
        Flavour::MySql97 => {
            running.ask("overrule replicas");
            running.wait().must_be(0);
            replica.resume_replay();
        }
        _ => {
            replica.resume_replay();
            running.wait().must_be(0);
        }
    }
}

fn gate(status: &Value) -> Option<&Value> {
    status["gates"].as_array()?.iter().find(|gate| gate["name"] == "replicas")
}

/// An UPDATE that two pods run is done twice. A backfill is done once.
fn two_pods_that_start_the_same_backfill(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    for statement in [
        "CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL)",
        "CREATE TABLE tool (id int PRIMARY KEY, n int NOT NULL)",
        "INSERT INTO plain VALUES (1, 0), (2, 0)",
        "INSERT INTO tool VALUES (1, 0), (2, 0)",
    ] {
        execute(&server, statement);
    }
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| execute(&server, "UPDATE plain SET n = n + 1"));
        }
    });
    assert_eq!(value(&server, "SELECT max(n) FROM plain"), "2", "it was done twice");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throttle");
    std::fs::write(&file, "").unwrap();
    let update = ["--set", "n = n + 1", "--all-rows"];
    let throttled = [&update[..], &["--throttle-file", file.to_str().unwrap()]].concat();
    let mut first = start_backfill(&url, "tool", &throttled);
    first.wait_until(|status| !status["throttle_reason"].is_null());
    start_backfill(&url, "tool", &update).wait().must_be(6);
    std::fs::remove_file(&file).unwrap();
    first.wait().must_be(0);
    start_backfill(&url, "tool", &update).wait().must_be(0).must_say(&["already done"]);
    assert_eq!(value(&server, "SELECT max(n) FROM tool"), "1");
    assert_eq!(value(&server, "SELECT min(n) FROM tool"), "1");
}

fn widening_n(flavour: Flavour) -> &'static str {
    if flavour.is_postgres() { "ALTER COLUMN n TYPE bigint" } else { "MODIFY COLUMN n bigint" }
}

/// NOT NULL works on the small table of staging. On production it fails after it has locked and
/// read the table. The plan counts the rows in the way; with `--thorough` it counts all of them.
fn not_null_on_production_and_exact_counts(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    for table in ["staging", "production"] {
        execute(&server, &format!("CREATE TABLE {table} (id int PRIMARY KEY, n int, parent int)"));
    }
    execute(&server, "CREATE TABLE parents (id int PRIMARY KEY)");
    execute(&server, "INSERT INTO staging VALUES (1, 1, NULL)");
    let rows: Vec<String> = (1..=12_000).map(|id| format!("({id}, NULL, {id})")).collect();
    execute(&server, &format!("INSERT INTO production VALUES {}", rows.join(", ")));
    let not_null = match flavour.is_postgres() {
        true => "ALTER COLUMN n SET NOT NULL",
        false => "MODIFY COLUMN n int NOT NULL",
    };
    execute(&server, &format!("ALTER TABLE staging {not_null}"));
    let plain = server.execute(DATABASE, &format!("ALTER TABLE production {not_null}"));
    plain.expect_err("production has rows that staging has not");

    let plan = |alter: &str, more: &[&str]| {
        let words = ["plan", "--url", &url, "--table", "production", "--alter", alter];
        command(&[&words[..], &["--strategy", "copy"], more].concat())
    };
    plan(not_null, &[]).must_be(3).must_say(&[
        "[null-values]",
        "cost       the plan took ",
        "60 s",
    ]);
    run(&url, "production", not_null, &["--strategy", "copy"]).must_be(3);
    let many = match flavour.is_postgres() {
        true => not_null,
        false => "ADD CONSTRAINT of_parent FOREIGN KEY (parent) REFERENCES parents (id)",
    };
    plan(many, &[]).must_be(3).must_say(&["at least 10"]);
    let exact = if flavour.is_postgres() { "12,000 rows hold NULL" } else { "12000 rows refer" };
    let thorough = plan(many, &["--thorough"]).must_be(3);
    assert!(!thorough.output.contains("at least"), "{}", thorough.output);
    thorough.must_say(&[exact, "takes as long as it needs"]);
    for (free, says) in [("echo 1KB", "1KB are free"), ("echo much", "not a number of bytes")] {
        let said = plan(widening_n(flavour), &["--free-disk", free, "--fail-on", "warning"]);
        said.must_be(3).must_say(&[says, "[disk-space]"]);
    }
    let json = plan(not_null, &["--json"]).must_be(3).output;
    let line = json.lines().find(|line| line.trim_start().starts_with('{')).unwrap_or_default();
    assert!(line.contains("\"question_limit_seconds\":60"), "{json}");
}

/// A pipeline's time is over while the server builds an index. The plain statement leaves an index
/// that is not valid: every write keeps it current, and no query uses it. A run leaves none.
#[test]
fn postgres18_a_timeout_within_the_build_of_an_index() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else { return };
    let url = server.url(DATABASE);
    execute(&server, "CREATE TABLE t (id int PRIMARY KEY, n int)");
    execute(&server, "INSERT INTO t SELECT i, i FROM generate_series(1, 500) i");
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    block_on(async {
        // The build waits for everybody who may still see the table without the index.
        let mut reader = Session::connect(&url).await.unwrap();
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        reader.rows("SELECT count(*) FROM pg_class").await.unwrap();
        thread::scope(|scope| {
            let statement = "CREATE UNIQUE INDEX CONCURRENTLY plain ON t (n)";
            let plain = scope.spawn(|| server.execute(DATABASE, statement));
            must_become("it waits", || !value(&server, waiting(Flavour::Postgres18)).is_empty());
            let id = value(&server, waiting(Flavour::Postgres18));
            execute(&server, &format!("SELECT pg_terminate_backend({id})"));
            plain.join().unwrap().expect_err("its session was ended");
        });
        assert_eq!(value(&server, invalid), "1", "the plain statement leaves its index");
        execute(&server, "DROP INDEX plain");

        let late = ["--deadline", "3s"];
        run(&url, "t", "ADD UNIQUE (n)", &late).must_be(5).must_say(&["deadline"]);
        assert_eq!(value(&server, invalid), "0");
        reader.execute("COMMIT").await.unwrap();
    });
    run(&url, "t", "ADD UNIQUE (n)", &[]).must_be(0).must_say(&["natively"]);
    assert_eq!(value(&server, invalid), "0");
}
