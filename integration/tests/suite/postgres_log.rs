//! The log of PostgreSQL: a slot that never fills the disk and is never left behind, a standby that
//! it is read from, and plain SQL where it cannot be streamed.

use altergeist_integration::every_postgres;
use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{
    LIMIT, Running, command, inventory, left_behind, must_stay, old_table, run, start, widening,
};
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::{Mix, Table, Writers};

use Flavour::{Postgres15, Postgres18};

/// Copies slowly, and does not swap until it is told to.
const SLOWLY: [&str; 5] = ["--chunk-rows", "100", "--workers", "1", "--postpone-cut-over"];

every_postgres!(
    who_writes_for_longer_than_a_lock_may_take_is_waited_for,
    a_slot_that_keeps_too_much_holds_up_the_copy_and_is_dropped_at_the_bound,
    a_run_ends_before_the_server_gives_up_its_slot_and_goes_on_when_there_is_room,
    a_slot_that_is_lost_is_named_with_a_way_out,
    slots_and_publications_of_ours_alone_are_cleaned_up,
    a_replica_identity_that_was_lent_is_given_back,
    a_log_that_is_only_looked_at_loses_nothing,
    a_server_that_will_not_stream_is_looked_at,
    a_standby_that_lags_holds_up_copy_and_swap_though_nobody_named_it,
    limits_on_time_that_a_role_has_end_nothing_of_ours,
    a_crash_that_empties_an_unlogged_shadow_loses_nothing,
);

fn with_orders(flavour: Flavour, settings: &[(&str, &str)]) -> Option<(Server, Table)> {
    let server = Server::start(flavour, settings)?;
    let table = Table::load(&server.url(DATABASE), "orders", 3_000).unwrap();
    Some((server, table))
}

/// A run that is in the middle of its copy, and stays there.
fn half_way(server: &Server, more: &[&str]) -> Running {
    let flags = [&SLOWLY[..], more].concat();
    let mut running = start(&server.url(DATABASE), "orders", widening(server.flavour()), &flags);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(300));
    running.ask("throttle");
    running
}

fn again(server: &Server, more: &[&str]) -> altergeist_integration::altergeist_process::Ended {
    run(&server.url(DATABASE), "orders", widening(server.flavour()), more)
}

fn cleanup(server: &Server, more: &[&str]) -> altergeist_integration::altergeist_process::Ended {
    command(&[&["cleanup", "--url", &server.url(DATABASE), "--table", "orders"], more].concat())
}

fn execute(server: &Server, statement: &str) {
    server.execute(DATABASE, statement).unwrap_or_else(|failure| panic!("{statement}: {failure}"));
}

fn value(server: &Server, query: &str) -> String {
    let rows = server.query(DATABASE, query).unwrap_or_else(|failure| panic!("{query}: {failure}"));
    rows.first().and_then(|row| row[0].clone()).unwrap_or_default()
}

/// Writes so much of log that has nothing to do with the table.
fn write_log(server: &Server, megabytes: u32) {
    let sql = format!(
        "SELECT count(pg_logical_emit_message(false, 'noise', repeat('x', 1000000))) FROM \
         generate_series(1, {megabytes})"
    );
    execute(server, &sql);
}

fn reason(status: &serde_json::Value) -> &str {
    status["throttle_reason"].as_str().unwrap_or_default()
}

/// The slot can only begin when who was writing has ended, somewhere on the server; nobody queues
/// behind that wait.
fn who_writes_for_longer_than_a_lock_may_take_is_waited_for(flavour: Flavour) {
    let Some((server, _)) = with_orders(flavour, &[]) else { return };
    block_on(async {
        let mut writer = Session::connect(&server.url(DATABASE)).await.unwrap();
        writer.rows("BEGIN; CREATE TABLE slow (a int)").await.unwrap();
        let flags = ["--lock-timeout", "50ms"];
        let mut running = start(&server.url(DATABASE), "orders", widening(flavour), &flags);
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE \
                     '%create_logical_replication_slot%' AND wait_event_type = 'Lock' AND now() - \
                     query_start > '1s'";
        while value(&server, waits) != "1" {
            assert!(running.is_running(), "it has ended: {}", running.output());
            thread::sleep(Duration::from_millis(50));
        }
        writer.rows("COMMIT").await.unwrap();
        running.wait().must_be(0);
    });
}

