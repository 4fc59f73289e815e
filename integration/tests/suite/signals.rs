//! Each throttle signal on real servers: what it reads, what it says, and that a signal that cannot
//! be read means: wait. In force before indexes are built too. And a long pause harms no session.

use altergeist_integration::altergeist_process::{
    Running, command, must_stay, run, start, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::session::{Session, block_on};
use altergeist_integration::workload::Table;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

every_server!(
    every_signal_throttles_and_a_long_pause_harms_no_session,
    indexes_are_built_only_when_nothing_throttles_and_a_critical_load_ends_that,
);

/// The server ends whoever says nothing for so long.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

fn idle_limits(flavour: Flavour) -> &'static [(&'static str, &'static str)] {
    match flavour.is_postgres() {
        true => &[("idle_session_timeout", "5s"), ("idle_in_transaction_session_timeout", "5s")],
        false => &[("wait_timeout", "5"), ("interactive_timeout", "5")],
    }
}

/// A session of the application that the limits do not end.
async fn patient(server: &Server) -> Session {
    let mut session = Session::connect(&server.url(DATABASE)).await.expect("the server answers");
    let unlimited = match server.flavour().is_postgres() {
        true => "SET idle_session_timeout = 0; SET idle_in_transaction_session_timeout = 0",
        false => "SET SESSION wait_timeout = 1000",
    };
    session.execute(unlimited).await.expect("a session may set its own limits");
    session
}

fn wait_for(running: &mut Running, reason: &str) {
    running.wait_until(|status| {
        status["throttle_reason"].as_str().is_some_and(|it| it.starts_with(reason))
    });
}

/// Each signal begins to throttle before the one before it is taken away.
fn every_signal_throttles_and_a_long_pause_harms_no_session(flavour: Flavour) {
    let Some(server) = Server::start(flavour, idle_limits(flavour)) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 3_000).unwrap();
    server.execute(DATABASE, "CREATE TABLE other (id int PRIMARY KEY, n int)").unwrap();
    server.execute(DATABASE, "INSERT INTO other VALUES (1, 1)").unwrap();
    if !flavour.is_postgres() {
        // What the server hides from a user does not count as nothing.
        server.execute(DATABASE, "CREATE USER poor@'%'").unwrap();
        let rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, TRIGGER, LOCK \
                      TABLES, REPLICATION SLAVE, REPLICATION CLIENT";
        server.execute(DATABASE, &format!("GRANT {rights} ON *.* TO poor@'%'")).unwrap();
        let poor = url.replace("root@", "poor@");
        let waiters = ["--strategy", "copy", "--max-lock-waiters", "3"];
        run(&poor, "orders", widening(flavour), &waiters).must_be(3).must_say(&["GRANT PROCESS"]);
    }
    let nothing_tells = ["--min-free-disk", "1GB"];
    run(&url, "orders", widening(flavour), &nothing_tells).must_be(3).must_say(&["--free-disk"]);

    let folder = tempfile::tempdir().unwrap();
    let (pause, free) = (folder.path().join("pause"), folder.path().join("free"));
    std::fs::write(&pause, "").unwrap();
    std::fs::write(&free, "5GB\n").unwrap();
    let disk = format!("cat {}", free.display());
    let more = ["--throttle-file", pause.to_str().unwrap(), "--min-free-disk", "1GB"];
    let more = [&more[..], &["--free-disk", &disk, "--postpone-cut-over"]].concat();
    let mut running = start(&url, "orders", widening(flavour), &more);
    wait_for(&mut running, "throttle-file exists (");
    assert_eq!(running.status()["rows_copied"], 0);

    block_on(async {
        let mut holder = patient(&server).await;
        holder.execute("BEGIN").await.unwrap();
        holder.execute("UPDATE other SET n = 2 WHERE id = 1").await.unwrap();
        let waiting = url.clone();
        let blocked = thread::spawn(move || {
            block_on(async {
                let mut waiter = Session::connect(&waiting).await?;
                waiter.execute("UPDATE other SET n = 3 WHERE id = 1").await
            })
        });
        running.ask("max-lock-waiters=0");
        std::fs::remove_file(&pause).unwrap();
        wait_for(&mut running, "lock-waiters 1 > 0");
        running.ask("max-history-list=0");
        holder.execute("COMMIT").await.unwrap();
        blocked.join().expect("it ends").unwrap();
        // What an open snapshot keeps: versions of rows, or transactions since.
        holder.execute("BEGIN").await.unwrap();
        holder.execute("UPDATE other SET n = 4 WHERE id = 1").await.unwrap();
        for id in 2..5 {
            server.execute(DATABASE, &format!("INSERT INTO other VALUES ({id}, 0)")).unwrap();
        }
        running.ask("max-history-list=1");
        wait_for(&mut running, "history-list ");
        running.ask("min-free-disk=6GB");
        holder.execute("COMMIT").await.unwrap();
    });
    running.ask("max-history-list=");
    running.ask("max-lock-waiters=");
    wait_for(&mut running, "free-disk 5GB < 6GB");
    std::fs::write(&free, "much\n").unwrap();
    running.ask("min-free-disk=7GB");
    wait_for(&mut running, "free-disk unknown (");
    assert!(running.ask("min-free-disk=20").contains("unit"), "20 bytes protect nobody");
    running.ask("replication-lag-query=SELECT 5");
    running.ask("min-free-disk=");
    wait_for(&mut running, "replica-lag 5.0s > 1.5s (127.0.0.1:");
    running.ask("replication-lag-query=SELECT 1 UNION ALL SELECT 2");
    wait_for(&mut running, "replica-lag unknown (127.0.0.1:");
    running.ask("throttle-control-replicas=127.0.0.1:1");
    running.ask("replication-lag-query=");
    wait_for(&mut running, "replica-lag unknown (127.0.0.1:1");
    running.ask("throttle");
    running.ask("throttle-control-replicas=");
    wait_for(&mut running, "by order of the operator");
    let mut signals = Vec::new();
    for signal in running.status()["signals"].as_array().expect("it is a list") {
        signals.push(signal["signal"].as_str().unwrap_or_default().to_owned());
    }
    assert!(signals.contains(&"order".to_owned()), "{signals:?}");

    // A pause longer than the server keeps a silent session. Nothing but time shows that.
    let paused = Instant::now();
    while paused.elapsed() < IDLE_LIMIT + Duration::from_millis(1500) {
        assert_eq!(running.status()["rows_copied"], 0);
        thread::sleep(Duration::from_millis(500));
    }
    running.ask("no-throttle");
    let status = running.wait_until(|status| status["phase"] == "waiting");
    assert!(status["last_error"].is_null(), "{status}");
    running.ask("throttle");
    running.ask("cut-over");
    wait_for(&mut running, "by order of the operator");
    must_stay("no swap while a signal throttles", || running.status()["phase"] == "waiting");
    assert_eq!(running.status()["gates"][0]["open"], true, "gates are shown all the same");
    running.ask("no-throttle");
    running.wait().must_be(0);
}

