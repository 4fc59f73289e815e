//! A run, from its plan to its end. Read it top to bottom: it is the table of contents.

use crate::copy::{Ahead, copy_turn};
use crate::cutover::{cut_over, who_owns_the_name};
use crate::desk::{Desk, Phase};
use crate::listen::Listener;
use crate::pace::Pace;
use crate::quiet::Quiet;
use crate::refresh::{Cadence, catch_up, refresh_turn};
use crate::verify::{Over, Verification};
use crate::{Failure, checkpoint, failure, load, throttle};
use altergeist_contract::{
    ChangeStream, Engine, Error, Kind, LogKept, Ownership, Record, Result, Stage, Strategy, Verdict, Watermark,
};
use futures_util::future::join;
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// No rest between two turns is longer, so that changed rows do not pile up.
const REST_MAX: Duration = Duration::from_secs(5);
/// How often it is asked what the server keeps of its log while indexes are built.
const LOG_LOOK: Duration = Duration::from_secs(1);
/// How often changed rows are refreshed while nothing else is to be done.
const CURRENT: Duration = Duration::from_millis(500);
/// How often it is asked how far the builds have come.
const BUILDS_LOOK: Duration = Duration::from_millis(500);
/// How often it is asked, while indexes are built, whether the log still tells of every changed row.
const STREAM_LOOK: Duration = Duration::from_secs(1);
/// How often a run begins anew by itself, because the log did not tell of every changed row.
const ANEW_MAX: u32 = 3;

/// What does not change while a run goes on.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clauses asked for.
    pub alter: String,
    /// How the change may be done.
    pub strategy: Strategy,
    /// Who runs this, for the others: user, host and process.
    pub holder: String,
    /// How long the lock of the cut-over may be waited for, and how long it may be held.
    pub lock_timeout: Duration,
    /// How often the lock may be tried for.
    pub lock_attempts: u32,
    /// How often in a row a lost connection, or another passing failure, is resumed from without any progress between.
    pub reconnects: u32,
}

/// How a run ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The table is changed, by the server itself.
    Altered,
    /// The table is changed: copied, proven equal, swapped.
    Swapped,
    /// An earlier run had done it already; nothing was done.
    AlreadyDone,
}

/// Does the change, or goes on with it, or finds it done. A connection that is lost is made anew, and the run goes
/// on from its record, as another process would after a crash.
///
/// # Errors
/// A [`Failure`]; whatever it is, the same call may be made again.
pub async fn run<E: Engine>(
    mut connect: impl AsyncFnMut() -> Result<E>,
    desk: &Desk,
    options: &Options,
) -> Result<Outcome, Failure> {
    let mut failures = 0;
    let mut progress = 0;
    let mut may_be_quiet = true;
    let mut is_checked = false;
    let mut is_swapped = false;
    let mut anew = 0;
    loop {
        let ended = async {
            let engine = connect().await?;
            if !is_checked {
                load::check(&engine, &desk.orders()).await?;
                is_checked = true;
            }
            run_once(&engine, desk, options, may_be_quiet).await
        };
        let ended = ended.await;
        let error = match ended {
            Ok(Ended::Well(outcome)) => return Ok(outcome),
            Ok(Ended::Anew(why)) => {
                anew += 1;
                if anew > ANEW_MAX {
                    return Err(why);
                }
                tracing::warn!(reason = %why, "what was copied proves nothing any more; the table is copied again");
                desk.tell(|status| status.last_error = Some(why.to_string()));
                may_be_quiet = false;
                continue;
            }
            Err(Failure::Unfinished(error)) => {
                is_swapped = true;
                error
            }
            Err(Failure::Error(error)) => error,
            Err(failure) => return Err(failure),
        };
        let reached = desk.status().rows_copied + desk.status().rows_verified;
        failures = if reached > progress { 1 } else { failures + 1 };
        progress = reached;
        if !matches!(error.kind, Kind::Disconnected | Kind::Transient) || failures > options.reconnects {
            // From the swap on, no end may claim that the source is untouched.
            return Err(if is_swapped { Failure::Unfinished(error) } else { error.into() });
        }
        desk.tell(|status| status.last_error = Some(error.to_string()));
        if let Err(stopped) = desk.heed() {
            return Err(if is_swapped { Failure::Unfinished(error) } else { stopped });
        }
        tokio::time::sleep(Duration::from_millis(200 * u64::from(failures)).min(Duration::from_secs(10))).await;
    }
}

