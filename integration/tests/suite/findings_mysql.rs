//! What `plan` finds in the rows, the definition and the server, on MySQL and MariaDB: one server
//! for all findings. Each has its code, its severity, and the number of rows.

use Flavour::{MariaDb1011, MySql97};
use altergeist_integration::altergeist_process::command;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use serde_json::Value;

const MAKE: [&str; 5] = [
    "CREATE TABLE parent (id INT NOT NULL PRIMARY KEY)",
    "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(40) CHARACTER SET utf8mb4, n INT, d \
     DECIMAL(10,4), word VARCHAR(20), day VARCHAR(20), doc TEXT, kind VARCHAR(10) CHARACTER SET \
     utf8mb4 COLLATE utf8mb4_bin, at DATETIME, parent INT) ENGINE=InnoDB",
    "INSERT INTO parent VALUES (1)",
    "INSERT INTO t VALUES (1, 'short', 1, 1.5, '12', '2024-01-31', '[1]', 'a', '2024-01-31', 1), \
     (2, 'a name that is too long', 300, 1.2345, 'twelve', 'never', 'no', 'c', '1900-01-01', 7), \
     (3, 'Ω', NULL, 123456.5, '1e2', '2024-01-31', '{}', 'b', '2024-01-31', NULL)",
    "CREATE TABLE blank LIKE t",
];

/// A change of `t`, and what must be found: code, severity, object and number.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str, &'a str, u64)]);

const DANGEROUS: [Case; 15] = [
    ("DROP COLUMN name", &[("drops-data", "warning", "column name", 3)]),
    ("DROP COLUMN n, ADD COLUMN n BIGINT", &[("drops-data", "warning", "column n", 2)]),
    (
        "DROP COLUMN word, ADD COLUMN term VARCHAR(20)",
        &[
            ("drops-data", "warning", "column word", 3),
            ("rename-lost", "warning", "column word", 0),
        ],
    ),
    ("MODIFY name VARCHAR(10)", &[("value-too-long", "error", "column name", 1)]),
    ("MODIFY n TINYINT", &[("value-out-of-range", "error", "column n", 1)]),
    ("MODIFY d DECIMAL(6,4)", &[("value-out-of-range", "error", "column d", 1)]),
    ("MODIFY d DECIMAL(10,2)", &[("value-lossy", "error", "column d", 1)]),
    ("MODIFY name VARCHAR(40) CHARACTER SET latin1", &[("value-lossy", "error", "column name", 1)]),
    ("MODIFY n INT NOT NULL", &[("null-values", "error", "column n", 1)]),
    ("MODIFY word INT", &[("value-invalid", "error", "column word", 1)]),
    ("MODIFY day DATE", &[("value-invalid", "error", "column day", 1)]),
    (
        "MODIFY kind ENUM('a', 'b') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        &[("value-invalid", "error", "column kind", 1)],
    ),
    ("MODIFY at TIMESTAMP NULL", &[("value-out-of-range", "error", "column at", 1)]),
    ("ADD CONSTRAINT small CHECK (n < 100)", &[("check-violated", "error", "constraint small", 1)]),
    (
        "ADD CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES parent (id)",
        &[("foreign-key-violated", "error", "", 1)],
    ),
];

const HARMLESS: [&str; 10] = [
    "MODIFY name VARCHAR(50) CHARACTER SET utf8mb4",
    "MODIFY name VARCHAR(23) CHARACTER SET utf8mb4",
    "MODIFY n SMALLINT",
    "MODIFY d DECIMAL(12,4)",
    "MODIFY kind ENUM('a', 'b', 'c') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "MODIFY n INT UNSIGNED",
    "MODIFY doc MEDIUMTEXT",
    "ADD CONSTRAINT positive CHECK (n > 0)",
    "ADD COLUMN more INT NOT NULL DEFAULT 1",
    "ADD INDEX (n)",
];

fn plan(server: &Server, table: &str, alter: &str) -> Value {
    let url = server.url(DATABASE);
    let words = ["plan", "--json", "--strategy", "copy", "--url", &url, "--table", table];
    let ended = command(&[&words[..], &["--alter", alter]].concat());
    let text = ended.output.find('{').map(|at| &ended.output[at..]).unwrap_or_default();
    let mut read = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    read.next().and_then(Result::ok).unwrap_or_else(|| panic!("{alter}: {}", ended.output))
}

