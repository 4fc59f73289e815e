//! What PostgreSQL's locks, foreign keys and triggers could do to an application while its table is
//! copied and swapped.

use altergeist_integration::every_postgres;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use altergeist_integration::altergeist_process::{command, run, start};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};

every_postgres!(
    behind_an_old_transaction_nobody_is_made_to_queue,
    what_is_deleted_children_first_is_not_refused_for_the_shadow_s_sake,
    a_trigger_fires_once_for_every_write,
    a_new_table_is_as_well_known_to_the_planner_as_the_old_one,
    event_triggers_are_named_and_see_what_is_done,
);

fn execute(server: &Server, statement: &str) {
    server.execute(DATABASE, statement).unwrap_or_else(|failure| panic!("{statement}: {failure}"));
}

fn value(server: &Server, query: &str) -> String {
    let rows = server.query(DATABASE, query).unwrap_or_else(|failure| panic!("{query}: {failure}"));
    rows.first().and_then(|row| row[0].clone()).unwrap_or_default()
}

/// Says the same again and again in a session of its own until it is told to stop; what answer it
/// expects, if it does. How often it was said.
fn again_and_again(
    server: &Server,
    stop: &Arc<AtomicBool>,
    statement: &'static str,
    answer: Option<&'static str>,
) -> thread::JoinHandle<u64> {
    let (url, stop) = (server.url(DATABASE), stop.clone());
    thread::spawn(move || {
        block_on(async {
            let mut session = Session::connect(&url).await.expect("the server can be reached");
            let mut times = 0;
            while !stop.load(Ordering::SeqCst) {
                let rows = session
                    .rows(statement)
                    .await
                    .unwrap_or_else(|failure| panic!("{failure}: {statement}"));
                if answer.is_some() {
                    assert_eq!(rows[0][0].as_deref(), answer, "{statement}");
                }
                times += 1;
            }
            times
        })
    })
}

/// A lock that is asked for and waited for makes everybody else wait behind it. Where one that is
/// older than the lock timeout has the table, it is not even asked for.
fn behind_an_old_transaction_nobody_is_made_to_queue(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    execute(
        &server,
        "CREATE TABLE t (id int PRIMARY KEY, k int); INSERT INTO t SELECT i, i FROM \
         generate_series(1, 500) i",
    );
    let stop = Arc::new(AtomicBool::new(false));
    block_on(async {
        let mut reader = Session::connect(&server.url(DATABASE)).await.unwrap();
        reader.rows("BEGIN; SELECT count(*) FROM t; SELECT pg_sleep(0.5)").await.unwrap();
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND NOT granted";
        let watcher = again_and_again(&server, &stop, waiting, Some("0"));
        let more = ["--strategy", "copy", "--lock-timeout", "400ms", "--lock-attempts", "3"];
        run(&server.url(DATABASE), "t", "", &more).must_be(7).must_say(&["idle in transaction"]);
        stop.store(true, Ordering::SeqCst);
        assert!(watcher.join().unwrap() > 10, "nobody looked");
        reader.rows("COMMIT").await.unwrap();
    });
    run(&server.url(DATABASE), "t", "", &["--strategy", "copy"]).must_be(0);
}

