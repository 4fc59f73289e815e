//! Where the binary log ends for a run: what cannot be followed stops it with a word on what to do,
//! and leaves the table as it was; a log that is not the one the position is of is never taken for
//! it.

use altergeist_integration::altergeist_process::{
    Ended, Running, command, must_become, run, start, widening,
};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::Table;

use Flavour::{MariaDb1011, MySql97};

/// Copies slowly, and does not swap until it is told to.
const SLOWLY: [&str; 5] = ["--chunk-rows", "100", "--workers", "1", "--postpone-cut-over"];

fn load(server: &Server) {
    Table::load(&server.url(DATABASE), "orders", 2_000).unwrap();
}

/// A run that is in the middle of its copy, and stays there.
fn half_way(server: &Server, more: &[&str]) -> Running {
    let flags = [&SLOWLY[..], more].concat();
    let mut running = start(&server.url(DATABASE), "orders", widening(server.flavour()), &flags);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(300));
    running.ask("throttle");
    running
}

fn again(server: &Server, more: &[&str]) -> Ended {
    run(&server.url(DATABASE), "orders", widening(server.flavour()), more)
}

fn cleanup(server: &Server) {
    command(&["cleanup", "--url", &server.url(DATABASE), "--table", "orders"]).must_be(0);
}

fn execute(server: &Server, statement: &str) {
    server.execute(DATABASE, statement).unwrap_or_else(|failure| panic!("{statement}: {failure}"));
}

/// Somebody's statements while a run goes on, and a word of what the run says then.
const INTERFERENCES: [(&str, &str); 8] = [
    ("TRUNCATE TABLE orders", "emptied"),
    ("ALTER TABLE orders ADD COLUMN meanwhile int", "changed by another session"),
    ("CREATE UNIQUE INDEX meanwhile ON orders (id, c)", "changed by another session"),
    ("DROP INDEX known ON orders", "index known of the table"),
    (
        "SET SESSION binlog_format = 'STATEMENT'; UPDATE orders SET k = k + 1 WHERE id = 10",
        "not by rows",
    ),
    (
        "SET SESSION binlog_format = 'MIXED'; UPDATE orders SET k = k + 1 WHERE id = 10",
        "not by rows",
    ),
    ("ALTER TABLE _orders_ag_shadow ADD COLUMN meanwhile int", "changed by another session"),
    (
        "RENAME TABLE orders TO elsewhere; RENAME TABLE elsewhere TO orders",
        "renamed by another session",
    ),
];

fn what_cannot_be_followed_stops_the_run(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    for (statements, words) in INTERFERENCES {
        execute(&server, "DROP TABLE IF EXISTS orders");
        load(&server);
        execute(&server, "CREATE UNIQUE INDEX known ON orders (id, c)");
        let running = half_way(&server, &[]);
        block_on(async {
            Session::connect(&server.url(DATABASE))
                .await
                .unwrap()
                .rows(statements)
                .await
                .map(|_| ())
        })
        .unwrap_or_else(|failure| panic!("{statements}: {failure}"));
        let ended = running.wait();
        assert!(ended.code == Some(1), "{statements}: {ended:?}");
        ended.must_say(&[words]);
        // What the statement did stands, and nothing else was done.
        let rows = server.query(DATABASE, "SELECT COUNT(*) FROM orders").unwrap()[0][0].clone();
        assert_eq!(
            rows.as_deref(),
            Some(if statements.starts_with("TRUNCATE") { "0" } else { "2000" }),
            "{statements}"
        );
        cleanup(&server);
    }
}

#[test]
fn mysql_what_cannot_be_followed_stops_the_run() {
    what_cannot_be_followed_stops_the_run(MySql97);
}

#[test]
fn mariadb_what_cannot_be_followed_stops_the_run() {
    what_cannot_be_followed_stops_the_run(MariaDb1011);
}

/// Takes away every file there is now. A server keeps those that a reader has open, and notices
/// only when it writes that a reader is gone.
fn purge(server: &Server) {
    let files = || {
        server.query(DATABASE, "SHOW BINARY LOGS").unwrap().into_iter().map(|row| row[0].clone())
    };
    let last = files().next_back().flatten();
    must_become("the log is gone", || {
        execute(server, "FLUSH BINARY LOGS");
        execute(server, "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY");
        files().all(|file| file != last)
    });
}