/// How a run's process ended.
enum Ended {
    Well(Outcome),
    /// It must begin anew, with the log read from the first row on. The record says so.
    Anew(Failure),
}

async fn run_once<E: Engine>(engine: &E, desk: &Desk, options: &Options, may_be_quiet: bool) -> Result<Ended, Failure> {
    desk.tell(|status| {
        status.phase = Phase::Planning;
        status.table = engine.table().to_owned();
        status.alter = options.alter.clone();
    });
    failure::hold(engine).await?;
    let (mut record, mut listener, quiet) = match taken_up(engine, options).await? {
        TakenUp::AlreadyDone => return Ok(Ended::Well(Outcome::AlreadyDone)),
        TakenUp::SwappedBefore(record) => return finish(engine, desk, record).await.map(Ended::Well),
        TakenUp::Missed(record, error) => return anew(engine, record, error.into()).await,
        TakenUp::Resumed(record, listener) => (record, *listener, Quiet::never()),
        TakenUp::Nothing => {
            let quiet = if may_be_quiet { Quiet::watch(engine).await? } else { Quiet::never() };
            match begin(engine, options).await? {
                None => return Ok(Ended::Well(Outcome::Altered)),
                Some((record, listener)) => (record, listener, quiet),
            }
        }
    };
    let changed = async {
        fill(engine, &mut listener, desk, &mut record, quiet).await?;
        build_and_prove(engine, &mut listener, desk, &mut record).await?;
        wait_while_postponed(engine, &mut listener, desk, &mut record).await?;
        cut_over(engine, &mut listener, desk, options, &mut record).await
    };
    let Err(failure) = changed.await else { return finish(engine, desk, record).await.map(Ended::Well) };
    if let Failure::Error(Error { kind: Kind::Missed, .. }) = failure {
        return anew(engine, record, failure).await;
    }
    if !failure.speaks_of_rows() {
        return Err(failure);
    }
    match why(engine, &failure).await {
        Some(error) if error.kind == Kind::Missed => anew(engine, record, error.into()).await,
        Some(error) => Err(error.into()),
        // The table was written to, unseen, while it was copied.
        None if record.passed_log && record.stage == Stage::Copying => anew(engine, record, failure).await,
        None => Err(failure),
    }
}

/// What was copied is thrown away when the run is taken up again.
async fn anew<E: Engine>(engine: &E, mut record: Record, why: Failure) -> Result<Ended, Failure> {
    record.stage = Stage::Preparing;
    checkpoint::save(engine, &mut record).await?;
    Ok(Ended::Anew(why))
}

/// Rows that differ, and a log that cannot be read, have a reason where the log was kept from telling of rows, or the
/// source is not what it was.
async fn why<E: Engine>(engine: &E, failure: &Failure) -> Option<Error> {
    // An older answer would not speak of what has just happened.
    tokio::time::sleep(STREAM_LOOK).await;
    let error = engine.check_stream().await.err()?;
    let is_reason = matches!(error.kind, Kind::Missed | Kind::Fatal) || matches!(failure, Failure::Unequal { .. });
    is_reason.then_some(error)
}

/// What an earlier run has left to go on from.
enum TakenUp<S> {
    Nothing,
    AlreadyDone,
    SwappedBefore(Record),
    Resumed(Record, Box<Listener<S>>),
    /// The log did not tell of every row that changed since.
    Missed(Record, Error),
}