fn a_slot_that_keeps_too_much_holds_up_the_copy_and_is_dropped_at_the_bound(flavour: Flavour) {
    let Some((server, _)) = with_orders(flavour, &[]) else { return };
    let there = inventory(&server);
    let mut running = half_way(&server, &["--max-log-kept", "120MB"]);
    block_on(async {
        // Whoever writes and does not end keeps the server from forgetting its log.
        let mut writer = Session::connect(&server.url(DATABASE)).await.unwrap();
        writer.rows("BEGIN; CREATE TABLE slow (a int)").await.unwrap();
        write_log(&server, 80);
        running.ask("no-throttle");
        let held_up = running.wait_until(|status| reason(status).contains("retained-log"));
        assert!(held_up["log_kept_bytes"].as_u64() > Some(60 << 20), "{held_up}");
        write_log(&server, 80);
        let ended = running.wait().must_be(5);
        ended.must_say(&["--max-log-kept", "start again", "server process"]);
        assert_eq!(value(&server, "SELECT count(*) FROM pg_replication_slots"), "0");
        again(&server, &[]).must_be(1).must_say(&["cleanup", "start again"]);
        writer.rows("ROLLBACK").await.unwrap();
    });
    cleanup(&server, &[]).must_be(0);
    assert_eq!(left_behind(&there, &inventory(&server)), Vec::<String>::new());
    again(&server, &[]).must_be(0);
}

fn a_run_ends_before_the_server_gives_up_its_slot_and_goes_on_when_there_is_room(flavour: Flavour) {
    let Some((server, _)) = with_orders(flavour, &[("max_slot_wal_keep_size", "200MB")]) else {
        return;
    };
    let running = half_way(&server, &[]);
    block_on(async {
        let mut writer = Session::connect(&server.url(DATABASE)).await.unwrap();
        writer.rows("BEGIN; CREATE TABLE slow (a int)").await.unwrap();
        write_log(&server, 192);
        running.wait().must_be(5).must_say(&[
            "max_slot_wal_keep_size",
            "continues from here",
            "server process",
        ]);
        writer.rows("ROLLBACK").await.unwrap();
    });
    assert_eq!(value(&server, "SELECT wal_status <> 'lost' FROM pg_replication_slots"), "t");
    execute(&server, "UPDATE orders SET k = 77 WHERE id = 100");
    execute(&server, "ALTER SYSTEM SET max_slot_wal_keep_size = '2GB'");
    execute(&server, "SELECT pg_reload_conf()");
    again(&server, &[]).must_be(0);
    assert_eq!(value(&server, "SELECT k FROM orders WHERE id = 100"), "77");
    assert_eq!(value(&server, "SELECT count(*) FROM pg_replication_slots"), "0");
}

