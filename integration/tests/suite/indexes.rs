//! Secondary indexes are left out while copying and built afterwards; whoever dies meanwhile, they
//! are there in the end.

use altergeist_integration::every_postgres;
use std::time::Duration;

use altergeist_integration::altergeist_process::{command, run, start, structure, widening};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::statement_fault::{StatementFault, Then};
use altergeist_integration::workload::{Mix, Table, Writers};

fn a_run_killed_while_it_builds_indexes_builds_them_when_it_is_resumed(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 20_000).unwrap();
    server.execute(DATABASE, "CREATE TABLE natively LIKE orders").unwrap();
    server.execute(DATABASE, &format!("ALTER TABLE natively {}", widening(flavour))).unwrap();
    let writers = Writers::start(&url, &table, 50, 2, 1, &Mix::everything());
    let names = "SELECT GROUP_CONCAT(DISTINCT index_name ORDER BY index_name) FROM \
                 information_schema.statistics WHERE table_name = '_orders_ag_shadow'";

    let mut running = start(&url, "orders", widening(flavour), &[]);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(0));
    assert_eq!(
        server.query(DATABASE, names).unwrap()[0][0].as_deref(),
        Some("orders_u,PRIMARY"),
        "while copying"
    );
    running.wait_until(|status| status["phase"] == "indexing");
    running.kill();
    let ended = run(&url, "orders", widening(flavour), &[]);
    let report = writers.stop();
    ended.must_be(0);
    report.prove(&url).unwrap();
    assert_eq!(structure(&server, "orders"), structure(&server, "natively"));
}

#[test]
fn mysql_a_run_killed_while_it_builds_indexes_builds_them_when_it_is_resumed() {
    a_run_killed_while_it_builds_indexes_builds_them_when_it_is_resumed(Flavour::MySql97);
}

#[test]
fn mariadb_a_run_killed_while_it_builds_indexes_builds_them_when_it_is_resumed() {
    a_run_killed_while_it_builds_indexes_builds_them_when_it_is_resumed(Flavour::MariaDb1011);
}

/// The change leaves no index over the key that rows are followed by, so the shadow gets one, which
/// goes right after the swap.
fn an_index_of_ours_is_gone_whatever_dies_when_it_is_dropped(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let alter = "DROP PRIMARY KEY, ADD PRIMARY KEY (id)";
    for then in [Then::Hold, Then::Close, Then::CloseBehind] {
        let database = format!("ours{then:?}").to_lowercase();
        server.execute("", &format!("CREATE DATABASE {database}")).unwrap();
        server
            .execute(
                &database,
                "CREATE TABLE t (id INT NOT NULL, part INT NOT NULL, PRIMARY KEY (id, part))",
            )
            .unwrap();
        server.execute(&database, "INSERT INTO t VALUES (1, 7), (2, 7), (3, 8)").unwrap();
        let fault = StatementFault::start(server.port(), &["DROP KEY `_ag_key`"], 1, then);
        let mut running =
            start(&url(flavour, fault.port(), &database), "t", alter, &["--strategy", "copy"]);
        let mut statement = None;
        while statement.is_none() && running.is_running() {
            statement = fault.wait(Duration::from_millis(50));
        }
        assert!(
            statement.is_some(),
            "{then:?}: the index was never dropped: {}",
            running.wait().output
        );
        match then {
            Then::Hold => drop(running.kill()),
            Then::Close | Then::CloseBehind => drop(running.wait()),
        }
        run(&server.url(&database), "t", alter, &["--strategy", "copy"]).must_be(0);
        let indexes = "SELECT DISTINCT index_name FROM information_schema.statistics WHERE \
                       table_schema = DATABASE() AND table_name = 't'";
        assert_eq!(
            server.query(&database, indexes).unwrap(),
            [[Some("PRIMARY".to_owned())]],
            "{then:?}"
        );
        let rows = server.query(&database, "SELECT id, part FROM t ORDER BY id").unwrap();
        assert_eq!(rows.len(), 3, "{then:?}");
    }
}

#[test]
fn mysql_an_index_of_ours_is_gone_whatever_dies_when_it_is_dropped() {
    an_index_of_ours_is_gone_whatever_dies_when_it_is_dropped(Flavour::MySql97);
}

#[test]
fn mariadb_an_index_of_ours_is_gone_whatever_dies_when_it_is_dropped() {
    an_index_of_ours_is_gone_whatever_dies_when_it_is_dropped(Flavour::MariaDb1011);
}

/// The indexes of the shadow of `t`, by name.
fn shadow_indexes(server: &Server) -> String {
    let sql = "SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes \
               WHERE schemaname = 'ag_shadow_public' AND tablename = 't'";
    server.query(DATABASE, sql).unwrap()[0][0].clone().unwrap_or_default()
}

/// A table whose key's index has everything such an index can have.
fn load_keyed(server: &Server, rows: u32) {
    let sql = format!(
        "CREATE TABLE t (id bigint NOT NULL, part int NOT NULL, k int, note text,
             CONSTRAINT \"the key\" PRIMARY KEY (part, id) INCLUDE (k) WITH (fillfactor = 70));
         CREATE INDEX by_note ON t (note);
         COMMENT ON CONSTRAINT \"the key\" ON t IS 'found by this';
         COMMENT ON INDEX \"the key\" IS 'stored so';
         ALTER TABLE t CLUSTER ON \"the key\";
         INSERT INTO t SELECT i, i % 3, i, 'note ' || i FROM generate_series(1, {rows}) i"
    );
    server.execute(DATABASE, &sql).unwrap();
}

