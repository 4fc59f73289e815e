//! Foreign keys over the swap: whatever dies at whichever statement, no key is lost, no row is
//! orphaned, and the same command puts everything in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use altergeist_integration::altergeist_process::{LIMIT, run, start};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::session::{Failure, Session, block_on};
use altergeist_integration::statement_fault::{StatementFault, Then};

const TABLES: &str = "
CREATE TABLE p (id INT NOT NULL PRIMARY KEY);
INSERT INTO p VALUES (1), (2), (3), (4), (5);
CREATE TABLE t (
  id INT NOT NULL PRIMARY KEY,
  p INT NOT NULL,
  above INT NULL,
  FOREIGN KEY (p) REFERENCES p (id),
  CONSTRAINT above_it FOREIGN KEY (above) REFERENCES t (id)
);
INSERT INTO t VALUES (1, 1, NULL), (2, 2, 1), (3, 3, 1), (4, 4, 2);
CREATE TABLE kept (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, t INT NOT NULL, FOREIGN KEY (t) REFERENCES t (id));
INSERT INTO kept (t) VALUES (1), (2);
CREATE TABLE gone (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  t INT NOT NULL,
  CONSTRAINT gone_with_t FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE
);
INSERT INTO gone (t) VALUES (1), (3)";
const ALTER: &str =
    "ADD COLUMN w INT NOT NULL DEFAULT 2, ADD CONSTRAINT added FOREIGN KEY (w) REFERENCES p (id)";
const COPY: [&str; 2] = ["--strategy", "copy"];
/// What the cut-over's statements can be told by.
const CUT_OVER: [&str; 4] = ["LOCK TABLES", "ALGORITHM=INPLACE", "RENAME TABLE", "(go TINYINT)"];
/// More statements than any cut-over of these tables has.
const MOST: u32 = 100;
/// Each statement meets one of them, in turn.
const FAULTS: [Then; 3] = [Then::Hold, Then::Close, Then::CloseBehind];
/// Runs side by side, each in a database of its own.
const AT_ONCE: usize = 4;

#[test]
fn mysql_whatever_dies_at_any_statement_of_the_cut_over_no_key_is_lost() {
    every_statement(Flavour::MySql97);
}

#[test]
fn mariadb_whatever_dies_at_any_statement_of_the_cut_over_no_key_is_lost() {
    every_statement(Flavour::MariaDb1011);
}

fn every_statement(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let server = &server;
    let mut seen = Vec::new();
    for first in (1..MOST).step_by(AT_ONCE) {
        let runs = (first..).take(AT_ONCE).map(|nth| (nth, FAULTS[nth as usize % FAULTS.len()]));
        let died: Vec<Option<String>> = thread::scope(|scope| {
            let start = |(nth, then): (u32, Then)| scope.spawn(move || die_at(server, nth, then));
            let running: Vec<_> = runs.map(start).collect();
            running.into_iter().map(|run| run.join().unwrap()).collect()
        });
        let is_last = died.iter().any(Option::is_none);
        seen.extend(died.into_iter().flatten());
        if is_last {
            let expected =
                ["LOCK TABLES", "ADD CONSTRAINT `_ag_", "RENAME TABLE", "DROP FOREIGN KEY `_ag_"];
            for words in expected {
                assert!(
                    seen.iter().any(|said| said.contains(words)),
                    "nothing died at {words}: {seen:#?}"
                );
            }
            return;
        }
    }
    panic!("more statements than there can be: {seen:#?}");
}

/// Gives the statement at which it died; None if there are not so many.
fn die_at(server: &Server, nth: u32, then: Then) -> Option<String> {
    let database = format!("bound{nth}{then:?}");
    server.execute("", &format!("CREATE DATABASE {database}")).unwrap();
    for statement in TABLES.split(';') {
        server.execute(&database, statement).unwrap();
    }
    let mut expected = structure(server, &database);
    let index = expected.iter().rposition(|line| line.starts_with("t:   KEY")).unwrap() + 1;
    expected.insert(index, "t:   KEY `added` (`w`)".into());
    let key =
        expected.iter().position(|line| line.starts_with("t:   CONSTRAINT `above_it`")).unwrap()
            + 1;
    expected.insert(key, "t:   CONSTRAINT `added` FOREIGN KEY (`w`) REFERENCES `p` (`id`)".into());
    let writers = Writers::start(server.url(&database));

    let fault = StatementFault::start(server.port(), &CUT_OVER, nth, then);
    let mut running = start(&url(server.flavour(), fault.port(), &database), "t", ALTER, &COPY);
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
    let again = run(&server.url(&database), "t", ALTER, &COPY);
    let written = writers.stop();

    let at = format!(
        "{:?}, {then:?} at {nth}: {statement:?}\n{}\n{}",
        server.flavour(),
        said.output,
        again.output
    );
    assert_eq!(again.code, Some(0), "{at}");
    assert_eq!(structure(server, &database), expected, "{at}");
    let count = |sql: &str| server.query(&database, sql).unwrap()[0][0].clone().unwrap();
    for orphans in [
        "SELECT COUNT(*) FROM kept LEFT JOIN t ON t.id = kept.t WHERE t.id IS NULL",
        "SELECT COUNT(*) FROM gone LEFT JOIN t ON t.id = gone.t WHERE t.id IS NULL",
        "SELECT COUNT(*) FROM t LEFT JOIN p ON p.id = t.p WHERE p.id IS NULL",
        "SELECT COUNT(*) FROM t LEFT JOIN p ON p.id = t.w WHERE p.id IS NULL",
        "SELECT COUNT(*) FROM t LEFT JOIN t u ON u.id = t.above WHERE t.above IS NOT NULL AND \
         u.id IS NULL",
    ] {
        assert_eq!(count(orphans), "0", "{orphans}\n{at}");
    }
    let there = "SELECT COUNT(*) FROM t WHERE id >= 1000";
    assert_eq!(
        count(there),
        written.to_string(),
        "rows that were said to be written, or deleted\n{at}"
    );
    server.execute("", &format!("DROP DATABASE {database}")).unwrap();
    statement
}