fn indexes_are_built_only_when_nothing_throttles_and_a_critical_load_ends_that(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    Table::load(&url, "orders", 3_000).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (pause, hook) = (folder.path().join("pause"), folder.path().join("on-copy-complete"));
    std::fs::write(&hook, format!("#!/bin/sh\ntouch {}\n", pause.display())).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let more = ["--throttle-file", pause.to_str().unwrap(), "--lock-timeout", "60s"];
    let hooks = ["--hooks", folder.path().to_str().unwrap()];
    let mut running = start(&url, "orders", widening(flavour), &[&more[..], &hooks].concat());
    let shadow =
        if flavour.is_postgres() { "ag_shadow_public.orders" } else { "_orders_ag_shadow" };
    let measure = if flavour.is_postgres() { "connections" } else { "Threads_connected" };
    wait_for(&mut running, "throttle-file exists (");
    block_on(async {
        // Nobody builds anything now, so nobody is in the way of this lock.
        let mut holder = patient(&server).await;
        holder.execute("BEGIN").await.unwrap();
        let reads = format!("SELECT count(*) FROM {shadow}");
        match flavour.is_postgres() {
            true => holder.execute(&format!("LOCK TABLE {shadow} IN ROW EXCLUSIVE MODE")).await,
            false => holder.execute(&reads).await,
        }
        .unwrap();
        must_stay("nothing is built", || running.status()["percent"] == 0.0);
        assert_eq!(running.status()["phase"], "indexing");
        std::fs::remove_file(&pause).unwrap();
        running.wait_until(|status| status["throttle_reason"].is_null());
        running.ask(&format!("critical-load={measure}=1"));
        running.wait().must_be(5).must_say(&[measure, "--critical-load"]);
        holder.execute("COMMIT").await.unwrap();
    });
    std::fs::remove_file(&hook).unwrap();
    run(&url, "orders", widening(flavour), &["--lock-timeout", "1s"]).must_be(0);
    command(&["status", "--url", &url, "--table", "orders"]).must_be(0);
}
