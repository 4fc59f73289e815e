//! Hooks and webhooks: what they hear, what a failing one keeps away, and that a hanging one harms
//! nobody.

use altergeist_integration::altergeist_process::{must_become, run, start, structure, widening};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::Table;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

every_server!(
    hooks_hear_of_a_run_and_one_that_fails_before_the_swap_keeps_it_away,
    a_hook_that_hangs_harms_nobody_and_a_webhook_that_fails_gets_it_again,
);

const NAMES: [&str; 6] = ["--owner", "ann", "--decider", "bob", "--ticket", "OPS-7"];

fn write_hook(folder: &Path, event: &str, script: &str) {
    let path = folder.join(format!("on-{event}"));
    std::fs::write(&path, format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/hooks.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether a document has every documented field, with a documented type.
fn must_fit(document: &Value, schema: &Value) {
    for (name, field) in schema["properties"].as_object().unwrap() {
        let value = document.get(name).unwrap_or_else(|| panic!("no {name} in {document}"));
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let types = match &field["type"] {
            Value::Array(types) => types.clone(),
            Value::Null => vec!["string".into()],
            one => vec![one.clone()],
        };
        let fits = |one: &Value| one == is || (one == "number" && is == "integer");
        assert!(types.iter().any(fits), "{name} is {is}: {value}");
        if let Some(words) = field["enum"].as_array() {
            assert!(words.contains(value), "{name} is {value}");
        }
    }
}

fn hooks_hear_of_a_run_and_one_that_fails_before_the_swap_keeps_it_away(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let was = structure(&server, "orders");
    let folder = tempfile::tempdir().unwrap();
    let hooks = folder.path();
    let log = "cat >> seen; echo \"$ALTERGEIST_EVENT $ALTERGEIST_TICKET $ALTERGEIST_EXIT_CODE\" \
               >> events; env > environment";
    let told = ["startup", "planned", "copy-begin", "copy-complete", "proven", "swapped"];
    for event in told.iter().chain(&["waiting", "order", "success", "failure", "stopped"]) {
        write_hook(hooks, event, log);
    }
    write_hook(hooks, "cut-over-begin", &format!("{log}; test -e allowed"));
    let more = [&["--hooks", hooks.to_str().unwrap()][..], &NAMES].concat();
    let events = || std::fs::read_to_string(hooks.join("events")).unwrap_or_default();

    let stopped = run(&url, "orders", widening(flavour), &more).must_be(5);
    stopped.must_say(&["the hook on-cut-over-begin", "exit code 1", "The same command continues"]);
    assert_eq!(structure(&server, "orders"), was, "it was swapped");
    let expected = "startup OPS-7 \nplanned OPS-7 \ncopy-begin OPS-7 \ncopy-complete OPS-7 \n\
                    proven OPS-7 \ncut-over-begin OPS-7 \nstopped OPS-7 5\n";
    assert_eq!(events(), expected);

    std::fs::remove_file(hooks.join("events")).unwrap();
    std::fs::write(hooks.join("allowed"), "").unwrap();
    write_hook(hooks, "swapped", &format!("{log}; exit 7"));
    write_hook(hooks, "success", &format!("{log}; exit 7"));
    let postponed = [&more[..], &["--postpone-cut-over"]].concat();
    let mut running = start(&url, "orders", widening(flavour), &postponed);
    let status = running.wait_until(|status| status["phase"] == "waiting");
    assert_eq!((&status["owner"], &status["decider"]), (&"ann".into(), &"bob".into()), "{status}");
    running.ask("cut-over");
    let ended = running.wait().must_be(0);
    ended.must_say(&["the hook on-swapped failed", "the hook on-success failed", "exit code 7"]);
    assert_ne!(structure(&server, "orders"), was);
    let events = events();
    for event in ["order OPS-7 ", "cut-over-begin OPS-7 ", "swapped OPS-7 ", "success OPS-7 0"] {
        assert!(events.lines().any(|line| line == event), "{event:?} is missing in:\n{events}");
    }
    let schema = schema();
    for line in std::fs::read_to_string(hooks.join("seen")).unwrap().lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        must_fit(&document, &schema);
        must_fit(&document["status"], &schema["properties"]["status"]);
        assert_eq!(document["server"], format!("127.0.0.1:{}", server.port()));
    }
    let misspelled = tempfile::tempdir().unwrap();
    write_hook(misspelled.path(), "cutover-begin", "exit 1");
    let wrong = ["--hooks", misspelled.path().to_str().unwrap(), "--again"];
    run(&url, "orders", widening(flavour), &wrong).must_be(2).must_say(&["on-cutover-begin"]);
}

/// Reads a request to the end of its body.
fn body_of(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request += std::str::from_utf8(&buffer[..read]).unwrap();
        let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.is_some_and(|length| length.parse() == Ok(body.len())) {
            return Some(body.to_owned());
        }
    }
}

/// Takes every second request only. Returns its URL and what it took.
fn webhook() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/services/secret", listener.local_addr().unwrap());
    let (took, taken) = channel();
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let Some(body) = body_of(&mut stream) else { return };
            let status = if nth % 2 == 0 { "503 Busy" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
            if nth % 2 == 1 && took.send(serde_json::from_str(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, taken)
}

fn a_hook_that_hangs_harms_nobody_and_a_webhook_that_fails_gets_it_again(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let was = structure(&server, "orders");
    let folder = tempfile::tempdir().unwrap();
    write_hook(folder.path(), "throttled", "touch hanging; sleep 600");
    write_hook(folder.path(), "success", "touch heard");
    let (webhook, taken) = webhook();
    let more = [
        &["--hooks", folder.path().to_str().unwrap(), "--hook-timeout", "4s"][..],
        &["--webhook", &webhook, "--postpone-cut-over"],
        &NAMES,
    ]
    .concat();
    let mut running = start(&url, "orders", widening(flavour), &more);
    running.wait_until(|status| status["phase"] == "waiting");
    running.ask("throttle");
    running.wait_until(|_| folder.path().join("hanging").exists());
    // The run is steered and swaps while the hook hangs.
    running.ask("no-throttle");
    running.ask("cut-over");
    must_become("it swaps", || structure(&server, "orders") != was);
    assert!(!running.output().contains("on-throttled"), "the hook held it up");
    let ended = running.wait().must_be(0).must_say(&["the hook on-throttled failed", "4s"]);
    assert!(!ended.output.contains("secret"), "{}", ended.output);
    assert!(folder.path().join("heard").exists(), "the next hook was not run");

    let bodies: Vec<Value> = taken.try_iter().collect();
    let events: Vec<&str> = bodies.iter().filter_map(|body| body["event"].as_str()).collect();
    for event in ["startup", "cut-over-begin", "order", "throttled", "swapped", "success"] {
        assert!(events.contains(&event), "{event} is lost: {events:?}");
    }
    let schema = schema();
    for body in &bodies {
        must_fit(body, &schema);
        assert_eq!(body["decider"], "bob");
        assert!(!body.to_string().contains("secret"));
    }
}
