//! What the log does not tell of, MySQL and MariaDB: writes that leave no trace in it are noticed
//! before the swap, under its lock too; statements that were not written as rows stop the run only
//! if they may have changed the table.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use altergeist_integration::altergeist_process::{Running, command, run, start, widening};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::Table;

use Flavour::{MariaDb1011, MySql97};

fn postponed(url: &str, flavour: Flavour, more: &[&str]) -> Running {
    let flags = [&["--strategy", "copy", "--postpone-cut-over"], more].concat();
    let mut running = start(url, "orders", widening(flavour), &flags);
    running.wait_until(|status| status["phase"] == "waiting");
    running
}

/// Statements in one session.
fn say(server: &Server, statements: &[&str]) {
    block_on(async {
        let mut session = Session::connect(&server.url(DATABASE)).await.unwrap();
        for statement in statements {
            session
                .execute(statement)
                .await
                .unwrap_or_else(|failure| panic!("{statement}: {failure}"));
        }
    });
}

fn count(server: &Server, condition: &str) -> Option<String> {
    server.query(DATABASE, &format!("SELECT COUNT(*) FROM orders WHERE {condition}")).unwrap()[0][0]
        .clone()
}

/// The table is idle, and somebody writes it with sql_log_bin = 0: right before the order to swap,
/// so that only the look under the lock can see it; and a while before. Both times the row is in
/// the new table.
fn a_row_written_without_the_log_is_not_lost(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    say(&server, &["CREATE TABLE other (id int PRIMARY KEY)"]);
    // Seconds are all that the server tells.
    say(&server, &["DO SLEEP(2.1)"]);
    let mut running = postponed(&url, flavour, &[]);
    say(&server, &["SET SESSION sql_log_bin = 0", "UPDATE orders SET k = -7 WHERE id = 10"]);
    running.ask("cut-over");
    running.wait().must_be(0).must_say(&["that is not in the log", "copies the table again"]);
    assert_eq!(count(&server, "k = -7").as_deref(), Some("1"));

    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
    say(&server, &["DO SLEEP(2.1)"]);
    let alter = "DROP COLUMN note";
    let mut running = start(&url, "orders", alter, &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    say(&server, &["SET SESSION sql_log_bin = 0", "DELETE FROM orders WHERE k = -7"]);
    running.wait_until(|status| {
        status["last_error"].as_str().is_some_and(|error| error.contains("sql_log_bin"))
    });
    running.wait_until(|status| status["phase"] == "waiting");
    running.ask("cut-over");
    running.wait().must_be(0);
    assert_eq!(count(&server, "k = -7").as_deref(), Some("0"));
}

/// The table is never idle, and somebody writes it with sql_log_bin = 0 after the proof. MySQL's
/// counts tell.
fn a_row_written_without_the_log_into_a_busy_table_is_not_lost(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let mut running = postponed(&url, flavour, &[]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let writing = async {
                let mut session = Session::connect(&url).await.unwrap();
                while !is_over.load(Ordering::SeqCst) {
                    session.execute("UPDATE orders SET k = k + 1 WHERE id = 20").await.unwrap();
                }
            };
            block_on(writing);
        });
        say(
            &server,
            &[
                "DO SLEEP(1.5)",
                "SET SESSION sql_log_bin = 0",
                "UPDATE orders SET k = -7 WHERE id > 4000",
            ],
        );
        running.ask("cut-over");
        let ended = running.wait();
        is_over.store(true, Ordering::SeqCst);
        ended.must_be(0).must_say(&[
            "sql_log_bin",
            "more changes of rows",
            "copies the table again",
        ]);
    });
    assert_eq!(count(&server, "k = -7").as_deref(), Some("100"));
    let plan = [
        "plan",
        "--url",
        &url,
        "--table",
        "orders",
        "--alter",
        "DROP COLUMN note",
        "--strategy",
        "copy",
    ];
    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
    assert!(!command(&plan).must_be(0).output.contains("sql_log_bin"), "MySQL counts");
}

/// Somebody switches the log off for another table, while this one is written and read as usual.
fn a_session_without_the_log_elsewhere_is_no_alarm(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    say(&server, &["CREATE TABLE other (id int PRIMARY KEY)"]);
    let mut running = postponed(&url, flavour, &[]);
    for id in 1..=20 {
        let other = format!("INSERT INTO other VALUES ({id})");
        say(&server, &["UPDATE orders SET k = k + 1", "SET SESSION sql_log_bin = 0", &other]);
    }
    running.ask("cut-over");
    let ended = running.wait().must_be(0);
    assert!(!ended.output.contains("copies the table again"), "it said:\n{}", ended.output);
}