fn a_slot_that_is_lost_is_named_with_a_way_out(flavour: Flavour) {
    let Some((server, _)) = with_orders(flavour, &[("max_slot_wal_keep_size", "48MB")]) else {
        return;
    };
    half_way(&server, &[]).kill();
    write_log(&server, 150);
    execute(&server, "CHECKPOINT");
    assert_eq!(value(&server, "SELECT wal_status FROM pg_replication_slots"), "lost");
    again(&server, &[]).must_be(1).must_say(&[
        "max_slot_wal_keep_size (48MB)",
        "cleanup",
        "start again",
    ]);
    cleanup(&server, &[]).must_be(0);

    // The server gives it up under a run that goes on.
    let running = half_way(&server, &[]);
    execute(&server, "ALTER SYSTEM SET max_slot_wal_keep_size = 0");
    execute(&server, "SELECT pg_reload_conf()");
    block_on(async {
        let mut writer = Session::connect(&server.url(DATABASE)).await.unwrap();
        writer.rows("BEGIN; CREATE TABLE slow (a int)").await.unwrap();
        write_log(&server, 150);
        execute(&server, "CHECKPOINT");
        running.wait().must_be(1).must_say(&["max_slot_wal_keep_size", "cleanup", "start again"]);
    });
    cleanup(&server, &[]).must_be(0);

    half_way(&server, &[]).kill();
    let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE \
                active_pid IS NULL";
    let deadline = Instant::now() + LIMIT;
    while value(&server, "SELECT count(*) FROM pg_replication_slots") != "0" {
        assert!(Instant::now() < deadline, "somebody still reads the slot");
        execute(&server, drop);
        thread::sleep(Duration::from_millis(20));
    }
    again(&server, &[]).must_be(1).must_say(&["is gone", "cleanup", "start again"]);
    cleanup(&server, &[]).must_be(0);
    execute(&server, "ALTER SYSTEM SET max_slot_wal_keep_size = -1");
    execute(&server, "SELECT pg_reload_conf()");
    again(&server, &[]).must_be(0);
}

