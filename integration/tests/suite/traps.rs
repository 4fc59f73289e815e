//! What has lost rows, stalled applications or shown secrets in tools of this kind, and needs more
//! than a folder of SQL. `docs/traps.md` lists every trap with its test.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{
    Running, binary, command, inventory, left_behind, old_name, run, start, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::faults::{Fault, FaultProxy};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::workload::{Mix, Table, Writers, differences};

every_server!(
    a_transaction_of_300_000_rows_is_followed,
    a_row_of_64_megabytes_is_carried_and_followed,
    a_network_that_goes_black_holds_nothing_and_the_same_command_finishes_the_run,
    a_network_that_goes_black_in_the_cut_over_does_not_hold_the_table,
    sessions_killed_in_the_cut_over_lose_nothing,
    tables_that_are_not_ours_are_never_dropped,
    values_of_rows_are_never_shown,
    passwords_are_never_shown,
);

/// A narrow table of a thousand rows, and the clauses that make it wider.
fn narrow_table(server: &Server) -> &'static str {
    let postgres = server.flavour().is_postgres();
    let rows = match postgres {
        true => "INSERT INTO t SELECT n, 0 FROM generate_series(1, 1000) n",
        false => {
            "INSERT INTO t WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE \
             n < 1000) SELECT n, 0 FROM n"
        }
    };
    server
        .execute(DATABASE, &format!("CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL); {rows}"))
        .unwrap();
    if postgres { "ALTER COLUMN a TYPE bigint" } else { "MODIFY a bigint NOT NULL" }
}

fn a_transaction_of_300_000_rows_is_followed(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let alter = narrow_table(&server);
    let mut running =
        start(&server.url(DATABASE), "t", alter, &["--postpone-cut-over", "--strategy", "copy"]);
    running.wait_until(|status| status["phase"] == "waiting");
    let many = match flavour.is_postgres() {
        true => "INSERT INTO t SELECT n, n FROM generate_series(1001, 301000) n",
        false => {
            "SET cte_max_recursion_depth = 1000000, max_recursive_iterations = 1000000; INSERT \
             INTO t WITH RECURSIVE n (n) AS (SELECT 1001 UNION ALL SELECT n + 1 FROM n WHERE n < \
             301000) SELECT n, n FROM n"
        }
    };
    let many = match flavour {
        Flavour::MySql97 => many.replace(", max_recursive_iterations = 1000000", ""),
        Flavour::MariaDb1011 => many.replace("cte_max_recursion_depth = 1000000, ", ""),
        _ => many.to_owned(),
    };
    server
        .execute(
            DATABASE,
            &format!("BEGIN; UPDATE t SET a = 7; {many}; DELETE FROM t WHERE id % 3 = 0; COMMIT"),
        )
        .unwrap();
    running.ask("cut-over");
    running.wait().must_be(0);
    let url = server.url(DATABASE);
    assert_eq!(differences(&url, &old_name(flavour, "t"), "t", &["id", "a"]).unwrap(), 0);
    let count = server.query(DATABASE, "SELECT count(*) FROM t").unwrap();
    assert_eq!(count, [[Some((301_000 - 301_000 / 3).to_string())]]);
}

/// Of a key of several columns the planner of PostgreSQL looks at the first alone, and what few
/// values that has say little about how many rows lie between two keys.
fn no_chunk_reads_the_whole_table(flavour: Flavour) {
    const ROWS: u64 = 30_000;
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let execute = |sql: &str| server.execute(DATABASE, sql).unwrap();
    execute(
        "CREATE TABLE t (tenant int, id int, a int NOT NULL, note text, PRIMARY KEY (tenant, id))",
    );
    let tenant = "CASE WHEN n % 5 < 3 THEN 1 WHEN n % 5 = 3 THEN 2 ELSE n % 100 END";
    execute(&format!(
        "INSERT INTO t SELECT {tenant}, n, n, repeat('x', 100) FROM generate_series(1, {ROWS}) n"
    ));
    execute("VACUUM ANALYZE t");
    run(&server.url(DATABASE), "t", "ALTER COLUMN a TYPE bigint", &["--chunk-rows", "300"])
        .must_be(0);
    for table in [old_name(flavour, "t"), "t".to_owned()] {
        let read = format!(
            "SELECT seq_tup_read FROM pg_stat_all_tables WHERE relid = '{table}'::regclass"
        );
        let read = server.query(DATABASE, &read).unwrap()[0][0].clone().expect("a number");
        let read: u64 = read.parse().expect("a number");
        // As many as one index build reads.
        assert!(read <= ROWS, "{table}: {read} rows were read outside of any index");
    }
}