async fn taken_up<E: Engine>(engine: &E, options: &Options) -> Result<TakenUp<E::Stream>, Failure> {
    let Some(mut record) = engine.load().await? else {
        return Ok(TakenUp::Nothing);
    };
    if record.alter != options.alter && !matches!(record.stage, Stage::Done | Stage::Altering) {
        return Err(another_change_is_under_way(engine.table(), &record).into());
    }
    match record.stage {
        Stage::Done if record.alter == options.alter => return Ok(TakenUp::AlreadyDone),
        // What is left of it, the plan says.
        Stage::Done | Stage::Altering => return Ok(TakenUp::Nothing),
        Stage::Preparing => {
            engine.cleanup(false).await?;
            return Ok(TakenUp::Nothing);
        }
        Stage::CuttingOver => {
            if who_owns_the_name(engine).await? == Ownership::Shadow {
                return Ok(TakenUp::SwappedBefore(record));
            }
        }
        Stage::Copying => {}
    }
    let mut listener = Listener::new(record.position.clone().expect("a run that copies has saved a position"));
    match listener.listen(engine).await {
        Err(error) if error.kind == Kind::Missed => return Ok(TakenUp::Missed(record, error)),
        listening => listening?,
    }
    engine.clear_beyond(&record.watermark).await?;
    record.holder = options.holder.clone();
    Ok(TakenUp::Resumed(record, Box::new(listener)))
}

fn another_change_is_under_way(table: &str, record: &Record) -> Error {
    Error::refused(
        format!("change {table}"),
        format!(
            "another change of it is under way ({}, begun by {}): finish it by giving that command again, or drop it with \
             `altergeist cleanup`",
            record.alter, record.holder
        ),
    )
}

/// Refuses here or never; lets the server do it if it can, which gives None; or else opens the log and makes the shadow.
async fn begin<E: Engine>(engine: &E, options: &Options) -> Result<Option<(Record, Listener<E::Stream>)>, Failure> {
    let plan = engine.plan().await?;
    if !plan.refusals.is_empty() {
        return Err(Failure::Refused(Box::new(plan)));
    }
    let mut record = checkpoint::begin(options, plan.rows_estimated);
    if plan.verdict != Verdict::Copy {
        record.stage = Stage::Altering;
        checkpoint::save(engine, &mut record).await?;
        let altered = alter_by_itself(engine, options, &plan.verdict).await;
        let Some(reason) = why_not(&altered, &plan.verdict).filter(|_| options.strategy == Strategy::Auto) else {
            altered?;
            record.stage = Stage::Done;
            checkpoint::save(engine, &mut record).await?;
            return Ok(None);
        };
        // An engine that can tell plans otherwise now.
        let again = engine.plan().await?;
        if again.verdict != Verdict::Copy || !again.refusals.is_empty() {
            altered?;
        }
        tracing::warn!(reason, "the table refuses what an empty clone of it took; it is copied");
        record.stage = Stage::Preparing;
    }
    checkpoint::save(engine, &mut record).await?;
    let position = engine.open_log().await.map_err(|error| match error.kind {
        Kind::Busy => Failure::LogHeldUp(error.to_string()),
        _ => error.into(),
    })?;
    engine.create().await?;
    record.stage = Stage::Copying;
    record.position = Some(position.clone());
    checkpoint::save(engine, &mut record).await?;
    Ok(Some((record, Listener::new(position))))
}

/// Why the server would not do it in one statement; nothing was changed then.
fn why_not(altered: &Result<(), Failure>, verdict: &Verdict) -> Option<String> {
    match (altered, verdict) {
        (Err(Failure::Error(error)), Verdict::Native(_)) if error.kind == Kind::Refused => Some(error.reason.clone()),
        _ => None,
    }
}

/// Lets the server do it, in one statement or in steps. A lock that does not come is tried for again.
async fn alter_by_itself<E: Engine>(engine: &E, options: &Options, verdict: &Verdict) -> Result<(), Failure> {
    let mut reason = String::new();
    for attempt in 1..=options.lock_attempts {
        let ended = match verdict {
            Verdict::Native(statement) => engine.alter_natively(statement).await,
            Verdict::Online | Verdict::Copy => engine.alter_online().await,
        };
        match ended {
            Err(error) if error.kind == Kind::Busy => reason = error.reason,
            ended => return Ok(ended?),
        }
        tokio::time::sleep(Duration::from_millis(500) * attempt.min(60)).await;
    }
    Err(Failure::NoLock(reason))
}

