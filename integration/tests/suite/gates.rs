//! The gates of the swap: a run is ready and waits until each of them is open.

use altergeist_integration::altergeist_process::{
    command, must_stay, run, start, structure, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Mix, Table, Writers};
use std::fs;

every_server!(
    a_check_that_fails_keeps_the_table_until_it_passes,
    a_failing_check_is_overruled_only_by_its_name,
    a_native_change_waits_for_its_gates_too,
    a_deadline_ends_the_run_resumably,
    a_second_run_waits_for_the_first_and_finds_it_done,
);

fn gate(status: &serde_json::Value, name: &str) -> (bool, String) {
    let gates = status["gates"].as_array().expect("a run that waits has gates");
    let gate = gates.iter().find(|gate| gate["name"] == name);
    let gate = gate.unwrap_or_else(|| panic!("no gate {name} in {status}"));
    (gate["open"] == true, gate["reason"].as_str().unwrap_or_default().to_owned())
}

/// A transform that loses what the operator wanted to keep stops before the swap, by a number of
/// the operator's own choice, while the application writes.
fn a_check_that_fails_keeps_the_table_until_it_passes(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 2_000).unwrap();
    server.execute(DATABASE, "CREATE TABLE allowed (n int)").unwrap();
    let was = structure(&server, "orders");
    let writers = Writers::start(&url, &table, 50, 2, 1, &Mix::everything());
    let check = "sizes: SELECT abs((SELECT count(*) FROM {old}) - (SELECT count(*) FROM {new})) + \
                 1 - (SELECT count(*) FROM allowed) <= 500";
    let asleep = "allowed: SELECT count(*) FROM allowed = 1";
    let more = ["--check", check, "--check", asleep];
    let mut running = start(&url, "orders", widening(flavour), &more);

    let status = running.wait_until(|status| status["phase"] == "waiting");
    assert!(gate(&status, "sizes").0, "{status}");
    assert_eq!(gate(&status, "allowed"), (false, "0 < 1".to_owned()), "{status}");
    assert_eq!(status["waiting_for"], "gate allowed: 0 < 1");
    must_stay("it waits for the gate", || running.status()["phase"] == "waiting");
    assert_eq!(structure(&server, "orders"), was);
    server.execute(DATABASE, "INSERT INTO allowed VALUES (1)").unwrap();
    running.wait().must_be(0);
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
    assert_ne!(structure(&server, "orders"), was);
}

/// Nothing is copied, and the swap is the server's own ALTER: it waits as a swap does.
fn a_native_change_waits_for_its_gates_too(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 100).unwrap();
    server.execute(DATABASE, "CREATE TABLE allowed (n int)").unwrap();
    let was = structure(&server, "orders");
    let more = ["--check", "allowed: SELECT count(*) FROM allowed = 1", "--postpone-cut-over"];
    let mut running = start(&url, "orders", "ADD COLUMN extra int", &more);
    running.wait_until(|status| status["phase"] == "waiting");
    running.ask("cut-over");
    let status = running.wait_until(|status| status["waiting_for"] == "gate allowed: 0 < 1");
    assert!(gate(&status, "postponed").0, "{status}");
    must_stay("it waits for the gate", || running.status()["phase"] == "waiting");
    assert_eq!(structure(&server, "orders"), was);
    server.execute(DATABASE, "INSERT INTO allowed VALUES (1)").unwrap();
    running.wait().must_be(0).must_say(&["natively"]);
    assert_ne!(structure(&server, "orders"), was);
}

fn a_failing_check_is_overruled_only_by_its_name(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let checks = [
        "--check",
        "none: SELECT count(*) FROM {new} = 0",
        "--check",
        "words: SELECT 'secret' = 0",
        "--check",
        "rows: SELECT 1 UNION ALL SELECT 2 = 1",
    ];
    let mut running = start(&url, "orders", widening(flavour), &checks);
    let status = running.wait_until(|status| status["phase"] == "waiting");
    assert_eq!(gate(&status, "none"), (false, "500 > 0".to_owned()));
    let (is_open, reason) = gate(&status, "words");
    assert!(!is_open && !reason.contains("secret"), "{reason}");
    let (is_open, reason) = gate(&status, "rows");
    assert!(!is_open && reason.contains("more than one value"), "{reason}");
    running.ask("overrule rows");
    assert!(running.ask("overrule everything").starts_with("error:"));
    assert!(running.ask("cut-over").contains("allowed"));
    running.ask("overrule none");
    let status = running.wait_until(|status| gate(status, "none").0);
    assert!(gate(&status, "none").1.contains("operator"));
    must_stay("the other gate is closed", || running.status()["phase"] == "waiting");
    let said = running.ask("status");
    assert!(said.contains("gate       words is closed: unknown, needs = 0"), "{said}");
    running.ask("overrule words");
    running.wait().must_be(0);
}

