//! What a plan finds on PostgreSQL: each code with its severity, its object and its count. One
//! server answers all of it.

use altergeist_integration::altergeist_process::command;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use serde_json::Value;

const SCHEMA: &str = "
    CREATE TABLE parents (id int PRIMARY KEY);
    INSERT INTO parents SELECT generate_series(1, 10);
    CREATE TABLE t (
        id int PRIMARY KEY, empty text, words text, digits text, big bigint, ratio float8,
        price numeric(10, 4), moment timestamptz, parent int, twice int, maybe int
    );
    INSERT INTO t SELECT
        n, NULL, CASE WHEN n <= 200 THEN 'word ' || n END, CASE WHEN n <= 2 THEN 'x' ELSE '7' END,
        CASE WHEN n <= 3 THEN 3000000000 ELSE n END, CASE WHEN n <= 50 THEN n + 0.5 ELSE n END,
        CASE WHEN n <= 20 THEN 1.2345 ELSE 1.5 END, now(), n % 11, n / 2,
        CASE WHEN n > 5 THEN n END
    FROM generate_series(1, 300) AS n;
    CREATE TABLE large (id int PRIMARY KEY, v text);
    INSERT INTO large SELECT n, repeat('x', 200) FROM generate_series(1, 10000) AS n;
    CREATE TABLE of_rows (id int PRIMARY KEY, n int);
    CREATE FUNCTION full_name(of_rows) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1.id::text';
    CREATE INDEX by_name ON of_rows (full_name(of_rows));
    CREATE TABLE whole (id int PRIMARY KEY, n int, CONSTRAINT odd CHECK (whole.* <> ROW(1, 2)));
    INSERT INTO whole VALUES (1, 1);
    ANALYZE";