fn findings(plan: &Value) -> Vec<&Value> {
    plan["findings"].as_array().expect("a plan has findings").iter().collect()
}

fn errors(plan: &Value) -> Vec<&Value> {
    findings(plan).into_iter().filter(|it| it["severity"] == "error").collect()
}

fn what_the_rows_do_not_allow_has_its_code_and_its_number(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    for statement in MAKE {
        server.execute(DATABASE, statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    // JSON is a type on MySQL, and a CHECK constraint on MariaDB.
    let of_json = if flavour == MySql97 { "value-invalid" } else { "check-violated" };
    let json: &[_] = &[(of_json, "error", "column doc", 1)];
    for (alter, expected) in DANGEROUS.into_iter().chain([("MODIFY doc JSON", json)]) {
        let plan = plan(&server, "t", alter);
        for (code, severity, object, count) in expected {
            let found = findings(&plan).into_iter().find(|it| it["code"] == *code);
            let found = found.unwrap_or_else(|| panic!("{alter}: no {code} in {plan:#}"));
            assert_eq!(found["severity"], *severity, "{alter}: {found}");
            assert!(object.is_empty() || found["object"] == *object, "{alter}: {found}");
            assert_eq!(found["count"].as_u64().unwrap_or_default(), *count, "{alter}: {found}");
            assert!(!found["remedy"].as_str().unwrap_or_default().is_empty(), "{alter}: {found}");
        }
        let is_refused = expected.iter().any(|(_, severity, ..)| *severity == "error");
        assert_eq!(!errors(&plan).is_empty(), is_refused, "{alter}: {plan:#}");
        let other: Vec<_> =
            findings(&plan).into_iter().filter(|it| it["code"] == "other").collect();
        assert!(other.is_empty(), "{alter}: {other:?}");
        // An empty table refuses none of them.
        let plan = self::plan(&server, "blank", alter);
        assert!(errors(&plan).is_empty(), "{alter}: {plan:#}");
    }
    for alter in HARMLESS {
        let plan = plan(&server, "t", alter);
        assert!(errors(&plan).is_empty(), "{alter}: {plan:#}");
    }
    what_the_server_tells_is_in_the_plan(&server);
}

/// Open transactions, the log and the disk.
fn what_the_server_tells_is_in_the_plan(server: &Server) {
    let alter = "ADD COLUMN more INT NOT NULL DEFAULT 1";
    let codes = |plan: &Value| -> Vec<String> {
        findings(plan).iter().map(|it| it["code"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let before = codes(&plan(server, "t", alter));
    assert!(!before.contains(&"blockers".into()), "{before:?}");
    for code in ["log-volume", "disk-space", "left-behind"] {
        assert!(before.contains(&code.into()), "{code}: {before:?}");
    }
    block_on(async {
        let mut open = Session::connect(&server.url(DATABASE)).await.unwrap();
        open.execute("BEGIN").await.unwrap();
        open.execute("UPDATE t SET n = 2 WHERE id = 1").await.unwrap();
        // The transaction itself measures its age.
        let age = "SELECT TIMESTAMPDIFF(SECOND, trx_started, NOW()) > 5 FROM \
                   information_schema.INNODB_TRX WHERE trx_mysql_thread_id = CONNECTION_ID()";
        while open.value(age).await.unwrap().as_deref() != Some("1") {
            open.execute("DO SLEEP(0.2)").await.unwrap();
        }
        let id = open.value("SELECT CONNECTION_ID()").await.unwrap().unwrap();
        let plan = plan(server, "t", alter);
        let found = findings(&plan).into_iter().find(|it| it["code"] == "blockers");
        let found = found.unwrap_or_else(|| panic!("no blockers in {plan:#}"));
        assert_eq!(found["severity"], "warning", "{found}");
        assert_eq!(found["count"], 1, "{found}");
        let message = found["message"].as_str().unwrap_or_default();
        assert!(message.contains(&format!("connection {id}")), "{found}");
        open.execute("ROLLBACK").await.unwrap();
    });
}

#[test]
fn mysql_what_the_rows_do_not_allow_has_its_code_and_its_number() {
    what_the_rows_do_not_allow_has_its_code_and_its_number(MySql97);
}

#[test]
fn mariadb_what_the_rows_do_not_allow_has_its_code_and_its_number() {
    what_the_rows_do_not_allow_has_its_code_and_its_number(MariaDb1011);
}
