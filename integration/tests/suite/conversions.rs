//! What becomes of values whose column changes its type: the same as in the server's own ALTER, or
//! refused by the plan.

use altergeist_integration::altergeist_process::{command, run};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};

every_server!(
    values_become_what_the_servers_own_alter_makes_of_them,
    values_that_would_lose_something_are_counted_by_the_plan,
    duplicates_over_expressions_are_refused_by_name,
);

/// A type, values of it, and the type they get.
const ALIKE: [(&str, &str, &str); 26] = [
    ("FLOAT", "0.1), (2.5), (99.99), (16777216), (1e20", "VARCHAR(30)"),
    ("FLOAT", "0.1), (16777216", "VARBINARY(30)"),
    ("DOUBLE", "0.1), (1e300), (-3.5", "VARBINARY(30)"),
    ("YEAR", "0), (1999), (2024", "CHAR(9)"),
    ("VARCHAR(40)", "'x,y'), ('2024'), (''), ('y'", "SET('y','x','2024')"),
    ("VARCHAR(40)", "'x'), ('2'), ('y '", "ENUM('y','x','2024')"),
    ("INT", "20240131), (20241231", "DATE"),
    ("BIGINT", "20240131010203", "DATETIME"),
    ("INT", "101), (235959), (-10), (0", "TIME"),
    ("SMALLINT", "2024), (0), (1), (70), (99", "YEAR"),
    ("VARCHAR(9)", "'2024'), ('0'), ('0000'), ('1'), ('70'", "YEAR"),
    ("TINYINT(1)", "0), (1", "BIT(1)"),
    ("BIGINT", "0), (7", "BIT(64)"),
    ("BIT(8)", "65), (0), (1", "VARCHAR(9)"),
    ("BIT(8)", "65), (0", "BINARY(9)"),
    ("DATETIME", "'2024-01-02 03:04:05'", "BIGINT"),
    ("DATETIME(3)", "'2024-01-02 03:04:59.900'), ('2024-12-31 23:59:59.999'", "BIGINT"),
    ("DATE", "'2024-01-02'", "INT"),
    ("TIME(3)", "'03:04:59.678'), ('-30:00:00'", "INT"),
    ("DECIMAL(12,4)", "12.3456), (-0.5), (2.5", "INT"),
    ("DOUBLE", "2.5), (-3.5), (0.4", "INT"),
    ("DATETIME(6)", "'2024-12-31 23:59:59.999999'", "DATETIME"),
    ("GEOMETRY", "ST_GeomFromText('POINT(1 2)')", "POINT"),
    ("JSON", "'[1]'), ('{\"a\": 1.5}'), ('\"x\"'", "LONGBLOB"),
    ("JSON", "'[1, 2]'), ('12'", "TEXT"),
    ("VARBINARY(9)", "'2024'), ('ab'", "VARCHAR(9)"),
];

const ALIKE_ON_MARIADB: [(&str, &str, &str); 8] = [
    ("CHAR(36)", "'123e4567-e89b-12d3-a456-426614174000'", "UUID"),
    ("BINARY(16)", "UNHEX('123e4567e89b12d3a456426614174000')", "UUID"),
    ("UUID", "'123e4567-e89b-12d3-a456-426614174000'", "CHAR(36)"),
    ("UUID", "'123e4567-e89b-12d3-a456-426614174000'", "BINARY(16)"),
    ("VARCHAR(45)", "'2001:db8::1'), ('::10.0.0.1'", "INET6"),
    ("VARCHAR(15)", "'10.0.0.1'", "INET4"),
    ("BINARY(16)", "UNHEX('20010db8000000000000000000000001')", "INET6"),
    ("INET6", "'2001:db8::1'", "VARCHAR(45)"),
];

/// All conversions are columns of one table, and one change.
fn values_become_what_the_servers_own_alter_makes_of_them(flavour: Flavour) {
    if flavour.is_postgres() {
        return;
    }
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let mariadb: &[_] = if flavour == Flavour::MySql97 { &[] } else { &ALIKE_ON_MARIADB };
    let pairs: Vec<_> = ALIKE.iter().chain(mariadb).collect();
    let names: Vec<String> = (0..pairs.len()).map(|number| format!("c{number}")).collect();
    let columns = names.iter().zip(&pairs).map(|(name, (from, _, _))| format!(", {name} {from}"));
    let create = format!(
        "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY{})",
        columns.collect::<String>()
    );
    server.execute(DATABASE, &create).unwrap();
    server.execute(DATABASE, "INSERT INTO t VALUES ()").unwrap();
    for (name, (_, values, _)) in names.iter().zip(&pairs) {
        server.execute(DATABASE, &format!("INSERT INTO t ({name}) VALUES ({values})")).unwrap();
    }
    server.execute(DATABASE, "CREATE TABLE twin LIKE t").unwrap();
    server.execute(DATABASE, "INSERT INTO twin SELECT * FROM t").unwrap();
    let clauses: Vec<String> = names
        .iter()
        .zip(&pairs)
        .map(|(name, (_, _, into))| format!("MODIFY {name} {into}"))
        .collect();
    server.execute(DATABASE, &format!("ALTER TABLE twin {}", clauses.join(", "))).unwrap();
    run(&server.url(DATABASE), "t", &clauses.join(", "), &["--strategy", "copy"]).must_be(0);
    for (name, (from, _, into)) in names.iter().zip(&pairs) {
        let query = format!(
            "SELECT COUNT(*) FROM t JOIN twin USING (id) WHERE NOT (HEX(CONCAT(t.{name})) <=> \
             HEX(CONCAT(twin.{name})))"
        );
        assert_eq!(
            server.query(DATABASE, &query).unwrap(),
            [[Some("0".to_owned())]],
            "{from} to {into}"
        );
    }
}

