//! What others do on MySQL and MariaDB to the table while a run goes on: what the shadow can have
//! it gets, and what cannot go on is named with a way out.

use Flavour::{MariaDb1011, MySql97};
use altergeist_integration::altergeist_process::{Ended, Running, command, run, start};
use altergeist_integration::servers::{DATABASE, Flavour, Server};

const ALTER: &str = "MODIFY n BIGINT NOT NULL";
const MAKE: &str = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v VARCHAR(40), n INT NOT NULL, \
                    UNIQUE KEY u (n, id), KEY gone (n)) COMMENT = 'old'";

fn execute(server: &Server, statement: &str) {
    server.execute(DATABASE, statement).unwrap_or_else(|failure| panic!("{statement}: {failure}"));
}

fn value(server: &Server, query: &str) -> String {
    let rows = server.query(DATABASE, query).unwrap_or_else(|failure| panic!("{query}: {failure}"));
    rows.first().and_then(|row| row[0].clone()).unwrap_or_default()
}

fn cleanup(server: &Server) -> Ended {
    command(&["cleanup", "--url", &server.url(DATABASE), "--table", "t", "--drop-old"])
}

fn again(server: &Server) -> Ended {
    run(&server.url(DATABASE), "t", ALTER, &["--strategy", "copy"])
}

fn make(server: &Server) {
    for table in ["t", "t2"] {
        execute(server, &format!("DROP TABLE IF EXISTS {table}"));
    }
    execute(server, MAKE);
    execute(server, "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3)");
}

/// A run that has proven everything and waits for the order to swap.
fn waiting(server: &Server) -> Running {
    let mut running =
        start(&server.url(DATABASE), "t", ALTER, &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    running
}

/// One run, many hands.
fn what_others_give_the_table_the_new_table_has(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    make(&server);
    let mut running = waiting(&server);
    for deed in [
        "CREATE INDEX late ON t (v)",
        "ALTER TABLE t ADD FULLTEXT KEY words (v)",
        "DROP INDEX gone ON t",
        "ALTER TABLE t COMMENT = 'it''s new', STATS_PERSISTENT = 0",
        "OPTIMIZE TABLE t",
        "ANALYZE TABLE t",
        "OPTIMIZE TABLE _t_ag_shadow",
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, '!')",
        "INSERT INTO t VALUES (4, 'four', 4)",
        "UPDATE t SET v = 'changed' WHERE id = 2",
    ] {
        execute(&server, deed);
    }
    running.ask("cut-over");
    running.wait().must_be(0);
    let rows = "SELECT GROUP_CONCAT(v ORDER BY id) FROM t";
    assert_eq!(value(&server, rows), "one,changed,three,four!");
    let made = server.query(DATABASE, "SHOW CREATE TABLE t").unwrap()[0][1].clone().unwrap();
    for words in [
        "`n` bigint",
        "KEY `late` (`v`)",
        "FULLTEXT KEY `words` (`v`)",
        "COMMENT='it''s new'",
        "STATS_PERSISTENT=0",
    ] {
        assert!(made.contains(words), "{words}: {made}");
    }
    assert!(!made.contains("gone"), "{made}");
    execute(&server, "INSERT INTO t VALUES (5, 'five', 5)");
    assert_eq!(
        value(&server, "SELECT v FROM t WHERE id = 5"),
        "five!",
        "the trigger stands on the new table"
    );
    cleanup(&server).must_be(0);
}

/// A table that is renamed, dropped or made again ends the run by its true reason, and can be
/// cleaned up.
fn a_table_that_is_gone_is_named_and_can_be_cleaned_up(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    for (deeds, words) in [
        (&["RENAME TABLE t TO t2"][..], "renamed"),
        (&["DROP TABLE t"], "dropped"),
        (&["DROP TABLE t", MAKE], "dropped"),
    ] {
        make(&server);
        let running = waiting(&server);
        deeds.iter().for_each(|deed| execute(&server, deed));
        running.wait().must_be(1).must_say(&[words, "altergeist cleanup"]);
        again(&server).must_be(1).must_say(&[words, "altergeist cleanup"]);
        cleanup(&server).must_be(0);
        let left = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = \
                    DATABASE() AND table_name LIKE '%ag_%'";
        assert_eq!(value(&server, left), "0", "{deeds:?}");
        if deeds.len() > 1 {
            again(&server).must_be(0);
            // A finished change whose table goes later is cleaned up, too.
            execute(&server, "DROP TABLE t");
            again(&server).must_be(3).must_say(&["dropped or renamed"]);
            cleanup(&server).must_be(0);
            assert_eq!(value(&server, left), "0");
        }
    }
}

/// Marks of the log are heartbeats. If their row is lost while no process runs, the numbers begin
/// above the saved ones: no mark counts as passed before it is put, and the gap in the log is
/// noticed.
fn heartbeats_that_were_lost_end_the_run_by_name(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    make(&server);
    waiting(&server).kill();
    for deed in ["DELETE FROM _altergeist_beat", "UPDATE t SET v = 'changed' WHERE id = 2"] {
        execute(&server, deed);
    }
    again(&server).must_be(1).must_say(&["heartbeats are missing", "altergeist cleanup"]);
    cleanup(&server).must_be(0);
    again(&server).must_be(0);
    assert_eq!(value(&server, "SELECT GROUP_CONCAT(v ORDER BY id) FROM t"), "one,changed,three");
}

#[test]
fn mysql_heartbeats_that_were_lost_end_the_run_by_name() {
    heartbeats_that_were_lost_end_the_run_by_name(MySql97);
}

#[test]
fn mariadb_heartbeats_that_were_lost_end_the_run_by_name() {
    heartbeats_that_were_lost_end_the_run_by_name(MariaDb1011);
}

#[test]
fn mysql_what_others_give_the_table_the_new_table_has() {
    what_others_give_the_table_the_new_table_has(MySql97);
}

#[test]
fn mariadb_what_others_give_the_table_the_new_table_has() {
    what_others_give_the_table_the_new_table_has(MariaDb1011);
}

#[test]
fn mysql_a_table_that_is_gone_is_named_and_can_be_cleaned_up() {
    a_table_that_is_gone_is_named_and_can_be_cleaned_up(MySql97);
}

#[test]
fn mariadb_a_table_that_is_gone_is_named_and_can_be_cleaned_up() {
    a_table_that_is_gone_is_named_and_can_be_cleaned_up(MariaDb1011);
}
