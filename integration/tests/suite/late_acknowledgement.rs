//! Law 1 where every commit is in the log long before anybody can see it: a semi-synchronous
//! replica (AFTER_SYNC) acknowledges each one late. Nothing stands still, as it does when nobody
//! acknowledges at all, so a tool that reads a row as soon as the log names it has every chance to
//! read it too early.

use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{run, widening};
use altergeist_integration::faults::{Fault, FaultProxy};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Mix, Table, Writers};

/// How much later everything arrives on the way to the replica, and its answers on the way back.
/// MariaDB lets one commit after the other wait for that.
const LATE: Duration = Duration::from_millis(10);

/// A primary whose commits wait for a replica behind a slow network.
struct Late {
    primary: Server,
    _replica: Server,
    _network: FaultProxy,
}

fn late(flavour: Flavour) -> Option<Late> {
    let settings: &[_] = match flavour {
        Flavour::MariaDb1011 => &[("rpl-semi-sync-master-wait-point", "AFTER_SYNC")],
        _ => &[],
    };
    let primary = Server::start(flavour, settings)?;
    let replica = primary.start_replica();
    let network = FaultProxy::start(primary.port());
    network.set(Fault::Delay(LATE));
    let port = network.port();
    let (on_primary, on_replica) = match flavour {
        Flavour::MariaDb1011 => (
            "SET GLOBAL rpl_semi_sync_master_timeout = 3600000; SET GLOBAL \
             rpl_semi_sync_master_enabled = 1"
                .to_owned(),
            format!(
                "STOP SLAVE; SET GLOBAL rpl_semi_sync_slave_enabled = 1; CHANGE MASTER TO \
                 MASTER_PORT = {port}; START SLAVE"
            ),
        ),
        _ => (
            "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'; SET GLOBAL \
             rpl_semi_sync_source_timeout = 3600000; SET GLOBAL rpl_semi_sync_source_enabled = 1"
                .to_owned(),
            format!(
                "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'; STOP REPLICA; \
                 SET GLOBAL rpl_semi_sync_replica_enabled = 1; CHANGE REPLICATION SOURCE TO \
                 SOURCE_PORT = {port}; START REPLICA"
            ),
        ),
    };
    let each = |server: &Server, statements: &str| {
        for statement in statements.split("; ") {
            server
                .execute("mysql", statement)
                .unwrap_or_else(|failure| panic!("{statement}: {failure}"));
        }
    };
    each(&replica, &on_replica);
    each(&primary, &on_primary);
    Some(Late { primary, _replica: replica, _network: network })
}

fn rows_whose_commits_are_acknowledged_late_are_neither_lost_nor_stale(flavour: Flavour) {
    let Some(late) = late(flavour) else { return };
    let url = late.primary.url(DATABASE);
    let table = Table::load(&url, "orders", 2_000).expect("the table can be filled");
    late.primary
        .execute(DATABASE, "CREATE TABLE premise (id int PRIMARY KEY)")
        .expect("a table can be made");
    let begun = Instant::now();
    late.primary
        .execute(DATABASE, "INSERT INTO premise VALUES (1)")
        .expect("a commit is acknowledged");
    assert!(
        begun.elapsed() >= LATE,
        "a commit did not wait for its acknowledgement: {:?}",
        begun.elapsed()
    );

    let writers = Writers::start(&url, &table, 40, 4, 1, &Mix::everything());
    let ended = run(&url, "orders", widening(flavour), &["--chunk-rows", "100", "--workers", "2"]);
    let report = writers.stop();
    ended.must_be(0);
    report.prove(&url).expect("no write was lost");
}

#[test]
fn mysql_rows_whose_commits_are_acknowledged_late_are_neither_lost_nor_stale() {
    rows_whose_commits_are_acknowledged_late_are_neither_lost_nor_stale(Flavour::MySql97);
}

#[test]
fn mariadb_rows_whose_commits_are_acknowledged_late_are_neither_lost_nor_stale() {
    rows_whose_commits_are_acknowledged_late_are_neither_lost_nor_stale(Flavour::MariaDb1011);
}
