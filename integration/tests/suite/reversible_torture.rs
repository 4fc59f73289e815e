//! The way back under an application that never pauses: whatever dies, and however the table is put
//! back, every row that was written since the swap is there.

use std::thread;
use std::time::{Duration, Instant};

use altergeist_integration::altergeist_process::{
    Ended, Running, command, inventory, left_behind, run, start, start_revert,
};
use altergeist_integration::every_server;
use altergeist_integration::servers::{DATABASE, Flavour, Server};
use altergeist_integration::workload::{Kind, Mix, Report, Table, Writers};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

every_server!(
    a_table_is_put_back_under_its_writers,
    a_table_is_put_back_under_its_writers_whatever_dies_ten_times,
    unique_values_that_wander_come_back,
);

/// How hard a round is.
struct Load {
    rows: u64,
    per_second: u32,
    /// Seconds of writes from the swap to the revert.
    seconds: u32,
    tool_kills: u32,
    server_kills: u32,
}

/// Who puts the table back, and what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The run, by an order at its socket.
    Order,
    /// The run, by the command `revert`.
    Command,
    /// The command alone, after the run was killed.
    Alone,
    /// The run by an order; it is killed in the middle, and the command repeats it.
    OrderKilled,
    /// The command alone, killed again and again.
    AloneKilled,
}

impl Way {
    fn of(seed: u64) -> Self {
        let ways = [Self::AloneKilled, Self::Order, Self::OrderKilled, Self::Command, Self::Alone];
        ways[(seed % 5) as usize]
    }
}

/// What dies, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Tool,
    Server,
}

fn a_table_is_put_back_under_its_writers(flavour: Flavour) {
    let Some(mut server) = Server::start(flavour, &[]) else { return };
    let load = Load { rows: 2_000, per_second: 150, seconds: 2, tool_kills: 1, server_kills: 0 };
    round(&mut server, 2, &load);
}

/// Minutes: `ALTERGEIST_ROUNDS=3-4` says which rounds, if not all ten.
fn a_table_is_put_back_under_its_writers_whatever_dies_ten_times(flavour: Flavour) {
    let Some(mut server) = Server::start(flavour, &[]) else { return };
    let rounds = std::env::var("ALTERGEIST_ROUNDS").unwrap_or("1-10".into());
    let (first, last) = rounds.split_once('-').unwrap_or((&rounds, &rounds));
    let number = |word: &str| word.parse::<u64>().expect("a number of a round");
    let load = Load { rows: 10_000, per_second: 150, seconds: 60, tool_kills: 3, server_kills: 1 };
    for seed in number(first)..=number(last) {
        round(&mut server, seed, &load);
    }
}

/// The change: one column goes, one comes, others become wider.
fn change(flavour: Flavour, seed: u64) -> &'static str {
    match (flavour.is_postgres(), seed % 2) {
        (true, 0) => {
            "DROP COLUMN note, ALTER COLUMN k TYPE bigint, ALTER COLUMN c TYPE text, ADD COLUMN \
             extra int NOT NULL DEFAULT 7"
        }
        (true, _) => {
            "DROP COLUMN note, ALTER COLUMN u TYPE numeric(20), ADD COLUMN extra text, ADD COLUMN \
             born timestamptz NOT NULL DEFAULT now()"
        }
        (false, 0) => {
            "DROP COLUMN note, MODIFY k bigint NOT NULL, MODIFY c varchar(200) NOT NULL FIRST, ADD \
             COLUMN extra int NOT NULL DEFAULT 7"
        }
        (false, _) => {
            "DROP COLUMN note, MODIFY u decimal(20), ADD COLUMN extra text, ADD COLUMN born \
             timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP AFTER id"
        }
    }
}

