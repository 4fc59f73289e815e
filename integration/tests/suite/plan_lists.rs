//! Two lists of migrations, judged against a table with real faults in its rows: `plan` names what
//! is dangerous by its code, and refuses nothing that is harmless.

use altergeist_integration::altergeist_process::{Ended, command};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use std::fs;

every_server!(what_is_dangerous_is_named_and_what_is_harmless_is_not_refused);

/// A migration, and the code that must be among its findings.
type Dangerous = (&'static str, &'static str);

const MYSQL_TABLES: &[&str] = &[
    "CREATE TABLE parents (id int PRIMARY KEY)",
    "CREATE TABLE people (id int PRIMARY KEY, mail varchar(40), name varchar(40) CHARACTER SET \
     utf8mb4, age int, price decimal(10,2), ratio double, at datetime(6), note text, flag int, \
     parent int, KEY by_parent (parent)) CHARACTER SET utf8mb4",
    "INSERT INTO people VALUES (1, 'a', 'Ann of the long names', 70000, 1.55, 1.5, \
     '2026-01-01 10:00:00.5', 'kept', NULL, 99), (2, 'a', '名前', 5, 2, 2, \
     '2026-01-02 00:00:00', NULL, 1, NULL)",
    "INSERT INTO parents VALUES (1)",
];

const MYSQL_DANGEROUS: &[Dangerous] = &[
    ("ADD UNIQUE (mail)", "unique-duplicates"),
    ("MODIFY name varchar(5) CHARACTER SET utf8mb4", "value-too-long"),
    ("MODIFY age smallint", "value-out-of-range"),
    ("MODIFY age tinyint unsigned", "value-out-of-range"),
    ("MODIFY ratio int", "value-lossy"),
    ("MODIFY price decimal(10,0)", "value-lossy"),
    ("MODIFY at datetime", "value-lossy"),
    ("MODIFY name int", "value-invalid"),
    ("MODIFY name varchar(40) CHARACTER SET latin1", "value-lossy"),
    ("MODIFY flag int NOT NULL", "null-values"),
    ("ADD CONSTRAINT young CHECK (age < 100)", "check-violated"),
    (
        "ADD CONSTRAINT has_parent FOREIGN KEY (parent) REFERENCES parents (id)",
        "foreign-key-violated",
    ),
    ("DROP COLUMN note", "drops-data"),
    ("DROP COLUMN mail, ADD COLUMN email varchar(40)", "rename-lost"),
    ("DROP COLUMN note, ADD COLUMN remark int", "contract-too-early"),
    ("DROP PRIMARY KEY", "key-choice"),
    ("ADD COLUMN", "clause-rejected"),
];

const MYSQL_HARMLESS: &[&str] = &[
    "ADD COLUMN a int",
    "ADD COLUMN b varchar(20) NOT NULL DEFAULT 'x'",
    "ADD COLUMN c int FIRST",
    "MODIFY age bigint",
    "MODIFY mail varchar(200)",
    "MODIFY name text CHARACTER SET utf8mb4",
    "MODIFY price decimal(12,4)",
    "ADD INDEX by_age (age)",
    "ADD UNIQUE (id, mail)",
    "ADD CONSTRAINT positive CHECK (age > 0)",
    "ALTER COLUMN age SET DEFAULT 1",
    "DROP INDEX by_parent",
    "RENAME COLUMN age TO years",
    "COMMENT = 'people'",
    "ENGINE = InnoDB",
];

const POSTGRES_TABLES: &[&str] = &[
    "CREATE TABLE parents (id int PRIMARY KEY)",
    "CREATE TABLE people (id int PRIMARY KEY, mail varchar(40), name varchar(40), age int, \
     price numeric(10,2), ratio float8, at timestamptz, note text, flag int, parent int)",
    "INSERT INTO people VALUES (1, 'a', 'Ann of the long names', 70000, 1.55, 1.5, \
     '2026-01-01 10:00:00.5', 'kept', NULL, 99), (2, 'a', 'Bob', 5, 2, 2, '2026-01-02', NULL, 1, \
     NULL)",
    "INSERT INTO parents VALUES (1)",
];

