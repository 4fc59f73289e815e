//! A run is watched and steered while it goes on.

use std::time::Duration;

use altergeist_integration::altergeist_process::{
    Running, command, inventory, left_behind, must_stay, old_table, run, start, structure, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Mix, Table, Writers};

every_server!(
    a_postponed_run_waits_for_the_order_to_cut_over,
    a_throttled_run_copies_nothing_until_it_is_told_to_go_on,
    a_run_waits_while_the_server_is_used_more_than_it_may_be,
    a_run_ends_when_the_load_is_critical_and_the_same_command_goes_on,
    files_queries_and_services_throttle_and_postpone,
    settings_are_shown_and_set_and_orders_for_other_tables_refused,
    a_load_that_nobody_knows_is_refused_before_anything_is_done,
    a_run_that_is_stopped_gently_or_at_once_is_resumed_by_the_same_command,
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

    let status = running.wait_until(|status| status["phase"] == "waiting");
    assert_eq!(status["rows_copied"].as_u64().map(|rows| rows > 4_000), Some(true), "{status}");
    assert!(status["table"].as_str().is_some_and(|name| name.ends_with("orders")), "{status}");
    let help = running.ask("help");
    for word in
        ["status", "throttle", "no-throttle", "cut-over", "stop", "panic", "chunk-size", "help"]
    {
        assert!(help.contains(word), "{word:?} is missing in the help:\n{help}");
    }
    assert!(running.ask("status").contains("waiting"));
    let socket = running.socket();
    let through_ctl =
        command(&["ctl", "--socket", socket.to_str().unwrap(), "status", "--json"]).must_be(0);
    assert!(through_ctl.output.contains("\"waiting\""), "{}", through_ctl.output);

    writers.wait_for(200, Duration::from_secs(30));
    assert_eq!(running.status()["phase"], "waiting");
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
    must_stay("throttled, it copies nothing", || {
        running.status()["rows_copied"].as_u64() == copied
    });

    running.ask("chunk-size=1000");
    assert!(running.ask("chunk-size=?").contains("1000"));
    running.ask("no-throttle");
    running.wait().must_be(0);
}

/// The operator's own signals, each given and taken away while the run goes on. A signal that
/// cannot be read means: wait.
fn files_queries_and_services_throttle_and_postpone(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 3_000).unwrap();
    server.execute(DATABASE, "CREATE TABLE busy (n int)").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (pause, hold) = (folder.path().join("pause"), folder.path().join("hold"));
    std::fs::write(&pause, "").unwrap();
    std::fs::write(&hold, "").unwrap();
    let files =
        ["--throttle-file", pause.to_str().unwrap(), "--postpone-file", hold.to_str().unwrap()];
    let mut running = start(&url, "orders", widening(flavour), &files);
    let reason = |running: &mut Running, wanted: &str| {
        let is_wanted = |status: &serde_json::Value| {
            status["throttle_reason"].as_str().is_some_and(|reason| reason.starts_with(wanted))
        };
        running.wait_until(is_wanted);
    };
    reason(&mut running, "throttle-file exists (");
    assert_eq!(running.status()["rows_copied"], 0);
    running.ask("throttle-query=SELECT count(*) FROM busy");
    server.execute(DATABASE, "INSERT INTO busy VALUES (7), (8)").unwrap();
    std::fs::remove_file(&pause).unwrap();
    reason(&mut running, "throttle-query 2 > 0");
    running.ask("throttle-query=SELECT n FROM nowhere");
    reason(&mut running, "throttle-query unknown");
    running.ask("throttle-query=");
    running.ask("throttle-http=http://127.0.0.1:1/");
    reason(&mut running, "throttle-http unknown");
    running.ask("throttle-http=");
    let status = running.wait_until(|status| status["phase"] == "waiting");
    assert!(status["waiting_for"].as_str().is_some_and(|why| why.contains("hold")), "{status}");
    std::fs::remove_file(&hold).unwrap();
    running.wait().must_be(0);
}

