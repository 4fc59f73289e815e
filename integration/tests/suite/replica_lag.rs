//! A replica that falls behind holds up the copy, and nothing else; one that catches up lets it go
//! on.

use altergeist_integration::altergeist_process;
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::Table;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn reason(status: &serde_json::Value) -> &str {
    status["throttle_reason"].as_str().unwrap_or_default()
}

fn a_replica_behind_throttles_and_is_named_until_it_has_caught_up(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 20_000).expect("the table can be filled");
    let replica = primary.start_replica();
    replica.pause_replay();
    let more = ["--replica", &replica.url(DATABASE), "--max-lag", "1s", "--chunk-rows", "500"];
    let mut run = altergeist_process::start(
        &primary.url(DATABASE),
        "orders",
        altergeist_process::widening(flavour),
        &more,
    );
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert!(reason(&throttled).contains(&replica.port().to_string()), "{}", reason(&throttled));
    // Replicas are named and forgotten while the run goes on.
    let named = run.ask("throttle-control-replicas=?").trim().to_owned();
    assert_eq!(named, format!("127.0.0.1:{}", replica.port()));
    run.ask("throttle-control-replicas=127.0.0.1:1");
    run.wait_until(|status| reason(status).starts_with("replica-lag unknown (127.0.0.1:1"));
    assert!(run.ask(&format!("replica={}", replica.url(DATABASE))).contains("HOST:PORT"));
    run.ask(&format!("replica={named}"));
    run.wait_until(|status| reason(status).contains(&named));
    replica.resume_replay();
    run.wait().must_be(0);
}

fn a_replica_that_does_not_answer_counts_as_behind(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 2_000).expect("the table can be filled");
    let mut replica = primary.start_replica();
    let url = replica.url(DATABASE);
    replica.stop();
    let mut run = altergeist_process::start(
        &primary.url(DATABASE),
        "orders",
        altergeist_process::widening(flavour),
        &["--replica", &url],
    );
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert_eq!(throttled["rows_copied"], 0);
    run.ask("panic");
    run.wait().must_be(5);
}

fn plan(flavour: Flavour, url: &str) -> altergeist_process::Ended {
    let alter = altergeist_process::widening(flavour);
    altergeist_process::command(&[
        "plan",
        "--url",
        url,
        "--table",
        "orders",
        "--strategy",
        "copy",
        "--alter",
        alter,
    ])
}

/// MySQL and MariaDB; what PostgreSQL's standbys do is in `postgres_log`.
fn a_replica_nobody_names_is_found(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 20_000).expect("the table can be filled");
    let replica = primary.start_replica();
    replica.pause_replay();
    let port = replica.port().to_string();
    plan(flavour, &primary.url(DATABASE))
        .must_be(0)
        .must_say(&[&port, "was found: its lag counts"]);
    let more = ["--max-lag", "1s", "--chunk-rows", "500"];
    let mut run = altergeist_process::start(
        &primary.url(DATABASE),
        "orders",
        altergeist_process::widening(flavour),
        &more,
    );
    let throttled = run.wait_until(|status| !reason(status).is_empty());
    assert!(reason(&throttled).contains(&port), "{}", reason(&throttled));
    replica.resume_replay();
    run.wait().must_be(0);
}

fn a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    Table::load(&primary.url(DATABASE), "orders", 500).expect("the table can be filled");
    // On the primary alone.
    let statements = [
        "SET SESSION sql_log_bin = 0",
        "CREATE USER osc@'%'",
        "GRANT ALL PRIVILEGES ON *.* TO osc@'%'",
    ];
    block_on(async {
        let mut root = Session::connect(&primary.url(DATABASE)).await.expect("the server answers");
        for statement in statements {
            root.execute(statement).await.expect("root may");
        }
    });
    let replica = primary.start_replica();
    let url = primary.url(DATABASE).replace("root@", "osc@");
    let port = format!(":{}", replica.port());
    plan(flavour, &url).must_be(0).must_say(&[&port, "does not let us in"]);
    let ended = altergeist_process::run(
        &url,
        "orders",
        altergeist_process::widening(flavour),
        &["--strategy", "copy"],
    );
    ended.must_be(0).must_say(&[&port, "its lag does not count"]);
}

#[test]
fn mysql_a_replica_nobody_names_is_found() {
    a_replica_nobody_names_is_found(Flavour::MySql97);
}

#[test]
fn mariadb_a_replica_nobody_names_is_found() {
    a_replica_nobody_names_is_found(Flavour::MariaDb1011);
}

#[test]
fn mysql_a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run() {
    a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run(Flavour::MySql97);
}

#[test]
fn mariadb_a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run() {
    a_replica_that_does_not_let_us_in_is_told_and_does_not_hold_up_the_run(Flavour::MariaDb1011);
}

