//! The console: runs on every kind of server, watched and steered by clients of PostgreSQL.

use altergeist_integration::altergeist_process::{
    Running, binary, must_become, run, start, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::block_on;
use altergeist_integration::workload::Table;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

every_server!(a_run_is_driven_and_approved_by_clients_of_postgresql);

/// What clients sent first, and what they went on with: a message a line, `\x00` for other bytes.
const RECORDED: [(&str, &str); 4] = [
    ("psql 18", include_str!("../../console_clients/psql.txt")),
    ("psycopg 3.3", include_str!("../../console_clients/psycopg.txt")),
    ("asyncpg 0.32", include_str!("../../console_clients/asyncpg.txt")),
    ("JDBC 42.5", include_str!("../../console_clients/jdbc.txt")),
];

/// Statements as Grafana's PostgreSQL source sends them, with the first of its driver.
const GRAFANA: [&str; 8] = [
    ";",
    "-- ping",
    "SELECT 1",
    "SELECT current_setting('server_version_num')::int/100 as version",
    "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'",
    "SELECT quote_ident(table_name) AS \"table\" FROM information_schema.tables WHERE \
     quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog') ORDER BY 1",
    "SHOW HISTORY",
    "SELECT * FROM progress LIMIT 50",
];

async fn connect(port: u16, user: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user(user).password(password).dbname("altergeist");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The code and the message of a refusal.
fn refusal(error: &tokio_postgres::Error) -> (String, String) {
    let refusal = error.as_db_error().expect("the console refuses in words");
    (refusal.code().code().to_owned(), refusal.message().to_owned())
}

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
    let users = format!("kim:operator:hush hush\nw:watcher:hush hush\nann:approver:{verifier}");
    std::fs::write(path, users).expect("a file can be written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}

fn a_run_is_driven_and_approved_by_clients_of_postgresql(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    write_users(&users);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let users = users.to_str().unwrap();
    let more =
        ["--postpone-cut-over", "--approve", "--console", &address, "--console-users", users];
    run(&url, "orders", widening(flavour), &more).must_be(2).must_say(&["another process"]);
    drop(taken);
    let mut running = start(&url, "orders", widening(flavour), &more);
    let plan = running.wait_until(|status| status["phase"] == "waiting")["fingerprint"].clone();
    let plan = plan.as_str().expect("the plan has one").to_owned();
    block_on(async {
        drive(port, &plan).await;
        assert_eq!(running.ask("workers=?"), "3\n");
        let operator = connect(port, "kim", "hush hush").await.expect("the password is right");
        let answer = operator.query_one("CUT OVER orders", &[]).await.expect("it is allowed");
        assert_eq!(answer.get::<_, &str>("answer"), "cut-over allowed");
    });
    assert!(!running.output().contains("hush"), "{}", running.output());
    running.wait().must_be(0);
}

/// Looks, orders and approves, by the simple and the extended protocol.
async fn drive(port: u16, plan: &str) {
    let (code, _) = refusal(&connect(port, "kim", "hush").await.expect_err("it is wrong"));
    assert_eq!(code, "28P01");
    assert!(connect(port, "nobody", "hush hush").await.is_err());
    let watcher = connect(port, "w", "hush hush").await.expect("the password is right");
    let row = watcher.query_one("SHOW PROGRESS", &[]).await.expect("a watcher may look");
    assert_eq!((row.get::<_, &str>("phase"), row.get::<_, f64>("percent")), ("waiting", 100.0));
    assert_eq!(row.get::<_, i64>("rows_copied"), 500);
    let events = watcher.query("SHOW EVENTS", &[]).await.expect("a watcher may look");
    let at: std::time::SystemTime = events[0].get("at");
    assert!(at.elapsed().is_ok_and(|since| since < Duration::from_secs(600)));
    for order in ["PAUSE", "CUT OVER", "SET workers = 3"] {
        let (code, _) = refusal(&watcher.execute(order, &[]).await.expect_err("it may not"));
        assert_eq!(code, "42501", "{order}");
    }
    let operator = connect(port, "kim", "hush hush").await.expect("the password is right");
    let prepared = operator.prepare("SHOW workers").await.expect("it is a statement");
    assert_eq!(prepared.columns()[0].name(), "workers");
    for workers in ["2", "3"] {
        operator.execute(&format!("SET workers = {workers}"), &[]).await.expect("it may");
        let row = operator.query_one(&prepared, &[]).await.expect("it is prepared");
        assert_eq!(row.get::<_, &str>(0), workers);
    }
    let error = operator.prepare("SET workers = $1").await.expect_err("it has a parameter");
    assert!(refusal(&error).1.contains("no parameters"));
    let said = operator.simple_query("PAUSE; SHOW GATES; RESUME").await.expect("it may");
    let rows = said.iter().filter(|it| matches!(it, SimpleQueryMessage::Row(_))).count();
    assert_eq!(rows, 4, "two answers and two gates");
    operator.simple_query("PAUSE; CUT OVRE").await.expect_err("one is no statement");
    let paused = operator.query("SHOW THROTTLE", &[]).await.expect("it may");
    assert!(!paused[0].get::<_, bool>("throttles"), "nothing of that string was carried out");
    operator.query(&format!("APPROVE {plan}"), &[]).await.expect_err("it may not");
    let approver = connect(port, "ann", "correct horse").await.expect("the password is right");
    approver.query("APPROVE beef", &[]).await.expect_err("it is another plan");
    let row = approver.query_one(&format!("APPROVE {plan}"), &[]).await.expect("it may");
    assert_eq!(row.get::<_, &str>(0), "approved by ann@console");
    let orders = watcher.query("SHOW ORDERS", &[]).await.expect("a watcher may look");
    let last = orders.last().expect("orders were given");
    assert!(last.get::<_, &str>("given_by").starts_with("ann (127.0.0.1:"));
    assert_eq!(last.get::<_, &str>("door"), "console");
    assert_eq!(last.get::<_, &str>("word"), format!("approve {plan}"));
    let rest = [
        watcher.simple_query("SHOW STATUS; SHOW CHECKS; SHOW LOCKS; SHOW REPLICAS; SHOW CONFIG"),
        watcher
            .simple_query("SHOW HISTORY; SHOW VERSION; SHOW HELP; DISCARD ALL; SELECT version()"),
    ];
    for rest in rest {
        rest.await.expect("a watcher may look");
    }
}

/// The bytes of a recorded message.
fn bytes(line: &str) -> Vec<u8> {
    let mut parts = line.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits follow"));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// The kinds of the messages of an answer, and its errors.
fn answers(mut answer: &[u8]) -> (String, Vec<String>) {
    let (mut kinds, mut errors) = (String::new(), Vec::new());
    while let [kind, a, b, c, d, ..] = *answer {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if kind == b'E' {
            errors.push(String::from_utf8_lossy(&answer[5..=length]).into_owned());
        }
        kinds.push(char::from(kind));
        answer = &answer[1 + length..];
    }
    assert!(answer.is_empty(), "the last message is whole");
    (kinds, errors)
}

fn psql(folder: &Path, port: u16, statements: &[&str]) -> String {
    let mut command = Command::new(Flavour::Postgres18.program("psql"));
    command.args(["-X", "-h"]).arg(folder).args(["-p", &port.to_string(), "altergeist"]);
    for statement in statements {
        command.args(["-c", statement]);
    }
    let output = command.stdin(Stdio::null()).output().expect("psql can be run");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// At the Unix socket, whose user needs no password, so that recorded bytes can be sent again.
#[test]
fn recorded_clients_psql_and_a_thousand_silent_ones_are_answered() {
    let Some(server) = Server::start(Flavour::MySql97, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join(".s.PGSQL.5433");
    let console = socket.to_str().unwrap();
    let postponed = ["--postpone-cut-over", "--console", console];
    let alter = widening(Flavour::MySql97);
    let wrong = ["--console", "127.0.0.1:1"];
    run(&url, "orders", alter, &wrong).must_be(2).must_say(&["--console-users"]);
    let mut running = start(&url, "orders", alter, &postponed);
    running.wait_until(|status| status["phase"] == "waiting");
    let mode = std::fs::metadata(&socket).expect("it listens").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (client, recorded) in RECORDED {
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        for message in recorded.lines().map(bytes) {
            stream.write_all(&message).expect("it reads");
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it closes in order");
        let (kinds, errors) = answers(&answer);
        assert!(errors.is_empty(), "{client}: {errors:?}");
        assert!(kinds.starts_with('R') && kinds.ends_with('Z'), "{client}: {kinds}");
    }
    block_on(grafana(folder.path()));
    let silent: Vec<UnixStream> =
        (0..1000).filter_map(|_| UnixStream::connect(&socket).ok()).collect();
    let said = psql(folder.path(), 5433, &["SHOW STATUS", "\\d", "SET workers = 2", "PAUSE"]);
    drop(silent);
    for words in ["waiting", "SHOW HELP lists", "Did not find any relations", "SET", "throttled"] {
        assert!(said.contains(words), "{words} is missing in:\n{said}");
    }
    psql_sees_the_end(&mut running, folder.path());
    running.wait().must_be(0);
    assert!(!socket.exists());
}

async fn grafana(folder: &Path) {
    let mut config = tokio_postgres::Config::new();
    config.host_path(folder).port(5433).user("watcher").dbname("altergeist");
    let (client, connection) = config.connect(NoTls).await.expect("it listens");
    tokio::spawn(connection);
    for statement in GRAFANA {
        client.simple_query(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        client.query(statement, &[]).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
    }
    let version = client.query_one(GRAFANA[3], &[]).await.expect("it has a row");
    assert_eq!(version.get::<_, i64>("version"), 1800);
}

fn psql_sees_the_end(running: &mut Running, folder: &Path) {
    let said = psql(folder, 5433, &["RESUME", "SHOW ORDERS", "CUT OVER"]);
    assert!(said.contains("cut-over allowed") && said.contains("console"), "{said}");
    must_become("the run has ended", || !running.is_running());
}

/// Bytes that are no message end their connection and nothing else.
#[test]
fn bytes_that_are_no_message_end_their_connection_and_nothing_else() {
    let Some(server) = Server::start(Flavour::MariaDb1011, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 500).unwrap();
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    write_users(&users);
    let address = format!("127.0.0.1:{port}");
    let more =
        ["--postpone-cut-over", "--console", &address, "--console-users", users.to_str().unwrap()];
    let mut running = start(&url, "orders", widening(Flavour::MariaDb1011), &more);
    running.wait_until(|status| status["phase"] == "waiting");
    let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
    let huge = [0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0];
    let startup = b"\0\0\0\x26\0\x03\0\0user\0kim\0database\0altergeist\0\0";
    let bad_password = [&startup[..], b"p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xf0"].concat();
    for (sent, said) in [
        (&ssl[..], "N"),
        (&huge, "at most"),
        (b"GET / HTTP/1.0\r\n\r\n", "at most"),
        (&bad_password, "no password of SCRAM"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(sent).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it closes in order");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains(said), "{sent:?}: {answer}");
    }
    assert!(!running.output().contains("panicked"), "{}", running.output());
    assert_eq!(running.ask("stop"), "stopping when nothing is in flight\n");
    running.wait().must_be(5);
}
