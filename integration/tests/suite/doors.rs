//! Every order through every door: the socket, the TCP port, the table of orders, the console. What
//! was answered outlives its process.

use altergeist_integration::altergeist_process::{
    Running, binary, must_become, must_stay, start, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::block_on;
use altergeist_integration::workload::Table;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio_postgres::{NoTls, SimpleQueryMessage};

every_server!(what_was_answered_outlives_its_process);

const TOKEN: &str = "correct-horse-battery";

/// Each setting with two values, and how they are read. Doors take turns, so that no value is the
/// one that the door before has set.
const SETTINGS: [(&str, [&str; 2], [&str; 2]); 36] = [
    ("chunk-rows", ["500", "600"], ["500", "600"]),
    ("chunk-size", ["501", "601"], ["501", "601"]),
    ("chunk-time", ["50ms", "60"], ["50ms", "60ms"]),
    ("workers", ["2", "3"], ["2", "3"]),
    ("batch-keys", ["70", "80"], ["70", "80"]),
    ("dml-batch-size", ["71", "81"], ["71", "81"]),
    ("nice", ["0.5", "0.25"], ["0.5", "0.25"]),
    ("nice-ratio", ["0.75", "0.1"], ["0.75", "0.1"]),
    ("effort", ["3", "9"], ["3", "9"]),
    ("max-lag", ["2s", "3s"], ["2s", "3s"]),
    ("max-lag-millis", ["2500", "3500"], ["2500", "3500"]),
    ("max-commit-latency", ["20ms", "30ms"], ["20ms", "30ms"]),
    (
        "max-load",
        ["Threads_running=500", "Threads_running=600"],
        ["Threads_running=500", "Threads_running=600"],
    ),
    (
        "critical-load",
        ["Threads_running=5000", "Threads_running=6000"],
        ["Threads_running=5000", "Threads_running=6000"],
    ),
    ("throttle-query", ["SELECT 0", "SELECT 1"], ["SELECT 0", "SELECT 1"]),
    (
        "throttle-http",
        ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"],
        ["http://127.0.0.1:1/", "http://127.0.0.1:1/"],
    ),
    ("throttle-file", ["/nowhere/a", "/nowhere/b"], ["/nowhere/a", "/nowhere/b"]),
    ("throttle-flag-file", ["/nowhere/c", "/nowhere/d"], ["/nowhere/c", "/nowhere/d"]),
    ("throttle-additional-flag-file", ["/nowhere/e", "/nowhere/f"], ["/nowhere/e", "/nowhere/f"]),
    ("throttle-control-replicas", ["127.0.0.1:1", "127.0.0.1:2"], ["127.0.0.1:1", "127.0.0.1:2"]),
    ("replication-lag-query", ["SELECT 0", "SELECT 1"], ["SELECT 0", "SELECT 1"]),
    ("max-lock-waiters", ["100", "200"], ["100", "200"]),
    ("max-history-list", ["1000000", "2000000"], ["1000000", "2000000"]),
    ("min-free-disk", ["1MB", "2MB"], ["1MB", "2MB"]),
    ("lock-timeout", ["250ms", "300ms"], ["250ms", "300ms"]),
    ("lock-attempts", ["5", "6"], ["5", "6"]),
    ("kill-blockers", ["on", "off"], ["on", "off"]),
    ("postpone-file", ["/nowhere/g", "/nowhere/h"], ["/nowhere/g", "/nowhere/h"]),
    ("postpone-cut-over-flag-file", ["/nowhere/i", "/nowhere/j"], ["/nowhere/i", "/nowhere/j"]),
    ("window", ["22:00-04:00 UTC", "21:00-03:00 UTC"], ["22:00-04:00 UTC", "21:00-03:00 UTC"]),
    ("check-limits", ["rows=2", "rows=3"], ["rows=2", "rows=3"]),
    ("max-null-increase", ["2%", "3%"], ["2%", "3%"]),
    ("max-empty-increase", ["2.5%", "3.5%"], ["2.5%", "3.5%"]),
    ("max-distinct-decrease", ["40%", "60%"], ["40%", "60%"]),
    ("deadline", ["1h", "2h"], ["59m", "1h59m"]),
    ("replica", ["", ""], ["", ""]),
];

/// What would throttle the run or keep it from swapping.
const TAKEN_BACK: [&str; 8] = [
    "throttle-query=",
    "throttle-http=",
    "throttle-file=",
    "replication-lag-query=",
    "min-free-disk=",
    "max-load=",
    "critical-load=",
    "window=",
];

/// Each word with a part of its answer; none if it is refused.
const WORDS: [(&str, Option<&str>); 29] = [
    ("status", Some("table ")),
    ("info", Some("table ")),
    ("status --json", Some("{\"table\":")),
    ("sup", Some("")),
    ("coordinates", Some("")),
    ("applier", Some("Host: 127.0.0.1:")),
    ("inspector", Some("Host: 127.0.0.1:")),
    ("help", Some("status ")),
    ("throttle", Some("throttled")),
    ("no-throttle", Some("not throttled")),
    ("pause", Some("throttled")),
    ("unthrottle", Some("not throttled")),
    ("suspend", Some("throttled")),
    ("resume", Some("not throttled")),
    ("continue", Some("not throttled")),
    ("cut-over orders", Some("cut-over allowed")),
    ("postpone", Some("postponed")),
    ("unpostpone", Some("cut-over allowed")),
    ("no-postpone orders", Some("cut-over allowed")),
    ("postpone", Some("postponed")),
    ("overrule rows", Some("gate rows counts as open")),
    ("cut-over customers", None),
    ("force customers", None),
    ("panic customers", None),
    ("approve f00d", None),
    ("revert", None),
    ("finish", None),
    ("extend 30m", None),
    ("frobnicate", None),
];

/// What a door answers: whether it was done, and the words.
type Answer = (bool, String);

fn answer_of(text: &str) -> Answer {
    match text.strip_prefix("error: ") {
        Some(reason) => (false, reason.trim_end().to_owned()),
        None => (true, text.trim_end().to_owned()),
    }
}

fn by_socket(running: &mut Running, lines: &[String]) -> Vec<Answer> {
    lines.iter().map(|line| answer_of(&running.ask(line))).collect()
}

fn by_tcp(port: u16, lines: &[String]) -> Vec<Answer> {
    let ask = |line: &String| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(format!("{TOKEN}\n{line}\n").as_bytes()).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers in text");
        answer_of(&answer)
    };
    lines.iter().map(ask).collect()
}

