//! The doors of a run: the words of gh-ost through `nc`, several lines, a TCP port with a token,
//! and orders that outlive their process.

use altergeist_integration::altergeist_process::{
    Running, command, must_stay, run, start, structure, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::Table;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

every_server!(
    the_interactive_commands_of_gh_ost_are_answered,
    a_postponed_run_never_swaps_by_itself_after_a_resume_either,
);

/// Sends lines as `nc -U` does, which never says that its input has ended.
fn nc(running: &Running, lines: &str) -> String {
    let mut stream = UnixStream::connect(running.socket()).expect("the run listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time can be set");
    stream.write_all(lines.as_bytes()).expect("the run reads");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("the run closes in order");
    answers
}

/// The same through the TCP port.
fn tcp(port: u16, lines: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the run listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time can be set");
    stream.write_all(lines.as_bytes()).expect("the run reads");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("the run closes in order");
    answers
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

fn the_interactive_commands_of_gh_ost_are_answered(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (token, hold) = (folder.path().join("token"), folder.path().join("hold"));
    std::fs::write(&token, "correct-horse-battery\n").unwrap();
    let (port, token) = (free_port(), token.to_str().unwrap());
    let address = format!("127.0.0.1:{port}");
    let more = ["--postpone-cut-over", "--serve-tcp", &address, "--token-file", token];
    let alter = widening(flavour);
    let public = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(token, public).unwrap();
    run(&url, "orders", alter, &more).must_be(2).must_say(&["0644", "chmod 600"]);
    run(&url, "orders", alter, &more[..3]).must_be(2);
    std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut running = start(&url, "orders", alter, &more);
    running.wait_until(|status| status["phase"] == "waiting");

    let load = if flavour.is_postgres() { "connections" } else { "Threads_running" };
    let (loads, critical) =
        (format!("max-load={load}=500"), format!("critical-load={load}=1000,{load}=2000"));
    let host = format!("Host: 127.0.0.1:{}\n", server.port());
    let hold = format!("postpone-cut-over-flag-file={}", hold.display());
    let set = "waiting for the operator's order";
    for (order, answer) in [
        ("status", set),
        ("info", set),
        ("sup", set),
        ("applier", &*host),
        ("inspector", &host),
        ("chunk-size=250", set),
        ("chunk-size=?", "250\n"),
        ("dml-batch-size=20", set),
        ("dml-batch-size=?", "20\n"),
        ("max-lag-millis=1700", set),
        ("max-lag-millis=?", "1700\n"),
        ("nice-ratio=0.5", set),
        ("nice-ratio=?", "0.5\n"),
        (&loads, set),
        ("max-load=?", &loads["max-load=".len()..]),
        (&critical, set),
        ("critical-load=?", &critical["critical-load=".len()..]),
        ("throttle-query=SELECT 0", set),
        ("throttle-query=?", "SELECT 0\n"),
        ("throttle-query=", set),
        ("throttle-http=?", "\n"),
        ("throttle-control-replicas=?", "\n"),
        ("throttle-control-replicas=", set),
        ("throttle", "throttled\n"),
        ("pause", "throttled\n"),
        ("suspend", "throttled\n"),
        ("no-throttle", "not throttled\n"),
        ("unthrottle", "not throttled\n"),
        ("resume", "not throttled\n"),
        ("continue", "not throttled\n"),
        (&hold, set),
        ("postpone-cut-over-flag-file=?", &hold["postpone-cut-over-flag-file=".len()..]),
        ("postpone-cut-over-flag-file=", set),
        ("unpostpone customers", "error: this run changes"),
        ("no-postpone customers", "error: this run changes"),
        ("panic customers", "error: this run changes"),
        ("effort=3", set),
        ("effort=?", "3\n"),
        ("workers=?", "1\n"),
        ("window=00:00-24:00 UTC", set),
        ("window=?", "00:00-24:00 UTC\n"),
        ("deadline=1h", set),
        ("deadline=?", "59m"),
        ("kill-blockers=on", set),
        ("kill-blockers=?", "on\n"),
    ] {
        let said = running.ask(order);
        let is_answered = match answer.ends_with('\n') {
            true => said == answer,
            false => said.contains(answer),
        };
        assert!(is_answered, "{order} was answered by {said:?}, not {answer:?}");
    }
    assert!(running.ask("coordinates").len() > 2);
    for word in ["chunk-size", "sup", "panic", "throttle-control-replicas", "unpostpone"] {
        assert!(running.ask("help").contains(word), "{word} is missing in help");
    }
    assert_eq!(nc(&running, "workers=?\nnonsense\nnice=?\n").lines().count(), 3);
    assert_eq!(tcp(port, "correct-horse-battery\nworkers=?\nnice=?\n"), "1\n2\n");
    for wrong in ["workers=9\n", "correct-horse-batterY\nworkers=9\n"] {
        assert_eq!(tcp(port, wrong), "error: the first line must be the token\n");
    }
    assert_eq!(running.ask("workers=?"), "1\n");
    assert!(!running.output().contains("battery"), "{}", running.output());
    assert_eq!(running.ask("unpostpone orders"), "cut-over allowed\n");
    running.wait().must_be(0).must_say(&["did not send the token"]);
}

/// By its flag, and by an order that the next process must know of.
fn a_postponed_run_never_swaps_by_itself_after_a_resume_either(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let was = structure(&server, "orders");
    let waits = |running: &mut Running| {
        let status = running.wait_until(|status| status["phase"] == "waiting");
        assert_eq!(status["waiting_for"], "the operator's order: altergeist ctl cut-over");
        must_stay("it waits", || running.status()["phase"] == "waiting");
    };
    let postponed = ["--postpone-cut-over"];
    let mut running = start(&url, "orders", widening(flavour), &postponed);
    waits(&mut running);
    running.kill();
    let mut running = start(&url, "orders", widening(flavour), &postponed);
    waits(&mut running);
    assert_eq!(running.ask("postpone"), "postponed\n");
    waits(&mut running);
    running.kill();
    // This command does not ask for it. The order does.
    let mut running = start(&url, "orders", widening(flavour), &[]);
    waits(&mut running);
    assert_eq!(structure(&server, "orders"), was);
    let socket = running.socket();
    let through_ctl = ["ctl", "--socket", socket.to_str().unwrap(), "cut-over"];
    command(&through_ctl).must_be(0).must_say(&["cut-over allowed"]);
    running.wait().must_be(0);
    assert_ne!(structure(&server, "orders"), was);
}
