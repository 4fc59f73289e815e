//! Law 1 on real servers: a transaction that is in the log and cannot be seen yet.
//!
//! Servers hand a commit to log readers before it becomes visible: for as long as a synchronous
//! standby (PostgreSQL) or a semi-synchronous replica (MySQL, MariaDB) does not answer. A tool that
//! reads the rows in that time loses them. Here nobody answers until the test says so.

use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{LIMIT, must_stay, old_name, start, widening};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Failure, Session, block_on};
use altergeist_integration::workload::{COLUMNS, Table, differences};

every_server!(
    a_stalled_commit_cannot_be_seen_until_it_is_released,
    rows_whose_commit_stalls_during_the_copy_are_neither_lost_nor_stale,
    rows_whose_commit_stalls_when_the_run_begins_are_neither_lost_nor_stale,
);

const ROWS: u64 = 5_000;

/// One row at the beginning, in the middle and at the end of the table changed, one of each
/// deleted, and one inserted beside each.
fn stalling_writes() -> [String; 9] {
    let at = [100, 25_000, 49_000];
    let [update, delete, insert] = [
        at.map(|id| format!("UPDATE orders SET c = 'stalled' WHERE id = {id}")),
        at.map(|id| format!("DELETE FROM orders WHERE id = {}", id + 10)),
        at.map(|id| {
            format!(
                "INSERT INTO orders (id, k, u, c, pad) VALUES ({}, 1, {}, 'stalled', '')",
                id + 5,
                -id
            )
        }),
    ];
    let [a, b, c] = update;
    let [d, e, f] = delete;
    let [g, h, i] = insert;
    [a, b, c, d, e, f, g, h, i]
}

fn rows_whose_commit_stalls_during_the_copy_are_neither_lost_nor_stale(flavour: Flavour) {
    let Some(server) = server_that_can_stall(flavour) else {
        return;
    };
    stalls_during_the_copy(&server, &[]);
}

/// A standby that is sent the log does not know what can be seen on its primary.
#[test]
fn postgres18_rows_whose_commit_stalls_are_neither_lost_nor_stale_when_a_standby_tells_of_them() {
    let Some(server) = server_that_can_stall(Flavour::Postgres18) else {
        return;
    };
    let standby = server.start_replica();
    stalls_during_the_copy(&server, &["--stream-from", &standby.url(DATABASE)]);
}

fn stalls_during_the_copy(server: &Server, more: &[&str]) {
    let url = server.url(DATABASE);
    let flags = [&["--chunk-rows", "50", "--workers", "1", "--nice", "3"], more].concat();
    let mut running = start(&url, "orders", widening(server.flavour()), &flags);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(500));
    running.ask("throttle");
    assert!(
        running.status()["rows_copied"].as_u64() < Some(ROWS),
        "it was too fast to be stopped half-way"
    );

    let stalled = stall(server);
    running.ask("no-throttle");
    // Time enough to read the log, to look at the rows, and to do the wrong thing.
    must_stay("the commits stall", || stalled.iter().all(|commit| !commit.is_finished()));
    release(server);
    finish(stalled);
    let ended = running.wait();

    ended.must_be(0);
    the_writes_are_there(server);
}

fn rows_whose_commit_stalls_when_the_run_begins_are_neither_lost_nor_stale(flavour: Flavour) {
    let Some(server) = server_that_can_stall(flavour) else {
        return;
    };
    let url = server.url(DATABASE);
    let stalled = stall(&server);
    let running = start(
        &url,
        "orders",
        widening(flavour),
        &["--chunk-rows", "50", "--workers", "1", "--nice", "3"],
    );
    must_stay("the commits stall", || stalled.iter().all(|commit| !commit.is_finished()));
    release(&server);
    finish(stalled);
    running.wait().must_be(0);
    the_writes_are_there(&server);
}

/// What the other tests stand on.
fn a_stalled_commit_cannot_be_seen_until_it_is_released(flavour: Flavour) {
    let Some(server) = server_that_can_stall(flavour) else {
        return;
    };
    let seen =
        || server.query(DATABASE, "SELECT id FROM orders WHERE c = 'stalled'").unwrap().len();
    let stalled = stall(&server);
    must_stay("the commits stall, unseen", || {
        stalled.iter().all(|commit| !commit.is_finished()) && seen() == 0
    });
    release(&server);
    finish(stalled);
    assert_eq!(seen(), 6);
}

