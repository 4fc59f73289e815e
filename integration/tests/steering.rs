//! A run is watched and steered while it goes on.

use std::thread;
use std::time::Duration;

use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::tool::{command, inventory, left_behind, old_table, run, start, structure, widening};
use altergeist_integration::workload::{Mix, Table, Writers};

every_server!(
    a_postponed_run_waits_for_the_order_to_cut_over,
    a_throttled_run_copies_nothing_until_it_is_told_to_go_on,
    a_panicking_run_stops_and_the_same_command_goes_on,
);

/// So slow that it can be steered while it copies.
const SLOWLY: [&str; 6] = ["--chunk-rows", "20", "--workers", "1", "--nice", "3"];

fn a_postponed_run_waits_for_the_order_to_cut_over(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 5_000).unwrap();
    let was = structure(&server, "orders");
    let writers = Writers::start(&url, &table, 100, 2, 1, &Mix::everything());
    let mut running = start(&url, "orders", widening(flavour), &["--postpone-cut-over"]);

    let status = running.wait_until(|status| status["phase"] == "postponed");
    assert_eq!(status["rows_copied"].as_u64().map(|rows| rows > 4_000), Some(true), "{status}");
    assert!(status["table"].as_str().is_some_and(|name| name.ends_with("orders")), "{status}");
    let help = running.ask("help");
    for word in ["status", "throttle", "no-throttle", "cut-over", "panic", "chunk-size", "help"] {
        assert!(help.contains(word), "{word:?} is missing in the help:\n{help}");
    }
    assert!(running.ask("status").contains("postponed"));
    let socket = running.socket();
    let through_ctl = command(&["ctl", "--socket", socket.to_str().unwrap(), "status", "--json"]).must_be(0);
    assert!(through_ctl.output.contains("\"postponed\""), "{}", through_ctl.output);

    writers.wait_for(200, Duration::from_secs(30));
    assert_eq!(running.status()["phase"], "postponed");
    assert_eq!(structure(&server, "orders"), was, "it was swapped without an order");
    running.ask("cut-over");
    running.wait().must_be(0);
    writers.wait_for(50, Duration::from_secs(30));
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
    assert_ne!(structure(&server, "orders"), was);
}

fn a_throttled_run_copies_nothing_until_it_is_told_to_go_on(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 10_000).unwrap();
    let mut running = start(&url, "orders", widening(flavour), &SLOWLY);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(100));

    running.ask("throttle");
    let status = running.wait_until(|status| status["throttle_reason"].is_string());
    assert_eq!(status["phase"], "copying");
    let copied = running.status()["rows_copied"].as_u64();
    assert!(copied < Some(10_000), "it was too fast to be throttled");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(running.status()["rows_copied"].as_u64(), copied);

    running.ask("chunk-size=1000");
    assert!(running.ask("chunk-size=?").contains("1000"));
    running.ask("no-throttle");
    running.wait().must_be(0);
}

fn a_panicking_run_stops_and_the_same_command_goes_on(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 10_000).unwrap();
    let (was, there) = (structure(&server, "orders"), inventory(&server));
    let mut running = start(&url, "orders", widening(flavour), &SLOWLY);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(100));

    running.ask("panic");
    running.wait().must_be(5);
    assert_eq!(structure(&server, "orders"), was);
    let seen = command(&["status", "--url", &url, "--table", "orders", "--json"]).must_be(0);
    assert!(seen.output.contains("orders"), "{}", seen.output);

    run(&url, "orders", widening(flavour), &[]).must_be(0);
    assert_ne!(structure(&server, "orders"), was);
    assert_eq!(left_behind(&there, &inventory(&server)), old_table(flavour, "orders"));
}
