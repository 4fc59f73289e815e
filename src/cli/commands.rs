//! What each command does, from its arguments to its exit code.

use crate::cli::args::{CleanupArgs, CtlArgs, StatusArgs};
use crate::cli::engines::{Task, with_engine};
use crate::cli::order::OrderTask;
use crate::cli::run_args::RunArgs;
use crate::cli::watch_args::WatchArgs;
use crate::cli::{config, turn};
use crate::interface::log::{say, say_error};
use crate::interface::notify::Notifier;
use crate::interface::order_door::{OrderDoor, Steered};
use crate::interface::output::{print, print_line};
use crate::interface::recorder::Recorder;
use crate::interface::socket::{self, Steering};
use crate::interface::{address, notify, progress, report, report_reversible};
use altergeist::contract::{
    Engine, Error, Kind, Leftover, Ownership, Record, Result, Stage, Switch, Target,
};
use altergeist::{Failure, Options, Outcome, Phase, Settings, Status, hold};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// How often a waiting run asks whether the other one has ended.
const OTHER_RUN: Duration = Duration::from_secs(1);

/// How long a run may take to stop between two turns, once its deadline is reached.
const STOP_GENTLY: Duration = Duration::from_secs(15);

/// Does the change, resumes it, or finds it done.
pub async fn run(args: &RunArgs) -> u8 {
    if let Err(reason) = args.check() {
        say_error(&format!("altergeist: {reason}"));
        return 2;
    }
    let notifier = args.watch.notify.start();
    let attempt = async |deadline| run_once(args, deadline, &notifier).await;
    // The turn on the server ends with the run.
    let ended = match turn::take(&args.turn, &args.target()).await {
        Ok(_turn) => in_turn(args.wait_for_other, args.deadline, attempt).await,
        Err(failure) => Err(failure),
    };
    notifier.finish().await;
    ended.unwrap_or_else(|failure| failed(&failure))
}

/// Returns the exit code, and says why it is not 0.
pub(crate) fn exit_code(ended: Result<(), Failure>) -> u8 {
    match ended {
        Ok(()) => 0,
        Err(failure) => failed(&failure),
    }
}

/// Waits for another run of the table, if that is wanted, and makes an attempt at it.
pub(crate) async fn in_turn<T>(
    wait_for_other: Option<Duration>,
    deadline: Option<Duration>,
    mut attempt: impl AsyncFnMut(Option<Instant>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let until = wait_for_other.map(|time| Instant::now() + time);
    let deadline = deadline.map(|time| Instant::now() + time);
    loop {
        let is_ahead = |time: Instant| Instant::now() < time;
        let may_wait = until.is_some_and(is_ahead) && deadline.is_none_or(is_ahead);
        match attempt(deadline).await {
            Err(Failure::Held { table, holder }) if may_wait => {
                tracing::info!(%table, %holder, "another run holds the table; waiting");
                tokio::time::sleep(OTHER_RUN).await;
            }
            ended => return ended,
        }
    }
}

/// One attempt at the table: it is another run's, or the run comes to an end. Returns the exit
/// code.
async fn run_once(
    args: &RunArgs,
    deadline: Option<Instant>,
    notifier: &Notifier,
) -> Result<u8, Failure> {
    let watched = Watched {
        target: &args.target(),
        settings: Settings { deadline: deadline.map(Instant::into_std), ..args.settings() },
        watch: &args.watch,
    };
    let task = |steered| RunTask { options: args.options(), steered };
    let (outcome, last) = watch_over(watched, notifier, task).await?;
    let code = outcome.exit_code();
    say(&report::outcome(outcome, &last));
    Ok(code)
}

/// A run that is watched and steered.
pub(crate) struct Watched<'a> {
    /// Its table.
    pub target: &'a Target,
    /// The settings that it begins with.
    pub settings: Settings,
    /// How it is watched and steered.
    pub watch: &'a WatchArgs,
}

/// A way to end well.
pub(crate) trait Success {
    /// The exit code scripts depend on.
    fn exit_code(&self) -> u8 {
        0
    }
}

impl Success for Outcome {
    fn exit_code(&self) -> u8 {
        self.exit_code()
    }
}

/// Why a run is stopped at once.
fn stopped_at_once(status: &Status) -> Failure {
    match status.phase {
        Phase::Reversible | Phase::Reverting => Failure::LeftReversible {
            why: Box::new(Failure::Stopped),
            seconds_left: status.reversible_seconds_left.unwrap_or_default(),
        },
        _ => Failure::Stopped,
    }
}

