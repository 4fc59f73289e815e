//! One seed's life: a change of one table, from the first start through crashes to its end, and a
//! look at what is left.

use altergeist::contract::model::{Habits, Server};
use altergeist::contract::{Kind, Strategy};
use altergeist::gate::{Check, Gate};
use altergeist::{
    Control, Failure, Goal, Options, Outcome, Settings, Status, Wishes, rehearse, run,
};
use altergeist::{Limit, Limits};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Changes the habits of a seed's world.
pub type Habit = fn(&mut Habits);

/// Processes that may die before the world calms down.
const RESTLESS_LIVES: u32 = 12;
/// The world's own time after which a run is said to hang.
const HANGS_AFTER: Duration = Duration::from_secs(600);
/// Processes after which a run must have ended.
const LIVES_MAX: u32 = 40;

/// Every so many seeds a rehearsal comes first.
const REHEARSED: u64 = 5;

/// Lives through one seed.
///
/// # Errors
/// What was wrong at the end, or on the way.
pub fn live(seed: u64, habit: Habit) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        match timeout(HANGS_AFTER, change_a_table(seed, habit)).await {
            Ok(seen) => seen,
            Err(_) => Err("the run hangs".into()),
        }
    })
}

async fn change_a_table(seed: u64, habit: Habit) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut habits = Habits {
        visible_in_order: rng.random(),
        rows: rng.random_range(0..60),
        ..Habits::default()
    };
    habits.write_chance = rng.random_range(0.0..0.8);
    habits.compares_beside_builds = rng.random();
    habits.counts_writes = [None, Some(true), Some(false)][rng.random_range(0..3)];
    if habits.counts_writes.is_some() && rng.random() {
        habits.write_chance /= 40.0;
    }
    // Smaller batches are more statements, each of which may fail or be in another's way.
    let batch_keys = [10, 40, 1000][rng.random_range(0..3)];
    if batch_keys < 1000 {
        habits.fault_chance /= 5.0;
        habits.write_chance /= 4.0;
    }
    if seed.is_multiple_of(4) {
        habits.gate_chance = 0.02;
    }
    let end = End::of(seed);
    if end != End::Plain {
        habits.misfit_chance = [0.0, 0.02, 0.3][rng.random_range(0..3)];
    }
    habit(&mut habits);
    let server = Server::new(seed, habits);
    if seed.is_multiple_of(REHEARSED) {
        rehearse_first(&server, seed, batch_keys).await?;
    }
    let outcome = live_until_done(&server, &mut rng, batch_keys, end).await?;
    let wrong = server.verdict();
    let is_reverted = matches!(outcome, Outcome::Reverted { .. } | Outcome::AlreadyReverted { .. });
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    if server.is_reverted() != is_reverted || server.is_swapped() == is_reverted {
        return Err(format!("{outcome:?}, and the tables are not so"));
    }
    match live_until_done(&server, &mut rng, batch_keys, End::Plain).await? {
        Outcome::AlreadyDone { .. } if !is_reverted => Ok(()),
        // It was done again.
        Outcome::Swapped | Outcome::Finished | Outcome::AlreadyDone { .. }
            if is_reverted && server.is_swapped() && server.verdict().is_empty() =>
        {
            Ok(())
        }
        other => Err(format!("a second run should have found it done, or undone: {other:?}")),
    }
}

/// How often the operator says so before they stop the run.
const ORDERS_MAX: u32 = 30;

/// What becomes of the change after the swap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It is not reversible.
    Plain,
    /// The operator ends the reversible phase.
    Finish,
    /// The operator puts the old table back.
    Revert,
}

impl End {
    fn of(seed: u64) -> End {
        [End::Plain, End::Plain, End::Revert, End::Finish, End::Revert][(seed % 5) as usize]
    }
}

/// A rehearsal, which may die. It never swaps, and if it ends well, nothing of it is left.
async fn rehearse_first(server: &Server, seed: u64, batch_keys: usize) -> Result<(), String> {
    let mut rng = SmallRng::seed_from_u64(!seed);
    let settings = settings(&mut rng, batch_keys);
    let (_give, settings) = watch::channel(settings);
    let control = Control::new(settings, watch::Sender::new(Status::default()));
    let (options, with_lock) = (options(server.has_gate()), rng.random());
    let rehearsal = rehearse(async || Ok(server.process()), &control, &options, with_lock);
    let ended = timeout(Duration::from_millis(rng.random_range(1..3000)), rehearsal).await;
    if server.is_swapped() {
        return Err("a rehearsal swapped the tables".into());
    }
    let is_clean = server.shadow().is_none() && server.record().is_none();
    match ended {
        Ok(Ok(_)) if !is_clean => Err("a rehearsal ended well, and something of it is left".into()),
        _ => Ok(()),
    }
}

