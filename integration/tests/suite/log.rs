//! The binary log in all its forms: whatever a session writes, and however the server writes it
//! down, is followed, from the primary or from a replica.

use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{Running, old_name, start, widening};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::{Mix, Table, Writers, differences};

use Flavour::{MariaDb1011, MySql97};

const ROWS: u64 = 2_000;

/// What an application may do to rows with negative keys, which the writers with the row check
/// leave alone. Each block is one multi-statement text; `@a` is one of these keys.
const BLOCKS: [(&str, &str); 18] = [
    (
        "full images",
        "SET SESSION binlog_row_image = 'FULL'; UPDATE orders SET k = k + 1 WHERE id = @a; UPDATE \
         orders SET id = id - 100000 WHERE id = @a + 1; DELETE FROM orders WHERE id = @a + 2",
    ),
    (
        "minimal images",
        "SET SESSION binlog_row_image = 'MINIMAL'; UPDATE orders SET k = k + 1 WHERE id = @a; \
         UPDATE orders SET id = id - 100000 WHERE id = @a + 1; DELETE FROM orders WHERE id = @a + \
         2; INSERT INTO orders (id, k, c, pad) VALUES (@a - 10000000 - FLOOR(RAND() * 1000000000), \
         1, 'm', ''); SET SESSION binlog_row_image = 'FULL'",
    ),
    (
        "images without blobs",
        "SET SESSION binlog_row_image = 'NOBLOB'; UPDATE orders SET k = k + 1 WHERE id = @a; \
         UPDATE orders SET note_text = REPEAT('x', 300) WHERE id = @a; UPDATE orders SET id = id - \
         100000 WHERE id = @a + 1; DELETE FROM orders WHERE id = @a + 2; SET SESSION \
         binlog_row_image = 'FULL'",
    ),
    (
        "savepoints",
        "BEGIN; UPDATE orders SET k = k + 1 WHERE id = @a; SAVEPOINT one; UPDATE orders SET c = \
         'undone' WHERE id = @a + 1; SAVEPOINT two; DELETE FROM orders WHERE id = @a + 2; ROLLBACK \
         TO one; UPDATE orders SET c = 'kept' WHERE id = @a + 3; RELEASE SAVEPOINT one; COMMIT",
    ),
    (
        "a prepared transaction that commits",
        "XA START 'one'; UPDATE orders SET c = 'xa' WHERE id BETWEEN @a AND @a + 3; XA END 'one'; \
         XA PREPARE 'one'; XA COMMIT 'one'",
    ),
    (
        "a prepared transaction that is rolled back",
        "XA START 'two', 'b', 7; DELETE FROM orders WHERE id BETWEEN @a AND @a + 3; XA END 'two', \
         'b', 7; XA PREPARE 'two', 'b', 7; XA ROLLBACK 'two', 'b', 7",
    ),
    (
        "a transaction prepared and committed in one phase",
        "XA START 'three'; UPDATE orders SET c = 'xa one phase' WHERE id = @a; XA END 'three'; XA \
         COMMIT 'three' ONE PHASE",
    ),
    (
        "a prepared transaction without changes",
        "XA START 'four'; SELECT 1 FROM orders WHERE id = @a; XA END 'four'; XA PREPARE 'four'; \
         XA COMMIT 'four'",
    ),
    (
        "tables made of the table",
        "CREATE TABLE made AS SELECT * FROM orders WHERE id < 0 LIMIT 10; DROP TABLE made; CREATE \
         TABLE made LIKE orders; INSERT INTO made SELECT * FROM orders WHERE id < 0 LIMIT 5; \
         TRUNCATE made; DROP TABLE made",
    ),
    (
        "temporary tables",
        "CREATE TEMPORARY TABLE passing AS SELECT id FROM orders WHERE id < 0 LIMIT 10; UPDATE \
         orders o JOIN passing p ON p.id = o.id SET o.k = o.k + 1; DROP TEMPORARY TABLE passing",
    ),
    (
        "a table without transactions",
        "INSERT INTO untransacted VALUES (1), (2); UPDATE untransacted SET a = a + 1; UPDATE \
         orders SET k = k + 1 WHERE id = @a; DELETE FROM untransacted",
    ),
    (
        "other tables' definitions",
        "CREATE TABLE other (id int PRIMARY KEY, `orders` int); ALTER TABLE other ADD COLUMN x \
         int, ADD KEY orders (`orders`); INSERT INTO other VALUES (1, 1, 1); RENAME TABLE other TO \
         another; TRUNCATE TABLE another; CREATE VIEW looking AS SELECT id FROM orders; DROP VIEW \
         looking; ANALYZE TABLE another; CREATE DATABASE elsewhere; CREATE TABLE elsewhere.orders \
         (id int); DROP TABLE elsewhere.orders; DROP DATABASE elsewhere; DROP TABLE another",
    ),
    (
        "statements over several tables",
        "INSERT INTO side (id, v) SELECT id, k FROM orders WHERE id BETWEEN @a AND @a + 9; UPDATE \
         orders o JOIN side s ON s.id = o.id SET o.k = s.v + 1, s.v = 0; DELETE o, s FROM orders o \
         JOIN side s ON s.id = o.id WHERE o.id = @a + 4; DELETE FROM side",
    ),
    (
        "rows made of rows",
        "INSERT INTO orders (id, k, c, pad) SELECT id - 200000000 - FLOOR(RAND() * 100000) * \
         10000, k, 'copied', pad FROM orders WHERE id BETWEEN @a AND @a + 5; INSERT INTO orders \
         (id, k, c, pad) VALUES (@a, 1, 'upserted', '') ON DUPLICATE KEY UPDATE c = 'upserted'; \
         REPLACE INTO orders (id, k, c, pad) VALUES (@a + 1, 1, 'replaced', '')",
    ),
    (
        "files that end",
        "FLUSH BINARY LOGS; UPDATE orders SET k = k + 1 WHERE id = @a; FLUSH BINARY LOGS",
    ),
    (
        "a transaction that does not fit into its cache",
        "UPDATE orders SET note_text = REPEAT(CHAR(97 + FLOOR(RAND() * 26)), 400) WHERE id < 0",
    ),
    (
        "rows loaded from a file",
        "LOAD DATA INFILE 'FILE' REPLACE INTO TABLE orders (id, k, c, pad)",
    ),
    ("nothing at all", "BEGIN; UPDATE orders SET k = k WHERE id = @a; COMMIT; BEGIN; COMMIT"),
];