fn values_that_would_lose_something_are_counted_by_the_plan(flavour: Flavour) {
    if flavour.is_postgres() {
        return;
    }
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let create = "CREATE TABLE t (id INT PRIMARY KEY, d DATETIME, p DECIMAL(12,4), f DOUBLE, g \
                  FLOAT, v VARCHAR(30))";
    server.execute(DATABASE, create).unwrap();
    let rows = "INSERT INTO t VALUES (1, '2024-01-02 03:04:05', 1.2345, 0.125, 0.1, '12.345'), \
                (2, '2024-01-02', 1.25, 0.5, 2.5, '12.5'), (3, NULL, NULL, NULL, NULL, NULL)";
    server.execute(DATABASE, rows).unwrap();
    server.execute(DATABASE, "CREATE TABLE twin LIKE t").unwrap();
    server.execute(DATABASE, "INSERT INTO twin SELECT * FROM t").unwrap();
    let clauses = [
        "MODIFY d DATE",
        "MODIFY p DECIMAL(10,2)",
        "MODIFY f DECIMAL(14,2)",
        "MODIFY g DECIMAL(14,2)",
        "MODIFY v DECIMAL(9,2)",
    ];
    for clause in clauses {
        let plan = ["plan", "--url", &url, "--table", "t", "--strategy", "copy", "--alter", clause];
        command(&plan).must_be(3).must_say(&["1 row would lose", "--allow-rounding"]);
    }
    let all = clauses.join(", ");
    let planned = command(&[
        "plan",
        "--url",
        &url,
        "--table",
        "t",
        "--alter",
        &all,
        "--strategy",
        "copy",
        "--allow-rounding",
    ]);
    planned.must_be(0).must_say(&["column d: 1 row loses", "column v: 1 row loses"]);
    run(&url, "t", &all, &["--strategy", "copy", "--allow-rounding"]).must_be(0);
    server.execute(DATABASE, &format!("ALTER TABLE twin {all}")).unwrap();
    let query = "SELECT COUNT(*) FROM t JOIN twin USING (id, d, p, f, g, v)";
    assert_eq!(server.query(DATABASE, query).unwrap(), [[Some("2".to_owned())]]);
}

/// Unique indexes over what only the altered table computes.
fn duplicates_over_expressions_are_refused_by_name(flavour: Flavour) {
    if flavour.is_postgres() {
        return;
    }
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    server
        .execute(
            DATABASE,
            "CREATE TABLE t (id INT PRIMARY KEY, email VARCHAR(90), gone DATETIME, n INT)",
        )
        .unwrap();
    let rows = "INSERT INTO t VALUES (1, 'a@x', NULL, 1), (2, 'A@x', NULL, 2), (3, 'b@x', NULL, \
                3), (4, 'b@x', '2024-01-01', 4)";
    server.execute(DATABASE, rows).unwrap();
    let mut refused = vec![
        "ADD live TINYINT AS (IF(gone IS NULL, 1, NULL)) VIRTUAL, ADD UNIQUE KEY once (email, \
         live)",
        "ADD low VARCHAR(90) AS (LOWER(email)) STORED, ADD UNIQUE KEY once (low)",
        "ADD a INT AS (n DIV 2), ADD b INT AS (a + 1), ADD UNIQUE KEY once (b)",
        "ADD kind VARCHAR(9) NOT NULL DEFAULT 'x', ADD UNIQUE KEY once (kind, email)",
        "ADD UNIQUE KEY once (email(1))",
    ];
    if flavour == Flavour::MySql97 {
        refused.push("ADD UNIQUE KEY once ((LOWER(email)))");
        refused.push("CHANGE n m BIGINT, ADD UNIQUE KEY once ((m DIV 2))");
    }
    for alter in refused {
        let plan = ["plan", "--url", &url, "--table", "t", "--strategy", "copy", "--alter", alter];
        command(&plan).must_be(3).must_say(&["unique index once"]);
    }
    let taken =
        "ADD live TINYINT AS (IF(gone IS NULL, 1, NULL)) VIRTUAL, ADD UNIQUE KEY once (n, live)";
    command(&["plan", "--url", &url, "--table", "t", "--strategy", "copy", "--alter", taken])
        .must_be(0);
    // Pasted statements are read as the clauses that do the same.
    let pasted = "CREATE UNIQUE INDEX once ON t (email) ALGORITHM=INPLACE LOCK=NONE";
    command(&["plan", "--url", &url, "--table", "t", "--strategy", "copy", "--alter", pasted])
        .must_be(3)
        .must_say(&["unique index once"]);
}
