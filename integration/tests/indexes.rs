//! Secondary indexes are left out while copying and built afterwards; whoever dies meanwhile, they are there in the end.

use std::time::Duration;

use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::tool::{run, start, structure, widening};
use altergeist_integration::trip::{Then, Trip};
use altergeist_integration::workload::{Mix, Table, Writers};

fn a_run_killed_while_it_builds_indexes_builds_them_when_it_is_resumed(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 20_000).unwrap();
    server.execute(DATABASE, "CREATE TABLE natively LIKE orders").unwrap();
    server.execute(DATABASE, &format!("ALTER TABLE natively {}", widening(flavour))).unwrap();
    let writers = Writers::start(&url, &table, 50, 2, 1, &Mix::everything());
    let names = "SELECT GROUP_CONCAT(DISTINCT index_name ORDER BY index_name) FROM information_schema.statistics \
                 WHERE table_name = '_orders_ag_shadow'";

    let mut running = start(&url, "orders", widening(flavour), &[]);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(0));
    assert_eq!(server.query(DATABASE, names).unwrap()[0][0].as_deref(), Some("orders_u,PRIMARY"), "while copying");
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

/// The change leaves no index over the key that rows are followed by, so the shadow gets one, which goes right after the swap.
fn an_index_of_ours_is_gone_whatever_dies_when_it_is_dropped(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let alter = "DROP PRIMARY KEY, ADD PRIMARY KEY (id)";
    for then in [Then::Hold, Then::Close, Then::CloseBehind] {
        let database = format!("ours{then:?}").to_lowercase();
        server.execute("", &format!("CREATE DATABASE {database}")).unwrap();
        server
            .execute(&database, "CREATE TABLE t (id INT NOT NULL, part INT NOT NULL, PRIMARY KEY (id, part))")
            .unwrap();
        server.execute(&database, "INSERT INTO t VALUES (1, 7), (2, 7), (3, 8)").unwrap();
        let trip = Trip::start(server.port(), &["DROP KEY `_ag_key`"], 1, then);
        let mut running = start(&url(flavour, trip.port(), &database), "t", alter, &["--strategy", "copy"]);
        let mut statement = None;
        while statement.is_none() && running.is_running() {
            statement = trip.wait(Duration::from_millis(50));
        }
        assert!(statement.is_some(), "{then:?}: the index was never dropped: {}", running.wait().output);
        match then {
            Then::Hold => drop(running.kill()),
            Then::Close | Then::CloseBehind => drop(running.wait()),
        }
        run(&server.url(&database), "t", alter, &["--strategy", "copy"]).must_be(0);
        let indexes = "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 't'";
        assert_eq!(server.query(&database, indexes).unwrap(), [[Some("PRIMARY".to_owned())]], "{then:?}");
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