/// The log is read on from where it was left, or not at all.
fn a_log_that_is_gone_or_another_is_not_taken_for_it(flavour: Flavour, settings: &[(&str, &str)]) {
    let Some(server) = Server::start(flavour, settings) else { return };
    let reset = match flavour {
        MySql97 => "RESET BINARY LOGS AND GTIDS",
        _ => "RESET MASTER",
    };
    load(&server);
    half_way(&server, &[]).kill();
    execute(&server, "UPDATE orders SET c = 'lost' WHERE id = 50");
    purge(&server);
    again(&server, &[]).must_be(1).must_say(&["cleanup", "start again"]);
    cleanup(&server);

    // The same names of files and numbers of transactions come again.
    half_way(&server, &[]).kill();
    execute(&server, reset);
    execute(&server, "UPDATE orders SET c = 'lost' WHERE id = 60");
    for round in 0..600 {
        execute(&server, &format!("UPDATE orders SET k = {round} WHERE id = 70"));
    }
    for _ in 0..10 {
        execute(&server, "FLUSH BINARY LOGS");
    }
    again(&server, &[]).must_be(1).must_say(&["start again"]);
    cleanup(&server);

    let running = half_way(&server, &[]);
    execute(&server, reset);
    execute(&server, "UPDATE orders SET c = 'lost' WHERE id = 80");
    running.wait().must_be(1).must_say(&["start again"]);
    cleanup(&server);
    again(&server, &[]).must_be(0);
}

#[test]
fn mysql_a_log_that_is_gone_or_another_is_not_taken_for_it() {
    a_log_that_is_gone_or_another_is_not_taken_for_it(MySql97, &[]);
}

#[test]
fn mysql_a_log_of_files_that_is_gone_or_another_is_not_taken_for_it() {
    a_log_that_is_gone_or_another_is_not_taken_for_it(
        MySql97,
        &[("gtid-mode", "OFF"), ("enforce-gtid-consistency", "OFF")],
    );
}

#[test]
fn mariadb_a_log_that_is_gone_or_another_is_not_taken_for_it() {
    a_log_that_is_gone_or_another_is_not_taken_for_it(MariaDb1011, &[]);
}

/// A replica has the journal and the shadow too, and a log with the same files and numbers.
fn a_promoted_replica_is_not_taken_for_its_primary(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let replica = server.start_replica();
    load(&server);
    let flags = ["--stream-from", &replica.url(DATABASE)];
    half_way(&server, &[]).kill();
    execute(&server, "CREATE TABLE arrived (a int)");
    must_become("the replica has it all", || {
        replica.query(DATABASE, "SELECT 1 FROM arrived").is_ok()
    });
    again(&server, &flags).must_be(1).must_say(&["is server"]);
    let promoting = match flavour {
        MySql97 => ["STOP REPLICA", "RESET REPLICA ALL"],
        _ => ["STOP SLAVE", "RESET SLAVE ALL"],
    };
    for statement in promoting {
        replica.execute(DATABASE, statement).unwrap();
    }
    again(&replica, &[]).must_be(1).must_say(&["is server", "cleanup"]);
    cleanup(&replica);
    again(&replica, &[]).must_be(0);
    again(&server, &[]).must_be(0);
}

#[test]
fn mysql_a_promoted_replica_is_not_taken_for_its_primary() {
    a_promoted_replica_is_not_taken_for_its_primary(MySql97);
}

#[test]
fn mariadb_a_promoted_replica_is_not_taken_for_its_primary() {
    a_promoted_replica_is_not_taken_for_its_primary(MariaDb1011);
}

/// Each of these breaks the argument that what the replica's log says can be seen on the primary.
fn a_replica_whose_log_proves_nothing_is_refused(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    load(&server);
    let replica = server.start_replica();
    let url = replica.url(DATABASE);
    must_become("the replica has all rows", || {
        replica.query(DATABASE, "SELECT 1 FROM orders").is_ok_and(|rows| rows.len() == 2_000)
    });
    let refused =
        |words: &[&str]| again(&server, &["--stream-from", &url]).must_be(3).must_say(words);
    let (stop, begin, disorder, order, filter, no_filter) = match flavour {
        MySql97 => (
            "STOP REPLICA",
            "START REPLICA",
            "SET GLOBAL replica_preserve_commit_order = OFF",
            "SET GLOBAL replica_preserve_commit_order = ON",
            "CHANGE REPLICATION FILTER REPLICATE_WILD_IGNORE_TABLE = ('app.other%')",
            "CHANGE REPLICATION FILTER REPLICATE_WILD_IGNORE_TABLE = ()",
        ),
        _ => (
            "STOP SLAVE",
            "START SLAVE",
            "SET GLOBAL slave_parallel_threads = 4",
            "SET GLOBAL slave_parallel_threads = 0",
            "SET GLOBAL replicate_wild_ignore_table = 'app.other%'",
            "SET GLOBAL replicate_wild_ignore_table = ''",
        ),
    };
    for statement in [stop, disorder, begin] {
        execute(&replica, statement);
    }
    refused(&["another order"]);
    for statement in [stop, order, filter, begin] {
        execute(&replica, statement);
    }
    refused(&["filters"]);
    for statement in
        [stop, no_filter, "ALTER TABLE orders ADD COLUMN first_of_all int FIRST", begin]
    {
        execute(&replica, statement);
    }
    refused(&["columns differ"]);
}

#[test]
fn mysql_a_replica_whose_log_proves_nothing_is_refused() {
    a_replica_whose_log_proves_nothing_is_refused(MySql97);
}

#[test]
fn mariadb_a_replica_whose_log_proves_nothing_is_refused() {
    a_replica_whose_log_proves_nothing_is_refused(MariaDb1011);
}
