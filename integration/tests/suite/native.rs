//! Changes the server carries out by itself on MySQL and MariaDB: what the table refuses though its
//! empty clone took it, and what was done and not yet written down.

use std::time::Duration;

use altergeist_integration::altergeist_process::{run, start};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::statement_fault::{StatementFault, Then};

const TABLE: &str = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a INT)";
const ROWS: &str = "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)";
const ALTER: &str = "ADD COLUMN w INT DEFAULT 7";
/// Since 9.1.
const ROW_VERSIONS: u32 = 255;

/// Who may not see how many versions the table's rows have cannot foresee it.
#[test]
fn mysql_what_the_table_refuses_though_its_clone_took_it_is_copied() {
    let Some(server) = Server::start(Flavour::MySql97, &[]) else {
        return;
    };
    let root = |sql: &str| {
        server.execute(DATABASE, sql).unwrap_or_else(|failure| panic!("{sql}: {failure}"))
    };
    root(TABLE);
    root(ROWS);
    for number in 0..ROW_VERSIONS {
        let clause = if number % 2 == 0 { "ADD COLUMN c INT" } else { "DROP COLUMN c" };
        root(&format!("ALTER TABLE t {clause}, ALGORITHM=INSTANT"));
    }
    root("CREATE USER alone@'%'");
    root(&format!(
        "GRANT ALTER, CREATE, DELETE, DROP, INDEX, INSERT, LOCK TABLES, SELECT, TRIGGER, UPDATE \
         ON {DATABASE}.* TO alone@'%'"
    ));
    root("GRANT REPLICATION SLAVE, REPLICATION CLIENT, XA_RECOVER_ADMIN ON *.* TO alone@'%'");
    let url = server.url(DATABASE).replace("root@", "alone@");
    run(&url, "t", ALTER, &["--strategy", "native"]).must_be(3).must_say(&["4092"]);
    run(&url, "t", ALTER, &[]).must_be(0).must_say(&["3 proven equal"]);
    assert_eq!(
        server.query(DATABASE, "SELECT SUM(w) FROM t").unwrap()[0][0].as_deref(),
        Some("21")
    );
    run(&url, "t", ALTER, &[]).must_be(0).must_say(&["already"]);
}

#[test]
fn mysql_a_change_that_was_done_and_not_written_down_is_found_done() {
    not_written_down(Flavour::MySql97);
}

#[test]
fn mariadb_a_change_that_was_done_and_not_written_down_is_found_done() {
    not_written_down(Flavour::MariaDb1011);
}

/// The answer to the ALTER is lost; and the run dies before it writes that all is done. The clone's
/// ALTER comes first.
fn not_written_down(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    for (words, nth, then) in
        [("ALGORITHM=INSTANT", 2, Then::CloseBehind), ("'done', NOW()", 1, Then::Hold)]
    {
        let database = format!("native_{then:?}").to_lowercase();
        server.execute("", &format!("CREATE DATABASE {database}")).unwrap();
        for statement in [TABLE, ROWS] {
            server.execute(&database, statement).unwrap();
        }
        let fault = StatementFault::start(server.port(), &[words], nth, then);
        let mut running = start(&url(flavour, fault.port(), &database), "t", ALTER, &[]);
        let mut statement = None;
        while statement.is_none() && running.is_running() {
            statement = fault.wait(Duration::from_millis(50));
        }
        let said = if then == Then::Hold { running.kill() } else { running.wait() };
        assert!(statement.is_some(), "nothing was sent with {words}:\n{}", said.output);
        run(&server.url(&database), "t", ALTER, &[]).must_be(0).must_say(&["already"]);
        let sum = server.query(&database, "SELECT SUM(w) FROM t").unwrap();
        assert_eq!(sum[0][0].as_deref(), Some("21"), "{words}");
    }
}
