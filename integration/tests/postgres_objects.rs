//! Nothing that hangs on a PostgreSQL table is lost: every table of a schema that has everything is rebuilt while the
//! application writes, and `pg_dump` says the same as before, byte by byte.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::faults::{Fault, FaultProxy};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::tool::run;

const EVERYWHERE: &str = include_str!("../schemas/postgres.sql");
const SINCE_15: &str = include_str!("../schemas/postgres15.sql");
const SINCE_18: &str = include_str!("../schemas/postgres18.sql");

/// What the application does all the time, in turn.
const WRITES: &[&str] = &[
    "INSERT INTO shop.orders (customer, note, nick, total) VALUES (1 + (random() * 190)::int, 'w', gen_random_uuid()::text, 20)",
    "UPDATE shop.big_orders SET note = 'v' || random() WHERE id = 1000 + 3 * (random() * 1900)::int",
    "BEGIN; SELECT count(*) FROM shop.orders WHERE id < 1100; UPDATE shop.orders SET total = total + 1 \
        WHERE id = 1000 + 3 * (random() * 1900)::int AND total < 900; COMMIT",
    "BEGIN; UPDATE shop.customers SET name = name || 'x' WHERE id = (random() * 190)::int; \
        INSERT INTO shop.orders (customer, nick, total) VALUES (1, gen_random_uuid()::text, 3); COMMIT",
    "INSERT INTO shop.items (id, order_id) SELECT 10000 + (random() * 1000000000)::bigint, max(id) FROM shop.orders",
    "WITH o AS (SELECT max(id) AS id FROM shop.orders), i AS (DELETE FROM shop.items WHERE order_id = (SELECT id FROM o)) \
        SELECT FROM o",
    "DELETE FROM shop.orders WHERE id = (SELECT max(id) FROM shop.orders)",
    "INSERT INTO shop.watched SELECT coalesce(max(id), 0) + 1, 1003 FROM shop.watched",
    "SELECT * FROM shop.per_customer LIMIT 3",
];

/// The codes an application must expect of itself: duplicates, foreign keys, serialization, a changed result type.
const OWN_AFFAIRS: &[&str] = &["23505", "23503", "23P01", "40001", "0A000"];

macro_rules! on_both {
    ($($sentence:ident),* $(,)?) => {
        $(mod $sentence {
            use altergeist_integration::servers::Flavour;

            #[test]
            fn postgres15() {
                super::$sentence(Flavour::Postgres15);
            }

            #[test]
            fn postgres18() {
                super::$sentence(Flavour::Postgres18);
            }
        })*
    };
}

on_both!(
    every_table_of_a_schema_that_has_everything_is_the_same_afterwards,
    no_write_gets_past_the_swap_by_a_view_or_a_prepared_statement,
    who_stands_in_the_way_is_named_and_ended_only_if_that_was_asked_for,
    a_swap_whose_answer_was_lost_is_found_done,
    readers_that_began_before_are_waited_for_no_longer_than_was_asked,
);