fn slots_and_publications_of_ours_alone_are_cleaned_up(flavour: Flavour) {
    let Some((server, _)) = with_orders(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    execute(&server, "CREATE DATABASE elsewhere");
    Table::load(&url, "others", 2_000).unwrap();
    let make =
        |slot: &str| format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
    execute(&server, &make("users_own"));
    execute(&server, &make("altergeist_users"));
    server.execute("elsewhere", &make("altergeist_00000000000000ff")).unwrap();
    execute(&server, "CREATE PUBLICATION users_own FOR TABLE orders");
    // A change of another table that waits to go on.
    let flags = [&SLOWLY[..], &["--strategy", "copy"]].concat();
    let mut waiting = start(&url, "others", "", &flags);
    waiting.wait_until(|status| status["rows_copied"].as_u64() > Some(300));
    waiting.kill();
    let there = inventory(&server);

    execute(&server, &make("altergeist_0123456789abcdef"));
    execute(&server, "CREATE PUBLICATION altergeist_0123456789abcdef FOR TABLE orders");
    let listed = cleanup(&server, &["--list"]).must_be(0);
    listed.must_say(&[
        "replication slot altergeist_0123456789abcdef",
        "publication altergeist_0123456789abcdef",
    ]);
    assert_eq!(left_behind(&there, &inventory(&server)).len(), 2);
    cleanup(&server, &[]).must_be(0);
    assert_eq!(inventory(&server), there);

    // Of a table that is gone in mid-change, the journal still knows.
    half_way(&server, &[]).kill();
    execute(&server, "DROP TABLE orders");
    again(&server, &[]).must_be(1);
    cleanup(&server, &[]).must_be(0);
    let mut left = there;
    left.remove("relation public.orders");
    assert_eq!(left_behind(&left, &inventory(&server)), Vec::<String>::new());
    run(&url, "others", "", &["--strategy", "copy"]).must_be(0);
}

/// A table whose replica identity tells nothing of rows that change gets another one, and never
/// keeps it.
fn a_replica_identity_that_was_lent_is_given_back(flavour: Flavour) {
    let Some((server, _)) = with_orders(flavour, &[]) else { return };
    execute(&server, "ALTER TABLE orders REPLICA IDENTITY NOTHING");
    let identity = || {
        let identity = "SELECT relreplident::text FROM pg_class WHERE oid = 'orders'::regclass";
        server.query(DATABASE, identity).unwrap()[0][0].clone().unwrap()
    };
    let running = half_way(&server, &[]);
    assert_eq!(identity(), "i");
    running.kill();
    cleanup(&server, &["--list"]).must_be(0).must_say(&["replica identity of public.orders"]);
    cleanup(&server, &[]).must_be(0);
    assert_eq!(identity(), "n");
    // Nothing publishes it any more.
    execute(&server, "UPDATE orders SET k = k + 1 WHERE id = 5");

    // Somebody reads, so the lock does not come, and nobody is kept waiting for long.
    block_on(async {
        let mut reader = Session::connect(&server.url(DATABASE)).await.unwrap();
        reader.rows("BEGIN; SELECT count(*) FROM orders").await.unwrap();
        again(&server, &["--lock-timeout", "20ms"]).must_be(7).must_say(&["replica identity"]);
        assert_eq!(identity(), "n");
        execute(&server, "UPDATE orders SET k = k + 1 WHERE id = 6");
        reader.rows("ROLLBACK").await.unwrap();
    });
    again(&server, &[]).must_be(0);
    assert_eq!(identity(), "n");
}

/// A run under load, killed half-way and given again, that must lose nothing. `while_running` looks
/// around meanwhile.
fn loses_nothing(server: &Server, table: &Table, more: &[&str], while_running: impl Fn()) {
    let url = server.url(DATABASE);
    let there = inventory(server);
    let writers = Writers::start(&url, table, 150, 3, 7, &Mix::everything());
    half_way(server, more).kill();
    writers.wait_for(100, Duration::from_secs(30));
    let flags = [&["--postpone-cut-over"], more].concat();
    let mut running = start(&url, "orders", widening(server.flavour()), &flags);
    running.wait_until(|status| status["phase"] == "waiting");
    while_running();
    writers.wait_for(100, Duration::from_secs(30));
    running.ask("cut-over");
    running.wait().must_be(0);
    writers.wait_for(50, Duration::from_secs(30));
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
    assert_eq!(left_behind(&there, &inventory(server)), old_table(server.flavour(), "orders"));
}

fn a_log_that_is_only_looked_at_loses_nothing(flavour: Flavour) {
    let Some((server, table)) = with_orders(flavour, &[]) else { return };
    loses_nothing(&server, &table, &["--capture", "poll"], || {
        assert_eq!(value(&server, "SELECT count(*) FROM pg_stat_replication"), "0");
        let was = value(&server, "SELECT confirmed_flush_lsn FROM pg_replication_slots");
        let deadline = Instant::now() + LIMIT;
        let moved = format!("SELECT confirmed_flush_lsn > '{was}' FROM pg_replication_slots");
        while value(&server, &moved) != "t" {
            assert!(Instant::now() < deadline, "the slot is not moved on");
            thread::sleep(Duration::from_millis(50));
        }
    });
}

fn a_server_that_will_not_stream_is_looked_at(flavour: Flavour) {
    let Some((server, table)) = with_orders(flavour, &[("max_wal_senders", "0")]) else { return };
    let words =
        ["plan", "--url", &server.url(DATABASE), "--table", "orders", "--alter", widening(flavour)];
    command(&words).must_be(0).must_say(&["cannot be streamed", "max_wal_senders"]);
    let url = server.url(DATABASE);
    let writers = Writers::start(&url, &table, 100, 2, 7, &Mix::everything());
    again(&server, &[]).must_be(0).must_say(&["cannot be streamed", "max_wal_senders"]);
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
}

fn a_standby_that_lags_holds_up_copy_and_swap_though_nobody_named_it(flavour: Flavour) {
    let Some(primary) = Server::start(flavour, &[]) else { return };
    let url = primary.url(DATABASE);
    Table::load(&url, "orders", 20_000).unwrap();
    let standby = primary.start_replica();
    let flags = ["--max-lag", "1s", "--chunk-rows", "50", "--workers", "1", "--postpone-cut-over"];
    let mut running = start(&url, "orders", widening(flavour), &flags);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(200));
    // Told to rest until the standby lags, the copy cannot be through before.
    running.ask("throttle");
    standby.pause_replay();
    running.wait_until(|status| status["replica_lag_seconds"].as_f64() > Some(1.0));
    running.ask("no-throttle");
    let held_up = running.wait_until(|status| reason(status).contains("replica-lag"));
    assert!(held_up["rows_copied"].as_u64() < Some(20_000), "{held_up}");
    standby.resume_replay();
    running.wait_until(|status| status["phase"] == "waiting" && reason(status).is_empty());
    standby.pause_replay();
    running.wait_until(|status| reason(status).contains("replica-lag"));
    running.ask("cut-over");
    must_stay("no swap while the standby lags", || running.is_running());
    assert_eq!(value(&primary, "SELECT to_regclass('ag_old_public.orders') IS NULL"), "t");
    standby.resume_replay();
    running.wait().must_be(0);
}

