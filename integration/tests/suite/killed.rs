//! Kill the tool, the server, the network, at any moment: the same command finishes the change.

use std::thread;
use std::time::Duration;

use altergeist_integration::every_server;
use altergeist_integration::faults::{Fault, FaultProxy};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::tool::{Ended, inventory, left_behind, old_table, run, start, widening};
use altergeist_integration::workload::{Mix, Table, Writers};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Small chunks, so that there are many moments to be killed at.
const SLOWLY: [&str; 4] = ["--chunk-rows", "200", "--workers", "2"];

every_server!(
    a_run_killed_at_any_moment_is_finished_by_the_same_command,
    a_run_whose_server_is_killed_is_finished_by_the_same_command,
    a_run_whose_network_is_cut_again_and_again_is_finished,
    a_run_whose_statements_somebody_cancels_again_and_again_is_finished,
);

fn a_run_killed_at_any_moment_is_finished_by_the_same_command(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    for seed in 1..=4 {
        let name = format!("orders{seed}");
        kill_and_resume(&server, &name, 20_000, seed, 5);
    }
}

/// A change of a table under load, killed up to `kills` times at moments that `seed` decides.
fn kill_and_resume(server: &Server, name: &str, rows: u64, seed: u64, kills: u32) {
    kill_and_resume_under(server, name, (rows, 150), seed, kills, &SLOWLY);
}

/// The same, of so many rows and under so many writes a second, with `more` options.
fn kill_and_resume_under(server: &Server, name: &str, load: (u64, u32), seed: u64, kills: u32, more: &[&str]) {
    let (rows, per_second) = load;
    let (url, alter) = (server.url(DATABASE), widening(server.flavour()));
    let table = Table::load(&url, name, rows).unwrap();
    let there = inventory(server);
    let mut random = SmallRng::seed_from_u64(seed);
    let writers = Writers::start(&url, &table, per_second, 3, seed, &Mix::everything());
    let longest = (rows / 100).clamp(2_000, 8_000);

    let mut moments = Vec::new();
    for _ in 0..kills {
        let moment = Duration::from_millis(random.random_range(10..longest));
        let mut running = start(&url, name, alter, more);
        thread::sleep(moment);
        if !running.is_running() {
            break;
        }
        moments.push(moment);
        running.kill();
    }
    let ended = run(&url, name, alter, more);
    let report = writers.stop();

    let Ended { code, output } = ended;
    let flavour = server.flavour();
    assert_eq!(code, Some(0), "{flavour:?}, seed {seed}, killed after {moments:?}; it said:\n{output}");
    report.prove(&url).unwrap_or_else(|why| panic!("{flavour:?}, seed {seed}, killed after {moments:?}: {why}"));
    let mut left = left_behind(&there, &inventory(server));
    left.retain(|object| object != "schema ag_old_public");
    assert_eq!(left, old_table(flavour, name)[..1], "seed {seed}, killed after {moments:?}");
}

fn a_run_whose_server_is_killed_is_finished_by_the_same_command(flavour: Flavour) {
    let Some(mut server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 20_000).unwrap();
    let writers = Writers::start(&url, &table, 150, 3, 1, &Mix::everything());
    let mut random = SmallRng::seed_from_u64(1);
    for _ in 0..3 {
        let mut running = start(&url, "orders", widening(flavour), &SLOWLY);
        thread::sleep(Duration::from_millis(random.random_range(200..2_500)));
        server.kill();
        server.restart();
        // It may have gone on by itself, or have given up: both are survivable.
        thread::sleep(Duration::from_millis(300));
        if running.is_running() {
            running.kill();
        }
    }
    let ended = run(&url, "orders", widening(flavour), &SLOWLY);
    let report = writers.stop();
    ended.must_be(0);
    report.prove(&url).unwrap();
}