#[test]
fn postgresql_15_no_chunk_reads_the_whole_table() {
    no_chunk_reads_the_whole_table(Flavour::Postgres15);
}

#[test]
fn postgresql_18_no_chunk_reads_the_whole_table() {
    no_chunk_reads_the_whole_table(Flavour::Postgres18);
}

fn a_row_of_64_megabytes_is_carried_and_followed(flavour: Flavour) {
    let settings: &[(&str, &str)] = match flavour {
        Flavour::MySql97 => &[("max-allowed-packet", "1G"), ("innodb-redo-log-capacity", "2G")],
        Flavour::MariaDb1011 => &[("max-allowed-packet", "1G"), ("innodb-log-file-size", "2G")],
        Flavour::Postgres15 | Flavour::Postgres18 => &[],
    };
    let Some(server) = Server::start(flavour, settings) else {
        return;
    };
    let (kind, alter) = match flavour.is_postgres() {
        true => ("text", "ADD COLUMN b int NOT NULL DEFAULT 1"),
        false => ("longtext", "ADD COLUMN b int NOT NULL DEFAULT 1 FIRST"),
    };
    let execute = |sql: &str| server.execute(DATABASE, sql).unwrap();
    execute(&format!("CREATE TABLE t (id int PRIMARY KEY, a {kind})"));
    execute("INSERT INTO t VALUES (1, REPEAT('x', 67108864)), (2, 'small'), (3, NULL)");
    let url = server.url(DATABASE);
    let mut running = start(
        &url,
        "t",
        alter,
        &["--postpone-cut-over", "--strategy", "copy", "--chunk-rows", "1"],
    );
    running.wait_until(|status| status["phase"] == "waiting");
    execute("UPDATE t SET a = CONCAT(a, 'y') WHERE id = 1");
    execute("INSERT INTO t VALUES (4, REPEAT('z', 67108865))");
    execute("UPDATE t SET id = 5 WHERE id = 1");
    running.ask("cut-over");
    running.wait().must_be(0);
    assert_eq!(differences(&url, &old_name(flavour, "t"), "t", &["id", "a"]).unwrap(), 0);
    let long =
        server.query(DATABASE, "SELECT id FROM t WHERE length(a) = 67108865 ORDER BY id").unwrap();
    assert_eq!(long, [[Some("4".to_owned())], [Some("5".to_owned())]]);
}

/// A server whose tables may not grow beyond some size, with a table that does not fit a second
/// time.
fn a_full_disk_stops_the_run_and_the_same_command_goes_on(flavour: Flavour) {
    let settings = [
        ("innodb-file-per-table", "OFF"),
        ("innodb-data-file-path", "ibdata1:12M:autoextend:max:96M"),
    ];
    let Some(server) = Server::start(flavour, &settings) else {
        return;
    };
    let execute = |sql: &str| server.execute(DATABASE, sql);
    let fill = |table: &str, rows: u32| {
        execute(&format!(
            "INSERT INTO {table} WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n \
             WHERE n < {rows}) SELECT n, REPEAT('x', 8000) FROM n"
        ))
    };
    for (table, rows) in [("t", 1000), ("some", 500), ("much", 999)] {
        execute(&format!(
            "CREATE TABLE {table} (id bigint AUTO_INCREMENT PRIMARY KEY, a varchar(9000) NOT NULL)"
        ))
        .unwrap();
        fill(table, rows).unwrap();
    }
    let mut full = None;
    while full.is_none() {
        full = execute("INSERT INTO much (a) SELECT a FROM much LIMIT 50").err();
    }
    assert!(full.unwrap().to_string().contains("full"));
    execute("DROP TABLE some").unwrap();

    let (url, alter) = (
        server.url(DATABASE),
        "MODIFY a varchar(9001) NOT NULL, ADD COLUMN b int NOT NULL DEFAULT 1",
    );
    let words = ["is full", "make room", "same command"];
    run(&url, "t", alter, &["--strategy", "copy"]).must_be(1).must_say(&words);
    execute("UPDATE t SET a = 'changed' WHERE id = 1").unwrap();
    execute("DROP TABLE much").unwrap();
    if flavour == Flavour::MariaDb1011 {
        // What was dropped is given back by and by.
        execute("SET GLOBAL innodb_max_purge_lag_wait = 0").unwrap();
    }
    run(&url, "t", alter, &["--strategy", "copy"]).must_be(0);
    assert_eq!(differences(&url, &old_name(flavour, "t"), "t", &["id", "a"]).unwrap(), 0);
    command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
}