/// Copies and refreshes, turn by turn, until the shadow holds the whole key space. Of a table that is quiet the log is not read
/// before.
async fn fill<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
    quiet: Quiet,
) -> Result<(), Failure> {
    let (mut pace, mut ahead, mut cadence) = (Pace::default(), Ahead::default(), Cadence::begin());
    let (begun, resumed_at) = (Instant::now(), record.rows_copied);
    desk.tell(|status| {
        status.phase = Phase::Copying;
        status.rows_estimated = record.rows_estimated;
        status.rows_copied = record.rows_copied;
    });
    while record.watermark != Watermark::End {
        wait_until_copying_is_welcome(engine, listener, desk, record).await?;
        if !listener.is_listening() && !quiet.holds(engine, desk.status().log_kept_bytes).await? {
            listener.listen(engine).await?;
        }
        let rest = copy_turn(engine, listener, desk, &mut pace, &mut ahead, record).await?;
        let orders = desk.orders();
        if cadence.is_due(engine, &orders, listener.keys.len()) || record.watermark == Watermark::End {
            refresh_turn(engine, listener, desk, &record.watermark).await?;
            checkpoint::save_progress(engine, listener, record).await?;
        }
        tell_walk(
            desk,
            begun.elapsed(),
            record.rows_copied - resumed_at,
            record.rows_estimated.saturating_sub(resumed_at),
        );
        desk.tell(|status| {
            status.rows_copied = record.rows_copied;
            status.chunk_rows = pace.rows(&orders);
            status.workers = pace.workers(&orders);
        });
        rest_for(listener, desk, rest).await?;
    }
    Ok(quiet.pass_log(engine, listener, record).await?)
}

async fn build_and_prove<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    let proof = build_indexes(engine, listener, desk, record).await?;
    prove(engine, listener, desk, record, proof).await
}

/// Builds what was left out while copying, and follows what was written meanwhile. While nobody writes, the proof begins beside the
/// builds.
async fn build_indexes<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<Verification, Failure> {
    desk.heed()?;
    desk.tell(|status| {
        status.phase = Phase::Indexing;
        status.percent = 0.0;
        status.rows_per_second = 0;
        status.eta_seconds = None;
    });
    let gently = is_gentle(desk);
    let (mut proof, over) = (Verification::begin(), Over::default());
    let building = async {
        let built = tokio::select! {
            built = engine.complete(gently) => built.map(Ok),
            full = log_is_full(engine) => full.map(|()| Err(Failure::Stopped)),
            missed = stream_is_broken(engine) => Ok(Err(missed.into())),
            () = desk.stopped() => Ok(Err(Failure::Stopped)),
            why = load::critical(engine, desk) => Ok(Err(why)),
            never = tell_builds(engine, desk) => match never {},
        };
        over.set();
        built
    };
    let following = async {
        if record.passed_log && !listener.is_listening() {
            engine.pass_log(listener.delivered()).await?;
        }
        listener.listen(engine).await?;
        proof.beside_builds(engine, listener, desk, &over, gently).await
    };
    let (built, listened) = join(building, following).await;
    listened?;
    if let Err(why) = built? {
        // The next statement under the run lock ends the one that was given up.
        checkpoint::save_progress(engine, listener, record).await?;
        look_at_log(engine, desk).await?;
        return Err(why);
    }
    desk.tell(|status| status.phase = Phase::CatchingUp);
    catch_up(engine, listener, desk, record).await?;
    checkpoint::save_progress(engine, listener, record).await?;
    Ok(proof)
}