const OF_MYSQL: [(&str, &str); 4] = [
    (
        "compressed transactions",
        "SET SESSION binlog_transaction_compression = ON; UPDATE orders SET k = k + 1 WHERE id = \
         @a; BEGIN; UPDATE orders SET c = 'compressed' WHERE id BETWEEN @a AND @a + 50; SAVEPOINT \
         s; DELETE FROM orders WHERE id = @a + 7; ROLLBACK TO s; DELETE FROM orders WHERE id = @a \
         + 8; COMMIT; UPDATE orders SET note_text = REPEAT(CHAR(97 + FLOOR(RAND() * 26)), 400) \
         WHERE id < 0; SET SESSION binlog_transaction_compression = OFF; UPDATE orders SET c = \
         'plain' WHERE id = @a + 1",
    ),
    (
        "compressed prepared transactions",
        "SET SESSION binlog_transaction_compression = ON; XA START 'five'; UPDATE orders SET c = \
         'xa compressed' WHERE id BETWEEN @a AND @a + 3; XA END 'five'; XA PREPARE 'five'; XA \
         COMMIT 'five'; SET SESSION binlog_transaction_compression = OFF",
    ),
    (
        "partial JSON",
        "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; UPDATE orders SET doc = \
         JSON_SET(doc, '$.a', FLOOR(RAND() * 100000)) WHERE id BETWEEN @a AND @a + 5; SET SESSION \
         binlog_row_image = 'MINIMAL'; UPDATE orders SET doc = JSON_SET(doc, '$.b[1]', RAND()), k \
         = k + 1 WHERE id = @a; UPDATE orders SET doc = JSON_REMOVE(doc, '$.b[0]'), id = id - \
         100000 WHERE id = @a + 3; SET SESSION binlog_row_image = 'FULL', SESSION \
         binlog_row_value_options = ''",
    ),
    (
        "checksums switched",
        "SET GLOBAL binlog_checksum = NONE; UPDATE orders SET k = k + 1 WHERE id = @a; SET GLOBAL \
         binlog_checksum = CRC32; UPDATE orders SET k = k + 1 WHERE id = @a + 1",
    ),
];

