//! Tables that number their documents themselves (`FTS_DOC_ID`) on MySQL and MariaDB. InnoDB takes
//! only growing numbers, and rows of the log come in another order.

use Flavour::{MariaDb1011, MySql97};
use altergeist_integration::altergeist_process::{command, must_stay, run, start};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const COPY: [&str; 4] = ["--strategy", "copy", "--chunk-rows", "40"];
const ALTER: &str = "ADD COLUMN c INT NOT NULL DEFAULT 1";
/// Numbers from one counter, so that transactions get them in one order and commit in another.
const TABLE: [&str; 3] = [
    "CREATE TABLE t (id INT NOT NULL PRIMARY KEY AUTO_INCREMENT, FTS_DOC_ID BIGINT UNSIGNED NOT \
     NULL, v INT, name VARCHAR(40) NOT NULL, body TEXT, UNIQUE KEY FTS_DOC_ID_INDEX (FTS_DOC_ID), \
     UNIQUE KEY (name), FULLTEXT KEY f (body))",
    "CREATE TABLE numbers (n BIGINT UNSIGNED NOT NULL PRIMARY KEY AUTO_INCREMENT)",
    "INSERT INTO t (FTS_DOC_ID, v, name, body) WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT \
     n + 1 FROM n WHERE n < 900) SELECT 1000 - n, n, CONCAT('name ', n), CONCAT('word ', n) FROM n",
];
const NUMBER: &str = "INSERT INTO numbers VALUES ()";
/// One line is one transaction of an application.
const WRITES: [&[&str]; 6] = [
    &["UPDATE t SET v = v + 1 WHERE id = 1 + FLOOR(RAND() * 900)"],
    &[
        NUMBER,
        "INSERT INTO t (FTS_DOC_ID, v, name, body) VALUES (LAST_INSERT_ID(), 1, UUID(), 'added')",
    ],
    &[
        NUMBER,
        "SET @first = LAST_INSERT_ID()",
        NUMBER,
        "INSERT INTO t (FTS_DOC_ID, v, name, body) VALUES (LAST_INSERT_ID(), 2, UUID(), 'two'), \
         (@first, 2, UUID(), 'one')",
        "DO SLEEP(0.02)",
    ],
    &[
        NUMBER,
        "UPDATE t SET body = 'another', FTS_DOC_ID = LAST_INSERT_ID() WHERE id = 1 + FLOOR(RAND() \
         * 900) LIMIT 1",
    ],
    &["DELETE FROM t WHERE body = 'added' ORDER BY id LIMIT 1"],
    &["UPDATE t SET id = id + 1000000 WHERE body = 'two' AND id < 1000000 ORDER BY id LIMIT 1"],
];

fn execute(server: &Server, statement: &str) {
    server.execute(DATABASE, statement).unwrap_or_else(|failure| panic!("{statement}: {failure}"));
}

fn value(server: &Server, query: &str) -> String {
    let rows = server.query(DATABASE, query).unwrap_or_else(|failure| panic!("{query}: {failure}"));
    rows.first().and_then(|row| row[0].clone()).unwrap_or_default()
}

fn make(server: &Server) {
    TABLE.iter().for_each(|statement| execute(server, statement));
    execute(server, "INSERT INTO numbers VALUES (1000)");
}

/// Writes until it is told to stop. InnoDB refuses some of these writes with or without a run.
fn write(url: &str, stop: &AtomicBool) {
    let working = async {
        let mut session = Session::connect(url).await.unwrap();
        while !stop.load(Ordering::SeqCst) {
            for transaction in WRITES {
                session.execute("BEGIN").await.unwrap();
                let mut is_good = true;
                for statement in transaction {
                    is_good = is_good && session.execute(statement).await.is_ok();
                }
                session.execute(if is_good { "COMMIT" } else { "ROLLBACK" }).await.unwrap();
            }
        }
    };
    block_on(working);
}