/// MariaDB has no such counts, and the plan says what that means.
fn the_plan_says_what_nothing_shows(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 10).unwrap();
    let plan = [
        "plan",
        "--url",
        &url,
        "--table",
        "orders",
        "--alter",
        widening(flavour),
        "--strategy",
        "copy",
    ];
    command(&plan).must_be(0).must_say(&["sql_log_bin = 0 after the proof"]);
}

#[test]
fn mysql_a_row_written_without_the_log_into_a_busy_table_is_not_lost() {
    a_row_written_without_the_log_into_a_busy_table_is_not_lost(MySql97);
}

#[test]
fn mysql_a_session_without_the_log_elsewhere_is_no_alarm() {
    a_session_without_the_log_elsewhere_is_no_alarm(MySql97);
}

#[test]
fn mariadb_the_plan_says_what_nothing_shows() {
    the_plan_says_what_nothing_shows(MariaDb1011);
}

/// Rows that change, are rolled back, or are only locked are no alarm.
fn what_is_heard_or_undone_is_no_alarm(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    say(&server, &["DO SLEEP(2.1)"]);
    let mut running = postponed(&url, flavour, &[]);
    for statement in [
        "BEGIN; SELECT * FROM orders FOR UPDATE; COMMIT",
        "BEGIN; UPDATE orders SET k = 9; ROLLBACK",
        "INSERT IGNORE INTO orders SELECT * FROM orders",
        "UPDATE orders SET k = -7 WHERE id = 10",
        "DO SLEEP(2.1)",
        "BEGIN; UPDATE orders SET k = k + 1 WHERE id = 20; DO SLEEP(2.1); COMMIT",
        "DO SLEEP(2.1)",
    ] {
        say(&server, &statement.split("; ").collect::<Vec<_>>());
    }
    running.ask("cut-over");
    let ended = running.wait().must_be(0);
    assert!(!ended.output.contains("copies the table again"), "it said:\n{}", ended.output);
}

/// Statements on tables that do not reach ours are passed over. A trigger that writes ours by such
/// a statement ends the run, with the way out.
fn statements_elsewhere_do_not_matter(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    say(
        &server,
        &[
            "CREATE TABLE other (id int PRIMARY KEY, c CHAR(36))",
            "CREATE TABLE reaching (id int PRIMARY KEY)",
        ],
    );
    say(
        &server,
        &["CREATE TRIGGER reaches AFTER INSERT ON reaching FOR EACH ROW UPDATE orders SET k = \
             -7 WHERE id = NEW.id"],
    );
    let mut running = postponed(&url, flavour, &[]);
    let statement = "SET SESSION binlog_format = 'STATEMENT'";
    say(
        &server,
        &[
            statement,
            "INSERT INTO other VALUES (1, CONCAT('a', 'b'))",
            "UPDATE other SET c = 'x;y' WHERE id = 1",
        ],
    );
    running.ask("cut-over");
    running.wait().must_be(0);

    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
    let alter = "DROP COLUMN note";
    let mut running = start(&url, "orders", alter, &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    say(&server, &[statement, "INSERT INTO reaching VALUES (10)"]);
    let words =
        ["reaching", "triggers", "binlog_format = ROW", "altergeist cleanup", "rows copied so far"];
    running.wait().must_be(1).must_say(&words);
    run(&url, "orders", alter, &["--strategy", "copy"])
        .must_be(1)
        .must_say(&["altergeist cleanup"]);
    command(&["cleanup", "--url", &url, "--table", "orders"]).must_be(0);
    run(&url, "orders", alter, &["--strategy", "copy"]).must_be(0);
    assert_eq!(count(&server, "k = -7").as_deref(), Some("1"));
}

/// A replica is not changed by itself, unless that is asked for.
fn a_replica_is_no_target(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 100).unwrap();
    let replica = primary.start_replica();
    let url = replica.url(DATABASE);
    let has_arrived = || {
        replica
            .query(DATABASE, "SELECT 1 FROM orders HAVING COUNT(*) = 100")
            .is_ok_and(|rows| rows.len() == 1)
    };
    while !has_arrived() {
        thread::sleep(std::time::Duration::from_millis(20));
    }
    for alter in ["ADD COLUMN extra int", widening(flavour)] {
        let port = primary.port().to_string();
        run(&url, "orders", alter, &[]).must_be(3).must_say(&[
            "is a replica",
            &port,
            "--allow-replica",
        ]);
    }
    let plan = [
        "plan",
        "--url",
        &url,
        "--table",
        "orders",
        "--alter",
        "ADD COLUMN extra int",
        "--allow-replica",
    ];
    command(&plan).must_be(0).must_say(&["changes the table here only"]);
    two_servers_behind_one_address_are_refused(&primary, &replica);
}