/// Whatever a role may spend on a statement, a transaction or an idle moment: plan, copy, log and
/// verification take longer.
fn limits_on_time_that_a_role_has_end_nothing_of_ours(flavour: Flavour) {
    let Some((server, table)) = with_orders(flavour, &[]) else { return };
    let limits = [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
    ];
    let since_17: &[&str] = if flavour == Postgres18 { &["transaction_timeout"] } else { &[] };
    execute(&server, "CREATE ROLE hasty SUPERUSER LOGIN");
    for limit in limits.iter().chain(since_17) {
        execute(&server, &format!("ALTER ROLE hasty SET {limit} = '300ms'"));
    }
    execute(
        &server,
        "CREATE FUNCTION slow(k int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
         'BEGIN IF k % 3 = 0 THEN PERFORM pg_sleep(0.001); END IF; RETURN k; END'",
    );
    let url = server.url(DATABASE);
    let writers = Writers::start(&url, &table, 50, 2, 7, &Mix::everything());
    let hasty = url.replacen("//postgres@", "//hasty@", 1);
    assert_ne!(hasty, url, "the role stands before the host");
    let slowly =
        "ALTER COLUMN k TYPE bigint USING slow(k), ADD COLUMN note text NOT NULL DEFAULT 'new'";
    let mut running = start(&hasty, "orders", slowly, &["--workers", "1", "--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    // The run is idle now, for longer than that.
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'hasty'";
    must_stay("the run has its sessions", || value(&server, sessions) != "0");
    running.ask("cut-over");
    running.wait().must_be(0);
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
    for ended in ["due to statement timeout", "due to lock timeout", "timeout\n"] {
        assert!(!server.log_text().contains(ended), "{}", server.log_tail());
    }
}

/// The server comes up with every unlogged table empty; whoever goes on from the watermark then has
/// lost what lies before it.
fn a_crash_that_empties_an_unlogged_shadow_loses_nothing(flavour: Flavour) {
    let Some((mut server, table)) = with_orders(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let alter =
        "SET UNLOGGED, ALTER COLUMN k TYPE bigint, ADD COLUMN note text NOT NULL DEFAULT 'new'";
    let mut running = start(&url, "orders", alter, &SLOWLY);
    running.wait_until(|status| status["rows_copied"].as_u64() > Some(300));
    running.ask("throttle");
    running.kill();
    server.kill();
    server.restart();
    let mut running = start(&url, "orders", alter, &["--postpone-cut-over"]);
    running.wait_until(|status| status["phase"] == "waiting");
    // Once more when all is proven, with the tool alive.
    server.kill();
    server.restart();
    let writers = Writers::start(&url, &table, 50, 2, 7, &Mix::everything());
    running.ask("cut-over");
    running.wait().must_be(0).must_say(&["unlogged"]);
    let report = writers.stop();
    assert!(report.errors().is_empty(), "{}", report.errors()[0]);
    report.prove(&url).unwrap();
    assert_eq!(
        value(&server, "SELECT relpersistence::text FROM pg_class WHERE oid = 'orders'::regclass"),
        "u"
    );
}

#[test]
fn a_slot_survives_a_failover() {
    let settings = [("hot_standby_feedback", "on"), ("sync_replication_slots", "on")];
    let Some((server, _)) = with_orders(Postgres18, &settings) else { return };
    let running = half_way(&server, &[]);
    assert_eq!(
        value(
            &server,
            "SELECT failover FROM pg_replication_slots WHERE slot_name LIKE 'altergeist%'"
        ),
        "t"
    );
    running.kill();
}

#[test]
fn a_standby_can_be_read_from_and_nothing_is_lost() {
    let Some((primary, table)) = with_orders(Postgres18, &[("hot_standby_feedback", "on")]) else {
        return;
    };
    let standby = primary.start_replica();
    let there = inventory(&standby);
    let stream = ["--stream-from", &standby.url(DATABASE)];
    loses_nothing(&primary, &table, &stream, || {
        assert_eq!(value(&primary, "SELECT count(*) FROM pg_replication_slots"), "0");
        assert_eq!(value(&standby, "SELECT count(*) FROM pg_replication_slots WHERE active"), "1");
    });
    assert_eq!(value(&standby, "SELECT count(*) FROM pg_replication_slots"), "0", "{there:?}");
}

#[test]
fn a_slot_on_a_standby_waits_for_who_writes_on_the_primary() {
    let Some((primary, _)) = with_orders(Postgres18, &[("hot_standby_feedback", "on")]) else {
        return;
    };
    let standby = primary.start_replica();
    block_on(async {
        let mut writer = Session::connect(&primary.url(DATABASE)).await.unwrap();
        writer.rows("BEGIN; CREATE TABLE slow (a int)").await.unwrap();
        let flags = ["--lock-timeout", "50ms", "--stream-from", &standby.url(DATABASE)];
        let mut running = start(&primary.url(DATABASE), "orders", widening(Postgres18), &flags);
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE \
                     '%create_logical_replication_slot%' AND state = 'active' AND now() - \
                     query_start > '2s'";
        while value(&standby, waits) != "1" {
            assert!(running.is_running(), "it has ended: {}", running.output());
            thread::sleep(Duration::from_millis(50));
        }
        writer.rows("COMMIT").await.unwrap();
        running.wait().must_be(0);
    });
}

#[test]
fn a_slot_on_a_standby_is_not_forgotten() {
    let Some((primary, _)) = with_orders(Postgres18, &[("hot_standby_feedback", "on")]) else {
        return;
    };
    let standby = primary.start_replica();
    let stream = ["--stream-from", &standby.url(DATABASE)];
    half_way(&primary, &stream).kill();
    again(&primary, &[]).must_be(3).must_say(&["--stream-from"]);
    cleanup(&primary, &["--list"]).must_be(0).must_say(&[&format!("127.0.0.1:{}", standby.port())]);
    cleanup(&primary, &[]).must_be(3).must_say(&["--stream-from"]);
    cleanup(&primary, &stream).must_be(0);
    assert_eq!(value(&standby, "SELECT count(*) FROM pg_replication_slots"), "0");

    // A standby that is promoted is followed no more, and the primary does not wait for it.
    let mut running = half_way(&primary, &stream);
    execute(&standby, "SELECT pg_promote()");
    running.ask("no-throttle");
    let ended = running.wait().must_be(1);
    ended.must_say(&["promoted", "start again"]);
    cleanup(&primary, &["--stream-from", &primary.url(DATABASE)]).must_be(0);
    again(&primary, &[]).must_be(0);
}

#[test]
fn a_standby_whose_log_does_not_serve_is_refused() {
    for flavour in [Postgres15, Postgres18] {
        let words =
            if flavour.major() < 16 { "before postgresql 16" } else { "hot_standby_feedback" };
        let Some((primary, _)) = with_orders(flavour, &[]) else { return };
        let standby = primary.start_replica();
        again(&primary, &["--stream-from", &standby.url(DATABASE)]).must_be(3).must_say(&[words]);
        let Some((other, _)) = with_orders(flavour, &[]) else { return };
        again(&primary, &["--stream-from", &other.url(DATABASE)]).must_be(3).must_say(&["replica"]);
    }
}