/// Writers that go on until they are told to stop.
struct Writers {
    threads: Vec<thread::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Writers {
    fn start(server: &Server, count: usize, writes: &'static [&'static str]) -> Self {
        let mut writers =
            Self { threads: Vec::new(), stop: Arc::default(), done: Arc::default(), errors: Arc::default() };
        for number in 0..count {
            let url = server.url(DATABASE);
            let (stop, done, errors) = (writers.stop.clone(), writers.done.clone(), writers.errors.clone());
            writers.threads.push(thread::spawn(move || {
                block_on(async {
                    let mut session = Session::connect(&url).await.expect("the server can be reached");
                    for write in writes.iter().cycle().skip(number * 3) {
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        match session.rows(write).await {
                            Ok(_) => {}
                            Err(failure) if OWN_AFFAIRS.contains(&failure.code.as_str()) => {
                                let _nothing_begun = session.rows("ROLLBACK").await;
                            }
                            Err(failure) => errors.lock().unwrap().push(format!("{failure}: {write}")),
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                });
            }));
        }
        writers
    }

    /// Waits until so many more writes are done.
    fn wait_for(&self, more: u32) {
        let goal = self.done.load(Ordering::SeqCst) + more;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.done.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < deadline, "the writers stand still");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops them; the application may not have noticed anything.
    fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        assert_eq!(self.errors.lock().unwrap().first(), None, "the application got an error");
    }
}

/// A server with the schema.
fn with_everything(flavour: Flavour) -> Option<Server> {
    let server = Server::start(flavour, &[])?;
    server.execute(DATABASE, EVERYWHERE).unwrap();
    server.execute(DATABASE, SINCE_15).unwrap();
    if flavour == Flavour::Postgres18 {
        server.execute(DATABASE, SINCE_18).unwrap();
    }
    Some(server)
}

/// The tables of the application, qualified and quoted.
fn tables(server: &Server) -> Vec<String> {
    let sql = "SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind = 'r' AND nspname IN ('shop', 'Odd Names') ORDER BY c.oid";
    server.query(DATABASE, sql).unwrap().into_iter().flatten().flatten().collect()
}

fn dump(server: &Server) -> String {
    server.dump(DATABASE, &["ag_*", "altergeist"])
}

/// The lines in which two texts differ.
fn differing(one: &str, other: &str) -> Vec<String> {
    let missing = |from: &str, line: &&str| !from.lines().any(|other| other == *line);
    let gone = one.lines().filter(|line| missing(other, line)).map(|line| format!("- {line}"));
    gone.chain(other.lines().filter(|line| missing(one, line)).map(|line| format!("+ {line}"))).collect()
}

fn every_table_of_a_schema_that_has_everything_is_the_same_afterwards(flavour: Flavour) {
    let Some(server) = with_everything(flavour) else {
        return;
    };
    let url = server.url(DATABASE);
    let before = dump(&server);
    let writers = Writers::start(&server, 3, WRITES);
    writers.wait_for(50);
    for table in tables(&server) {
        run(&url, &table, "", &["--strategy", "copy"]).must_be(0);
        writers.wait_for(20);
        let after = dump(&server);
        assert_eq!(differing(&before, &after), Vec::<String>::new(), "{table}");
        assert!(before == after, "{table}: lines stand in another order");
    }
    writers.stop();
    // Keys of partitions that are parts of a partitioned table's own are not spoken of here: it is that one which counts.
    let unproven = "SELECT conname FROM pg_constraint WHERE contype = 'f' \
                    AND NOT convalidated AND conparentid = 0 ORDER BY 1";
    let left = server.query(DATABASE, unproven).unwrap();
    let left: Vec<String> = left.into_iter().flatten().flatten().collect();
    let wanted: &[&str] = if flavour == Flavour::Postgres18 {
        // The last one is NOT ENFORCED, and so never proven.
        &["items_order_too", "late_fk", "modern_order", "numbered_child_n_k_fkey"]
    } else {
        &["items_order_too", "late_fk"]
    };
    assert_eq!(left, wanted);
}

/// Ways to count up: what is prepared once, what is done again and again, and what tells how often.
const WAYS: &[(&str, &str, &str)] = &[
    ("SELECT 1", "UPDATE counted SET n = n + 1 WHERE id = 1", "SELECT n FROM counters WHERE id = 1"),
    ("PREPARE up AS UPDATE counters SET n = n + 1 WHERE id = 2", "EXECUTE up", "SELECT n FROM counters WHERE id = 2"),
    ("SELECT 1", "SELECT count_up(3)", "SELECT n FROM counters WHERE id = 3"),
    // It has a lock that ours waits for when it asks for a stronger one.
    (
        "SELECT 1",
        "BEGIN; SELECT count(*) FROM counters WHERE id < 5; UPDATE counters SET n = n + 1 WHERE id = 4; COMMIT",
        "SELECT n FROM counters WHERE id = 4",
    ),
    ("SELECT 1", "INSERT INTO tallies (counter) VALUES (5)", "SELECT count(*) FROM tallies"),
    (
        "SELECT 1",
        "BEGIN; INSERT INTO owned (parent) VALUES (1); UPDATE parents SET n = n + 1 WHERE id = 1; COMMIT",
        "SELECT n FROM parents WHERE id = 1",
    ),
    (
        "PREPARE next AS SELECT nextval('counters_no_seq')",
        "EXECUTE next",
        "SELECT last_value - 500 FROM counters_no_seq",
    ),
];

/// Counts up in every way until told to stop; says how often it did.
fn count_up(url: &str, stop: &Arc<AtomicBool>) -> Vec<thread::JoinHandle<u64>> {
    let start = |&(prepare, write, _): &(&'static str, &'static str, &'static str)| {
        let (url, stop) = (url.to_owned(), stop.clone());
        thread::spawn(move || {
            block_on(async {
                let mut session = Session::connect(&url).await.expect("the server can be reached");
                session.rows(prepare).await.expect("it can be prepared");
                let mut done = 0;
                while !stop.load(Ordering::SeqCst) {
                    session.rows(write).await.unwrap_or_else(|failure| panic!("{failure}: {write}"));
                    done += 1;
                }
                done
            })
        })
    };
    WAYS.iter().map(start).collect()
}

fn with_counters(flavour: Flavour) -> Option<Server> {
    let server = Server::start(flavour, &[])?;
    let sql = "CREATE TABLE parents (id int PRIMARY KEY, n bigint NOT NULL);
        INSERT INTO parents VALUES (1, 0);
        CREATE TABLE counters (id int PRIMARY KEY, n bigint NOT NULL, note text, no bigserial, parent int REFERENCES parents);
        INSERT INTO counters SELECT i, 0, 'x' FROM generate_series(1, 500) i;
        CREATE TABLE tallies (id bigserial PRIMARY KEY, counter int REFERENCES counters);
        CREATE TABLE owned (id bigserial PRIMARY KEY, parent int REFERENCES parents);
        CREATE VIEW counted AS SELECT id, n FROM counters;
        CREATE FUNCTION count_up(which int) RETURNS void LANGUAGE plpgsql AS $$
            BEGIN UPDATE counters SET n = n + 1 WHERE id = which; END $$";
    server.execute(DATABASE, sql).unwrap();
    Some(server)
}

fn no_write_gets_past_the_swap_by_a_view_or_a_prepared_statement(flavour: Flavour) {
    let Some(server) = with_counters(flavour) else {
        return;
    };
    let url = server.url(DATABASE);
    let stop = Arc::new(AtomicBool::new(false));
    let counting = count_up(&url, &stop);
    for round in 0..4 {
        run(&url, "counters", "", &["--strategy", "copy"]).must_be(0);
        altergeist_integration::tool::command(&["cleanup", "--url", &url, "--table", "counters", "--drop-old"])
            .must_be(0);
        assert!(counting.iter().all(|thread| !thread.is_finished()), "a writer has ended in round {round}");
    }
    stop.store(true, Ordering::SeqCst);
    let done: Vec<String> = counting.into_iter().map(|thread| thread.join().unwrap().to_string()).collect();
    let found =
        WAYS.iter().flat_map(|(_, _, tells)| server.query(DATABASE, tells).unwrap().into_iter().flatten().flatten());
    assert_eq!(found.collect::<Vec<_>>(), done);
}

fn who_stands_in_the_way_is_named_and_ended_only_if_that_was_asked_for(flavour: Flavour) {
    let Some(server) = with_counters(flavour) else {
        return;
    };
    let url = server.url(DATABASE);
    let holder = format!("{url}?application_name=the-reader");
    block_on(async {
        let mut session = Session::connect(&holder).await.unwrap();
        session.rows("BEGIN; SELECT count(*) FROM counters").await.unwrap();
        let more = ["--strategy", "copy", "--lock-timeout", "200ms", "--lock-attempts", "2"];
        run(&url, "counters", "", &more).must_be(7).must_say(&["the-reader", "postgres", "idle in transaction"]);
        session.rows("SELECT count(*) FROM counters").await.expect("nobody ended it");
        let more = [&more[..], &["--kill-blockers"]].concat();
        run(&url, "counters", "", &more).must_be(0).must_say(&["ended", "the-reader"]);
        let failure = session.rows("SELECT 1").await.expect_err("it was ended");
        assert!(failure.is_lost_connection(), "{failure}");
    });
}

fn readers_that_began_before_are_waited_for_no_longer_than_was_asked(flavour: Flavour) {
    let Some(server) = with_counters(flavour) else {
        return;
    };
    let url = server.url(DATABASE);
    block_on(async {
        // It reads something else, and would read the table as of now whenever it comes to it.
        let mut session = Session::connect(&url).await.unwrap();
        session.rows("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class").await.unwrap();
        let more = ["--strategy", "copy", "--wait-old-snapshots", "2s"];
        let begun = Instant::now();
        run(&url, "counters", "", &more).must_be(0).must_say(&["readers that began before the swap", "server process"]);
        assert!(begun.elapsed() > Duration::from_secs(2), "they were not waited for");
        session.rows("COMMIT").await.expect("nobody ended it");
    });
}

fn a_swap_whose_answer_was_lost_is_found_done(flavour: Flavour) {
    let Some(server) = with_counters(flavour) else {
        return;
    };
    let proxy = FaultProxy::start(server.port());
    proxy.set(Fault::LoseAnswer("SET SCHEMA ag_old_public", "COMMIT"));
    let alter = "ADD COLUMN made timestamptz DEFAULT now()";
    run(&url(flavour, proxy.port(), DATABASE), "counters", alter, &["--strategy", "copy"]).must_be(0);
    let sql = "SELECT to_regclass('ag_old_public.counters') IS NOT NULL, \
                      (SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'counters')";
    let found = server.query(DATABASE, sql).unwrap();
    assert_eq!(found, [[Some("t".to_owned()), Some("6".to_owned())]]);
}