/// One table, from its making to the last trace of its change.
fn round(server: &mut Server, seed: u64, load: &Load) {
    let (flavour, url, way) = (server.flavour(), server.url(DATABASE), Way::of(seed));
    let name = &format!("torture_{seed}");
    let of_round = format!("{}, round {seed}, {way:?}", flavour.name());
    let table = load_table(server, name, load.rows);
    let (there, was) = (inventory(server), definition(server, name));
    let mut random = SmallRng::seed_from_u64(seed);
    let writers = Writers::start(&url, &table, load.per_second, 4, seed, &Mix::torture());

    let begin = || start(&url, name, change(flavour, seed), &["--reversible", "30m"]);
    let mut running = begin();
    become_reversible(&mut running);
    let deaths = deaths(load, &mut random);
    let writes = u64::from(load.per_second * load.seconds) / (deaths.len() as u64 + 1);
    let begun = Instant::now();
    for death in &deaths {
        writers.wait_for(random.random_range(writes / 2..=writes), Duration::from_secs(120));
        let server_died = *death == Death::Server;
        if server_died {
            server.kill();
            server.restart();
        }
        // A run whose server died goes on by itself, or another takes its place.
        if !server_died || random.random() {
            running.kill();
            running = begin();
        }
        become_reversible(&mut running);
    }
    let left = Duration::from_secs(load.seconds.into()).saturating_sub(begun.elapsed());
    writers.wait_for(left.as_secs() * u64::from(load.per_second) / 2 + 1, left * 4 + SOME_TIME);
    let kills = put_back(&url, name, way, running, &mut random);
    writers.wait_for(50, SOME_TIME);
    let report = writers.stop();

    prove(server, &report, &of_round);
    assert_eq!(definition(server, name), was, "{of_round}: {deaths:?}");
    println!(
        "{of_round}: {} writes, {} broken connections, the tool killed {} times and the server {} \
         times; equal",
        report.completions().len(),
        report.broken_connections(),
        load.tool_kills + kills,
        load.server_kills,
    );
    leave_nothing(server, name, seed, &report, &of_round);
    assert_eq!(left_behind(&there, &inventory(server)), Vec::<String>::new(), "{of_round}");
    execute(server, &format!("DROP TABLE {name}"));
}

const SOME_TIME: Duration = Duration::from_secs(60);

fn deaths(load: &Load, random: &mut SmallRng) -> Vec<Death> {
    let tools = (0..load.tool_kills).map(|_| Death::Tool);
    let mut deaths: Vec<Death> =
        tools.chain((0..load.server_kills).map(|_| Death::Server)).collect();
    deaths.shuffle(random);
    deaths
}

fn become_reversible(running: &mut Running) {
    running.wait_until(|status| status["phase"] == "reversible");
}

/// The workload's table, with a column that the change drops.
fn load_table(server: &Server, name: &str, rows: u64) -> Table {
    let table = Table::load(&server.url(DATABASE), name, rows).expect("the table can be made");
    let note = if server.flavour().is_postgres() { "'n' || id" } else { "CONCAT('n', id)" };
    execute(server, &format!("ALTER TABLE {name} ADD COLUMN note varchar(40) DEFAULT 'none'"));
    execute(server, &format!("UPDATE {name} SET note = {note}"));
    table
}

fn execute(server: &Server, sql: &str) {
    server.execute(DATABASE, sql).unwrap_or_else(|failure| panic!("{sql}: {failure}"));
}

/// The table as the server defines it.
fn definition(server: &Server, name: &str) -> String {
    if server.flavour().is_postgres() {
        return server.dump(DATABASE, &["altergeist*", "ag_*"]);
    }
    let rows = server.query(DATABASE, &format!("SHOW CREATE TABLE {name}"));
    rows.expect("the table is there")[0][1].clone().expect("it has a definition")
}

