//! The servers, the writers and the row check themselves: a test that trusts them must be able to.

use std::net::UdpSocket;
use std::time::Duration;

use altergeist_integration::altergeist_process::{must_become, must_stay};
use altergeist_integration::faults::{Fault, FaultProxy};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::{COLUMNS, Mix, Table, Writers, differences};

#[test]
fn a_killed_server_comes_back_with_its_rows() {
    for flavour in Flavour::all() {
        let Some(mut server) = Server::start(flavour, &[]) else {
            continue;
        };
        server.execute(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
        server.execute(DATABASE, "INSERT INTO t VALUES (1), (2)").unwrap();
        server.kill();
        assert!(server.query(DATABASE, "SELECT 1").is_err(), "{flavour:?} lives on");
        let taken = UdpSocket::bind(("127.0.0.1", server.port()));
        assert!(taken.is_err(), "another process could claim the port of the killed {flavour:?}");
        server.restart();
        let rows = server.query(DATABASE, "SELECT count(*) FROM t").unwrap();
        assert_eq!(rows, [[Some("2".to_owned())]], "{flavour:?}");
    }
}

#[test]
fn a_replica_follows_unless_it_is_paused() {
    for flavour in Flavour::all() {
        let Some(server) = Server::start(flavour, &[]) else {
            continue;
        };
        server.execute(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
        let replica = server.start_replica();
        server.execute(DATABASE, "INSERT INTO t VALUES (1)").unwrap();
        must_become("the replica follows", || has(&replica, 1));

        replica.pause_replay();
        server.execute(DATABASE, "INSERT INTO t VALUES (2)").unwrap();
        must_stay("the replica is paused", || has(&replica, 1));
        replica.resume_replay();
        must_become("the replica goes on", || has(&replica, 2));
    }
}

fn has(server: &Server, rows: u32) -> bool {
    server
        .query(DATABASE, "SELECT count(*) FROM t")
        .is_ok_and(|found| found == [[Some(rows.to_string())]])
}

#[test]
fn the_row_check_agrees_with_an_undisturbed_server_and_notices_every_tampering() {
    for flavour in Flavour::all() {
        let Some(server) = Server::start(flavour, &[]) else {
            continue;
        };
        let url = server.url(DATABASE);
        let table = Table::load(&url, "t", 5_000).unwrap();
        let writers = Writers::start(&url, &table, 800, 4, 1, &Mix::everything());
        writers.wait_for(2_000, Duration::from_secs(60));
        let report = writers.stop();

        assert!(report.errors().is_empty(), "{flavour:?}: {}", report.errors()[0]);
        assert_eq!(report.counts().len(), 10, "{flavour:?}: every kind of write happened");
        let proof = report.prove(&url).unwrap();
        assert_eq!(proof.rows, report.row_check.count());

        let untouched = "SELECT id FROM t WHERE u = id AND id % 10 = 0 ORDER BY id LIMIT 1";
        let id = server.query(DATABASE, untouched).unwrap()[0][0].clone().unwrap();
        for (tamper, repair) in [
            (
                format!("UPDATE t SET k = k + 1 WHERE id = {id}"),
                format!("UPDATE t SET k = k - 1 WHERE id = {id}"),
            ),
            (
                format!("UPDATE t SET u = NULL WHERE id = {id}"),
                format!("UPDATE t SET u = id WHERE id = {id}"),
            ),
            (
                "INSERT INTO t (id, k, c, pad) VALUES (-5, 1, '', '')".into(),
                "DELETE FROM t WHERE id = -5".into(),
            ),
        ] {
            server.execute(DATABASE, &tamper).unwrap();
            report.prove(&url).expect_err(&tamper);
            server.execute(DATABASE, &repair).unwrap();
            report.prove(&url).unwrap();
        }
        server.execute(DATABASE, &format!("DELETE FROM t WHERE id = {id}")).unwrap();
        report.prove(&url).expect_err("a row was deleted");
    }
}

#[test]
fn the_row_check_survives_a_killed_server() {
    for flavour in Flavour::all() {
        // A killed process loses nothing that the system has taken, synced or not.
        let Some(mut server) = Server::start(flavour, &[]) else {
            continue;
        };
        let url = server.url(DATABASE);
        let table = Table::load(&url, "t", 5_000).unwrap();
        let writers = Writers::start(&url, &table, 500, 4, 2, &Mix::everything());
        for _ in 0..2 {
            writers.wait_for(300, Duration::from_secs(60));
            server.kill();
            server.restart();
        }
        writers.wait_for(300, Duration::from_secs(60));
        let report = writers.stop();
        assert!(report.broken_connections() >= 4, "{flavour:?}");
        // No tool takes part, so a deadlock is the writers' own affair.
        let foreign = report.errors().iter().find(|failed| !failed.failure.is_deadlock());
        assert!(foreign.is_none(), "{flavour:?}: {}", foreign.expect("it is some"));
        report.prove(&url).unwrap();
    }
}

#[test]
fn differences_counts_rows_without_a_counterpart() {
    for flavour in Flavour::all() {
        let Some(server) = Server::start(flavour, &[]) else {
            continue;
        };
        let url = server.url(DATABASE);
        Table::load(&url, "a", 1_000).unwrap();
        Table::load(&url, "b", 1_000).unwrap();
        assert_eq!(differences(&url, "a", "b", &COLUMNS).unwrap(), 0, "{flavour:?}");
        server.execute(DATABASE, "UPDATE a SET u = NULL WHERE id IN (10, 20)").unwrap();
        server.execute(DATABASE, "UPDATE b SET u = NULL WHERE id = 20").unwrap();
        server.execute(DATABASE, "DELETE FROM b WHERE id = 30").unwrap();
        assert_eq!(differences(&url, "a", "b", &COLUMNS).unwrap(), 3, "{flavour:?}");
    }
}

#[test]
fn the_proxy_passes_stalls_and_cuts() {
    let Some(server) = Server::start(Flavour::Postgres18, &[]) else {
        return;
    };
    let proxy = FaultProxy::start(server.port());
    let url = url(Flavour::Postgres18, proxy.port(), DATABASE);
    block_on(async {
        let mut session = Session::connect(&url).await.unwrap();
        assert_eq!(session.value("SELECT 7").await.unwrap().as_deref(), Some("7"));

        proxy.set(Fault::Stall);
        let stalled =
            tokio::time::timeout(Duration::from_millis(300), session.value("SELECT 8")).await;
        assert!(stalled.is_err(), "it answered through a stall");
        proxy.set(Fault::Delay(Duration::from_millis(1)));
        assert_eq!(session.value("SELECT 9").await.unwrap().as_deref(), Some("9"));

        proxy.set(Fault::CutAfter(1_000));
        let cut = session.value("SELECT repeat('x', 100000)").await.unwrap_err();
        assert!(cut.is_lost_connection(), "{cut}");
        proxy.set(Fault::Cut);
        assert!(Session::connect(&url).await.is_err());
        proxy.set(Fault::Pass);
        assert!(Session::connect(&url).await.is_ok());
    });
}