/// What a plan must find: the code, the severity, words of the object, the count.
type Wanted = (&'static str, &'static str, &'static str, Option<u64>);

fn findings(url: &str, table: &str, alter: &str, more: &[&str]) -> Vec<Value> {
    let words = ["plan", "--json", "--url", url, "--table", table, "--alter", alter];
    let said = command(&[&words, more].concat()).output;
    let json = said.find('{').map(|at| &said[at..]).unwrap_or_default();
    let plan = serde_json::Deserializer::from_str(json).into_iter::<Value>().next();
    let plan = plan.and_then(Result::ok).unwrap_or_else(|| panic!("no plan for {alter}:\n{said}"));
    plan["findings"].as_array().expect("findings are a list").clone()
}

fn is_wanted(finding: &Value, (code, severity, object, count): &Wanted) -> bool {
    finding["code"] == *code
        && finding["severity"] == *severity
        && finding["object"].as_str().is_some_and(|it| it.contains(object))
        && finding["count"].as_u64() == *count
}

fn must_find(found: &[Value], what: &str, wanted: &[Wanted]) {
    for it in wanted {
        let is_there = found.iter().any(|finding| is_wanted(finding, it));
        assert!(is_there, "{what}: {it:?} is not among {found:#?}");
    }
    let unnamed = found.iter().find(|finding| finding["code"] == "other");
    assert!(unnamed.is_none(), "{what}: {unnamed:?} has no code of its own");
}

/// Changes of `t`, and what a plan of each must find.
const OF_ROWS: &[(&str, &[Wanted])] = &[
    ("DROP COLUMN words", &[("drops-data", "warning", "column words", Some(200))]),
    (
        "DROP COLUMN words, ADD COLUMN text text",
        &[
            ("drops-data", "warning", "column words", Some(200)),
            ("rename-lost", "warning", "column words", None),
        ],
    ),
    (
        "DROP COLUMN words, ADD COLUMN other int",
        &[("contract-too-early", "warning", "column words", None)],
    ),
    (
        "ALTER COLUMN words TYPE varchar(6)",
        &[("value-too-long", "error", "column words", Some(191))],
    ),
    (
        "ALTER COLUMN digits TYPE int USING digits::int",
        &[("value-invalid", "error", "column digits", Some(2))],
    ),
    ("ALTER COLUMN big TYPE int", &[("value-out-of-range", "error", "column big", Some(3))]),
    (
        "ALTER COLUMN price TYPE numeric(3, 3)",
        &[("value-out-of-range", "error", "column price", Some(300))],
    ),
    ("ALTER COLUMN ratio TYPE int", &[("value-lossy", "warning", "column ratio", Some(50))]),
    (
        "ALTER COLUMN price TYPE numeric(10, 2)",
        &[("value-lossy", "warning", "column price", Some(20))],
    ),
    ("ALTER COLUMN moment TYPE timestamp", &[("value-lossy", "warning", "column moment", None)]),
    (
        "ALTER COLUMN big TYPE text USING 'n' || big",
        &[("not-revertible", "note", "column big", None)],
    ),
    (
        "ALTER COLUMN maybe SET NOT NULL, ALTER COLUMN big TYPE numeric",
        &[("null-values", "error", "column maybe", Some(5))],
    ),
    ("ADD COLUMN must int NOT NULL", &[("no-default", "error", "column must", None)]),
    (
        "ADD CONSTRAINT small CHECK (big < 100), ALTER COLUMN price TYPE numeric",
        &[("check-violated", "error", "constraint small", Some(204))],
    ),
    (
        "ADD FOREIGN KEY (parent) REFERENCES parents, ALTER COLUMN price TYPE numeric",
        &[("foreign-key-violated", "error", "foreign key t_parent_fkey", Some(27))],
    ),
    (
        "ADD CONSTRAINT once UNIQUE (twice), ALTER COLUMN price TYPE numeric",
        &[("unique-duplicates", "error", "unique index once", Some(149))],
    ),
    ("ALTER COLUMN nowhere TYPE int", &[("clause-rejected", "error", "", None)]),
    (
        "ALTER COLUMN big TYPE text USING now()::text",
        &[("volatile-expression", "error", "big", None)],
    ),
];

fn of_rows(url: &str) {
    for (alter, wanted) in OF_ROWS {
        must_find(&findings(url, "t", alter, &[]), alter, wanted);
    }
    for harmless in ["DROP COLUMN empty", "ADD COLUMN more int", "ALTER COLUMN id TYPE bigint"] {
        let found = findings(url, "t", harmless, &[]);
        must_find(&found, harmless, &[]);
        let bad = found.iter().find(|finding| finding["severity"] != "note");
        assert!(bad.is_none(), "{harmless}: {bad:?}");
    }
}

fn of_objects(url: &str) {
    let found = findings(url, "of_rows", "ALTER COLUMN n TYPE bigint", &[]);
    must_find(&found, "an index over rows", &[("dependent-object", "error", "by_name", None)]);
    let found = findings(url, "pg_catalog.pg_class", "ADD COLUMN x int", &[]);
    must_find(&found, "a catalogue", &[("table-kind", "error", "pg_class", None)]);
    let found = findings(url, "whole", "ALTER COLUMN n TYPE bigint", &[]);
    must_find(&found, "a check of rows", &[("check-violated", "error", "constraint odd", None)]);
}

fn of_costs(server: &Server, url: &str) {
    let alter = "ALTER COLUMN v TYPE varchar(300)";
    let copy = ["--strategy", "copy"];
    let wanted: &[Wanted] = &[
        ("disk-space", "note", "", None),
        ("log-volume", "note", "", None),
        ("replica-lag", "note", "standby", None),
    ];
    must_find(&findings(url, "large", alter, &copy), "costs", wanted);
    server.execute(DATABASE, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").unwrap();
    server.execute(DATABASE, "SELECT pg_reload_conf()").unwrap();
    let wanted: &[Wanted] = &[("log-volume", "warning", "max_slot_wal_keep_size", None)];
    must_find(&findings(url, "large", alter, &copy), "little log", wanted);
}

fn of_sessions(url: &str) {
    block_on(async {
        let mut holder = Session::connect(url).await.unwrap();
        let pid = holder.value("SELECT pg_backend_pid()").await.unwrap().unwrap();
        holder.rows("BEGIN").await.unwrap();
        holder.rows("SELECT count(*) FROM t").await.unwrap();
        let mut writer = Session::connect(url).await.unwrap();
        writer.rows("BEGIN").await.unwrap();
        writer.rows("INSERT INTO parents VALUES (99)").await.unwrap();
        writer.rows("PREPARE TRANSACTION 'left behind'").await.unwrap();
        let quick = ["--lock-timeout", "10ms", "--strategy", "copy"];
        let found = findings(url, "t", "ADD COLUMN more int", &quick);
        let wanted: &[Wanted] = &[
            ("blockers", "warning", "server process", None),
            ("blockers", "warning", "prepared transaction 'left behind'", None),
        ];
        must_find(&found, "sessions", wanted);
        let named = found.iter().any(|finding| finding["object"].to_string().contains(&pid));
        assert!(named, "process {pid} is not among {found:#?}");
        writer.rows("ROLLBACK PREPARED 'left behind'").await.unwrap();
        holder.rows("ROLLBACK").await.unwrap();
    });
}

#[test]
fn postgres18_a_plan_finds_what_would_go_wrong_and_counts_it() {
    let settings = [("max_prepared_transactions", "2")];
    let Some(server) = Server::start(Flavour::Postgres18, &settings) else { return };
    server.execute(DATABASE, SCHEMA).unwrap();
    let url = server.url(DATABASE);
    of_rows(&url);
    of_objects(&url);
    of_sessions(&url);
    let _standby = server.start_replica();
    of_costs(&server, &url);
}