fn the_writes_are_there(server: &Server) {
    let url = server.url(DATABASE);
    let rows = |condition: &str| {
        let rows = server
            .query(DATABASE, &format!("SELECT count(*) FROM orders WHERE {condition}"))
            .unwrap();
        rows[0][0].clone().unwrap()
    };
    assert_eq!(rows("c = 'stalled' AND id IN (100, 25000, 49000)"), "3", "updated rows");
    assert_eq!(rows("id IN (110, 25010, 49010)"), "0", "deleted rows");
    assert_eq!(rows("c = 'stalled' AND id IN (105, 25005, 49005)"), "3", "inserted rows");
    assert_eq!(rows("1 = 1"), ROWS.to_string(), "all rows");
    let old = old_name(server.flavour(), "orders");
    assert_eq!(differences(&url, &old, "orders", &COLUMNS).unwrap(), 0);
}

/// A server with the table, whose commits can be made to stall; not yet.
fn server_that_can_stall(flavour: Flavour) -> Option<Server> {
    let server = match flavour {
        // Everybody but the sessions of `stall` is content with the local log.
        Flavour::Postgres15 | Flavour::Postgres18 => Server::start(
            flavour,
            &[("synchronous_commit", "local"), ("hot_standby_feedback", "on")],
        )?,
        Flavour::MySql97 => {
            let server = Server::start(flavour, &[])?;
            server
                .execute(
                    DATABASE,
                    "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
                )
                .unwrap();
            server.execute(DATABASE, "SET GLOBAL rpl_semi_sync_source_timeout = 3600000").unwrap();
            server
        }
        Flavour::MariaDb1011 => Server::start(
            flavour,
            &[
                ("rpl-semi-sync-master-timeout", "3600000"),
                ("rpl-semi-sync-master-wait-point", "AFTER_SYNC"),
            ],
        )?,
    };
    Table::load(&server.url(DATABASE), "orders", ROWS).unwrap();
    Some(server)
}

type Stalled = Vec<thread::JoinHandle<Result<(), Failure>>>;

/// Sends the writes, each from a session of its own; returns once all of them wait.
fn stall(server: &Server) -> Stalled {
    nobody_answers(server, true);
    let stalled = stalling_writes().map(|sql| {
        let url = server.url(DATABASE);
        let postgres = server.flavour().is_postgres();
        thread::spawn(move || {
            block_on(async {
                let mut session = Session::connect(&url).await?;
                if postgres {
                    session.execute("SET synchronous_commit = on").await?;
                }
                let changed = session.execute(&sql).await?;
                assert_eq!(changed, 1, "{sql}");
                Ok(())
            })
        })
    });
    let deadline = Instant::now() + LIMIT;
    while waiting(server) < stalled.len() as u64 {
        assert!(Instant::now() < deadline, "{} of the commits wait", waiting(server));
        thread::sleep(Duration::from_millis(20));
    }
    stalled.into()
}

/// How many sessions are in the middle of one of the writes. (MySQL's commits wait one behind the
/// other: the first for the replica, the rest for the first.)
fn waiting(server: &Server) -> u64 {
    let sql = match server.flavour() {
        Flavour::Postgres15 | Flavour::Postgres18 => {
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        }
        _ => {
            "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query' AND id \
             <> connection_id() AND (info LIKE 'UPDATE orders%' OR info LIKE 'DELETE FROM orders%' \
             OR info LIKE 'INSERT INTO orders%')"
        }
    };
    server.query(DATABASE, sql).unwrap()[0][0]
        .as_deref()
        .and_then(|count| count.parse().ok())
        .unwrap_or_default()
}

/// Lets every commit go on.
fn release(server: &Server) {
    nobody_answers(server, false);
}

fn nobody_answers(server: &Server, yes: bool) {
    let on = if yes { "ON" } else { "OFF" };
    let (set, then) = match server.flavour() {
        Flavour::Postgres15 | Flavour::Postgres18 => {
            let standby = if yes { "nobody" } else { "" };
            (
                format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'"),
                Some("SELECT pg_reload_conf()"),
            )
        }
        Flavour::MySql97 => (format!("SET GLOBAL rpl_semi_sync_source_enabled = {on}"), None),
        Flavour::MariaDb1011 => (format!("SET GLOBAL rpl_semi_sync_master_enabled = {on}"), None),
    };
    for sql in [Some(set.as_str()), then].into_iter().flatten() {
        server.execute(DATABASE, sql).unwrap();
    }
    // PostgreSQL's processes read the new setting when they come to it; the checkpointer's word
    // counts.
    thread::sleep(Duration::from_millis(500));
}

fn finish(stalled: Stalled) {
    let deadline = Instant::now() + LIMIT;
    for commit in stalled {
        while !commit.is_finished() {
            assert!(Instant::now() < deadline, "a commit was released and does not end");
            thread::sleep(Duration::from_millis(20));
        }
        commit.join().unwrap().unwrap();
    }
}