/// Rows that a new key does not allow: found by the plan, when all is copied, and behind the swap.
fn rows_that_an_added_key_does_not_allow_are_never_passed_over(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let execute = |sql: &str| server.execute(DATABASE, sql).unwrap();
    execute("CREATE TABLE p (id INT NOT NULL PRIMARY KEY)");
    execute("INSERT INTO p VALUES (1), (2)");
    execute("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, p INT NULL)");
    execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, NULL), (4, 7)");
    let alter = "ADD CONSTRAINT added FOREIGN KEY (p) REFERENCES p (id)";
    run(&url, "t", alter, &COPY)
        .must_be(3)
        .must_say(&["foreign key added", "a parent that is not there"]);

    execute("UPDATE t SET p = 1 WHERE id = 4");
    let mut running = start(
        &url,
        "t",
        alter,
        &[&COPY[..], &["--chunk-rows", "1", "--workers", "1", "--nice", "50"]].concat(),
    );
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(0));
    execute("UPDATE t SET p = 8 WHERE id = 1");
    running.wait().must_be(1).must_say(&[
        "foreign key added",
        "there are some",
        "the same command",
    ]);

    execute("UPDATE t SET p = 1 WHERE id = 1");
    let mut running = start(&url, "t", alter, &[&COPY[..], &["--postpone-cut-over"]].concat());
    running.wait_until(|status| status["phase"] == "waiting");
    execute("UPDATE t SET p = 9 WHERE id = 2");
    running.ask("cut-over");
    running.wait().must_be(9).must_say(&[
        "foreign key added",
        "there are some",
        "the same command",
    ]);
    let refused = server.execute(DATABASE, "INSERT INTO t VALUES (5, 10)").unwrap_err();
    assert_eq!(&*refused.code, "1452", "the key binds: {refused:?}");

    execute("UPDATE t SET p = NULL WHERE id = 2");
    run(&url, "t", alter, &COPY).must_be(0);
    let made = server.query(DATABASE, "SHOW CREATE TABLE t").unwrap()[0][1].clone().unwrap();
    assert!(made.contains("CONSTRAINT `added` FOREIGN KEY") && !made.contains("_ag_"), "{made}");
}

#[test]
fn mysql_rows_that_an_added_key_does_not_allow_are_never_passed_over() {
    rows_that_an_added_key_does_not_allow_are_never_passed_over(Flavour::MySql97);
}

#[test]
fn mariadb_rows_that_an_added_key_does_not_allow_are_never_passed_over() {
    rows_that_an_added_key_does_not_allow_are_never_passed_over(Flavour::MariaDb1011);
}

/// Parents whose rows go and change all the time, under keys that act on the table, with children
/// beside. Without a run none of these writes is ever refused.
#[test]
fn mariadb_busy_parents_are_never_refused_and_never_starve_the_swap() {
    let Some(server) = Server::start(Flavour::MariaDb1011, &[]) else { return };
    for statement in BUSY.split(';') {
        server.execute(DATABASE, statement).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<JoinHandle<()>> = [
        "DELETE FROM p WHERE id = {}",
        "UPDATE q SET a = a + 100000 WHERE id = {}",
        "INSERT INTO c (t) VALUES ({} + 3000)",
        "DELETE FROM t WHERE id = {}",
    ]
    .map(|statement| {
        let (url, stop) = (server.url(DATABASE), stop.clone());
        thread::spawn(move || block_on(write_on(url, statement, stop)))
    })
    .into();
    let alter = "MODIFY v BIGINT, ADD KEY by_v (v)";
    let more = ["--chunk-rows", "100", "--nice", "2", "--lock-attempts", "5"];
    let ended = run(&server.url(DATABASE), "t", alter, &[&COPY[..], &more].concat()).must_be(0);
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.join().unwrap();
    }
    let count = |sql: &str| server.query(DATABASE, sql).unwrap()[0][0].clone().unwrap();
    let orphans = "SELECT COUNT(*) FROM t LEFT JOIN p ON p.id = t.p LEFT JOIN q ON q.a = t.qa AND \
                   q.b = t.qb WHERE (t.p IS NOT NULL AND p.id IS NULL) OR q.id IS NULL";
    assert_eq!(count(orphans), "0", "{}", ended.output);
    let made = server.query(DATABASE, "SHOW CREATE TABLE t").unwrap()[0][1].clone().unwrap();
    assert!(
        made.contains("CONSTRAINT `t_p`")
            && made.contains("CONSTRAINT `t_q`")
            && !made.contains("_ag_"),
        "{made}"
    );
}