fn a_run_whose_network_is_cut_again_and_again_is_finished(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else {
        return;
    };
    let proxy = FaultProxy::start(server.port());
    let table = Table::load(&server.url(DATABASE), "orders", 20_000).unwrap();
    let writers = Writers::start(&server.url(DATABASE), &table, 150, 3, 1, &Mix::everything());
    let mut random = SmallRng::seed_from_u64(2);
    let through_proxy = url(flavour, proxy.port(), DATABASE);

    let mut code = None;
    for fault in [Fault::Cut, Fault::CutAfter(2_000), Fault::Stall, Fault::Cut, Fault::CutAfter(50_000)] {
        let mut running = start(&through_proxy, "orders", widening(flavour), &SLOWLY);
        thread::sleep(Duration::from_millis(random.random_range(100..1_500)));
        proxy.set(fault);
        thread::sleep(Duration::from_millis(500));
        proxy.set(Fault::Pass);
        thread::sleep(Duration::from_millis(500));
        if running.is_running() {
            running.kill();
        } else {
            code = running.wait().code;
        }
        assert!(matches!(code, None | Some(0 | 1)), "after {fault:?} it ended with {code:?}");
    }
    let ended = run(&through_proxy, "orders", widening(flavour), &SLOWLY);
    let report = writers.stop();
    ended.must_be(0);
    report.prove(&server.url(DATABASE)).unwrap();
}

/// The long one: `make soak`. Each server's table of a million rows is changed under 500 writes a second, once without
/// and once with a kill at a random moment, as often as `ALTERGEIST_SOAK_RUNS` says.
#[test]
#[ignore = "hours; make soak"]
fn a_million_rows_killed_and_resumed_over_and_over() {
    let runs: u64 = std::env::var("ALTERGEIST_SOAK_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    for (seed, flavour) in (1..=runs).flat_map(|seed| Flavour::all().map(|flavour| (seed, flavour))) {
        for kills in [0, 1] {
            let Some(server) = Server::start(flavour, &[]) else { continue };
            let begun = std::time::Instant::now();
            kill_and_resume_under(&server, "orders", (1_000_000, 500), seed, kills, &[]);
            println!("{}: run {seed} of {runs}, {kills} kills: equal after {:?}", flavour.name(), begun.elapsed());
        }
    }
}

/// By hand, or by a limit on the time of statements: only the statement ends, and its session lives.
fn a_run_whose_statements_somebody_cancels_again_and_again_is_finished(flavour: Flavour) {
    // Fewer than may fail in a row.
    const CANCELS: usize = 10;
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", 20_000).unwrap();
    let writers = Writers::start(&url, &table, 150, 3, 1, &Mix::everything());
    let more = [&SLOWLY[..], &["--nice", "2"]].concat();
    let mut running = start(&url, "orders", widening(flavour), &more);
    // Before that nothing is to be gone on with, and what was cancelled ends the run.
    running.wait_until(|status| status["phase"] == "copying");
    let mut cancelled = 0;
    while running.is_running() && cancelled < CANCELS {
        let just_now = cancel_what_runs(&server);
        cancelled += just_now;
        thread::sleep(Duration::from_millis(if just_now > 0 { 300 } else { 5 }));
    }
    let ended = running.wait().must_be(0);
    assert!(cancelled >= 3, "{cancelled} statements were cancelled in:\n{}", ended.output);
    writers.stop().prove(&url).unwrap();
}

/// Cancels every statement of ours that the server is at; says how many.
fn cancel_what_runs(server: &Server) -> usize {
    let (find, cancel) = match server.flavour().is_postgres() {
        true => (
            "SELECT pid::text FROM pg_stat_activity
             WHERE application_name LIKE 'altergeist%' AND backend_type = 'client backend' AND state = 'active'",
            "SELECT pg_cancel_backend",
        ),
        false => ("SELECT id FROM information_schema.processlist WHERE info LIKE '/* altergeist%'", "KILL QUERY"),
    };
    let found = server.query(DATABASE, find).unwrap();
    let ids = found.iter().map(|row| row[0].as_deref().unwrap());
    ids.filter(|id| server.execute(DATABASE, &format!("{cancel} ({id})")).is_ok()).count()
}