fn settings_are_shown_and_set_and_orders_for_other_tables_refused(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let mut running = start(&url, "orders", widening(flavour), &["--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    for (set, get, value) in [
        ("dml-batch-size=7", "batch-keys=?", "7\n"),
        ("max-lag=2s", "max-lag-millis=?", "2000\n"),
        ("lock-timeout=250ms", "lock-timeout=?", "250ms\n"),
        ("lock-attempts=3", "lock-attempts=?", "3\n"),
        ("nice=0.5", "nice-ratio=?", "0.5\n"),
    ] {
        assert!(running.ask(set).contains("waiting"), "{set} is answered by the status");
        assert_eq!(running.ask(get), value);
    }
    assert!(running.ask("lock-timeout=0").starts_with("error:"));
    assert!(running.ask("cut-over customers").starts_with("error:"));
    assert!(running.ask("panic customers").starts_with("error:"));
    must_stay("it waits", || running.status()["phase"] == "waiting");
    running.ask("cut-over orders");
    running.wait().must_be(0);
}

/// A measure that counts connections, this one among them.
fn connections(flavour: Flavour) -> &'static str {
    if flavour.is_postgres() { "connections" } else { "Threads_connected" }
}

fn a_run_waits_while_the_server_is_used_more_than_it_may_be(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 5_000).unwrap();
    let writers = Writers::start(&url, &table, 100, 2, 1, &Mix::everything());
    let measure = connections(flavour);
    let mut running =
        start(&url, "orders", widening(flavour), &["--max-load", &format!("{measure}=1")]);

    let status = running.wait_until(|status| status["throttle_reason"].is_string());
    let reason = status["throttle_reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with(&format!("{measure} ")) && reason.ends_with(" > 1"), "{reason}");
    writers.wait_for(200, Duration::from_secs(30));
    let status = running.status();
    assert_eq!(
        (status["phase"].as_str(), status["rows_copied"].as_u64()),
        (Some("copying"), Some(0)),
        "{status}"
    );

    assert!(running.ask("max-load=nobody_knows=3").contains("copying"));
    assert_eq!(running.ask("max-load=?"), "nobody_knows=3\n");
    running.wait_until(|status| {
        status["throttle_reason"].as_str().is_some_and(|it| it.contains("nobody_knows"))
    });
    assert!(!running.ask(&format!("max-load={measure}=1000")).starts_with("error"));
    running.wait().must_be(0);
    writers.stop().prove(&url).unwrap();
}

fn a_run_ends_when_the_load_is_critical_and_the_same_command_goes_on(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 10_000).unwrap();
    let (was, there) = (structure(&server, "orders"), inventory(&server));
    let measure = connections(flavour);
    let mut running = start(&url, "orders", widening(flavour), &SLOWLY);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(100));
    running.ask(&format!("critical-load={measure}=1"));
    let ended = running.wait().must_be(5);
    assert!(
        ended.output.contains(measure) && ended.output.contains("--critical-load"),
        "{}",
        ended.output
    );
    assert_eq!(structure(&server, "orders"), was);

    run(&url, "orders", widening(flavour), &["--critical-load", &format!("{measure}=1000")])
        .must_be(0);
    assert_ne!(structure(&server, "orders"), was);
    assert_eq!(left_behind(&there, &inventory(&server)), old_table(flavour, "orders"));
}

fn a_load_that_nobody_knows_is_refused_before_anything_is_done(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 10).unwrap();
    let there = inventory(&server);
    let ended =
        run(&url, "orders", widening(flavour), &["--max-load", "nobody_knows=3"]).must_be(3);
    assert!(ended.output.contains("nobody_knows"), "{}", ended.output);
    run(&url, "orders", widening(flavour), &["--max-load", "nobody_knows"]).must_be(2);
    assert_eq!(left_behind(&there, &inventory(&server)), Vec::<String>::new());
}

fn a_run_that_is_stopped_gently_or_at_once_is_resumed_by_the_same_command(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 10_000).unwrap();
    let (was, there) = (structure(&server, "orders"), inventory(&server));
    for (order, answer, rows) in [
        ("stop", "stopping when nothing is in flight\n", 100),
        ("panic", "stopping at once\n", 1_000),
    ] {
        let mut running = start(&url, "orders", widening(flavour), &SLOWLY);
        running.wait_until(|status| status["rows_copied"].as_u64() > Some(rows));
        assert_eq!(running.ask(order), answer);
        running.wait().must_be(5).must_say(&["stopped on request", "The same command"]);
        assert_eq!(structure(&server, "orders"), was);
    }
    let seen = command(&["status", "--url", &url, "--table", "orders", "--json"]).must_be(0);
    assert!(seen.output.contains("orders"), "{}", seen.output);

    run(&url, "orders", widening(flavour), &[]).must_be(0);
    assert_ne!(structure(&server, "orders"), was);
    assert_eq!(left_behind(&there, &inventory(&server)), old_table(flavour, "orders"));
}
