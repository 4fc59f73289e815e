//! Columns that the server computes (`--set`), and columns that stay for now (`--hold`): what is
//! refused, what stops before the swap, and what the plan says.

use altergeist_integration::altergeist_process::{command, must_stay, start, structure};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Mix, Table, Writers};

every_server!(the_vanished_address, an_expression_that_cannot_be_repeated_is_refused_by_name,);

/// Data loss by a bad transform in the same deploy as the drop: the parser of the new column finds
/// nothing in 3 % of the old values. The plan says so, and the run does not swap.
fn the_vanished_address(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 2_000).unwrap();
    let address = "ALTER TABLE orders ADD COLUMN address varchar(120) NOT NULL DEFAULT 'Elm Street \
                   1, 12345 Town'";
    server.execute(DATABASE, address).unwrap();
    server.execute(DATABASE, "UPDATE orders SET address = 'none' WHERE id % 330 = 0").unwrap();
    let was = structure(&server, "orders");
    let set = match flavour.is_postgres() {
        true => "street = coalesce(substring(address FROM '^[^,]+,'), '')",
        false => "street = COALESCE(REGEXP_SUBSTR(address, '^[^,]+,'), '')",
    };
    let alter = "ADD COLUMN street varchar(120) NOT NULL DEFAULT '', DROP COLUMN address";
    let change = ["--url", &url, "--table", "orders", "--alter", alter, "--set", set];
    command(&[&["plan"][..], &change].concat()).must_be(0).must_say(&[
        "--set street: of 2000 rows, it gives NULL for 0, an empty value for 60 (3.0 %)",
        " it, and --set computes column street from it",
        "--hold",
    ]);
    let held = ["--hold", "address"];
    command(&[&["plan"][..], &change, &held].concat())
        .must_be(0)
        .must_say(&["column address: it stays for now (--hold)", "drop column"]);

    let writers = Writers::start(&url, &table, 50, 2, 1, &Mix::everything());
    let mut running = start(&url, "orders", alter, &["--set", set, "--hold", "address"]);
    let status = running.wait_until(|status| status["phase"] == "waiting");
    let waiting_for = status["waiting_for"].as_str().unwrap_or_default();
    let wanted = "gate column:street: empty-increase ";
    assert!(waiting_for.starts_with(wanted) && waiting_for.contains("% > 1% ("), "{status}");
    must_stay("it waits for the gate", || running.status()["phase"] == "waiting");
    assert_eq!(structure(&server, "orders"), was);
    assert!(running.ask("cut-over").contains("allowed"));
    must_stay("it is overruled only by name", || running.status()["phase"] == "waiting");
    // What is inserted after the swap is no longer computed.
    let report = writers.stop();
    running.ask("overrule column:street");
    running.wait().must_be(0).must_say(&["Later, when nothing reads", "drop column"]);
    let status = ["status", "--url", &url, "--table", "orders"];
    command(&status).must_be(0).must_say(&["later      ", "drop column"]);
    let later = command(&[&status[..], &["--json"]].concat()).must_be(0).output;
    let later: serde_json::Value = serde_json::from_str(later.trim()).expect("it is JSON");
    assert_eq!(later["later_statements"].as_array().map(Vec::len), Some(1), "{later}");
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
    let wrong = "SELECT count(*) FROM orders WHERE street <> CASE address WHEN 'none' THEN '' ELSE \
                 'Elm Street 1,' END";
    assert_eq!(server.query(DATABASE, wrong).unwrap(), [[Some("0".to_owned())]]);
}

