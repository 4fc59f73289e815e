//! A backfill changes each row once, whatever dies, and it never keeps the application waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use altergeist_integration::altergeist_process::{
    command, must_become, must_stay, start, start_backfill,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};

every_server!(
    each_row_is_changed_once_although_the_backfill_is_killed_three_times,
    a_backfill_refuses_what_would_change_other_rows,
    a_backfill_stops_at_what_a_row_refuses_and_continues_from_there,
    a_backfill_and_a_migration_exclude_each_other,
    a_million_rows_are_changed_once_beside_a_replica,
);

/// Rows with even ids. Odd ids are free for writers.
fn fill(server: &Server, table: &str, rows: u32) {
    let series = match server.flavour().is_postgres() {
        true => format!("SELECT 2 * i FROM generate_series(1, {rows}) AS i"),
        false => format!(
            "WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {rows}) \
             SELECT 2 * i FROM s"
        ),
    };
    let (limit, kind) = match server.flavour() {
        flavour if flavour.is_postgres() => ("", ""),
        Flavour::MySql97 => ("SET SESSION cte_max_recursion_depth = 10000000;", " ENGINE=InnoDB"),
        _ => ("SET SESSION max_recursive_iterations = 10000000;", " ENGINE=InnoDB"),
    };
    let create = format!(
        "CREATE TABLE {table} (id bigint NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0, state int \
         NOT NULL DEFAULT 0, seen int NOT NULL DEFAULT 0, mail varchar(20) UNIQUE, CONSTRAINT \
         small_{table} CHECK (n < 100)){kind}"
    );
    server.execute(DATABASE, &create).expect("the table can be made");
    let insert = match server.flavour().is_postgres() {
        true => format!("INSERT INTO {table} (id) {series}"),
        false => format!("{limit} INSERT INTO {table} (id) {series}"),
    };
    server.execute(DATABASE, &insert).expect("the table can be filled");
}

fn value(server: &Server, question: &str) -> i64 {
    let rows = server.query(DATABASE, question).expect(question);
    rows[0][0].as_deref().unwrap_or("0").parse().expect("a number")
}

/// An application that inserts rows of state 0 everywhere, changes others, and reports its longest
/// wait.
struct Application {
    ends: Arc<AtomicBool>,
    inserted: Arc<AtomicI64>,
    thread: Option<thread::JoinHandle<Duration>>,
}

impl Application {
    fn start(url: &str, table: &'static str, rows: i64) -> Application {
        let (ends, inserted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(0)));
        let (url, stop, count) = (url.to_owned(), ends.clone(), inserted.clone());
        let work = async move {
            let mut session = Session::connect(&url).await.expect("the server answers");
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let turn = count.load(Ordering::Relaxed);
                // Each id once, in an order that jumps over the whole table.
                let id = 2 * (turn * 7919 % rows) + 1;
                let begun = std::time::Instant::now();
                let statements = format!(
                    "INSERT INTO {table} (id) VALUES ({id}); UPDATE {table} SET seen = seen + 1 \
                     WHERE id = {}",
                    2 * (turn * 104_729 % rows) + 2
                );
                session.execute(&statements).await.expect("the application may write");
                longest = longest.max(begun.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest
        };
        let thread = thread::spawn(move || block_on(work));
        Application { ends, inserted, thread: Some(thread) }
    }

    fn stop(mut self) -> (i64, Duration) {
        self.ends.store(true, Ordering::Relaxed);
        let longest = self.thread.take().expect("it runs").join().expect("it ends well");
        (self.inserted.load(Ordering::Relaxed), longest)
    }
}

const SLOWLY: [&str; 4] = ["--chunk-rows", "500", "--nice", "1"];

/// Kills a backfill three times, each time after it has changed more rows.
fn kill_three_times(url: &str, table: &str, what: &[&str]) {
    let mut changed = 0;
    for _ in 0..3 {
        let more: Vec<&str> = what.iter().chain(&SLOWLY).copied().collect();
        let mut running = start_backfill(url, table, &more);
        let status = running.wait_until(|status| {
            status["phase"] == "backfilling" && status["rows_copied"].as_i64() > Some(changed)
        });
        changed = status["rows_copied"].as_i64().expect("a number");
        let killed = running.kill();
        assert_eq!(killed.code, None, "it had ended before:\n{}", killed.output);
    }
}