const BUSY: &str = "
CREATE TABLE p (id INT NOT NULL PRIMARY KEY);
INSERT INTO p SELECT seq FROM seq_1_to_5000;
CREATE TABLE q (id INT NOT NULL PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, UNIQUE KEY ab (a, b));
INSERT INTO q SELECT seq, seq, 7 FROM seq_1_to_5000;
CREATE TABLE t (
  id INT NOT NULL PRIMARY KEY, p INT NULL, qa INT NOT NULL, qb INT NOT NULL, v INT,
  KEY by_p (p), KEY by_q (qa, qb),
  CONSTRAINT t_p FOREIGN KEY (p) REFERENCES p (id) ON DELETE SET NULL,
  CONSTRAINT t_q FOREIGN KEY (qa, qb) REFERENCES q (a, b) ON UPDATE CASCADE
);
INSERT INTO t SELECT seq, seq, seq, 7, seq FROM seq_1_to_5000;
CREATE TABLE c (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, t INT NOT NULL,
  CONSTRAINT c_t FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE)";

/// Gives a statement for one number after the other; a deadlock of rows may be the writers' own,
/// nothing else may.
async fn write_on(url: String, statement: &str, stop: Arc<AtomicBool>) {
    let mut session = Session::connect(&url).await.unwrap();
    for number in 1..2000 {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        if let Err(failure) = session.execute(&statement.replace("{}", &number.to_string())).await {
            assert!(
                failure.is_deadlock(),
                "the application must not see this: {failure:?} for {statement}"
            );
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

/// Every table's indexes and foreign keys, and that no other table has any.
fn structure(server: &Server, database: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for table in ["p", "t", "kept", "gone"] {
        let made = server.query(database, &format!("SHOW CREATE TABLE {table}")).unwrap()[0][1]
            .clone()
            .unwrap();
        let bound = made.lines().filter(|line| line.contains("KEY"));
        lines.extend(bound.map(|line| format!("{table}: {}", line.trim_end_matches(','))));
    }
    let others = format!(
        "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_SCHEMA \
         = '{database}' AND CONSTRAINT_TYPE = 'FOREIGN KEY' AND (TABLE_NAME LIKE '%ag%' OR \
         CONSTRAINT_NAME LIKE '%ag%')"
    );
    lines.extend(
        server.query(database, &others).unwrap().into_iter().map(|row| format!("stray: {row:?}")),
    );
    lines
}

/// Keeps making parents with children, and taking some of them away again; counts what the server
/// said was done.
struct Writers {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<u64>,
}

impl Writers {
    fn start(url: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let writer = thread::spawn(move || block_on(write(url, stopped)));
        Self { stop, writer }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.writer.join().unwrap()
    }
}

async fn write(url: String, stop: Arc<AtomicBool>) -> u64 {
    let mut session = Session::connect(&url).await.unwrap();
    session.execute(&format!("SET SESSION lock_wait_timeout = {}", LIMIT.as_secs())).await.unwrap();
    let mut there = 0;
    for id in 1000.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        // The server has others to serve.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let is_there = may_be_refused(
            session
                .execute(&format!("INSERT INTO t (id, p, above) VALUES ({id}, {}, 1)", 1 + id % 5))
                .await,
        );
        there += u64::from(is_there);
        for child in ["kept", "gone"] {
            may_be_refused(
                session.execute(&format!("INSERT INTO {child} (t) VALUES ({id})")).await,
            );
        }
        // Refused as long as it has children.
        may_be_refused(session.execute("DELETE FROM p WHERE id = 1").await);
        assert!(
            !may_be_refused(session.execute("DELETE FROM t WHERE id = 1").await),
            "a parent went, not its children"
        );
        may_be_refused(session.execute(&format!("DELETE FROM kept WHERE t = {id}")).await);
        if id % 2 == 0 {
            there -= u64::from(
                may_be_refused(session.execute(&format!("DELETE FROM t WHERE id = {id}")).await)
                    && is_there,
            );
        }
    }
    there
}

/// Whether it was done. A foreign key may refuse it, and nothing else may.
fn may_be_refused(outcome: Result<u64, Failure>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(failure) if matches!(&*failure.code, "1451" | "1452") => false,
        Err(failure) => panic!("the application must not see this: {failure:?}"),
    }
}