fn by_sql(server: &Server, run: &str, lines: &[String]) -> Vec<Answer> {
    let before = "SELECT coalesce(max(id), 0) FROM _altergeist_orders";
    let last = server.query(DATABASE, before).expect("the server answers")[0][0].clone();
    let last = last.expect("it is a number");
    let rows: Vec<String> = lines.iter().map(|line| format!("('{run}', '{line}')")).collect();
    let give = format!("INSERT INTO _altergeist_orders (run_id, word) VALUES {}", rows.join(", "));
    server.execute(DATABASE, &give).expect("orders can be given");
    let sql = format!(
        "SELECT outcome, answer FROM _altergeist_orders WHERE id > {last} AND outcome IS NOT NULL \
         ORDER BY id"
    );
    let mut answers = Vec::new();
    must_become("every order is answered", || {
        answers = server.query(DATABASE, &sql).expect("the server answers");
        answers.len() == lines.len()
    });
    let answer = |row: Vec<Option<String>>| {
        (row[0].as_deref() == Some("done"), row[1].clone().unwrap_or_default())
    };
    answers.into_iter().map(answer).collect()
}

/// `workers=2` is `SET workers = '2'` here, and `workers=?` is `SHOW workers`.
fn in_sql(line: &str) -> String {
    match line.split_once('=') {
        Some((name, "?")) => format!("SHOW {}", name.replace('-', "_")),
        Some((name, value)) => format!("SET {} = '{value}'", name.replace('-', "_")),
        None => {
            let line = line.replace("--json", "json");
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            format!("{} {rest}", word.to_uppercase())
        }
    }
}

fn by_console(folder: &Path, lines: &[String]) -> Vec<Answer> {
    block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host_path(folder).port(5433).user("operator").dbname("altergeist");
        let (client, connection) = config.connect(NoTls).await.expect("it listens");
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for line in lines {
            let said = client.simple_query(&in_sql(line)).await;
            answers.push(match said {
                Err(error) => (false, error.as_db_error().map_or("", |it| it.message()).to_owned()),
                Ok(messages) => {
                    let cell = |message: &SimpleQueryMessage| match message {
                        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                        _ => None,
                    };
                    let rows: Vec<String> = messages.iter().filter_map(cell).collect();
                    (true, rows.join("\n"))
                }
            });
        }
        answers
    })
}

/// Checks what one door has answered to every setting and every word.
fn must_be_right(door: &str, turn: usize, answers: &[Answer]) {
    let (of_settings, rest) = answers.split_at(2 * SETTINGS.len());
    for ((name, _, read), said) in SETTINGS.iter().zip(of_settings.chunks(2)) {
        assert!(said[0].0, "{name} through {door}: {}", said[0].1);
        let is_read = said[1].0 && said[1].1.starts_with(read[turn % 2]);
        assert!(is_read, "{name}=? through {door}: {:?}", said[1].1);
    }
    let of_words = &rest[TAKEN_BACK.len()..];
    for ((word, words), said) in WORDS.iter().zip(of_words) {
        let is_right = match words {
            Some(words) => said.0 && said.1.contains(words),
            None => !said.0 && !said.1.is_empty(),
        };
        assert!(is_right, "{word} through {door}: {said:?}");
    }
}

/// What goes through a door.
fn lines(turn: usize) -> Vec<String> {
    let settings = SETTINGS.iter().flat_map(|(name, values, _)| {
        [format!("{name}={}", values[turn % 2]), format!("{name}=?")]
    });
    let taken_back = TAKEN_BACK.iter().map(|line| (*line).to_owned());
    settings.chain(taken_back).chain(WORDS.iter().map(|(word, _)| (*word).to_owned())).collect()
}