/// The plan refuses what the copy, the refresh and the comparison could compute differently. A row
/// that comes later, and that an expression fails for, ends the run by name.
fn an_expression_that_cannot_be_repeated_is_refused_by_name(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    for sql in [
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, n int, v varchar(40), w varchar(40), clock \
         time DEFAULT '10:00:00')",
        "CREATE TABLE other (id int NOT NULL PRIMARY KEY, v varchar(40))",
        "INSERT INTO t (id, n, v, w) VALUES (1, 2, 'a', 'b'), (2, 3, 'c', NULL)",
    ] {
        server.execute(DATABASE, sql).unwrap();
    }
    for sql in functions(flavour) {
        server.execute(DATABASE, sql).unwrap();
    }
    let change = ["--url", &url, "--table", "t", "--alter", ""];
    let set = |text: &str, code: i32, says: &[&str]| {
        let plan = command(&[&["plan"][..], &change, &["--set", text]].concat());
        plan.must_be(code).must_say(says);
    };
    for expression in volatile(flavour) {
        set(&format!("v = {expression}"), 3, &["--set v: ", "[volatile-expression]"]);
    }
    for expression in ["nosuch", "v) , (w", "nosuch(v)", "v, w", "(v"] {
        set(&format!("v = {expression}"), 3, &["--set v: ", "[clause-rejected]"]);
    }
    set("nosuch = v", 3, &["--set nosuch: the altered table has no such column"]);
    set("id = n", 3, &["--set id: the run follows the rows by this column", "[key-choice]"]);
    set("v = w", 0, &["it gives NULL for 1 (50 %)"]);
    let native = ["--set", "v = w", "--strategy", "native"];
    command(&[&["plan"][..], &change, &native].concat()).must_be(2).must_say(&["needs a copy"]);
    command(&[&["plan"][..], &change, &["--hold", "v"]].concat())
        .must_be(3)
        .must_say(&["--hold v: no clause drops this column"]);

    if !flavour.is_postgres() {
        stored_functions_and_times(&url);
    }
    if flavour == Flavour::MySql97 {
        let install = "INSTALL COMPONENT 'file://component_audit_api_message_emit'";
        server.execute(DATABASE, install).unwrap();
        let loaded = "v = audit_api_message_emit_udf('component', 'producer', 'message')";
        set(loaded, 0, &["the function audit_api_message_emit_udf is of a loaded library"]);
    }

    let divided = match flavour.is_postgres() {
        true => "v = CAST(100 / (n - 1) AS varchar(40))",
        false => "v = CAST(100 / (n - 1) AS CHAR(40))",
    };
    let mut running = start(&url, "t", "", &["--set", divided, "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    server.execute(DATABASE, "INSERT INTO t (id, n, v) VALUES (3, 1, 'secret')").unwrap();
    let ended = running.wait().must_be(1);
    assert!(!ended.output.contains("secret"), "{}", ended.output);
    assert_eq!(
        server.query(DATABASE, "SELECT v FROM t WHERE id = 3").unwrap(),
        [[Some("secret".to_owned())]]
    );
    let plan = ["plan", "--url", &url, "--table", "t", "--alter", "", "--set", divided];
    command(&plan).must_be(3).must_say(&["an error for 1 (33 %)", "[computed-values]"]);
}

/// MySQL and MariaDB.
fn stored_functions_and_times(url: &str) {
    let plan =
        |words: &[&str]| command(&[&["plan", "--url", url, "--table", "t"][..], words].concat());
    let honest = format!("n = {DATABASE}.honest(n)");
    plan(&["--set", &honest]).must_be(0);
    plan(&["--set", "n = honest(n)"]).must_be(3).must_say(&[&format!("`{DATABASE}`.`honest`(…)")]);
    for into in ["DATETIME", "DATE", "TIMESTAMP NULL"] {
        plan(&["--alter", &format!("MODIFY clock {into}")])
            .must_be(3)
            .must_say(&["column clock: a TIME has no date", "[volatile-expression]"]);
    }
    let dated =
        ["--alter", "MODIFY clock DATETIME", "--set", "clock = TIMESTAMP('2000-01-01', clock)"];
    plan(&dated).must_be(0);
}

fn functions(flavour: Flavour) -> Vec<&'static str> {
    match flavour.is_postgres() {
        true => vec!["CREATE FUNCTION own(text) RETURNS text VOLATILE RETURN $1"],
        false => vec![
            "CREATE FUNCTION own(a INT) RETURNS INT READS SQL DATA RETURN a",
            "CREATE FUNCTION liar(a INT) RETURNS INT DETERMINISTIC NO SQL RETURN a + RAND() * 0",
            "CREATE FUNCTION outer_liar(a INT) RETURNS INT DETERMINISTIC NO SQL RETURN liar(a)",
            "CREATE FUNCTION honest(a INT) RETURNS INT DETERMINISTIC NO SQL RETURN a + 1",
        ],
    }
}

/// Expressions that may give another value each time, or that look beyond their row.
fn volatile(flavour: Flavour) -> Vec<&'static str> {
    match flavour.is_postgres() {
        true => vec![
            "random()::text",
            "now()::text",
            "'now'::timestamptz::text",
            "current_date::text",
            "gen_random_uuid()::text",
            "own(v)",
            "ctid::text",
            "max(v)",
            "row_number() OVER ()::text",
            "unnest(ARRAY[v])",
            "(SELECT v FROM other WHERE other.id = t.id)",
            "(SELECT max(v) FROM t AS others)",
        ],
        false => vec![
            "RAND()",
            "NOW()",
            "CURRENT_DATE",
            "SYSDATE()",
            "UUID()",
            "CONNECTION_ID()",
            "own(n)",
            "liar(n)",
            "outer_liar(n)",
            // A TIME has no date: the server takes today's.
            "YEAR(clock)",
            "CONCAT(CAST(clock AS DATETIME))",
            "@a",
            "@a := n",
            "@@server_id",
            "MAX(v)",
            "ROW_NUMBER() OVER ()",
            "(SELECT v FROM other WHERE other.id = t.id)",
            "(SELECT MAX(v) FROM t AS others)",
            "LAST_INSERT_ID()",
            "SLEEP(0)",
        ],
    }
}
