//! Triggers over the swap: whatever dies at whichever statement, no write goes without its trigger
//! and none fires it twice, and the same command puts everything in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use altergeist_integration::altergeist_process::{LIMIT, run, start};
use altergeist_integration::servers::{Flavour, Server, url};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::statement_fault::{StatementFault, Then};

const SETUP: [&str; 5] = [
    "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a INT)",
    "CREATE TABLE seen (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, t INT NOT NULL)",
    "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
    "CREATE TRIGGER `first` BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.id",
    "CREATE TRIGGER `second` AFTER INSERT ON t FOR EACH ROW INSERT INTO seen (t) VALUES (NEW.id)",
];
const ALTER: &str = "ADD COLUMN w INT NOT NULL DEFAULT 7";
const COPY: [&str; 2] = ["--strategy", "copy"];
/// What the cut-over's statements on both servers can be told by.
const KINDS: [&str; 4] = ["LOCK TABLES", " TRIGGER `", "RENAME TABLE", "DROP TRIGGER"];
/// More statements than any cut-over of this table has.
const MOST: u32 = 60;
/// What a guard says to a write that would fire a trigger.
const GUARDED: &str = "1644";

#[test]
fn mysql_whatever_dies_at_any_statement_of_the_cut_over_every_write_fires_its_triggers_once() {
    every_statement(Flavour::MySql97);
}

#[test]
fn mariadb_whatever_dies_at_any_statement_of_the_cut_over_every_write_fires_its_triggers_once() {
    every_statement(Flavour::MariaDb1011);
}

/// Each kind of statement by itself, so that no other one's retries move it out of reach; several
/// runs at once, each in a database of its own: most of their time is waiting.
fn every_statement(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[("log_bin_trust_function_creators", "ON")]) else {
        return;
    };
    thread::scope(|scope| {
        for (kind, words) in KINDS.into_iter().enumerate() {
            for then in [Then::Hold, Then::CloseBehind] {
                let server = &server;
                scope.spawn(move || {
                    let died = |nth: &u32| {
                        die_at(server, &format!("fires{kind}{then:?}{nth}"), words, *nth, then)
                    };
                    let first =
                        (1..MOST).find(|nth| !died(nth)).expect("there are fewer statements");
                    assert!(first > 1, "nothing died at {words}");
                });
            }
        }
    });
}

/// Whether it died at the nth statement with these words; false if there are not so many.
fn die_at(server: &Server, database: &str, words: &str, nth: u32, then: Then) -> bool {
    server.execute("", &format!("CREATE DATABASE {database}")).unwrap();
    for statement in SETUP {
        server.execute(database, statement).unwrap();
    }
    let before = triggers(server, database);
    let writer = Writer::start(server.url(database));

    let fault = StatementFault::start(server.port(), &[words], nth, then);
    let mut running = start(&url(server.flavour(), fault.port(), database), "t", ALTER, &COPY);
    let mut statement = None;
    while statement.is_none() && running.is_running() {
        statement = fault.wait(Duration::from_millis(50));
    }
    let said = match then {
        Then::Hold if statement.is_some() => running.kill(),
        _ => running.wait(),
    };
    if statement.is_none() {
        assert_eq!(said.code, Some(0), "without a fault it said:\n{}", said.output);
    }
    let again = run(&server.url(database), "t", ALTER, &COPY);
    let written = writer.stop();

    let at = format!(
        "{:?}, {then:?} at {nth}: {statement:?}\n{}\n{}",
        server.flavour(),
        said.output,
        again.output
    );
    assert_eq!(again.code, Some(0), "{at}");
    assert_eq!(triggers(server, database), before, "{at}");
    for count in [
        "SELECT COUNT(*) FROM t WHERE id >= 1000 AND a = id",
        "SELECT COUNT(*) FROM seen",
        "SELECT COUNT(DISTINCT t) FROM seen",
    ] {
        let counted = server.query(database, count).unwrap()[0][0].clone().unwrap();
        assert_eq!(counted, written.to_string(), "{count}\n{at}");
    }
    // No trace of a name stays behind: what is there can be taken away and made again.
    for (trigger, again) in ["first", "second"].into_iter().zip(&SETUP[3..]) {
        server.execute(database, &format!("DROP TRIGGER {trigger}")).expect(&at);
        server.execute(database, again).expect(&at);
    }
    statement.is_some()
}

/// Every trigger of the database, with its table and its place.
fn triggers(server: &Server, database: &str) -> Vec<Vec<Option<String>>> {
    let query = format!(
        "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, \
         ACTION_STATEMENT, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = \
         '{database}' ORDER BY TRIGGER_NAME"
    );
    server.query(database, &query).unwrap()
}

/// Keeps writing rows; counts what the server said was done.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Writer {
    fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        Self { stop, task: thread::spawn(move || block_on(write(url, stopped))) }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.task.join().unwrap()
    }
}

async fn write(url: String, stop: Arc<AtomicBool>) -> u64 {
    let mut session = Session::connect(&url).await.unwrap();
    session.execute(&format!("SET SESSION lock_wait_timeout = {}", LIMIT.as_secs())).await.unwrap();
    let mut written = 0;
    for id in 1000.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
        match session.execute(&format!("INSERT INTO t (id, a) VALUES ({id}, 0)")).await {
            Ok(_) => written += 1,
            Err(failure) if failure.code == GUARDED => {}
            Err(failure) => panic!("the application must not see this: {failure:?}"),
        }
    }
    written
}
