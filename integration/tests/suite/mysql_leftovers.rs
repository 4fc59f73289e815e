//! What `cleanup` drops and what it does not, and what a swap of many partitions takes; MySQL and
//! MariaDB.

use altergeist_integration::altergeist_process::{command, run, start};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::Table;

use Flavour::{MariaDb1011, MySql97};

#[test]
fn mysql_cleanup_names_what_others_have_put_on_our_tables() {
    others_objects_on_our_tables(MySql97);
}

#[test]
fn mariadb_cleanup_names_what_others_have_put_on_our_tables() {
    others_objects_on_our_tables(MariaDb1011);
}

fn others_objects_on_our_tables(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[("log_bin_trust_function_creators", "ON")]) else {
        return;
    };
    let url = server.url(DATABASE);
    let say = |sql: &str| {
        server.execute(DATABASE, sql).unwrap_or_else(|failure| panic!("{sql}: {failure}"))
    };
    let tables = || -> Vec<String> {
        let rows = server.query(DATABASE, "SHOW TABLES").unwrap();
        rows.iter().map(|row| row[0].clone().unwrap()).collect()
    };
    Table::load(&url, "orders", 300).unwrap();
    let cleanup =
        |more: &[&str]| command(&[&["cleanup", "--url", &url, "--table", "orders"], more].concat());

    // A trigger on the shadow: the run ends, and cleanup drops the shadow all the same.
    let mut running =
        start(&url, "orders", "ADD x INT", &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    say("CREATE TRIGGER spies BEFORE INSERT ON _orders_ag_shadow FOR EACH ROW SET NEW.x = 7");
    running.wait().must_be(1).must_say(&["cleanup"]);
    cleanup(&[]).must_be(0).must_say(&["_orders_ag_shadow"]);
    assert!(!tables().contains(&"_orders_ag_shadow".to_owned()));

    // The old table stays as long as others need it.
    run(&url, "orders", "ADD x INT", &["--strategy", "copy"]).must_be(0);
    say("CREATE TABLE kids (id BIGINT PRIMARY KEY, CONSTRAINT needs FOREIGN KEY (id) REFERENCES \
         _orders_ag_old (id))");
    say("CREATE VIEW looks AS SELECT id FROM _orders_ag_old");
    cleanup(&["--drop-old"]).must_be(3).must_say(&["DROP FOREIGN KEY `needs`", "looks"]);
    assert!(tables().contains(&"_orders_ag_old".to_owned()));
    say("DROP VIEW looks");
    say("DROP TABLE kids");
    cleanup(&["--drop-old"]).must_be(0);
    assert!(!tables().contains(&"_orders_ag_old".to_owned()));

    // The heartbeats are gone when a killed run goes on.
    let flags = ["--strategy", "copy", "--postpone-cut-over"];
    let mut running = start(&url, "orders", "ADD y INT", &flags);
    running.wait_until(|status| status["phase"] == "waiting");
    running.kill();
    say("DROP TABLE _altergeist_beat");
    say("UPDATE orders SET k = -3 WHERE id = 5");
    run(&url, "orders", "ADD y INT", &flags[..2])
        .must_be(1)
        .must_say(&["_altergeist_beat", "cleanup"]);
    cleanup(&[]).must_be(0);

    // The journal is gone: nothing proves our tables ours, so they are named and stay.
    let mut running = start(&url, "orders", "ADD z INT", &flags);
    running.wait_until(|status| status["phase"] == "waiting");
    running.kill();
    say("DROP TABLE _altergeist");
    let drop = "DROP TABLE `app`.`_orders_ag_shadow`";
    cleanup(&["--drop-old"]).must_be(0).must_say(&["unknown table", drop]);
    run(&url, "orders", "ADD z INT", &flags[..2]).must_be(3).must_say(&["_orders_ag_shadow"]);
    say(drop);
    run(&url, "orders", "ADD z INT", &flags[..2]).must_be(0);
    cleanup(&[]).must_be(0).must_say(&["kept    old table", "kept    journal entry"]);
    cleanup(&["--drop-old"]).must_be(0);

    // Names as long as they can be, with constraints that the server names.
    let long = "n".repeat(58);
    say(&format!(
        "CREATE TABLE {long} (id INT PRIMARY KEY, a INT CHECK (a > 0), CONSTRAINT low CHECK (a < \
         9))"
    ));
    run(&url, &long, "ADD x INT", &["--strategy", "copy"]).must_be(0);

    // Many partitions: what their renames take is measured, and must fit into the lock timeout.
    let parts: Vec<String> =
        (1..60).map(|n| format!("PARTITION p{n} VALUES LESS THAN ({n})")).collect();
    say(&format!(
        "CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) ({})",
        parts.join(", ")
    ));
    let plan = |timeout: &str| {
        let flags = ["--strategy", "copy", "--alter", "ADD x INT", "--lock-timeout", timeout];
        command(&[&["plan", "--url", &url, "--table", "parts"], &flags[..]].concat())
    };
    plan("60s").must_be(0).must_say(&["renames 118 partitions under its lock"]);
    plan("1ms").must_be(3).must_say(&["renames 118 partitions under its lock", "--lock-timeout"]);
    assert!(!tables().iter().any(|table| table.starts_with("_ag_plan_")));

    // Another engine.
    say("CREATE TABLE old_engine (id INT PRIMARY KEY) ENGINE = MyISAM");
    let flags = ["--table", "old_engine", "--alter", "ENGINE=InnoDB"];
    command(&[&["plan", "--url", &url], &flags[..]].concat())
        .must_be(3)
        .must_say(&["ALTER TABLE", "ENGINE=InnoDB"]);
}