/// As long as nobody writes, the shadow has no index at all, so whatever a killed run has copied
/// could be copied twice.
fn a_quiet_table_is_copied_bare_whoever_is_killed_meanwhile(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    load_keyed(&server, 20_000);
    let (url, before) = (server.url(DATABASE), server.dump(DATABASE, &["ag_*", "altergeist"]));
    let slowly = ["--strategy", "copy", "--chunk-rows", "100", "--workers", "3", "--nice", "3"];

    let mut running = start(&url, "t", "", &slowly);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(2_000));
    assert_eq!(shadow_indexes(&server), "", "while copying");
    running.kill();
    let writes = "UPDATE t SET id = id + 100000, k = -1 WHERE id % 100 = 7; DELETE FROM t WHERE id % 100 = 8;
                  UPDATE t SET note = 'changed' WHERE id % 50 = 9; INSERT INTO t SELECT -i, i % 3, i, 'new' FROM generate_series(1, 100) i";
    server.execute(DATABASE, writes).unwrap();
    let mut running = start(&url, "t", "", &[&slowly[..], &["--postpone-cut-over"]].concat());
    running.wait_until(|status| status["phase"] == "waiting");
    assert_eq!(shadow_indexes(&server), "by_note,the key");
    running.ask("cut-over");
    running.wait().must_be(0);

    assert_eq!(server.dump(DATABASE, &["ag_*", "altergeist"]), before);
    let differing = "SELECT count(*) FROM (TABLE t EXCEPT ALL TABLE ag_old_public.t) AS new";
    assert_eq!(server.query(DATABASE, differing).unwrap(), [[Some("0".to_owned())]]);
    let counts = "SELECT (SELECT count(*) FROM t) - (SELECT count(*) FROM ag_old_public.t)";
    assert_eq!(server.query(DATABASE, counts).unwrap(), [[Some("0".to_owned())]]);
}

/// Rows that change must be found in the shadow, however little was copied.
fn the_first_change_gives_a_bare_shadow_the_index_it_is_found_by(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    load_keyed(&server, 20_000);
    let slowly = ["--strategy", "copy", "--chunk-rows", "100", "--workers", "1", "--nice", "3"];
    let mut running = start(&server.url(DATABASE), "t", "", &slowly);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(0));
    running.ask("throttle");
    assert_eq!(shadow_indexes(&server), "");
    server.execute(DATABASE, "UPDATE t SET note = 'changed' WHERE id = 3").unwrap();
    running.wait_until(|_| shadow_indexes(&server) == "the key");
    running.ask("no-throttle");
    running.wait().must_be(0);
    let changed = "SELECT count(*) FROM t WHERE note = 'changed'";
    assert_eq!(server.query(DATABASE, changed).unwrap(), [[Some("1".to_owned())]]);
}

fn a_run_that_dies_when_it_gives_the_key_its_index_goes_on(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    load_keyed(&server, 500);
    let but = ["ag_*", "altergeist"];
    let before = server.dump(DATABASE, &but);
    for statement in ["CREATE UNIQUE INDEX \"the key\"", "PRIMARY KEY USING INDEX"] {
        for then in [Then::Hold, Then::Close, Then::CloseBehind] {
            let fault = StatementFault::start(server.port(), &[statement], 1, then);
            let mut running =
                start(&url(flavour, fault.port(), DATABASE), "t", "", &["--strategy", "copy"]);
            let mut reached = None;
            while reached.is_none() && running.is_running() {
                reached = fault.wait(Duration::from_millis(50));
            }
            assert!(
                reached.is_some(),
                "{statement}, {then:?}: it never came to that: {}",
                running.wait().output
            );
            match then {
                Then::Hold => drop(running.kill()),
                Then::Close | Then::CloseBehind => drop(running.wait()),
            }
            run(&server.url(DATABASE), "t", "", &["--strategy", "copy"]).must_be(0);
            assert_eq!(server.dump(DATABASE, &but), before, "{statement}, {then:?}");
            let words = ["cleanup", "--url", &server.url(DATABASE), "--table", "t", "--drop-old"];
            command(&words).must_be(0);
        }
    }
}

fn indexes_that_shall_be_kept_are_there_from_the_beginning(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    load_keyed(&server, 5_000);
    let slowly = ["--strategy", "copy", "--chunk-rows", "100", "--workers", "1", "--keep-indexes"];
    let mut running = start(&server.url(DATABASE), "t", "", &slowly);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(0));
    assert_eq!(shadow_indexes(&server), "by_note,the key");
    running.wait().must_be(0);
}

every_postgres!(
    a_quiet_table_is_copied_bare_whoever_is_killed_meanwhile,
    the_first_change_gives_a_bare_shadow_the_index_it_is_found_by,
    a_run_that_dies_when_it_gives_the_key_its_index_goes_on,
    indexes_that_shall_be_kept_are_there_from_the_beginning,
);
