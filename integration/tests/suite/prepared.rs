//! Transactions that are prepared (XA) when a run begins: their rows stand in the log before it,
//! and become visible only later.

use altergeist_integration::altergeist_process::{
    command, inventory, left_behind, must_stay, run, start,
};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};

const ALTER: &str = "ADD COLUMN w INT NOT NULL DEFAULT 7";
const COPY: [&str; 2] = ["--strategy", "copy"];

#[test]
fn mysql_what_was_prepared_before_the_run_is_waited_for() {
    is_waited_for(Flavour::MySql97);
}

#[test]
fn mariadb_what_was_prepared_before_the_run_is_waited_for() {
    is_waited_for(Flavour::MariaDb1011);
}

fn is_waited_for(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    for statement in [
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v INT NOT NULL)",
        "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    ] {
        server.execute(DATABASE, statement).unwrap();
    }
    let before = inventory(&server);
    block_on(async {
        let mut session = Session::connect(&url).await.unwrap();
        let prepare = "XA START 'one', 'b', 7; INSERT INTO t VALUES (10, 10); UPDATE t SET v = 20 \
                       WHERE id = 2; DELETE FROM t WHERE id = 3; XA END 'one', 'b', 7; XA PREPARE \
                       'one', 'b', 7";
        session.rows(prepare).await.unwrap();
    });

    run(&url, "t", ALTER, &COPY).must_be(7).must_say(&[
        "XA COMMIT",
        "X'6f6e65', X'62', 7",
        "the same command",
    ]);
    command(&["cleanup", "--url", &url, "--table", "t"]).must_be(0);
    assert_eq!(left_behind(&before, &inventory(&server)), Vec::<String>::new());

    let mut running = start(&url, "t", ALTER, &COPY);
    must_stay("the run waits for the prepared transaction", || running.is_running());
    server.execute(DATABASE, "XA COMMIT 'one', 'b', 7").unwrap();
    running.wait().must_be(0);
    let rows = server
        .query(DATABASE, "SELECT GROUP_CONCAT(CONCAT_WS(':', id, v, w) ORDER BY id) FROM t")
        .unwrap();
    assert_eq!(rows[0][0].as_deref(), Some("1:1:7,2:20:7,10:10:7"));
}