/// Runs a task that is shown, and takes orders and signals. Returns its outcome and last status.
pub(crate) async fn watch_over<O: Success, T: Task<Outcome = Result<O, Failure>>>(
    watched: Watched<'_>,
    notifier: &Notifier,
    task: impl FnOnce(Steered) -> T,
) -> Result<(O, Status), Failure> {
    let target = watched.target;
    let settings = Arc::new(watch::Sender::new(watched.settings));
    let status =
        watch::Sender::new(watched.watch.notify.first_status(address::server(&target.url)));
    let (recorder, entries) = Recorder::new();
    let mut steering = Steering {
        settings: settings.clone(),
        status: status.subscribe(),
        listeners: notifier.listeners(),
        recorder,
    };
    let sockets = watched.watch.steering.listen(target, &mut steering).await?;
    let listeners = steering.listeners;
    let shown = progress::show(watched.watch.progress, status.subscribe());
    notify::watch(status.subscribe(), &listeners);
    stop_on_signals(settings.clone());
    stop_at_deadline(settings.clone());
    turn_with_setting(target.kill_blockers.clone(), &settings);
    let task =
        task(Steered { settings: settings.clone(), status: status.clone(), listeners, entries });
    let mut panicked = settings.subscribe();
    // Dropped at any await, the run is what a kill would leave: resumable.
    let ended = tokio::select! {
        ended = with_engine(target, task) => ended.unwrap_or_else(|error| Err(error.into())),
        _ = panicked.wait_for(|settings| settings.panic) => Err(stopped_at_once(&status.borrow())),
    };
    if let Err(failure) = &ended {
        status.send_modify(|status| {
            status.phase = Phase::Failed;
            status.last_error = Some(failure.to_string());
        });
    }
    let last = status.borrow().clone();
    notifier.tell_end(ended.as_ref().map(Success::exit_code), &last);
    drop(status);
    shown.finish().await;
    drop(sockets);
    Ok((ended?, last))
}

/// Stops the run at its deadline: between two turns, and at once if that takes long.
pub(crate) fn stop_at_deadline(settings: Arc<watch::Sender<Settings>>) {
    let mut seen = settings.subscribe();
    tokio::spawn(async move {
        loop {
            let deadline = seen.borrow_and_update().deadline;
            let reached = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = reached => break,
                _ = seen.changed() => {}
            }
        }
        say("altergeist: the deadline is reached; stopping when nothing is in flight");
        settings.send_modify(|settings| settings.stop = true);
        tokio::time::sleep(STOP_GENTLY).await;
        settings.send_modify(|settings| settings.panic = true);
    });
}

/// Keeps the engine's switch as the setting is.
fn turn_with_setting(switch: Switch, settings: &watch::Sender<Settings>) {
    let mut settings = settings.subscribe();
    tokio::spawn(async move {
        while settings.changed().await.is_ok() {
            switch.set(settings.borrow_and_update().kill_blockers);
        }
    });
}

/// Shows the state of a change: from the run while its socket answers, else from the journal.
pub async fn status(args: &StatusArgs) -> u8 {
    let target = args.target();
    let question = if args.json { "status --json" } else { "status" };
    if let Ok(answer) = socket::ask(&socket::default_path(&target), question).await {
        return print(&answer);
    }
    match ask(&target, StatusTask).await {
        Err(failure) => failed(&failure),
        Ok(Found { table, holder, record, .. }) if args.json => {
            print_line(&report::journal_json(&table, record.as_ref(), holder.as_deref()))
        }
        Ok(Found { table, holder, record, leftovers }) => {
            print(&report::journal(&table, record.as_ref(), holder.as_deref(), &leftovers))
        }
    }
}

/// Lists and drops what is left of a change. Refuses to while a run is active.
pub async fn cleanup(args: &CleanupArgs) -> u8 {
    let task = CleanupTask { drop_old: args.drop_old, list_only: args.list };
    match ask(&args.target(), task).await {
        Err(failure) => failed(&failure),
        Ok(found) => print(&report::cleanup(&found, args.drop_old, args.list)),
    }
}

/// Sends an order to a run and prints its answer.
pub async fn ctl(args: &CtlArgs) -> u8 {
    if let Some(target) = args.target() {
        return order_by_sql(&target, args).await;
    }
    let path = match args.socket.clone().map_or_else(socket::only_one, Ok) {
        Ok(path) => path,
        Err(reason) => {
            say_error(&format!("altergeist: {reason}"));
            return 2;
        }
    };
    match socket::ask(&path, &args.words.join(" ")).await {
        Ok(answer) if answer.starts_with("error:") => {
            say_error(answer.trim_end());
            1
        }
        Ok(answer) => print(&answer),
        Err(error) => {
            say_error(&format!("altergeist: no run answers at {}: {error}", path.display()));
            1
        }
    }
}

async fn order_by_sql(target: &Target, args: &CtlArgs) -> u8 {
    let task =
        OrderTask { word: args.words.join(" "), timeout: args.timeout, is_standing: args.standing };
    match ask(target, task).await {
        Ok(given) if given.is_done => print_line(&given.answer),
        Ok(given) => {
            say_error(&format!("altergeist: {}", given.answer));
            1
        }
        Err(failure) => {
            say_error(&format!("altergeist: {failure}"));
            1
        }
    }
}

