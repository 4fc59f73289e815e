//! What is known of a change before it is made: its duration, the point to restore to, a rehearsal.

use altergeist_integration::altergeist_process::{
    binary, command, inventory, left_behind, must_become, run, structure, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Mix, Table, Writers};
use serde_json::Value;
use std::fs;
use std::process::Command;

every_server!(
    a_plan_tells_the_duration_and_may_prefer_the_servers_own_way,
    a_rehearsal_does_everything_but_the_swap_and_leaves_nothing,
);

/// Enough rows that the plan copies a sample.
const ROWS: u64 = 20_000;

fn plan(url: &str, alter: &str, more: &[&str]) -> Value {
    let words = ["plan", "--url", url, "--table", "orders", "--json", "--alter", alter];
    let said = command(&[&words[..], more].concat()).must_be(0).output;
    let line = said.lines().find(|line| line.starts_with('{')).expect("one line is JSON");
    serde_json::from_str(line).expect("it is JSON")
}

fn a_plan_tells_the_duration_and_may_prefer_the_servers_own_way(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", ROWS).unwrap();
    let analyze = if flavour.is_postgres() { "ANALYZE orders" } else { "ANALYZE TABLE orders" };
    server.execute(DATABASE, analyze).unwrap();
    let (before, was) = (inventory(&server), structure(&server, "orders"));

    let copied = plan(&url, widening(flavour), &[]);
    let estimate = &copied["estimate"];
    assert_eq!(copied["verdict"], "copy");
    assert!(estimate["sample_rows"].as_u64() > Some(1000), "{estimate}");
    assert!(estimate["sample_ms"].as_u64() < Some(2000), "{estimate}");
    let total = &estimate["total"];
    assert!(total["low_seconds"].as_u64() <= total["likely_seconds"].as_u64(), "{total}");
    assert!(total["likely_seconds"].as_u64() <= total["high_seconds"].as_u64(), "{total}");
    assert_eq!(estimate["longest_wait_ms"], 2000);
    assert_eq!(estimate["in_place"]["is_chosen"], false, "{estimate}");
    let blocks = match (flavour.is_postgres(), flavour.major()) {
        (true, _) => "reads-and-writes",
        // It copies and follows its own log.
        (false, 11) => "nothing",
        (false, _) => "writes",
    };
    assert_eq!(estimate["in_place"]["blocks"], blocks, "{estimate}");

    // No estimate is that short.
    let short = plan(&url, widening(flavour), &["--max-downtime", "1ms"]);
    assert_eq!(short["verdict"], "copy");
    let native = plan(&url, widening(flavour), &["--max-downtime", "10m"]);
    assert!(native["verdict"]["native"].is_string(), "{native}");
    assert!(native["notes"].to_string().contains("--max-downtime"), "{native}");
    assert_eq!(inventory(&server), before, "a sample leaves nothing");
    assert_eq!(structure(&server, "orders"), was);

    let flags = ["--max-downtime", "10m"];
    run(&url, "orders", widening(flavour), &flags).must_be(0).must_say(&["natively"]);
    assert_ne!(structure(&server, "orders"), was);
    run(&url, "orders", widening(flavour), &flags).must_be(0).must_say(&["already done"]);
    let rows = server.query(DATABASE, "SELECT count(*) FROM orders").unwrap();
    assert_eq!(rows[0][0].as_deref(), Some(&*ROWS.to_string()));
}

/// A rehearsal copies, compares and locks beside the writers; then nothing of it is left, and what
/// the journal knew before it knows again.
fn a_rehearsal_does_everything_but_the_swap_and_leaves_nothing(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 2_000).unwrap();
    run(&url, "orders", "ADD COLUMN early int", &[]).must_be(0).must_say(&["natively"]);
    let (before, was) = (inventory(&server), structure(&server, "orders"));
    let folder = tempfile::tempdir().unwrap();
    let runbook = folder.path().join("runbook.md");
    let rehearse = ["rehearse", "--url", &url, "--table", "orders", "--alter", widening(flavour)];

    let writers = Writers::start(&url, &table, 50, 2, 1, &Mix::everything());
    let more =
        ["--with-lock", "--output", runbook.to_str().unwrap(), "--check", "one: SELECT 1 = 1"];
    command(&[&rehearse[..], &more].concat()).must_be(0);
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
    let said = fs::read_to_string(&runbook).unwrap();
    for words in [
        "- **Lock:** held for ",
        "- [x] Rehearsed at production volume? ",
        "- [x] Verification queries prepared? one passes",
        "- [ ] Progress observed? no evidence",
        "--postpone-cut-over --deadline 5m",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert_eq!(structure(&server, "orders"), was);
    assert_eq!(left_behind(&before, &inventory(&server)), Vec::<String>::new());
    run(&url, "orders", "ADD COLUMN early int", &[]).must_be(0).must_say(&["already done"]);

    // A stop is no reason to leave something.
    let file = folder.path().join("throttle");
    fs::write(&file, "").unwrap();
    let paused = ["--throttle-file", file.to_str().unwrap()];
    command(&[&rehearse[..], &paused, &["--deadline", "2s"]].concat()).must_be(5);
    assert_eq!(left_behind(&before, &inventory(&server)), Vec::<String>::new());

    // After a kill something is left. A run of another change drops it, and notes where to restore.
    let mut killed =
        Command::new(binary()).args([&rehearse[..], &paused].concat()).spawn().unwrap();
    let has_begun = || !left_behind(&before, &inventory(&server)).is_empty();
    must_become("the rehearsal has made something", has_begun);
    let status = ["status", "--url", &url, "--table", "orders"];
    must_become("the journal knows a rehearsal", || {
        let words = [&status[..], &["--json"]].concat();
        command(&words).output.contains("\"phase\":\"copying\"")
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    command(&status).must_be(0).must_say(&["a rehearsal"]);
    let other = ["--strategy", "copy"];
    run(&url, "orders", "ADD COLUMN late int", &other)
        .must_be(0)
        .must_say(&["Point to restore to"]);
    command(&status).must_be(0).must_say(&["restore to "]);
    assert_ne!(structure(&server, "orders"), was);
}