#[test]
fn every_order_goes_through_every_door() {
    let Some(server) = Server::start(Flavour::MariaDb1011, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let hook = folder.path().join("on-order");
    let script = "#!/bin/sh\necho \"$ALTERGEIST_REASON|$ALTERGEIST_DOOR|$ALTERGEIST_GIVEN_BY\" >> \
                  \"$(dirname \"$0\")/told\"\n";
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let console = folder.path().join(".s.PGSQL.5433");
    let more = [
        &["--postpone-cut-over", "--serve-tcp", &address, "--token-file"][..],
        &[token.to_str().unwrap(), "--console", console.to_str().unwrap(), "--hooks"],
        &[folder.path().to_str().unwrap(), "--check", "rows: SELECT count(*) FROM {new} >= 1"],
        // Postponed, for the orders to swap among the words.
        &["--gate", "held: false"],
    ]
    .concat();
    let mut running = start(&url, "orders", widening(Flavour::MariaDb1011), &more);
    running.wait_until(|status| status["phase"] == "waiting");
    let run = running.status()["run_id"].as_str().expect("it has a name").to_owned();
    must_become("orders are taken by SQL", || {
        server.query(DATABASE, "SELECT 1 FROM _altergeist_history").is_ok_and(|it| !it.is_empty())
    });

    must_be_right("the socket", 0, &by_socket(&mut running, &lines(0)));
    must_be_right("the TCP port", 1, &by_tcp(port, &lines(1)));
    must_be_right("the table of orders", 2, &by_sql(&server, &run, &lines(2)));
    must_be_right("the console", 3, &by_console(folder.path(), &lines(3)));

    // Each is on record, with who gave it and where.
    let givers = "SELECT given_by FROM _altergeist_orders WHERE word = 'workers=2' OR \
                  word = 'workers=3' ORDER BY id";
    let givers: Vec<String> =
        server.query(DATABASE, givers).unwrap().into_iter().flatten().flatten().collect();
    let ends = ["@socket", "@tcp", "root@", "operator@console"];
    let is_right = givers.len() == 4 && givers.iter().zip(ends).all(|(it, end)| it.contains(end));
    assert!(is_right, "{givers:?}");
    let told = folder.path().join("told");
    must_become("the hook has heard of the last one", || {
        let told = fs::read_to_string(&told).unwrap_or_default();
        let doors = ["socket", "tcp", "sql", "console"];
        doors.iter().all(|door| told.contains(&format!("overrule rows|{door}|")))
    });

    let forced = by_console(folder.path(), &["overrule held".into(), "force orders".into()]);
    assert!(forced[1].0 && forced[1].1.contains("kill-blockers=off"), "{forced:?}");
    for line in ["throttle-control-replicas=", "max-history-list=", "max-commit-latency=0"] {
        running.ask(line);
    }
    running.wait().must_be(0);
}

/// An approver named ann, whose password the starter of the run does not know.
fn write_users(path: &Path) {
    let mut child = Command::new(binary())
        .arg("console-password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"correct horse\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let verifier = String::from_utf8(output.stdout).expect("it is text");
    fs::write(path, format!("ann:approver:{verifier}")).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// The process is killed as soon as it has answered, before its next checkpoint. The next one knows
/// that the plan is approved and that the swap is postponed, and does not swap before it knows.
fn what_was_answered_outlives_its_process(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    write_users(&users);
    let console = folder.path().join(".s.PGSQL.5433");
    let (users, socket) = (users.to_str().unwrap(), console.to_str().unwrap());
    let more = ["--approve", "--console", socket, "--console-users", users];
    let mut running = start(&url, "orders", widening(flavour), &more);
    let status = running.wait_until(|status| status["phase"] == "waiting");
    let plan = status["fingerprint"].as_str().expect("the plan has one").to_owned();
    block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host_path(folder.path()).port(5433).user("ann").password("correct horse");
        let (client, connection) =
            config.dbname("altergeist").connect(NoTls).await.expect("it listens");
        tokio::spawn(connection);
        assert_eq!(running.ask("postpone"), "postponed\n");
        let row = client.query_one(&format!("APPROVE {plan}"), &[]).await.expect("she may");
        assert_eq!(row.get::<_, &str>(0), "approved by ann@console");
    });
    running.kill();

    let mut running = start(&url, "orders", widening(flavour), &more);
    running.wait_until(|status| status["phase"] == "waiting");
    let gates = |running: &mut Running| -> Vec<(String, bool)> {
        let status = running.status();
        let gates = status["gates"].as_array().expect("it has gates").iter();
        gates.map(|it| (it["name"].to_string(), it["open"] == true)).collect()
    };
    must_become("the plan is approved", || {
        gates(&mut running).contains(&("\"approval\"".into(), true))
    });
    must_stay("it is still postponed", || {
        gates(&mut running).contains(&("\"postponed\"".into(), false))
    });
    running.ask("cut-over");
    running.wait().must_be(0);
}
