//! What others do on a PostgreSQL server to the table, and to what belongs to the run, while it
//! goes on: nothing is lost, nobody is held up, and what cannot go on is named with a way out.

use altergeist_integration::altergeist_process::{Ended, LIMIT, Running, command, run, start};
use altergeist_integration::every_postgres;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use std::thread;
use std::time::{Duration, Instant};

every_postgres!(
    a_publication_that_somebody_touches_loses_no_row,
    a_publication_changed_and_not_visible_yet_holds_the_swap_up,
    a_slot_that_somebody_moves_on_loses_no_row,
    another_replica_identity_does_not_keep_the_application_from_writing,
    what_others_give_the_table_the_new_table_has,
    what_the_shadow_cannot_follow_ends_the_run_at_once,
    a_table_that_is_gone_is_named_and_can_be_cleaned_up,
);

const ALTER: &str = "ALTER COLUMN n TYPE bigint";

/// A table of its own for each part of a test.
fn make(server: &Server) {
    execute(
        server,
        "DROP TABLE IF EXISTS t CASCADE; DROP TABLE IF EXISTS t2 CASCADE; DROP SCHEMA IF EXISTS \
         ag_old_public CASCADE",
    );
    execute(server, "DROP SCHEMA IF EXISTS altergeist CASCADE");
    execute(server, "CREATE TABLE t (id int PRIMARY KEY, v text, n int NOT NULL)");
    execute(server, "INSERT INTO t SELECT i, 'v' || i, i % 7 FROM generate_series(1, 500) i");
    execute(server, "CREATE UNIQUE INDEX tu ON t (n, id)");
}

/// A run that has proven everything and waits for the order to swap.
fn waiting(server: &Server, more: &[&str]) -> Running {
    make(server);
    let flags = [&["--strategy", "copy", "--postpone-cut-over"][..], more].concat();
    let mut running = start(&server.url(DATABASE), "t", ALTER, &flags);
    running.wait_until(|status| status["phase"] == "waiting");
    running
}

fn swap(mut running: Running) -> Ended {
    running.ask("cut-over");
    running.wait()
}

fn cleanup(server: &Server) -> Ended {
    command(&["cleanup", "--url", &server.url(DATABASE), "--table", "t", "--drop-old"])
}

fn execute(server: &Server, statements: &str) {
    let url = server.url(DATABASE);
    let done = block_on(async move { Session::connect(&url).await?.rows(statements).await });
    done.unwrap_or_else(|failure| panic!("{statements}: {failure}"));
}

fn value(server: &Server, query: &str) -> String {
    let rows = server.query(DATABASE, query).unwrap_or_else(|failure| panic!("{query}: {failure}"));
    rows.first().and_then(|row| row[0].clone()).unwrap_or_default()
}

fn publication(server: &Server) -> String {
    value(server, "SELECT pubname FROM pg_publication WHERE pubname ~ '^altergeist'")
}

/// Whether row 999 and the change of row 7 are in the table, and the change was made.
fn assert_whole(server: &Server, case: &str) {
    let query = "SELECT concat_ws(' ', count(*) FILTER (WHERE id = 999), count(*) FILTER (WHERE \
                 id = 7 AND v = 'changed'), count(*), max(pg_typeof(n)::text)) FROM t";
    assert_eq!(value(server, query), "1 1 501 bigint", "{case}");
}

const WRITE: &str = "INSERT INTO t VALUES (999, 'new', 1); UPDATE t SET v = 'changed' WHERE id = 7";