fn each_row_is_changed_once_although_the_backfill_is_killed_three_times(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let (url, rows) = (server.url(DATABASE), 20_000);
    fill(&server, "jobs", 20_000);
    let backfill = |what: &[&str]| start_backfill(&url, "jobs", what).wait();

    // The change ends the condition: rows that are inserted meanwhile are done too.
    let ends = ["--set", "n = n + 1", "--set", "state = 1", "--where", "state = 0"];
    let application = Application::start(&url, "jobs", rows);
    kill_three_times(&url, "jobs", &ends);
    let done = backfill(&ends).must_be(0).must_say(&["matches after the change", "done."]);
    let (inserted, longest) = application.stop();
    assert!(inserted > 100, "the application wrote only {inserted} rows");
    assert!(longest < Duration::from_secs(2), "the application waited for {longest:?}");
    let missed = value(&server, "SELECT count(*) FROM jobs WHERE n <> 1");
    assert!(missed < inserted / 2, "{missed} of {inserted}: {}", done.output);
    backfill(&ends).must_be(0).must_say(&["already done at", "--again"]);
    let again = [&ends[..], &["--again"]].concat();
    backfill(&again).must_be(0).must_say(&["found no row"]);
    assert_eq!(value(&server, "SELECT count(*) FROM jobs WHERE n <> 1 OR state <> 1"), 0);
    assert_eq!(value(&server, "SELECT sum(seen) FROM jobs"), inserted);

    // The change does not end the condition: no row is changed twice.
    let stays = ["--set", "n = n + 1", "--where", "id % 4 = 0"];
    kill_three_times(&url, "jobs", &stays);
    backfill(&stays).must_be(0).must_say(&["still match after the change", "not changed"]);
    let wrong = "SELECT count(*) FROM jobs WHERE n <> CASE WHEN id % 4 = 0 THEN 2 ELSE 1 END";
    assert_eq!(value(&server, wrong), 0);

    // Another change of the table does not make a backfill that is done begin again.
    let alter = if flavour.is_postgres() { "ADD COLUMN x int" } else { "ADD COLUMN x int NULL" };
    start(&url, "jobs", alter, &["--strategy", "copy"]).wait().must_be(0);
    backfill(&stays).must_be(0).must_say(&["already done at"]);
    assert_eq!(value(&server, wrong), 0);
}

/// A million rows, a replica and an application.
fn a_million_rows_are_changed_once_beside_a_replica(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    fill(&server, "jobs", 1_000_000);
    let replica = server.start_replica();
    let replica_url = replica.url(DATABASE);
    let count = "SELECT count(*) FROM jobs";
    must_become("the replica has the rows", || {
        replica.query(DATABASE, count).is_ok_and(|rows| rows[0][0].as_deref() == Some("1000000"))
    });
    let what = ["--set", "n = n + 1", "--set", "state = 1", "--where", "state = 0"];
    let watched = [&what[..], &["--replica", &replica_url, "--max-lag", "1s"]].concat();
    let application = Application::start(&url, "jobs", 1_000_000);
    let (mut changed, mut lag) = (0, 0.0_f64);
    for _ in 0..3 {
        let mut running = start_backfill(&url, "jobs", &watched);
        let status =
            running.wait_until(|status| status["rows_copied"].as_i64() > Some(changed + 50_000));
        lag_of(&status, &mut lag);
        changed = status["rows_copied"].as_i64().expect("a number");
        assert_eq!(running.kill().code, None);
    }
    let mut running = start_backfill(&url, "jobs", &watched);
    while let Ok(status) = running.wait_until_or_end(|_| true) {
        lag_of(&status, &mut lag);
        thread::sleep(Duration::from_millis(50));
    }
    running.wait().must_be(0);
    let (_, longest) = application.stop();
    assert!(lag < 2.0, "the replica was {lag} s behind");
    assert!(longest < Duration::from_secs(2), "the application waited for {longest:?}");
    let again = [&what[..], &["--again"]].concat();
    start_backfill(&url, "jobs", &again).wait().must_be(0);
    assert_eq!(value(&server, "SELECT count(*) FROM jobs WHERE n <> 1 OR state <> 1"), 0);
}

fn lag_of(status: &serde_json::Value, greatest: &mut f64) {
    *greatest = greatest.max(status["replica_lag_seconds"].as_f64().unwrap_or_default());
}

fn a_backfill_refuses_what_would_change_other_rows(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    fill(&server, "jobs", 1_000);
    server.execute(DATABASE, "UPDATE jobs SET state = 7 WHERE id <= 200").expect("it can");
    let refused = |what: &[&str], words: &[&str]| {
        start_backfill(&url, "jobs", what).wait().must_be(3).must_say(words);
    };
    refused(&["--set", "n = 1"], &["--where", "--all-rows"]);
    refused(
        &["--set", "id = id + 1", "--all-rows"],
        &["column id", "PRIMARY"].map(|word| {
            if flavour.is_postgres() && word == "PRIMARY" { "jobs_pkey" } else { word }
        }),
    );
    refused(&["--set", "n = nothing + 1", "--all-rows"], &["nothing"]);
    refused(&["--set", "m = 1", "--all-rows"], &["m"]);
    refused(&["--set", "n = 1, id = 3", "--all-rows"], &[]);
    refused(&["--set", "n = 1", "--where", "n = 1) OR (n = 0"], &[]);
    refused(&["--set", "n = 1) , id = (3", "--where", "n = 0"], &[]);
    refused(&["--set", "n = 1", "--where", "n = 0; DELETE FROM jobs"], &[]);
    refused(&["--set", "n = 1", "--where", "n = 0 LIMIT 5"], &[]);
    refused(&["--set", "n = 500", "--where", "n = 0"], &["small_jobs"]);
    let few = ["--set", "n = 1", "--where", "state = 7 -- old", "--expect-rows", "120±5%"];
    refused(&few, &["100 rows match", "114 to 126"]);
    let dry = ["--set", "n = 1", "--where", "state = 7", "--dry-run"];
    start_backfill(&url, "jobs", &dry).wait().must_be(0).must_say(&["100 rows match"]);
    assert_eq!(value(&server, "SELECT count(*) FROM jobs WHERE n <> 0 OR id % 2 = 1"), 0);
    let right = ["--set", "n = 1", "--where", "state = 7 -- old", "--expect-rows", "99±5%"];
    start_backfill(&url, "jobs", &right).wait().must_be(0).must_say(&["100 rows changed"]);
    assert_eq!(value(&server, "SELECT count(*) FROM jobs WHERE n = 1"), 100);
    server.execute(DATABASE, "CREATE TABLE keyless (a int)").expect("it can");
    start_backfill(&url, "keyless", &["--set", "a = 1", "--all-rows"])
        .wait()
        .must_be(3)
        .must_say(&["unique index"]);
}