const OF_MARIADB: [(&str, &str); 5] = [
    (
        "compressed events",
        "SET GLOBAL log_bin_compress_min_len = 10; SET GLOBAL log_bin_compress = ON; UPDATE \
         orders SET c = REPEAT('compressed ', 9) WHERE id BETWEEN @a AND @a + 20; DELETE FROM \
         orders WHERE id = @a + 4; INSERT INTO orders (id, k, c, pad) VALUES (@a - 10000000 - \
         FLOOR(RAND() * 1000000000), 1, REPEAT('c', 90), ''); UPDATE orders SET id = id - 100000 \
         WHERE id = @a + 5; SET GLOBAL log_bin_compress = OFF",
    ),
    (
        "annotations",
        "SET SESSION binlog_annotate_row_events = OFF; UPDATE orders SET k = k + 1 WHERE id = @a; \
         SET SESSION binlog_annotate_row_events = ON; UPDATE orders SET k = k + 1 WHERE id = @a + \
         1",
    ),
    (
        "several domains",
        "SET SESSION gtid_domain_id = 7; UPDATE orders SET c = 'domain 7' WHERE id = @a; SET \
         SESSION gtid_domain_id = 9; BEGIN; UPDATE orders SET c = 'domain 9' WHERE id = @a + 1; \
         COMMIT; SET SESSION gtid_domain_id = 0; UPDATE orders SET c = 'domain 0' WHERE id = @a + \
         2",
    ),
    (
        "checksums switched",
        "SET GLOBAL binlog_checksum = NONE; UPDATE orders SET k = k + 1 WHERE id = @a; SET GLOBAL \
         binlog_checksum = CRC32; UPDATE orders SET k = k + 1 WHERE id = @a + 1",
    ),
    (
        "a transaction over both kinds of tables that is rolled back",
        "BEGIN; UPDATE orders SET k = k + 1 WHERE id = @a; INSERT INTO untransacted VALUES (3); \
         DELETE FROM orders WHERE id = @a + 1; ROLLBACK; BEGIN; INSERT INTO untransacted VALUES \
         (4); UPDATE orders SET c = 'mixed' WHERE id = @a; COMMIT",
    ),
];

/// A session of an application that does all of it.
struct Application {
    url: String,
    file: tempfile::TempDir,
    blocks: Vec<(&'static str, &'static str)>,
}

impl Application {
    fn of(server: &Server, without: &[&str]) -> Application {
        let url = server.url(DATABASE);
        Table::load(&url, "orders", ROWS).unwrap();
        let special: &[_] = if server.flavour() == MySql97 { &OF_MYSQL } else { &OF_MARIADB };
        for statement in [
            "ALTER TABLE orders ADD COLUMN note_text text, ADD COLUMN doc json",
            "INSERT INTO orders (id, k, c, pad, doc) SELECT -id DIV 10 * 5, k, c, pad, \
             '{\"a\": 1, \"b\": [1, 2, 3]}' FROM orders",
            "CREATE TABLE untransacted (a int) ENGINE = MyISAM",
            "CREATE TABLE side (id bigint PRIMARY KEY, v bigint)",
        ] {
            server
                .execute(DATABASE, statement)
                .unwrap_or_else(|failure| panic!("{statement}: {failure}"));
        }
        let file = tempfile::tempdir().unwrap();
        std::fs::write(
            file.path().join("rows"),
            "-5\t1\tloaded\t\n-10\t1\tloaded\t\n-7777777\t1\tloaded\t\n",
        )
        .unwrap();
        let blocks = BLOCKS
            .iter()
            .chain(special)
            .filter(|(name, _)| !without.contains(name))
            .copied()
            .collect();
        Application { url, file, blocks }
    }

    /// Every block once, each on keys of its own: negative ones, for the others are the writers'.
    fn work(&self) {
        block_on(async {
            let mut session = Session::connect(&self.url).await.unwrap();
            for (name, block) in &self.blocks {
                let file = self.file.path().join("rows").display().to_string();
                let block = format!(
                    "SET @a = -60 - FLOOR(RAND() * 1890) * 5; {}",
                    block.replace("FILE'", &format!("{file}'"))
                );
                session.rows(&block).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
            }
        });
        self.prepare_and_leave();
    }