#[test]
fn mysql_a_full_disk_stops_the_run_and_the_same_command_goes_on() {
    a_full_disk_stops_the_run_and_the_same_command_goes_on(Flavour::MySql97);
}

#[test]
fn mariadb_a_full_disk_stops_the_run_and_the_same_command_goes_on() {
    a_full_disk_stops_the_run_and_the_same_command_goes_on(Flavour::MariaDb1011);
}

fn a_network_that_goes_black_holds_nothing_and_the_same_command_finishes_the_run(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let table = Table::load(&server.url(DATABASE), "orders", 5_000).unwrap();
    let writers = Writers::start(&server.url(DATABASE), &table, 100, 2, 1, &Mix::everything());
    let proxy = FaultProxy::start(server.port());
    let through_proxy = url(flavour, proxy.port(), DATABASE);
    let mut running = start(
        &through_proxy,
        "orders",
        widening(flavour),
        &["--chunk-rows", "20", "--workers", "1"],
    );
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(100));
    proxy.set(Fault::Stall);
    writers.wait_for(200, Duration::from_secs(20));
    running.kill();
    proxy.set(Fault::Pass);
    run(&through_proxy, "orders", widening(flavour), &[]).must_be(0);
    writers.stop().prove(&server.url(DATABASE)).unwrap();
}

fn a_network_that_goes_black_in_the_cut_over_does_not_hold_the_table(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url_of_the_server = server.url(DATABASE);
    let table = Table::load(&url_of_the_server, "orders", 3_000).unwrap();
    let writers = Writers::start(&url_of_the_server, &table, 200, 3, 1, &Mix::everything());
    for milliseconds in [0, 15, 40] {
        let proxy = FaultProxy::start(server.port());
        let through_proxy = url(flavour, proxy.port(), DATABASE);
        let mut running =
            start(&through_proxy, "orders", widening(flavour), &["--postpone-cut-over"]);
        if running.wait_until_or_end(|status| status["phase"] == "waiting").is_err() {
            break;
        }
        running.ask("cut-over");
        thread::sleep(Duration::from_millis(milliseconds));
        proxy.set(Fault::Stall);
        writers.wait_for(50, Duration::from_secs(20));
        running.kill();
    }
    run(&url_of_the_server, "orders", widening(flavour), &[]).must_be(0);
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url_of_the_server).unwrap();
}

/// A user that only altergeist is, so that its sessions can be told from the application's.
fn our_own_user(server: &Server, password: &str) -> String {
    let (home, sql) = match server.flavour().is_postgres() {
        true => ("postgres", format!("CREATE ROLE ag SUPERUSER LOGIN PASSWORD '{password}'")),
        false => (
            "mysql",
            format!("CREATE USER ag@'%' IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO ag@'%'"),
        ),
    };
    server.execute(home, &sql).unwrap();
    server
        .url(DATABASE)
        .replace("root@", "ag@")
        .replace("postgres@", "ag@")
        .replace("ag@", &format!("ag:{password}@"))
}