/// Proves the two tables equal, and lets the server look at the new one meanwhile, so that its plans are good from the first
/// statement.
async fn prove<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
    proof: Verification,
) -> Result<(), Failure> {
    desk.heed()?;
    proof.tell(desk, record);
    desk.tell(|status| status.phase = Phase::Verifying);
    let (given_up, analyzed) = (Over::default(), Over::default());
    let analyzing = async {
        let ended = tokio::select! {
            ended = engine.analyze(is_gentle(desk)) => ended,
            () = given_up.wait() => Ok(()),
        };
        analyzed.set();
        ended
    };
    let proving = async {
        let proven = prove_until(engine, listener, desk, record, proof, &analyzed).await;
        given_up.set();
        proven
    };
    let (analyzed, proven) = join(analyzing, proving).await;
    // The next statement under the run lock ends the one that was given up.
    let saved = checkpoint::save_progress(engine, listener, record).await;
    proven?;
    analyzed?;
    saved?;
    Ok(())
}

/// Proves, and then stays current until the server has looked at the shadow, too.
async fn prove_until<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
    proof: Verification,
    analyzed: &Over,
) -> Result<(), Failure> {
    proof.finish(engine, listener, desk, record).await?;
    while !analyzed.is_set() {
        is_throttled(engine, desk).await?;
        desk.tell(|status| {
            status.throttle_reason = Some("all rows are proven equal; the server still looks at the new table".into())
        });
        stay_current_until(analyzed.wait(), engine, listener, desk, record).await?;
        desk.tell(|status| status.throttle_reason = None);
    }
    Ok(())
}

/// What cannot be slowed down once it runs is begun gently if the server's other work counts for more.
fn is_gentle(desk: &Desk) -> bool {
    desk.orders().max_commit_latency.is_some() || desk.orders().nice > 0.0
}

/// Stays current until the order to swap comes.
async fn wait_while_postponed<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    while desk.orders().postpone_cut_over {
        desk.tell(|status| status.phase = Phase::Postponed);
        wait_while_throttled(engine, listener, desk, record).await?;
        stay_current(engine, listener, desk, record).await?;
    }
    Ok(())
}

/// Copies nothing while something stands in the way, but goes on following: the server need not keep its log.
///
/// # Errors
/// [`Failure::Stopped`] if the run shall end.
pub async fn wait_while_throttled<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    while is_throttled(engine, desk).await? {
        stay_current(engine, listener, desk, record).await?;
    }
    Ok(())
}

/// The same before rows are copied, which makes log: the less the server keeps for us, the sooner we are done with it.
async fn wait_until_copying_is_welcome<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    while throttled(engine, desk, throttle::log_reason).await? {
        listener.listen(engine).await?;
        stay_current(engine, listener, desk, record).await?;
    }
    Ok(())
}

/// Whether something stands in the way now.
///
/// # Errors
/// [`Failure::Stopped`] and [`Failure::CriticalLoad`] if the run shall end.
pub async fn is_throttled<E: Engine>(engine: &E, desk: &Desk) -> Result<bool, Failure> {
    throttled(engine, desk, |_| None).await
}

/// Looks around once, and tells watchers; says whether something stands in the way.
async fn throttled<E: Engine>(
    engine: &E,
    desk: &Desk,
    of_log: impl Fn(Option<LogKept>) -> Option<String>,
) -> Result<bool, Failure> {
    desk.heed()?;
    engine.check_stream().await?;
    let kept = look_at_log(engine, desk).await?;
    let load = load::look(engine, &desk.orders()).await?;
    let lags = engine.replica_lags().await?;
    let reason = throttle::reason(&desk.orders(), &lags).or(load).or_else(|| of_log(kept));
    let is_throttled = reason.is_some();
    desk.tell(|status| {
        status.replica_lag_seconds = throttle::greatest(&lags).map(|lag| lag.as_secs_f64());
        status.commit_latency_ms = engine.commit_latency().map(|latency| latency.usual.as_secs_f64() * 1000.0);
        status.throttle_reason = reason;
    });
    Ok(is_throttled)
}