/// A server whose processes are stopped most of the time. Dropping it lets them go on.
struct Slowed {
    shell: Child,
    server: u32,
}

impl Slowed {
    fn new(server: &Server) -> Slowed {
        let all = format!("{0} $(pgrep -P {0})", server.pid());
        let script = format!(
            "while kill -0 {}; do kill -STOP {all}; sleep 0.06; kill -CONT {all}; sleep 0.04; done",
            server.pid()
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).stderr(Stdio::null());
        Slowed { shell: shell.spawn().expect("there is a shell"), server: server.pid() }
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        let _already_gone = self.shell.kill();
        let _reaped = self.shell.wait();
        let go_on = format!("kill -CONT {0} $(pgrep -P {0})", self.server);
        let _best_effort = Command::new("sh").args(["-c", &go_on]).status();
    }
}

/// Measures lag by marks of the test's own, which the run does not know.
struct Marks<'a> {
    primary: &'a Server,
    replica: &'a Server,
    written: Vec<Instant>,
}

impl Marks<'_> {
    fn new<'a>(primary: &'a Server, replica: &'a Server) -> Marks<'a> {
        let create = "CREATE TABLE marks (id int PRIMARY KEY, n int)";
        primary.execute(DATABASE, create).expect("the table can be made");
        primary.execute(DATABASE, "INSERT INTO marks VALUES (1, 0)").expect("it takes a row");
        let marks = Marks { primary, replica, written: vec![Instant::now()] };
        altergeist_process::must_become("the replica has the rows", || marks.arrived().is_some());
        marks
    }

    fn arrived(&self) -> Option<usize> {
        let rows = self.replica.query(DATABASE, "SELECT n FROM marks").ok()?;
        rows.first()?.first()?.as_deref()?.parse().ok()
    }

    /// How long the oldest mark that has not arrived is under way.
    fn lag(&mut self) -> Duration {
        let n = self.written.len();
        let write = format!("UPDATE marks SET n = {n}");
        self.primary.execute(DATABASE, &write).expect("the application may write");
        self.written.push(Instant::now());
        let arrived = self.arrived().expect("the replica answers");
        self.written.get(arrived + 1).map_or(Duration::ZERO, Instant::elapsed)
    }
}

/// The replica applies so slowly that it holds up the run. Its lag stays near the limit, while
/// rows are copied and while they are updated in place. The curve is printed.
fn a_replica_under_a_saturating_load_stays_near_the_limit(flavour: Flavour) {
    const LIMIT: Duration = Duration::from_millis(1500);
    let Some(primary) = Server::start(flavour, &[]) else { return };
    let url = primary.url(DATABASE);
    Table::load(&url, "orders", 300_000).expect("the table can be filled");
    let replica = primary.start_replica();
    let mut marks = Marks::new(&primary, &replica);
    let replica_url = replica.url(DATABASE);
    // The server's own builds are one statement on the replica: they are not what is tried here.
    let watched = ["--replica", &replica_url, "--max-lag", "1500ms"];
    let _slowed = Slowed::new(&replica);
    for what in ["copy", "backfill"] {
        let mut running = match what {
            "copy" => {
                let more = [&watched[..], &["--keep-indexes"]].concat();
                altergeist_process::start(
                    &url,
                    "orders",
                    altergeist_process::widening(flavour),
                    &more,
                )
            }
            _ => {
                let update = ["--set", "k = k + 1", "--all-rows"];
                let more = [&watched[..], &update].concat();
                altergeist_process::start_backfill(&url, "orders", &more)
            }
        };
        let begun = Instant::now();
        let (mut worst, mut throttled) = (Duration::ZERO, 0);
        while let Ok(status) = running.wait_until_or_end(|_| true) {
            let lag = marks.lag();
            println!(
                "{what} {:6.2} s: {} rows, lag {:.2} s, the run sees {}, {}",
                begun.elapsed().as_secs_f64(),
                status["rows_copied"],
                lag.as_secs_f64(),
                status["replica_lag_seconds"],
                reason(&status),
            );
            worst = worst.max(lag);
            throttled += u32::from(!reason(&status).is_empty());
            thread::sleep(Duration::from_millis(100));
        }
        running.wait().must_be(0);
        println!("{what}: the greatest lag was {worst:?}; throttled in {throttled} looks");
        assert!(worst < LIMIT + Duration::from_secs(1), "{what}: the lag was {worst:?}");
    }
}

every_server!(
    a_replica_under_a_saturating_load_stays_near_the_limit,
    a_replica_behind_throttles_and_is_named_until_it_has_caught_up,
    a_replica_that_does_not_answer_counts_as_behind,
);