fn a_backfill_stops_at_what_a_row_refuses_and_continues_from_there(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    fill(&server, "jobs", 4_000);
    server.execute(DATABASE, "UPDATE jobs SET n = 99 WHERE id = 6000").expect("it can");
    let count = ["--set", "n = n + 1", "--all-rows"];
    let with = |more: &[&'static str]| [&count[..], more].concat();
    let ended = start_backfill(&url, "jobs", &with(&["--chunk-rows", "500"])).wait().must_be(1);
    ended.must_say(&["small_jobs", "the same command continues"]);
    assert_eq!(value(&server, "SELECT count(*) FROM jobs WHERE n = 1"), 2_500);
    server.execute(DATABASE, "UPDATE jobs SET n = 0 WHERE id = 6000").expect("it can");

    // A row that another session holds: nothing waits long, and no row is lost.
    block_on(async {
        let mut holder = Session::connect(&url).await.expect("the server answers");
        holder.execute("BEGIN").await.expect("it can");
        holder.execute("UPDATE jobs SET seen = 1 WHERE id = 6000").await.expect("it can");
        let ended = start_backfill(&url, "jobs", &with(&["--lock-attempts", "3"])).wait();
        holder.execute("COMMIT").await.expect("it can");
        ended.must_be(7).must_say(&["other sessions hold rows", "continues from here"]);
    });

    // Throttled, it changes nothing; stopped, it resumes.
    let slowly = with(&["--chunk-rows", "10", "--nice", "9"]);
    let mut running = start_backfill(&url, "jobs", &slowly);
    running.wait_until(|status| status["phase"] == "backfilling");
    running.ask("throttle");
    running.wait_until(|status| status["throttle_reason"].is_string());
    let changed = running.status()["rows_copied"].as_u64();
    must_stay("throttled, it changes nothing", || {
        running.status()["rows_copied"].as_u64() == changed
    });
    running.ask("stop");
    running.wait().must_be(5).must_say(&["continues from here"]);
    let status = command(&["status", "--url", &url, "--table", "jobs"]).must_be(0);
    status.must_say(&["backfilling", "n = n + 1", "nobody"]);
    let most = ["--max-rows-per-second", "100000"];
    start_backfill(&url, "jobs", &with(&most)).wait().must_be(0).must_say(&["4,000 rows changed"]);
    assert_eq!(value(&server, "SELECT count(*) FROM jobs WHERE n <> 1"), 0);
}

fn a_backfill_and_a_migration_exclude_each_other(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    fill(&server, "jobs", 2_000);
    let alter = "ADD COLUMN x int";
    let backfill = ["--set", "n = 1", "--where", "n = 0"];
    let mut migration = start(&url, "jobs", alter, &["--strategy", "copy", "--postpone-cut-over"]);
    migration.wait_until(|status| status["phase"] == "waiting");
    start_backfill(&url, "jobs", &backfill).wait().must_be(6);
    migration.kill();
    start_backfill(&url, "jobs", &backfill).wait().must_be(3).must_say(&["not finished", alter]);
    start(&url, "jobs", alter, &["--strategy", "copy"]).wait().must_be(0);
    command(&["cleanup", "--url", &url, "--table", "jobs", "--drop-old"]).must_be(0);

    let slowly = [&backfill[..], &["--chunk-rows", "20", "--nice", "9"]].concat();
    let mut running = start_backfill(&url, "jobs", &slowly);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(20));
    start(&url, "jobs", "ADD COLUMN y int", &[]).wait().must_be(6);
    start_backfill(&url, "jobs", &backfill).wait().must_be(6);
    running.kill();
    start(&url, "jobs", "ADD COLUMN y int", &[])
        .wait()
        .must_be(3)
        .must_say(&["not finished", "backfill SET n = 1"]);
    start_backfill(&url, "jobs", &["--set", "n = 2", "--all-rows"]).wait().must_be(3);
    start_backfill(&url, "jobs", &backfill).wait().must_be(0);
    assert_eq!(value(&server, "SELECT count(*) FROM jobs WHERE n <> 1"), 0);
    start(&url, "jobs", "ADD COLUMN y int", &[]).wait().must_be(0);
}