fn kill_sessions(server: &Server) {
    let postgres = server.flavour().is_postgres();
    let list = match postgres {
        true => "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ag'",
        false => "SELECT id FROM information_schema.processlist WHERE user = 'ag'",
    };
    for id in server.query(DATABASE, list).unwrap().into_iter().flatten().flatten() {
        if !postgres {
            // It may have gone by itself.
            let _gone = server.execute(DATABASE, &format!("KILL {id}"));
        }
    }
}

fn sessions_killed_in_the_cut_over_lose_nothing(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let (application, ours) = (server.url(DATABASE), our_own_user(&server, "secret"));
    let table = Table::load(&application, "orders", 3_000).unwrap();
    let writers = Writers::start(&application, &table, 200, 3, 1, &Mix::everything());
    for milliseconds in [0, 5, 10, 20, 30, 50] {
        let mut running = start(&ours, "orders", widening(flavour), &["--postpone-cut-over"]);
        if running.wait_until_or_end(|status| status["phase"] == "waiting").is_err() {
            break;
        }
        running.ask("cut-over");
        thread::sleep(Duration::from_millis(milliseconds));
        kill_sessions(&server);
        running.wait().must_be(0);
    }
    run(&ours, "orders", widening(flavour), &[]).must_be(0);
    writers.wait_for(50, Duration::from_secs(20));
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&application).unwrap();
}

fn tables_that_are_not_ours_are_never_dropped(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let alter = narrow_table(&server);
    let theirs: &[&str] = match flavour.is_postgres() {
        true => &["ag_shadow_public.t", "ag_old_public.t"],
        false => &["_t_ag_shadow", "_t_ag_old"],
    };
    for name in theirs {
        if let Some((schema, _)) = name.split_once('.') {
            server.execute(DATABASE, &format!("CREATE SCHEMA {schema}")).unwrap();
        }
        server.execute(DATABASE, &format!("CREATE TABLE {name} (precious int)")).unwrap();
        server.execute(DATABASE, &format!("INSERT INTO {name} VALUES (42)")).unwrap();
    }
    let there = inventory(&server);
    let url = server.url(DATABASE);
    let ended = run(&url, "t", alter, &["--strategy", "copy"]).must_be(3);
    let named =
        theirs.iter().any(|name| ended.output.contains(name.split('.').next().unwrap_or(name)));
    assert!(named, "which table is in the way is not said: {}", ended.output);
    for more in [&["--list"] as &[&str], &[], &["--drop-old"]] {
        command(&[&["cleanup", "--url", &url, "--table", "t"], more].concat());
    }
    assert!(there.is_subset(&inventory(&server)), "{:?}", there.difference(&inventory(&server)));
    for name in theirs {
        let rows = server.query(DATABASE, &format!("SELECT precious FROM {name}")).unwrap();
        assert_eq!(rows, [[Some("42".to_owned())]]);
    }
}

const PLANTED: &str = "planted4711";

fn values_of_rows_are_never_shown(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let execute = |sql: &str| server.execute(DATABASE, sql).unwrap();
    execute("CREATE TABLE t (id varchar(40) PRIMARY KEY, secret varchar(40) NOT NULL)");
    execute(&format!(
        "INSERT INTO t VALUES ('{PLANTED}a', '{PLANTED}'), ('{PLANTED}b', '{PLANTED}'), ('3', '3')"
    ));
    let clauses: &[&str] = match flavour.is_postgres() {
        true => &[
            "ADD CONSTRAINT once UNIQUE (secret)",
            "ALTER COLUMN secret TYPE varchar(3)",
            "ALTER COLUMN secret TYPE integer USING secret::integer",
            "ALTER COLUMN secret TYPE date USING secret::date",
            "ALTER COLUMN id TYPE varchar(5)",
            "ALTER COLUMN secret TYPE text, ADD CONSTRAINT short CHECK (length(secret) < 3)",
        ],
        false => &[
            "ADD UNIQUE KEY once (secret)",
            "MODIFY secret varchar(3) NOT NULL",
            "MODIFY secret int NOT NULL",
            "MODIFY secret date NOT NULL",
            "MODIFY id varchar(5)",
            "ADD CONSTRAINT short CHECK (length(secret) < 3)",
        ],
    };
    for alter in clauses {
        for verb in ["plan", "run"] {
            let words =
                [verb, "--url", &url, "--table", "t", "--alter", alter, "--strategy", "copy"];
            // The plan counts what does not fit.
            let ended = command(&words).must_be(3);
            assert!(
                !ended.output.contains(PLANTED),
                "{verb} {alter} shows a row's value: {}",
                ended.output
            );
        }
        for words in [["status", "--json"], ["cleanup", "--list"], ["cleanup", "--drop-old"]] {
            let ended = command(&[words[0], "--url", &url, "--table", "t", words[1]]);
            assert!(
                !ended.output.contains(PLANTED),
                "{words:?} after {alter} shows a row's value: {}",
                ended.output
            );
        }
    }
}