    /// A transaction that is prepared by one session and ended by another, much later in the log.
    fn prepare_and_leave(&self) {
        for end in ["COMMIT", "ROLLBACK"] {
            let left = block_on(async {
                let mut session = Session::connect(&self.url).await.unwrap();
                let block = "SET @a = -700 - FLOOR(RAND() * 20) * 5; XA START 'left'; UPDATE \
                             orders SET k = k + 1, c = 'left' WHERE id BETWEEN -900 AND -820; \
                             DELETE FROM orders WHERE id = @a; XA END 'left'; XA PREPARE 'left'";
                session.rows(block).await.unwrap();
                session.value("SELECT connection_id()").await.unwrap().unwrap()
            });
            block_on(async {
                let mut session = Session::connect(&self.url).await.unwrap();
                session
                    .rows("UPDATE orders SET k = k + 1 WHERE id BETWEEN -2000 AND -1900")
                    .await
                    .unwrap();
                // MariaDB 10.11 takes an order that comes while the session ends, answers that it
                // is done, and keeps the transaction with all its locks.
                let sessions = format!(
                    "SELECT count(*) FROM information_schema.processlist WHERE id = {left}"
                );
                let deadline = Instant::now() + Duration::from_secs(30);
                while session.value(&sessions).await.unwrap().as_deref() != Some("0") {
                    assert!(Instant::now() < deadline, "the session that left is still there");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                session.rows(&format!("XA {end} 'left'")).await.unwrap();
            });
        }
    }
}

const FOLLOWED: [&str; 7] = ["id", "k", "u", "c", "pad", "note_text", "doc"];

/// All of it while copying, behind the watermark and before it, over a kill, and again when
/// everything is copied; beside writers whose rows are known.
fn everything_is_followed(server: &Server, without: &[&str], more: &[&str]) {
    let application = Application::of(server, without);
    let (url, flavour) = (server.url(DATABASE), server.flavour());
    let table = Table { name: "orders".into(), rows: ROWS };
    let writers = Writers::start(&url, &table, 60, 2, 1, &Mix::everything());
    let flags = [&["--chunk-rows", "100", "--workers", "2", "--postpone-cut-over"], more].concat();
    let mut running = start(&url, "orders", widening(flavour), &flags);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(1_000));
    running.ask("throttle");
    application.work();
    running.kill();
    application.work();
    let mut running = start(&url, "orders", widening(flavour), &flags);
    application.work();
    until_postponed(&mut running);
    application.work();
    let report = writers.stop();
    running.ask("cut-over");
    running.wait().must_be(0);

    assert_eq!(differences(&url, &old_name(flavour, "orders"), "orders", &FOLLOWED).unwrap(), 0);
    server.execute(DATABASE, "DELETE FROM orders WHERE id < 0").unwrap();
    report.prove(&url).unwrap();
}

fn until_postponed(running: &mut Running) {
    running.wait_until(|status| status["phase"] == "waiting");
}

const SMALL_FILES: [(&str, &str); 2] =
    [("max-binlog-size", "100000"), ("binlog-cache-size", "4096")];

#[test]
fn mysql_follows_whatever_sessions_write() {
    let Some(server) = Server::start(MySql97, &SMALL_FILES) else { return };
    everything_is_followed(&server, &[], &[]);
}

#[test]
fn mysql_follows_whatever_sessions_write_by_files_and_offsets() {
    let settings =
        [("gtid-mode", "OFF"), ("enforce-gtid-consistency", "OFF"), ("binlog-checksum", "NONE")];
    let Some(server) = Server::start(MySql97, &[&SMALL_FILES[..], &settings].concat()) else {
        return;
    };
    everything_is_followed(&server, &[], &[]);
}

#[test]
fn mariadb_follows_whatever_sessions_write() {
    let Some(server) = Server::start(MariaDb1011, &SMALL_FILES) else { return };
    everything_is_followed(&server, &[], &[]);
}

/// MySQL's applier works in parallel by default, and keeps the order of commits.
#[test]
fn mysql_follows_the_log_of_a_replica() {
    let Some(server) = Server::start(MySql97, &SMALL_FILES) else { return };
    let replica = server.start_replica();
    everything_is_followed(&server, &[], &["--stream-from", &replica.url(DATABASE)]);
}

#[test]
fn mariadb_follows_the_log_of_a_replica() {
    let Some(server) = Server::start(MariaDb1011, &SMALL_FILES) else { return };
    let replica = server.start_replica();
    everything_is_followed(&server, &[], &["--stream-from", &replica.url(DATABASE)]);
}
