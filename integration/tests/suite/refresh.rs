//! What a refresh writes, and what it need not write.

use altergeist_integration::altergeist_process::start;
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

const ROWS: u64 = 4_000;

/// What tells that rows of the shadow were written again.
fn written(server: &Server) -> u64 {
    let (statement, column) = match server.flavour().is_postgres() {
        true => ("SELECT count(DISTINCT xmin::text)::text FROM ag_shadow_public.t", 0),
        false => ("SHOW GLOBAL STATUS LIKE 'Handler_delete'", 1),
    };
    server.query(DATABASE, statement).unwrap()[0][column].as_deref().unwrap().parse().unwrap()
}

/// Nothing of the shadow has that column.
fn changes_the_shadow_does_not_show_are_not_written_to_it(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let execute = |statement: &str| server.execute(DATABASE, statement).unwrap();
    execute("CREATE TABLE t (id int PRIMARY KEY, a int, seen int NOT NULL)");
    let numbers = match flavour.is_postgres() {
        true => format!("SELECT i, i % 7, 0 FROM generate_series(1, {ROWS}) i"),
        false => format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
             SELECT i, i % 7, 0 FROM n"
        ),
    };
    if !flavour.is_postgres() {
        let setting = if flavour == Flavour::MySql97 {
            "cte_max_recursion_depth"
        } else {
            "max_recursive_iterations"
        };
        execute(&format!("SET GLOBAL {setting} = {ROWS}"));
    }
    execute(&format!("INSERT INTO t {numbers}"));
    let mut running = start(
        &server.url(DATABASE),
        "t",
        "DROP COLUMN seen",
        &["--strategy", "copy", "--postpone-cut-over"],
    );
    running.wait_until(|status| status["phase"] == "waiting");
    let before = written(&server);
    execute("UPDATE t SET seen = seen + 1");
    running.wait_until(|status| status["keys_refreshed"].as_u64() == Some(ROWS));
    let more = written(&server) - before;
    assert!(more < 10, "{more}");
    // And those that do show are.
    execute("UPDATE t SET a = a + 1, seen = 0 WHERE id % 2 = 0");
    running.ask("cut-over");
    running.wait().must_be(0);
    let sum = server.query(DATABASE, "SELECT CAST(sum(a) AS char(20)) FROM t").unwrap()[0][0]
        .clone()
        .unwrap();
    let expected: u64 = (1..=ROWS).map(|id| id % 7 + u64::from(id % 2 == 0)).sum();
    assert_eq!(sum.trim().parse::<u64>().unwrap(), expected);
}

every_server!(changes_the_shadow_does_not_show_are_not_written_to_it);