const POSTGRES_DANGEROUS: &[Dangerous] = &[
    ("ADD UNIQUE (mail)", "unique-duplicates"),
    ("ADD CONSTRAINT one_mail UNIQUE (mail)", "unique-duplicates"),
    ("ALTER COLUMN name TYPE varchar(5)", "value-too-long"),
    ("ALTER COLUMN age TYPE smallint", "value-out-of-range"),
    ("ALTER COLUMN price TYPE numeric(2,2)", "value-out-of-range"),
    ("ALTER COLUMN ratio TYPE int", "value-lossy"),
    ("ALTER COLUMN price TYPE numeric(10,0)", "value-lossy"),
    ("ALTER COLUMN at TYPE date", "value-lossy"),
    ("ALTER COLUMN name TYPE int USING name::int", "value-invalid"),
    ("ALTER COLUMN flag SET NOT NULL", "null-values"),
    ("ADD COLUMN must int NOT NULL", "no-default"),
    ("ADD CONSTRAINT young CHECK (age < 100)", "check-violated"),
    ("ADD CONSTRAINT has_parent FOREIGN KEY (parent) REFERENCES parents", "foreign-key-violated"),
    ("DROP COLUMN note", "drops-data"),
    ("DROP COLUMN mail, ADD COLUMN email varchar(40)", "rename-lost"),
    ("DROP COLUMN note, ADD COLUMN remark int", "contract-too-early"),
    ("ADD COLUMN", "clause-rejected"),
];

const POSTGRES_HARMLESS: &[&str] = &[
    "ADD COLUMN a int",
    "ADD COLUMN b varchar(20) NOT NULL DEFAULT 'x'",
    "ADD COLUMN c timestamptz DEFAULT now()",
    "ALTER COLUMN age TYPE bigint",
    "ALTER COLUMN mail TYPE varchar(200)",
    "ALTER COLUMN name TYPE text",
    "ALTER COLUMN price TYPE numeric(12,4)",
    "ADD UNIQUE (id, mail)",
    "ADD CONSTRAINT positive CHECK (age > 0)",
    "ALTER COLUMN age SET DEFAULT 1",
    "ALTER COLUMN age SET STATISTICS 200",
    "ALTER COLUMN mail SET NOT NULL",
    "SET (fillfactor = 80)",
    "ALTER COLUMN note SET STORAGE EXTERNAL",
    "ADD CONSTRAINT early FOREIGN KEY (flag) REFERENCES parents",
];

fn what_is_dangerous_is_named_and_what_is_harmless_is_not_refused(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let (tables, dangerous, harmless) = match flavour.is_postgres() {
        true => (POSTGRES_TABLES, POSTGRES_DANGEROUS, POSTGRES_HARMLESS),
        false => (MYSQL_TABLES, MYSQL_DANGEROUS, MYSQL_HARMLESS),
    };
    for statement in tables {
        server.execute(DATABASE, statement).expect("the tables can be made");
    }
    let clauses: Vec<&str> = dangerous.iter().map(|(clauses, _)| *clauses).collect();
    let mut wrong = Vec::new();
    for ((clauses, code), found) in dangerous.iter().zip(judge(&server, &clauses)) {
        if !found.iter().any(|(known, _)| known == code) {
            wrong.push(format!("{clauses}: {code} is not among {found:?}"));
        }
    }
    for (clauses, found) in harmless.iter().zip(judge(&server, harmless)) {
        if found.iter().any(|(_, severity)| severity == "error") {
            wrong.push(format!("{clauses} is refused: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `plan` finds about each of these changes: codes and severities.
fn judge(server: &Server, clauses: &[&str]) -> Vec<Vec<(String, String)>> {
    let statements: Vec<String> =
        clauses.iter().map(|clauses| format!("ALTER TABLE people {clauses};\n")).collect();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("migrations.sql").display().to_string();
    // One file for each, for what one statement adds the next ones have too.
    statements
        .iter()
        .map(|statement| {
            fs::write(&file, statement).expect("a file can be written");
            let url = server.url(DATABASE);
            let Ended { output, .. } =
                command(&["plan", "--url", &url, "--file", &file, "--format", "json"]);
            let line = output.lines().find(|line| line.starts_with('{')).unwrap_or_default();
            let plan: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let found = plan["findings"].as_array().cloned().unwrap_or_default();
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            found.iter().map(|it| (text(&it["code"]), text(&it["severity"]))).collect()
        })
        .collect()
}
