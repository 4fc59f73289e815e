//! Kill the tool, the server, the network, at any moment: the same command finishes the change.

use std::thread;
use std::time::Duration;

use altergeist_integration::altergeist_process::{
    Ended, Running, inventory, left_behind, must_stay, old_table, run, start, widening,
};
use altergeist_integration::every_server;
use altergeist_integration::faults::{Fault, FaultProxy};
use altergeist_integration::servers::{DATABASE, Flavour, Server, url};
use altergeist_integration::workload::{Mix, Table, Writers};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Small chunks, so that a fault meets the run where it is meant to.
const SLOWLY: [&str; 4] = ["--chunk-rows", "50", "--workers", "1"];

const ROWS: u64 = 10_000;

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
    for seed in 1..=2 {
        let name = format!("orders{seed}");
        kill_and_resume(&server, &name, (ROWS, 150), seed, 5, &SLOWLY);
    }
}

/// Waits for the moment of the `nth` fault, and returns the phase that it meets; `None` if the run
/// has ended before. The first comes while the run still prepares, or soon after, the next ones
/// meet the copy, the last ones what follows it.
fn wait_for_the_moment(
    running: &mut Running,
    nth: u32,
    rows: u64,
    random: &mut SmallRng,
) -> Option<String> {
    let copied = rows * u64::from(nth) / 4 + random.random_range(0..rows / 10);
    let is_reached = |status: &serde_json::Value| match status["phase"].as_str() {
        Some("planning") => false,
        Some("copying") => nth < 4 && status["rows_copied"].as_u64() >= Some(copied),
        _ => true,
    };
    if nth > 0 {
        let seen = running.wait_until_or_end(is_reached).ok()?;
        return seen["phase"].as_str().map(str::to_owned);
    }
    thread::sleep(Duration::from_millis(random.random_range(0..150)));
    let seen = running.wait_until_or_end(|_| true).ok()?;
    seen["phase"].as_str().map(str::to_owned)
}

/// A change of a table of so many rows, under so many writes a second, killed up to `kills` times
/// at moments that `seed` decides, with `more` options.
fn kill_and_resume(
    server: &Server,
    name: &str,
    load: (u64, u32),
    seed: u64,
    kills: u32,
    more: &[&str],
) {
    let (rows, per_second) = load;
    let (url, alter) = (server.url(DATABASE), widening(server.flavour()));
    let table = Table::load(&url, name, rows).unwrap();
    let there = inventory(server);
    let mut random = SmallRng::seed_from_u64(seed);
    let writers = Writers::start(&url, &table, per_second, 3, seed, &Mix::everything());

    let mut moments = Vec::new();
    for nth in 0..kills {
        let mut running = start(&url, name, alter, more);
        let Some(phase) = wait_for_the_moment(&mut running, nth, rows, &mut random) else { break };
        moments.push(phase);
        running.kill();
    }
    assert!(
        kills < 2 || moments.iter().any(|phase| phase == "copying"),
        "no kill met the copy: {moments:?}"
    );
    let ended = run(&url, name, alter, more);
    let report = writers.stop();

    let Ended { code, output } = ended;
    let flavour = server.flavour();
    assert_eq!(
        code,
        Some(0),
        "{flavour:?}, seed {seed}, killed after {moments:?}; it said:\n{output}"
    );
    report
        .prove(&url)
        .unwrap_or_else(|why| panic!("{flavour:?}, seed {seed}, killed after {moments:?}: {why}"));
    let mut left = left_behind(&there, &inventory(server));
    left.retain(|object| object != "schema ag_old_public");
    assert_eq!(left, old_table(flavour, name)[..1], "seed {seed}, killed after {moments:?}");
}

fn a_run_whose_server_is_killed_is_finished_by_the_same_command(flavour: Flavour) {
    let Some(mut server) = Server::start(flavour, &[]) else {
        return;
    };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", ROWS).unwrap();
    let writers = Writers::start(&url, &table, 150, 3, 1, &Mix::everything());
    let mut random = SmallRng::seed_from_u64(1);
    for nth in 1..=3 {
        let mut running = start(&url, "orders", widening(flavour), &SLOWLY);
        let met = wait_for_the_moment(&mut running, nth, ROWS, &mut random);
        assert_eq!(met.as_deref(), Some("copying"), "the fault was meant for the copy");
        server.kill();
        server.restart();
        // It would go on by itself; here a new process does.
        assert!(running.is_running(), "{}", running.output());
        running.kill();
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
    let table = Table::load(&server.url(DATABASE), "orders", ROWS).unwrap();
    let writers = Writers::start(&server.url(DATABASE), &table, 150, 3, 1, &Mix::everything());
    let mut random = SmallRng::seed_from_u64(2);
    let through_proxy = url(flavour, proxy.port(), DATABASE);

    let faults =
        [Fault::Cut, Fault::CutAfter(2_000), Fault::Stall, Fault::Cut, Fault::CutAfter(50_000)];
    for (nth, fault) in (0..).zip(faults) {
        let mut running = start(&through_proxy, "orders", widening(flavour), &SLOWLY);
        let met = wait_for_the_moment(&mut running, nth.min(3), ROWS, &mut random);
        assert!(
            !matches!(nth, 1 | 2) || met.as_deref() == Some("copying"),
            "{fault:?} was meant for the copy and met {met:?}"
        );
        proxy.set(fault);
        must_stay("without a network the run goes on", || running.is_running());
        proxy.set(Fault::Pass);
        running.kill();
    }
    let ended = run(&through_proxy, "orders", widening(flavour), &SLOWLY);
    let report = writers.stop();
    ended.must_be(0);
    report.prove(&server.url(DATABASE)).unwrap();
}

/// The long one: `make soak`. Each server's table of a million rows is changed under 500 writes a
/// second, once without and once with a kill at a random moment, as often as `ALTERGEIST_SOAK_RUNS`
/// says.
#[test]
#[ignore = "hours; make soak"]
fn a_million_rows_killed_and_resumed_over_and_over() {
    let runs: u64 =
        std::env::var("ALTERGEIST_SOAK_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1);
    for (seed, flavour) in (1..=runs).flat_map(|seed| Flavour::all().map(|flavour| (seed, flavour)))
    {
        for kills in [0, 1] {
            let Some(server) = Server::start(flavour, &[]) else { continue };
            let begun = std::time::Instant::now();
            kill_and_resume(&server, "orders", (1_000_000, 500), seed, kills, &[]);
            println!(
                "{}: run {seed} of {runs}, {kills} kills: equal after {:?}",
                flavour.name(),
                begun.elapsed()
            );
        }
    }
}

/// By hand, or by a limit on the time of statements: only the statement ends, and its session
/// lives.
fn a_run_whose_statements_somebody_cancels_again_and_again_is_finished(flavour: Flavour) {
    // Fewer than may fail in a row.
    const CANCELS: usize = 10;
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let table = Table::load(&url, "orders", ROWS).unwrap();
    let writers = Writers::start(&url, &table, 150, 3, 1, &Mix::everything());
    let more = SLOWLY;
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
        false => (
            "SELECT id FROM information_schema.processlist WHERE info LIKE '/* altergeist%'",
            "KILL QUERY",
        ),
    };
    let found = server.query(DATABASE, find).unwrap();
    let ids = found.iter().map(|row| row[0].as_deref().unwrap());
    ids.filter(|id| server.execute(DATABASE, &format!("{cancel} ({id})")).is_ok()).count()
}