/// One process after the other, until one comes to the end.
async fn live_until_done(
    server: &Server,
    rng: &mut SmallRng,
    batch_keys: usize,
    end: End,
) -> Result<Outcome, String> {
    for life in 0..LIVES_MAX {
        let mut dies_after =
            rng.random_bool(0.8).then(|| Duration::from_millis(rng.random_range(1..600)));
        if life > RESTLESS_LIVES {
            server.calm_down();
            server.allow_discarding();
            dies_after = None;
        }
        let ended = one_process(server, rng, batch_keys, dies_after, end).await;
        if let Some(Err(failure)) = &ended {
            says_the_truth_about_the_source(server, failure)?;
        }
        match ended {
            None
            | Some(Err(Failure::Unfinished(_)))
            | Some(Err(
                Failure::Stopped
                | Failure::LeftReversible { .. }
                | Failure::NotReverted(_)
                | Failure::CriticalLoad { .. }
                | Failure::NoLock(_)
                | Failure::TooFast { .. }
                | Failure::Behind { .. },
            )) => {}
            // Rows were kept out of the log.
            Some(Err(Failure::Irreversible(reason))) if !reason.contains("explains it") => {}
            // It has begun anew as often as it may; the next process does it again.
            Some(Err(Failure::Error(error))) if error.kind == Kind::Missed => {}
            Some(Ok(outcome)) => return Ok(outcome),
            Some(Err(failure)) => return Err(format!("life {life}: {failure}")),
        }
    }
    Err("the run never came to its end".into())
}

/// Exit code 9 says that the tables are swapped. Every other one says that the source is untouched.
fn says_the_truth_about_the_source(server: &Server, failure: &Failure) -> Result<(), String> {
    match (server.is_swapped() || server.is_reverted(), failure.exit_code()) {
        (true, 3) if matches!(failure, Failure::NotReverted(_)) => Ok(()),
        (true, 9) => Ok(()),
        (false, code) if code != 9 => Ok(()),
        (is_swapped, code) => {
            Err(format!("exit code {code}, and swapped is {is_swapped}: {failure}"))
        }
    }
}

/// One process; None if it died.
async fn one_process(
    server: &Server,
    rng: &mut SmallRng,
    batch_keys: usize,
    dies_after: Option<Duration>,
    end: End,
) -> Option<Result<Outcome, Failure>> {
    let (give, settings) = watch::channel(settings(rng, batch_keys));
    let control = Control::new(settings, watch::Sender::new(Status::default()));
    let mut options = options(server.has_gate());
    options.reversible = (end != End::Plain).then_some(Duration::from_secs(3600));
    let discards_misfits = server.may_discard();
    if end == End::Revert && server.is_swapped() && rng.random() {
        options.goal = Goal::Revert { discards_misfits };
    }
    let decided_after = Duration::from_millis(rng.random_range(1..2000));
    let deciding = async {
        for _ in 0..ORDERS_MAX {
            tokio::time::sleep(decided_after).await;
            give.send_modify(|settings| match end {
                End::Plain => {}
                End::Finish => settings.finish = true,
                End::Revert => {
                    settings.reverts += 1;
                    settings.discards_misfits = discards_misfits;
                }
            });
        }
        // Rows that do not fit keep the old table from coming back.
        give.send_modify(|settings| settings.stop = end != End::Plain);
        std::future::pending().await
    };
    let process = async {
        tokio::select! {
            ended = run(async || Ok(server.process()), &control, &options) => ended,
            ended = deciding => ended,
        }
    };
    match dies_after {
        Some(time) => timeout(time, process).await.ok(),
        None => Some(process.await),
    }
}

fn settings(rng: &mut SmallRng, batch_keys: usize) -> Settings {
    Settings {
        workers: rng.random_range(1..4),
        batch_keys,
        lock_timeout: Duration::from_millis(100),
        lock_attempts: 10,
        chunk_rows: Some(rng.random_range(1..9)),
        // How often changed rows are refreshed follows from it.
        chunk_time: Duration::from_millis(rng.random_range(0..5)),
        max_load: limits(rng.random_bool(0.2), 0.9),
        critical_load: limits(rng.random_bool(0.2), 0.98),
        ..Settings::default()
    }
}

/// What the model's only measure may be, if it is looked at.
fn limits(are_set: bool, most: f64) -> Limits {
    Limits(are_set.then(|| Limit { measure: "load".into(), most }).into_iter().collect())
}

fn options(has_gate: bool) -> Options {
    let check = Check::of_server("wrong: SELECT count(*) FROM {new} = 0");
    let gate = Gate::Check(check.expect("it is well formed"));
    Options {
        alter: "ADD COLUMN c int".into(),
        strategy: Strategy::Auto,
        holder: "simulation".into(),
        gates: has_gate.then_some(gate).into_iter().collect(),
        again: false,
        wishes: Wishes {
            max_downtime: None,
            lock_timeout: Duration::from_secs(1),
            reversible: None,
        },
        terms: String::new(),
        reversible: None,
        goal: Goal::Change,
        reconnects: 100,
    }
}