/// In one transaction, so that the shadow still has the rows when the last statement looks for any
/// that refer to it.
fn what_is_deleted_children_first_is_not_refused_for_the_shadow_s_sake(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let sql = "CREATE TABLE parent (id int PRIMARY KEY);
        CREATE TABLE t (id int PRIMARY KEY, p int NOT NULL REFERENCES parent ON DELETE RESTRICT, k int);
        CREATE TABLE child (id int PRIMARY KEY, t int NOT NULL REFERENCES t ON DELETE RESTRICT);
        INSERT INTO parent SELECT i FROM generate_series(1, 100) i;
        INSERT INTO t SELECT i, i, i FROM generate_series(1, 100) i;
        INSERT INTO child SELECT i, i FROM generate_series(1, 100) i";
    execute(&server, sql);
    let mut running =
        start(&server.url(DATABASE), "t", "", &["--strategy", "copy", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    let delete = |id: u32| {
        format!(
            "BEGIN; DELETE FROM child WHERE t = {id}; DELETE FROM t WHERE id = {id}; DELETE FROM \
             parent WHERE id = {id}; COMMIT"
        )
    };
    execute(&server, &delete(7));
    execute(
        &server,
        "BEGIN; INSERT INTO parent VALUES (200); INSERT INTO t VALUES (200, 200); INSERT INTO \
         child VALUES (200, 200); COMMIT",
    );
    let refused =
        server.execute(DATABASE, "DELETE FROM t WHERE id = 8").expect_err("a child refers to it");
    assert!(["23503", "23001"].contains(&refused.code.as_str()), "{refused}");
    running.ask("cut-over");
    running.wait().must_be(0);
    execute(&server, &delete(9));
    let refused =
        server.execute(DATABASE, "DELETE FROM t WHERE id = 8").expect_err("a child refers to it");
    assert!(["23503", "23001"].contains(&refused.code.as_str()), "{refused}");
    assert_eq!(value(&server, "SELECT count(*) || ' ' || count(p) FROM t"), "99 99");
    let unproven = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND NOT convalidated";
    assert_eq!(value(&server, unproven), "0");
}

/// Neither while the shadow follows, nor before the swap and after it, nor for what we write
/// ourselves.
fn a_trigger_fires_once_for_every_write(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let sql = "CREATE TABLE t (id int PRIMARY KEY, k int);
        INSERT INTO t SELECT i, 0 FROM generate_series(1, 300) i;
        CREATE TABLE fired (by_row bigint, by_statement bigint, by_truth bigint);
        INSERT INTO fired VALUES (0, 0, 0);
        CREATE FUNCTION by_row() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN UPDATE public.fired SET by_row = by_row + 1; RETURN NEW; END';
        CREATE FUNCTION by_statement() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN UPDATE public.fired SET by_statement = by_statement + (SELECT count(*) FROM now_there); RETURN NULL; END';
        CREATE TRIGGER by_row BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION by_row();
        CREATE TRIGGER by_statement AFTER UPDATE ON t REFERENCING NEW TABLE AS now_there FOR EACH STATEMENT
            EXECUTE FUNCTION by_statement();
        ALTER TABLE t ENABLE ALWAYS TRIGGER by_row";
    execute(&server, sql);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = again_and_again(
        &server,
        &stop,
        "UPDATE t SET k = k + 1 WHERE id = (SELECT 1 + (random() * 299)::int)",
        None,
    );
    let url = server.url(DATABASE);
    for _ in 0..3 {
        run(&url, "t", "", &["--strategy", "copy"]).must_be(0);
        command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
    }
    stop.store(true, Ordering::SeqCst);
    let writes = writer.join().unwrap();
    let told = value(
        &server,
        "SELECT concat_ws(' ', (SELECT sum(k) FROM t), by_row, by_statement) FROM fired",
    );
    assert_eq!(told, format!("{writes} {writes} {writes}"));
}

fn a_new_table_is_as_well_known_to_the_planner_as_the_old_one(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[("autovacuum", "off")]) else { return };
    execute(
        &server,
        "CREATE TABLE t (id int PRIMARY KEY, k int); INSERT INTO t SELECT i, i % 7 FROM \
         generate_series(1, 50000) i",
    );
    run(&server.url(DATABASE), "t", "", &["--strategy", "copy"]).must_be(0);
    // VACUUM leaves out a page that the proof beside it reads just then. Where several sessions
    // fill a table at once, PostgreSQL 15 gives it pages in advance, which stay as they are until
    // they are needed.
    let known =
        "SELECT concat_ws(' ', reltuples, relallvisible >= 0.9 * (SELECT count(DISTINCT (ctid::text::point)[0]) FROM t),
                        (SELECT count(*) FROM pg_stats WHERE tablename = 't' AND schemaname = 'public'))
                 FROM pg_class WHERE oid = 't'::regclass";
    assert_eq!(value(&server, known), "50000 t 2");
}

fn event_triggers_are_named_and_see_what_is_done(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let sql = "CREATE TABLE t (id int PRIMARY KEY, k int); INSERT INTO t SELECT i, i FROM generate_series(1, 500) i;
        CREATE TABLE seen (tag text);
        CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (tg_tag); END';
        CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION see()";
    execute(&server, sql);
    let url = server.url(DATABASE);
    let words = ["plan", "--url", &url, "--table", "t", "--alter", "", "--strategy", "copy"];
    command(&words).must_be(0).must_say(&["event trigger watcher"]);
    assert_eq!(value(&server, "SELECT count(*) FROM seen"), "0", "a plan changes nothing");
    run(&url, "t", "", &["--strategy", "copy"]).must_be(0);
    assert_eq!(value(&server, "SELECT count(*) > 0 FROM seen WHERE tag = 'ALTER TABLE'"), "t");

    // One that forbids the swap: the table is as it was, and free.
    execute(
        &server,
        "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS
        'BEGIN IF current_query() ~ ''SET SCHEMA ag_old'' THEN RAISE ''not today''; END IF; END'",
    );
    execute(&server, "CREATE EVENT TRIGGER warden ON ddl_command_start EXECUTE FUNCTION forbid()");
    command(&["cleanup", "--url", &url, "--table", "t", "--drop-old"]).must_be(0);
    run(&url, "t", "", &["--strategy", "copy"]).must_be(1).must_say(&["not today"]);
    execute(&server, "SET lock_timeout = '1s'; UPDATE t SET k = 9 WHERE id = 1");
    execute(&server, "DROP EVENT TRIGGER warden");
    run(&url, "t", "", &["--strategy", "copy"]).must_be(0);
    assert_eq!(value(&server, "SELECT k FROM t WHERE id = 1"), "9");
}