fn passwords_are_never_shown(flavour: Flavour) {
    const PASSWORD: &str = "nobody-may-see-this";
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let alter = narrow_table(&server);
    let url = our_own_user(&server, PASSWORD);
    let folder = tempfile::tempdir().unwrap();
    let output = fs::File::create(folder.path().join("output")).unwrap();
    let mut child = Command::new(binary())
        .args([
            "run",
            "--table",
            "t",
            "--alter",
            alter,
            "--strategy",
            "copy",
            "--chunk-rows",
            "10",
            "--progress",
            "plain",
        ])
        .arg("--socket")
        .arg(folder.path().join("socket"))
        .env("ALTERGEIST_URL", url)
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let sessions = match flavour.is_postgres() {
        true => "SELECT query FROM pg_stat_activity WHERE usename = 'ag'",
        false => "SELECT info FROM information_schema.processlist WHERE user = 'ag'",
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut seen, mut looked_at) = (Vec::new(), 0);
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        let shown = fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
        let statements: Vec<String> =
            server.query(DATABASE, sessions).unwrap().into_iter().flatten().flatten().collect();
        looked_at += statements.len();
        seen.extend(statements);
        seen.push(shown);
    }
    let _already_gone = child.kill();
    let status = child.wait().unwrap();
    let said = fs::read_to_string(folder.path().join("output")).unwrap();
    assert!(status.success(), "{said}");
    assert!(!said.contains(PASSWORD), "it says the password: {said}");
    assert!(looked_at > 0, "no session of ours was ever looked at");
    assert_eq!(
        seen.iter().find(|text| text.contains(PASSWORD)),
        None,
        "ps or the server shows the password"
    );
}

/// A disk that is full for all that is bigger than a segment of the server's log.
const FULL: u64 = (20 << 20) + 4096;

mod postgres_a_full_disk_ends_the_run_with_a_word_and_the_same_command_goes_on_when_there_is_room {
    use super::*;

    const SLOTS: &str =
        "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'altergeist%'";

    fn number(server: &Server, query: &str) -> String {
        server.query(DATABASE, query).unwrap()[0][0].clone().unwrap_or_default()
    }

    fn runs_into_it(flavour: Flavour, table: &str, make: &str) {
        // A page at a time: at the bound, more at once would be told of a file too large.
        let settings = [("max_parallel_maintenance_workers", "0")];
        let run = |url: &str, table: &str, alter: &str| run(url, table, alter, &["--workers", "1"]);
        let Some(server) = Server::start(flavour, &settings) else {
            return;
        };
        server.execute(DATABASE, make).unwrap();
        let (url, alter, there) = (server.url(DATABASE), widening(flavour), inventory(&server));
        let clean_up = |more: &str| command(&["cleanup", "--url", &url, "--table", table, more]);
        let fingerprint =
            format!("SELECT count(*) || ' ' || sum(hashtext(t::text)) FROM {table} t");
        let before = number(&server, &fingerprint);

        server.bound_files(Some(FULL));
        for _ in 0..2 {
            let ended = run(&url, table, alter).must_be(1);
            ended.must_say(&[
                "disk",
                "Free some space",
                "the same command continues",
                "altergeist cleanup",
                "replication slot",
            ]);
            assert_eq!(number(&server, &fingerprint), before);
            assert_eq!(number(&server, SLOTS), "1");
        }
        command(&["status", "--url", &url, "--table", table])
            .must_be(0)
            .must_say(&["replication slot"]);
        clean_up("--list").must_be(0).must_say(&["slot", &format!("ag_shadow_public.{table}")]);

        // What cleaning up needs of the disk, a full one has.
        clean_up("--drop-old").must_be(0);
        assert_eq!(left_behind(&there, &inventory(&server)), Vec::<String>::new());

        run(&url, table, alter).must_be(1);
        server.bound_files(None);
        server.execute(DATABASE, &format!("UPDATE {table} SET k = 7 WHERE id % 100 = 3")).unwrap();
        let changed = number(&server, &fingerprint.replace("t::text", "(t.id, t.k, t.pad)::text"));
        run(&url, table, alter).must_be(0);
        assert_eq!(
            number(&server, &fingerprint.replace("t::text", "(t.id, t.k, t.pad)::text")),
            changed
        );
        assert_eq!(number(&server, SLOTS), "0");
    }