/// No server is asked: one kind stands for all.
#[test]
fn commands_backups_and_hours_are_gates_too() {
    let flavour = Flavour::Postgres18;
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (ticket, backup) = (folder.path().join("ticket"), folder.path().join("backup"));
    fs::write(&backup, "2001-01-01T00:00:00Z\n").unwrap();
    let gates = [
        format!("ticket: test -e {}", ticket.display()),
        format!("errors: echo noise; echo 0.5; test -e {} < 1%", folder.path().display()),
        format!("cat {}", backup.display()),
        // Gates are asked at once: asked one after another, the first would wait for ever.
        format!("first: until test -e {0}/asked; do sleep 0.05; done", folder.path().display()),
        format!("second: touch {}/asked", folder.path().display()),
    ];
    let more = [
        "--gate",
        &gates[0],
        "--gate",
        &gates[1],
        "--gate",
        &gates[3],
        "--gate",
        &gates[4],
        "--require-backup",
        &gates[2],
        "--backup-max-age",
        "1h",
        "--window",
        "00:00-24:00 UTC",
    ];
    let mut running = start(&url, "orders", widening(flavour), &more);
    let status = running.wait_until(|status| status["phase"] == "waiting");
    assert_eq!(gate(&status, "ticket"), (false, "command ended with exit code 1".to_owned()));
    assert_eq!(gate(&status, "errors"), (false, "50% >= 1%".to_owned()));
    assert_eq!(gate(&status, "window"), (true, String::new()));
    let (is_open, reason) = gate(&status, "backup");
    assert!(!is_open && reason.starts_with("age ") && reason.ends_with("> 1h"), "{reason}");
    fs::write(&ticket, "").unwrap();
    fs::write(&backup, "2099-01-01T00:00:00Z\n").unwrap();
    let status = running.wait_until(|status| gate(status, "ticket").0);
    assert!(gate(&status, "backup").1.contains("future"), "{status}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    fs::write(&backup, now.as_secs().to_string()).unwrap();
    running.ask("overrule errors");
    running.wait().must_be(0);

    let closed = ["--window", "nonsense"];
    run(&url, "orders", widening(flavour), &closed).must_be(2).must_say(&["Europe/Berlin"]);
}

fn a_deadline_ends_the_run_resumably(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let postponed = ["--postpone-cut-over", "--deadline", "2s"];
    run(&url, "orders", widening(flavour), &postponed).must_be(5).must_say(&["deadline"]);
    run(&url, "orders", widening(flavour), &[]).must_be(0);
    let again = run(&url, "orders", widening(flavour), &[]).must_be(0);
    let again = again.must_say(&["already done at", "UTC by"]);
    assert!(!again.output.contains("rows copied"), "{}", again.output);
    // The old table of the first time is in the way of a second one.
    run(&url, "orders", widening(flavour), &["--again", "--strategy", "copy"]).must_be(3);
    command(&["cleanup", "--url", &url, "--table", "orders", "--drop-old"]).must_be(0);
}

fn a_second_run_waits_for_the_first_and_finds_it_done(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let mut first = start(&url, "orders", widening(flavour), &["--postpone-cut-over"]);
    first.wait_until(|status| status["phase"] == "waiting");
    run(&url, "orders", widening(flavour), &[]).must_be(6);
    run(&url, "orders", widening(flavour), &["--wait-for-other", "1s"]).must_be(6);
    let second = start(&url, "orders", widening(flavour), &["--wait-for-other", "5min"]);
    first.ask("cut-over");
    first.wait().must_be(0);
    second.wait().must_be(0).must_say(&["already done at"]);
}
