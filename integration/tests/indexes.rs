//! Secondary indexes are left out while copying and built afterwards; whoever dies meanwhile, they are there in the end.

use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::tool::{run, start, structure, widening};
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