    #[test]
    fn while_rows_are_copied() {
        let make = "CREATE TABLE t (id int PRIMARY KEY, k int, pad text);
                    INSERT INTO t SELECT n, n, repeat('x', 780) FROM generate_series(1, 30000) n";
        // Later ones make a table longer by many pages at once, which the bound does not tell of as
        // a full disk.
        if Flavour::Postgres15.major() < 16 {
            runs_into_it(Flavour::Postgres15, "t", make);
        }
    }

    #[test]
    fn while_an_index_is_built() {
        let make = "CREATE TABLE u (id int PRIMARY KEY, k int, pad text);
                    INSERT INTO u SELECT n, n, (SELECT string_agg(md5(format('%s %s', n, i)), '') FROM generate_series(1, 16) i)
                    FROM generate_series(1, 20000) n;
                    CREATE INDEX u_pad ON u (pad, (pad || 'a'), (pad || 'b'))";
        for flavour in [Flavour::Postgres15, Flavour::Postgres18] {
            runs_into_it(flavour, "u", make);
        }
    }
}

mod somebody_else_changes_the_table {
    use super::*;

    /// What somebody does to the table while a run waits for the order to swap; afterwards it is
    /// looked at by `query`.
    fn stops_the_run(flavour: Flavour, statement: &str, query: &str, found: &str) {
        let Some(server) = Server::start(flavour, &[]) else {
            return;
        };
        let alter = narrow_table(&server);
        let mut running: Running =
            start(&server.url(DATABASE), "t", alter, &["--postpone-cut-over"]);
        running.wait_until(|status| status["phase"] == "waiting");
        server.execute(DATABASE, statement).unwrap();
        let _may_have_ended_already =
            running.wait_until_or_end(|status| status["phase"] == "waiting").is_ok();
        if running.is_running() {
            running.ask("cut-over");
        }
        running.wait().must_be(1);
        assert_eq!(
            server.query(DATABASE, query).unwrap(),
            [[Some(found.to_owned())]],
            "{statement}"
        );
        command(&["cleanup", "--url", &server.url(DATABASE), "--table", "t"]);
        assert_eq!(
            server.query(DATABASE, query).unwrap(),
            [[Some(found.to_owned())]],
            "{statement}, cleaned up"
        );
    }

    #[test]
    fn by_renaming_it() {
        for flavour in [Flavour::Postgres15, Flavour::Postgres18] {
            stops_the_run(flavour, "ALTER TABLE t RENAME TO u", "SELECT count(*) FROM u", "1000");
        }
    }

    #[test]
    fn by_dropping_it_and_making_another() {
        let statement = "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL)";
        for flavour in [Flavour::Postgres15, Flavour::Postgres18] {
            stops_the_run(flavour, statement, "SELECT count(*) FROM t", "0");
        }
    }

    #[test]
    fn by_altering_it() {
        let statement = "ALTER TABLE t ADD COLUMN b int NOT NULL DEFAULT 3";
        for flavour in [Flavour::Postgres15, Flavour::Postgres18] {
            stops_the_run(flavour, statement, "SELECT sum(b) FROM t", "3000");
        }
    }
}