/// Documents are changed and added, and numbers are committed in another order than they were
/// given, through the whole run.
fn a_table_with_its_own_numbers_is_followed(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    make(&server);
    let (url, stop) = (server.url(DATABASE), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| write(&url, &stop));
        }
        let mut running = start(&url, "t", ALTER, &[&COPY[..], &["--postpone-cut-over"]].concat());
        running.wait_until(|status| status["phase"] == "waiting");
        let before = running.status()["keys_refreshed"].as_u64().unwrap();
        running.wait_until(|status| status["keys_refreshed"].as_u64().unwrap() > before + 300);
        stop.store(true, Ordering::SeqCst);
        running.ask("cut-over");
        let ended = running.wait().must_be(0);
        assert!(!ended.output.contains("copies the table again"), "it said:\n{}", ended.output);
    });
    let rows = |table: &str| {
        format!(
            "SELECT CONCAT(COUNT(*), ' ', SUM(CRC32(CONCAT_WS('|', id, FTS_DOC_ID, v, name, \
             body)))) FROM {table}"
        )
    };
    assert_eq!(value(&server, &rows("t")), value(&server, &rows("_t_ag_old")));
    let found = "SELECT COUNT(*) FROM t WHERE MATCH (body) AGAINST ('another')";
    let wanted = "SELECT COUNT(*) FROM t WHERE body = 'another'";
    assert_eq!(value(&server, found), value(&server, wanted));
    command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);

    // Once more, and the writers write through the swap.
    stop.store(false, Ordering::SeqCst);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| write(&url, &stop));
        }
        let ended = run(&url, "t", "DROP COLUMN c", &COPY);
        stop.store(true, Ordering::SeqCst);
        ended.must_be(0);
    });
}

/// A transaction that is open adds a smaller number than one that is committed.
fn a_number_that_is_not_committed_yet_is_waited_for(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    make(&server);
    let url = server.url(DATABASE);
    let mut running = start(&url, "t", ALTER, &[&COPY[..], &["--postpone-cut-over"]].concat());
    running.wait_until(|status| status["phase"] == "waiting");
    let shadow = "SELECT COUNT(*) FROM _t_ag_shadow WHERE FTS_DOC_ID > 1000";
    block_on(async {
        let mut open = Session::connect(&url).await.unwrap();
        open.execute("BEGIN").await.unwrap();
        let row = "INSERT INTO t (FTS_DOC_ID, v, name, body) VALUES";
        open.execute(&format!("{row} (1001, 1, 'late', 'late')")).await.unwrap();
        execute(&server, &format!("{row} (1002, 1, 'early', 'early')"));
        must_stay("the later document waits", || value(&server, shadow) == "0");
        open.execute("COMMIT").await.unwrap();
    });
    // Two rows exchange their names. Neither can be updated first.
    block_on(async {
        let mut session = Session::connect(&url).await.unwrap();
        session.execute("BEGIN").await.unwrap();
        for name in ["'x' WHERE id = 5", "'name 5' WHERE id = 6", "'name 6' WHERE id = 5"] {
            session.execute(&format!("UPDATE t SET name = {name}")).await.unwrap();
        }
        session.execute("COMMIT").await.unwrap();
    });
    running.wait_until(|status| !status["last_error"].is_null());
    running.wait_until(|status| status["phase"] == "waiting");
    running.ask("cut-over");
    running.wait().must_be(0).must_say(&["unique index name", "copies the table again"]);
    assert_eq!(value(&server, "SELECT name FROM t WHERE id = 5"), "name 6");
    assert_eq!(value(&server, "SELECT COUNT(*) FROM t"), "902");
    assert_eq!(value(&server, "SELECT name FROM t WHERE MATCH (body) AGAINST ('late')"), "late");
    command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);

    let plan = |alter: &str| {
        command(&["plan", "--url", &url, "--table", "t", "--alter", alter, "--strategy", "copy"])
    };
    plan("ADD FULLTEXT KEY n (name)").must_be(3).must_say(&["would newly cover name"]);
    plan("DROP KEY f").must_be(0);
    plan("DROP KEY FTS_DOC_ID_INDEX")
        .must_be(3)
        .must_say(&["no unique index over the number alone"]);
}

#[test]
fn mysql_a_table_with_its_own_numbers_is_followed() {
    a_table_with_its_own_numbers_is_followed(MySql97);
}

#[test]
fn mariadb_a_table_with_its_own_numbers_is_followed() {
    a_table_with_its_own_numbers_is_followed(MariaDb1011);
}

#[test]
fn mysql_a_number_that_is_not_committed_yet_is_waited_for() {
    a_number_that_is_not_committed_yet_is_waited_for(MySql97);
}

#[test]
fn mariadb_a_number_that_is_not_committed_yet_is_waited_for() {
    a_number_that_is_not_committed_yet_is_waited_for(MariaDb1011);
}