/// Shows the effective flags. Exit code 0, or 2 if the file or a flag is wrong.
pub fn show_config(config: Option<&Path>, words: &[OsString]) -> u8 {
    match config::show::text(config, words) {
        Ok(text) => print(&text),
        Err(reason) => {
            say_error(&format!("altergeist: {reason}"));
            2
        }
    }
}

/// A task whose only failures are failures.
pub(crate) async fn ask<T>(
    target: &Target,
    task: impl Task<Outcome = Result<T, Failure>>,
) -> Result<T, Failure> {
    with_engine(target, task).await?
}

pub(crate) fn failed(failure: &Failure) -> u8 {
    say_error(&format!("altergeist: {failure}"));
    failure.exit_code()
}

/// The first signal stops the run between two turns, the second at once. The same command resumes
/// it.
pub(crate) fn stop_on_signals(settings: Arc<watch::Sender<Settings>>) {
    let listen = |kind| signal(kind).expect("signals can be listened to");
    let (mut interrupt, mut terminate) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
    tokio::spawn(async move {
        for signals in 0.. {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            match signals {
                0 => {
                    say("altergeist: stopping when nothing is in flight; repeat the signal to \
                         stop at once");
                    settings.send_modify(|settings| settings.stop = true);
                }
                1 => settings.send_modify(|settings| settings.panic = true),
                _ => std::process::exit(5),
            }
        }
    });
}

/// A run, or a revert, with its doors.
pub(crate) struct RunTask {
    /// What is fixed.
    pub options: Options,
    /// What its doors share with it.
    pub steered: Steered,
}

impl Task for RunTask {
    type Outcome = Result<Outcome, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let (mut door, control) = OrderDoor::<E>::new(self.steered);
        let connect = async || E::connect(target).await;
        let run = altergeist::run(connect, &control, &self.options);
        let ended = tokio::select! {
            ended = run => ended,
            () = door.serve(target) => Err(Failure::Stopped),
        };
        door.close(if ended.is_ok() { Phase::Done } else { Phase::Failed }).await;
        ended
    }
}

struct StatusTask;

struct Found {
    table: String,
    /// Who holds the run lock.
    holder: Option<String>,
    record: Option<Record>,
    leftovers: Vec<Leftover>,
}

impl Task for StatusTask {
    type Outcome = Result<Found, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let engine = E::connect(target).await?;
        let (record, leftovers) = (engine.load().await?, engine.leftovers().await?);
        Ok(Found {
            holder: engine.holder().await?,
            table: engine.table().to_owned(),
            record,
            leftovers,
        })
    }
}

struct CleanupTask {
    drop_old: bool,
    list_only: bool,
}

impl Task for CleanupTask {
    type Outcome = Result<Vec<Leftover>, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let engine = E::connect(target).await?;
        if self.list_only {
            let mut found = report_reversible::way_back(&engine.load().await?, engine.table());
            found.extend(engine.leftovers().await?);
            return Ok(found);
        }
        hold(&engine).await?;
        let record = engine.load().await?;
        let mut found = report_reversible::way_back(&record, engine.table());
        if let Some(record) = record {
            settle_swap(&engine, record).await?;
        }
        found.extend(engine.leftovers().await?);
        engine.cleanup(self.drop_old).await?;
        Ok(found)
    }
}

/// Nothing may be dropped while it is not known which table answers to the name. What a finished
/// swap has left to do is tried once more, and given up if it fails: nothing that fails after the
/// swap may keep the rest from being taken away.
async fn settle_swap<E: Engine>(engine: &E, record: Record) -> Result<(), Failure> {
    if record.stage == Stage::Reverting {
        return Err(Error::refused(
            format!("drop what is left of the change of {}", engine.table()),
            "a revert is under way; run `altergeist revert` again, and then this",
        )
        .into());
    }
    // Nobody keeps the old table current any more. So the change is done.
    if record.stage == Stage::Reversible {
        return finish_swap(engine, record).await;
    }
    if record.stage != Stage::CuttingOver {
        return Ok(());
    }
    match engine.ownership().await? {
        Ownership::Source => Ok(()),
        Ownership::Unclear(found) => Err(Failure::SwapUnknown(found)),
        Ownership::Shadow => finish_swap(engine, record).await,
    }
}

async fn finish_swap<E: Engine>(engine: &E, record: Record) -> Result<(), Failure> {
    match engine.finish().await {
        Err(error) if error.kind == Kind::Disconnected => return Err(error.into()),
        Err(error) => say_error(&format!(
            "altergeist: {} is swapped; one step after the swap still fails and is skipped: \
             {error}",
            engine.table()
        )),
        Ok(()) => {}
    }
    Ok(engine.save(&Record { stage: Stage::Done, ..record }).await?)
}