/// As a balancer does that sends each session to the next server.
fn two_servers_behind_one_address_are_refused(one: &Server, other: &Server) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let behind = [one.port(), other.port()];
    thread::spawn(move || {
        for (nth, client) in listener.incoming().enumerate() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", behind[nth % 2])).unwrap();
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    let url = url(one.flavour(), port, DATABASE);
    run(&url, "orders", "ADD COLUMN extra int", &[])
        .must_be(3)
        .must_say(&["different servers answer", "own address"]);
}

/// Somebody made what bears our names before: a view, or a table with a trigger. Nothing of it is
/// used.
fn objects_of_others_are_not_used(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[("log_bin_trust_function_creators", "ON")]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 100).unwrap();
    let (alter, copy) = (widening(flavour), ["--strategy", "copy"]);
    say(
        &server,
        &[
            "CREATE TABLE ran (a int)",
            "CREATE FUNCTION spy () RETURNS int SQL SECURITY INVOKER MODIFIES SQL DATA BEGIN \
             INSERT INTO ran VALUES (1); RETURN 1; END",
        ],
    );
    for (make, name, drop) in [
        (
            "CREATE SQL SECURITY INVOKER VIEW _altergeist AS SELECT 'orders' AS source, spy() AS \
             record, '{}' AS facts",
            "_altergeist",
            "DROP VIEW _altergeist",
        ),
        (
            "CREATE TABLE _altergeist_beat (source varchar(64) PRIMARY KEY, beat bigint unsigned \
             NOT NULL DEFAULT 7)",
            "_altergeist_beat",
            "DROP TABLE _altergeist_beat",
        ),
        (
            "CREATE VIEW _orders_ag_shadow AS SELECT spy()",
            "_orders_ag_shadow",
            "DROP VIEW _orders_ag_shadow",
        ),
        (
            "CREATE VIEW _orders_ag_old AS SELECT spy()",
            "_orders_ag_old",
            "DROP VIEW _orders_ag_old",
        ),
    ] {
        say(&server, &[make]);
        run(&url, "orders", alter, &copy).must_be(3).must_say(&[name]);
        say(&server, &[drop]);
    }
    // Ours, and then somebody puts a trigger on it: before a run, and while it waits.
    run(&url, "orders", alter, &copy).must_be(0);
    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
    let trigger = "CREATE TRIGGER spies BEFORE UPDATE ON _altergeist_beat FOR EACH ROW INSERT \
                   INTO ran VALUES (2)";
    say(&server, &[trigger]);
    run(&url, "orders", "DROP COLUMN note", &copy)
        .must_be(3)
        .must_say(&["_altergeist_beat", "trigger"]);
    say(&server, &["DROP TRIGGER spies"]);
    assert_eq!(
        server.query(DATABASE, "SELECT COUNT(*) FROM ran WHERE a = 1").unwrap()[0][0].as_deref(),
        Some("0")
    );
    let mut running =
        start(&url, "orders", "DROP COLUMN note", &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    say(&server, &[&trigger.replace("_beat", "")]);
    running.wait().must_be(1).must_say(&["_altergeist", "changed by another session"]);
}

macro_rules! both {
    ($($test:ident: $mysql:ident $mariadb:ident),* $(,)?) => {
        $(
            #[test]
            fn $mysql() {
                $test(MySql97);
            }

            #[test]
            fn $mariadb() {
                $test(MariaDb1011);
            }
        )*
    };
}

both! {
    a_row_written_without_the_log_is_not_lost:
        mysql_a_row_written_without_the_log_is_not_lost
        mariadb_a_row_written_without_the_log_is_not_lost,
    what_is_heard_or_undone_is_no_alarm:
        mysql_what_is_heard_or_undone_is_no_alarm
        mariadb_what_is_heard_or_undone_is_no_alarm,
    statements_elsewhere_do_not_matter:
        mysql_statements_elsewhere_do_not_matter
        mariadb_statements_elsewhere_do_not_matter,
    a_replica_is_no_target: mysql_a_replica_is_no_target mariadb_a_replica_is_no_target,
    objects_of_others_are_not_used:
        mysql_objects_of_others_are_not_used
        mariadb_objects_of_others_are_not_used,
}