/// Reverts the change. Returns how often the tool was killed meanwhile.
fn put_back(url: &str, name: &str, way: Way, mut running: Running, random: &mut SmallRng) -> u32 {
    let revert = || command(&["revert", "--url", url, "--table", name, "--progress", "plain"]);
    let mut kills = 0;
    match way {
        Way::Order => {
            running.ask("revert");
            running.wait().must_be(10).must_say(&["reverted"]);
        }
        Way::Command => {
            revert().must_be(0).must_say(&["reverted"]);
            running.wait().must_be(10);
        }
        Way::Alone => {
            running.kill();
            revert().must_be(0).must_say(&["reverted"]);
        }
        Way::OrderKilled => {
            running.ask("revert");
            let Ended { code, output } = killed_in_the_middle(running, random);
            assert!(matches!(code, None | Some(10)), "{code:?}: {output}");
            kills += 1;
            revert().must_be(0).must_say(&["reverted"]);
        }
        Way::AloneKilled => {
            running.kill();
            for _ in 0..4 {
                let Ended { code, output } =
                    killed_in_the_middle(start_revert(url, name, &[]), random);
                assert!(matches!(code, None | Some(0)), "{code:?}: {output}");
                kills += 1;
            }
            revert().must_be(0).must_say(&["reverted"]);
        }
    }
    kills
}

/// Kills it at a random moment after it has begun to put the table back; it may have ended.
fn killed_in_the_middle(mut running: Running, random: &mut SmallRng) -> Ended {
    match running.wait_until_or_end(|status| status["phase"] == "reverting") {
        Err(ended) => ended,
        Ok(_) => {
            thread::sleep(Duration::from_millis(random.random_range(0..500)));
            running.kill()
        }
    }
}

/// No row is lost, invented or changed; and a row that was there before the change has what only
/// the old table knew of it.
fn prove(server: &Server, report: &Report, of_round: &str) {
    let proof = report.prove(&server.url(DATABASE));
    proof.unwrap_or_else(|why| panic!("{of_round}: {why}"));
    let name = &report.row_check.table.name;
    let rows = server.query(DATABASE, &format!("SELECT id, note FROM {name}"));
    for row in rows.expect("the table can be read") {
        let id: i64 = row[0].as_deref().and_then(|id| id.parse().ok()).expect("a number");
        let is_right = match report.row_check.is_as_old_as_the_table(id) {
            true => row[1].as_deref() == Some(&format!("n{id}")),
            // The default, or what a row with another key had.
            false => row[1].is_some(),
        };
        assert!(is_right, "{of_round}: the note of row {id} is {:?}", row[1]);
    }
}

/// The next change, or a cleanup, removes what the revert kept.
fn leave_nothing(server: &Server, name: &str, seed: u64, report: &Report, of_round: &str) {
    let (flavour, url) = (server.flavour(), server.url(DATABASE));
    if seed.is_multiple_of(2) {
        run(&url, name, change(flavour, seed), &[]).must_be(0).must_say(&["done."]);
        let proof = report.prove(&url);
        proof.unwrap_or_else(|why| panic!("{of_round}: after the next run: {why}"));
    }
    command(&["cleanup", "--url", &url, "--table", name, "--drop-old"]).must_be(0);
}

/// The application does nothing but exchange unique values between few rows. Rows that are in each
/// other's way go back together.
fn unique_values_that_wander_come_back(flavour: Flavour) {
    let Some(server) = Server::start(flavour, &[]) else { return };
    let url = server.url(DATABASE);
    let table = load_table(&server, "wandering", 2_000);
    let mix = Mix::of(&[Kind::SwapUnique, Kind::MoveUnique, Kind::MoveUniqueInTwo]);
    let writers = Writers::start(&url, &table, 300, 4, 1, &mix);
    let change = change(flavour, 0);
    let mut running = start(&url, "wandering", change, &["--reversible", "30m"]);
    become_reversible(&mut running);
    writers.wait_for(300 * 10, SOME_TIME);
    put_back(&url, "wandering", Way::Command, running, &mut SmallRng::seed_from_u64(1));
    prove(&server, &writers.stop(), flavour.name());

    // It is the same once the writers have stopped: no row stays aside.
    let writers = Writers::start(&url, &table, 300, 4, 2, &mix);
    let mut running = start(&url, "wandering", change, &["--reversible", "30m"]);
    become_reversible(&mut running);
    writers.wait_for(300 * 5, SOME_TIME);
    drop(writers.stop());
    running.wait_until(|status| {
        status["pending_keys"] == 0
            && status["not_revertible"].as_array().is_some_and(Vec::is_empty)
    });
}