/// Marks still arrive; rows do not. What was put back meanwhile counts, too.
fn a_publication_that_somebody_touches_loses_no_row(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let cases = [
        ("DROP PUBLICATION @", ""),
        ("ALTER PUBLICATION @ DROP TABLE t", ""),
        (
            "ALTER PUBLICATION @ SET (publish = 'delete')",
            "ALTER PUBLICATION @ SET (publish = 'insert, update, delete, truncate')",
        ),
        ("ALTER PUBLICATION @ SET TABLE t (id) WHERE (id < 0)", ""),
        ("ALTER PUBLICATION @ RENAME TO elsewhere", "ALTER PUBLICATION elsewhere RENAME TO @"),
    ];
    for (deed, undo) in cases {
        let running = waiting(&server, &[]);
        let publication = publication(&server);
        execute(&server, &deed.replace('@', &publication));
        execute(&server, WRITE);
        if !undo.is_empty() {
            execute(&server, &undo.replace('@', &publication));
        }
        swap(running).must_be(0).must_say(&["copies the table again"]);
        assert_whole(&server, deed);
        cleanup(&server).must_be(0);
        execute(&server, "DROP PUBLICATION IF EXISTS elsewhere");
    }
}

/// The log already leaves rows out, and the catalogue does not show why: the swap waits for that.
fn a_publication_changed_and_not_visible_yet_holds_the_swap_up(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let mut running = waiting(&server, &["--lock-attempts", "500"]);
    let statement = format!("ALTER PUBLICATION {} SET (publish = 'delete')", publication(&server));
    execute(&server, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    execute(&server, "SELECT pg_reload_conf()");
    let stalls = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    thread::scope(|scope| {
        let altering = scope.spawn(|| {
            until(|| value(&server, "SHOW synchronous_standby_names") == "nobody");
            execute(&server, &statement);
        });
        until(|| value(&server, stalls) == "1");
        execute(
            &server,
            "SET synchronous_commit = local; INSERT INTO t VALUES (999, 'new', 1); \
                          UPDATE t SET v = 'changed' WHERE id = 7",
        );
        running.ask("cut-over");
        running.wait_until(|status| status["lock_attempts"].as_u64() > Some(2));
        assert!(running.is_running(), "it has ended: {}", running.output());
        execute(&server, "ALTER SYSTEM RESET synchronous_standby_names");
        execute(&server, "SELECT pg_reload_conf()");
        altering.join().unwrap();
    });
    running.wait().must_be(0).must_say(&["copies the table again"]);
    assert_whole(&server, "not visible yet");
}

fn until(is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never comes");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whoever takes what the slot has takes it from us.
fn a_slot_that_somebody_moves_on_loses_no_row(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let mut running = waiting(&server, &[]);
    running.ask("panic");
    running.wait().must_be(5);
    execute(&server, WRITE);
    // The session that read it may take a moment to end.
    let taking = "SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM \
                  pg_replication_slots";
    until(|| server.query(DATABASE, taking).is_ok());
    run(&server.url(DATABASE), "t", ALTER, &["--strategy", "copy"])
        .must_be(0)
        .must_say(&["copies the table again"]);
    assert_whole(&server, "moved on");
}

/// The publication has the key's columns only; with a wider identity the server refuses the
/// application's updates.
fn another_replica_identity_does_not_keep_the_application_from_writing(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let cases = [
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "ALTER TABLE t REPLICA IDENTITY USING INDEX tu",
        "ALTER TABLE t REPLICA IDENTITY NOTHING",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (n, id)",
    ];
    for deed in cases {
        let running = waiting(&server, &[]);
        execute(&server, deed);
        let begun = Instant::now();
        until(|| {
            server.query(DATABASE, "UPDATE t SET v = 'changed' WHERE id = 7 RETURNING 1").is_ok()
        });
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{deed}: refused for {:?}",
            begun.elapsed()
        );
        execute(&server, "INSERT INTO t VALUES (999, 'new', 1)");
        swap(running).must_be(0).must_say(&["copies the table again"]);
        assert_whole(&server, deed);
        cleanup(&server).must_be(0);
    }
}

/// One run, many hands.
fn what_others_give_the_table_the_new_table_has(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let running = waiting(&server, &[]);
    let deeds = [
        "CREATE INDEX CONCURRENTLY late ON t (lower(v)) INCLUDE (n) WITH (fillfactor = 70)",
        "COMMENT ON INDEX late IS 'an index'",
        "COMMENT ON INDEX t_pkey IS 'a key'",
        "ALTER INDEX tu RENAME TO tu2",
        "ALTER TABLE t CLUSTER ON tu2",
        "GRANT SELECT ON t TO pg_monitor WITH GRANT OPTION; GRANT UPDATE (v) ON t TO PUBLIC",
        "COMMENT ON TABLE t IS 'a table'; COMMENT ON COLUMN t.v IS 'a column'",
        "ALTER TABLE t ALTER v SET STATISTICS 77, ALTER v SET (n_distinct = 5), ALTER v SET \
         STORAGE EXTERNAL",
        "ALTER TABLE t SET (fillfactor = 60, toast.autovacuum_enabled = false)",
        "CREATE STATISTICS st ON v, n FROM t",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER tr BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE POLICY po ON t USING (true)",
        "CREATE VIEW seen AS SELECT id, v FROM t",
    ];
    deeds.iter().for_each(|deed| execute(&server, deed));
    execute(&server, WRITE);
    let lines = |server: &Server| {
        let dump = server.dump(DATABASE, &["ag_*", "altergeist"]);
        let lines = dump.lines().map(str::to_owned).filter(|line| !is_noise(line));
        let mut lines: Vec<String> = lines.collect();
        lines.sort();
        lines
    };
    let wanted: Vec<String> = lines(&server)
        .into_iter()
        .map(|line| line.replace("n integer NOT NULL", "n bigint NOT NULL"))
        .collect();
    swap(running).must_be(0);
    assert_whole(&server, "many hands");
    assert_eq!(lines(&server), wanted);
}

/// What of a dump is not about the table, or is ours.
fn is_noise(line: &str) -> bool {
    line.is_empty()
        || line.starts_with("--")
        || line.contains("restrict")
        || line.contains("altergeist_")
}

/// Not after days of copying.
fn what_the_shadow_cannot_follow_ends_the_run_at_once(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    for (deed, object) in [
        ("ALTER TABLE t ADD COLUMN z int", "column z"),
        ("ALTER TABLE t ADD CONSTRAINT c CHECK (n < 9)", "constraint c"),
    ] {
        let running = waiting(&server, &[]);
        execute(&server, deed);
        running.wait().must_be(1).must_say(&[
            object,
            "altergeist cleanup --table public.t",
            "start again",
        ]);
        cleanup(&server).must_be(0);
        run(&server.url(DATABASE), "t", ALTER, &["--strategy", "copy"]).must_be(0);
    }
}

/// No swap was sent, so nobody is told that its outcome is unknown; and nothing of ours stays.
fn a_table_that_is_gone_is_named_and_can_be_cleaned_up(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let cases = [
        ("ALTER TABLE t RENAME TO t2", "renamed to public.t2"),
        ("DROP TABLE t", "the table was dropped"),
        (
            "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text, n int NOT NULL)",
            "another one was made under its name",
        ),
        ("ALTER TABLE t RENAME TO t2; CREATE VIEW t AS SELECT * FROM t2", "renamed to public.t2"),
        ("DROP TABLE ag_shadow_public.t", "its shadow ag_shadow_public.t was dropped"),
        ("ALTER TABLE ag_shadow_public.t RENAME TO s", "was renamed to ag_shadow_public.s"),
    ];
    let left = "SELECT count(*) FROM (SELECT FROM pg_replication_slots UNION ALL SELECT FROM \
                pg_publication UNION ALL SELECT FROM pg_namespace WHERE nspname ~ '^ag_') AS ours";
    for (deed, words) in cases {
        let running = waiting(&server, &[]);
        execute(&server, deed);
        running.wait().must_be(1).must_say(&[words, "altergeist cleanup"]);
        run(&server.url(DATABASE), "t", ALTER, &["--strategy", "copy"])
            .must_be(1)
            .must_say(&[words]);
        cleanup(&server).must_be(0);
        assert_eq!(value(&server, left), "0", "{deed}");
        if deed.contains("CREATE VIEW") {
            execute(&server, "DROP VIEW t");
        }
    }
}
