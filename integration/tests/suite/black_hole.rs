//! A network that swallows everything: no connection breaks, no answer comes. The run notices,
//! nobody waits for it for long, and it goes on when the network is back.

use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{start, widening};
use altergeist_integration::faults::{Fault, FaultProxy};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::{Mix, Table, Writers};

fn a_run_goes_on_after_a_long_silence_in_the_copy(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let proxy = FaultProxy::start(server.port());
    let table = Table::load(&server.url(DATABASE), "orders", 5_000).unwrap();
    let writers = Writers::start(&server.url(DATABASE), &table, 40, 2, 1, &Mix::everything());
    let through_proxy = url(flavour, proxy.port(), DATABASE);
    let flags = ["--chunk-rows", "50", "--workers", "1", "--nice", "3"];
    let mut running = start(&through_proxy, "orders", widening(flavour), &flags);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(500));
    proxy.set(Fault::Stall);
    running.wait_until(|status| status["last_error"].is_string());
    proxy.set(Fault::Pass);
    let ended = running.wait();
    let report = writers.stop();
    ended.must_be(0);
    report.prove(&server.url(DATABASE)).unwrap();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
}

/// The lock is granted to somebody who does not hear of it any more.
fn a_lock_that_nobody_hears_of_ends_by_itself(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let proxy = FaultProxy::start(server.port());
    Table::load(&server.url(DATABASE), "orders", 500).unwrap();
    let through_proxy = url(flavour, proxy.port(), DATABASE);
    let mut running = start(
        &through_proxy,
        "orders",
        widening(flavour),
        &["--postpone-cut-over", "--lock-timeout", "3s"],
    );
    running.wait_until(|status| status["phase"] == "waiting");
    block_on(async {
        let mut reader = Session::connect(&server.url(DATABASE)).await.unwrap();
        reader.rows("BEGIN; SELECT COUNT(*) FROM orders").await.unwrap();
        running.ask("cut-over");
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%LOCK \
                       TABLES%' AND id <> CONNECTION_ID()";
        while server.query(DATABASE, waiting).unwrap()[0][0].as_deref() == Some("0") {
            assert!(running.is_running(), "it said:\n{}", running.output());
            thread::sleep(Duration::from_millis(5));
        }
        proxy.set(Fault::Stall);
        reader.rows("ROLLBACK").await.unwrap();
    });
    let begun = Instant::now();
    let writing = "SET SESSION lock_wait_timeout = 60; UPDATE orders SET k = k + 1 WHERE id = 10";
    block_on(async { Session::connect(&server.url(DATABASE)).await.unwrap().rows(writing).await })
        .unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "the application waited for {:?}",
        begun.elapsed()
    );
    proxy.set(Fault::Pass);
    running.wait().must_be(0);
}

#[test]
fn mysql_a_run_goes_on_after_a_long_silence_in_the_copy() {
    a_run_goes_on_after_a_long_silence_in_the_copy(Flavour::MySql97);
}

#[test]
fn mariadb_a_run_goes_on_after_a_long_silence_in_the_copy() {
    a_run_goes_on_after_a_long_silence_in_the_copy(Flavour::MariaDb1011);
}

#[test]
fn mysql_a_lock_that_nobody_hears_of_ends_by_itself() {
    a_lock_that_nobody_hears_of_ends_by_itself(Flavour::MySql97);
}

#[test]
fn mariadb_a_lock_that_nobody_hears_of_ends_by_itself() {
    a_lock_that_nobody_hears_of_ends_by_itself(Flavour::MariaDb1011);
}