/// Asks what the server keeps of its log for this run.
///
/// # Errors
/// [`Failure::LogFull`] if that is as much as it may be.
pub async fn look_at_log<E: Engine>(engine: &E, desk: &Desk) -> Result<Option<LogKept>, Failure> {
    let kept = engine.log_kept().await?;
    desk.tell(|status| status.log_kept_bytes = kept.map(|kept| kept.bytes));
    match kept {
        Some(LogKept { bytes, .. }) if throttle::is_log_full(kept) => {
            Err(Failure::LogFull { bytes, outlook: engine.give_up_log().await? })
        }
        kept => Ok(kept),
    }
}

/// Tells watchers how far the builds have come, for as long as it is let.
async fn tell_builds<E: Engine>(engine: &E, desk: &Desk) -> Infallible {
    loop {
        tokio::time::sleep(BUILDS_LOOK).await;
        if let Some(built) = engine.built().await {
            desk.tell(|status| status.percent = built * 100.0);
        }
    }
}

/// Waits until the server keeps as much of its log as it may.
async fn log_is_full<E: Engine>(engine: &E) -> Result<()> {
    while !throttle::is_log_full(engine.log_kept().await?) {
        tokio::time::sleep(LOG_LOOK).await;
    }
    Ok(())
}

/// Waits until the log does not tell of every changed row any more; says why.
async fn stream_is_broken<E: Engine>(engine: &E) -> Error {
    loop {
        tokio::time::sleep(STREAM_LOOK).await;
        if let Err(error) = engine.check_stream().await {
            return error;
        }
    }
}

/// Rests between two turns, listening, unless the run shall end.
pub async fn rest_for<S: ChangeStream>(listener: &mut Listener<S>, desk: &Desk, time: Duration) -> Result<()> {
    if time.is_zero() {
        return Ok(());
    }
    let resting = async {
        tokio::select! {
            () = tokio::time::sleep(time.min(REST_MAX)) => {}
            () = desk.stopped() => {}
        }
    };
    listener.during(resting).await
}

async fn stay_current<E: Engine>(
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    stay_current_until(pending(), engine, listener, desk, record).await
}

/// Listens for a while, or until something has happened, and refreshes what was heard.
async fn stay_current_until<E: Engine>(
    news: impl Future<Output = ()>,
    engine: &E,
    listener: &mut Listener<E::Stream>,
    desk: &Desk,
    record: &mut Record,
) -> Result<(), Failure> {
    desk.heed()?;
    listener.during(timeout(CURRENT, news)).await?.ok();
    refresh_turn(engine, listener, desk, &record.watermark).await?;
    checkpoint::save_progress(engine, listener, record).await?;
    Ok(())
}

/// Takes away what is not needed after the swap, and says that the run is done.
///
/// # Errors
/// [`Failure::Unfinished`], whatever failed: the tables are swapped.
async fn finish<E: Engine>(engine: &E, desk: &Desk, mut record: Record) -> Result<Outcome, Failure> {
    engine.finish().await.map_err(Failure::Unfinished)?;
    record.stage = Stage::Done;
    checkpoint::save(engine, &mut record).await.map_err(Failure::Unfinished)?;
    desk.tell(|status| {
        status.phase = Phase::Done;
        status.percent = 100.0;
        status.eta_seconds = None;
        status.pending_keys = 0;
    });
    Ok(Outcome::Swapped)
}

/// Tells watchers how far a walk over the table has come, and when it should end at the pace so far.
pub fn tell_walk(desk: &Desk, walked: Duration, rows: u64, of_rows: u64) {
    let seconds = walked.as_secs_f64().max(0.001);
    let rows_per_second = rows as f64 / seconds;
    let done = if of_rows == 0 { 1.0 } else { (rows as f64 / of_rows as f64).min(1.0) };
    let rest = of_rows.saturating_sub(rows) as f64;
    desk.tell(|status| {
        status.percent = done * 100.0;
        status.rows_per_second = rows_per_second as u64;
        status.eta_seconds = (rows_per_second > 0.0).then(|| (rest / rows_per_second).ceil() as u64);
    });
}
