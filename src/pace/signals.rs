//! Reads the signals that throttle a run, each as often as it is due, and remembers what it said
//! last. A signal that cannot be read means: wait.

use crate::control::{Failure, Settings, SignalState};
use crate::pace::signal::{Observation, Signal};
use crate::pace::{lag, load, own_signals};
use altergeist_contract::{Engine, Error, Kind, Reading, ReplicaLag, Result, WatchedReplicas};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// The last readings of each signal.
#[derive(Default)]
pub struct Signals {
    last: Mutex<Vec<Last>>,
}

struct Last {
    signal: Signal,
    /// The setting that it was read for. Another one makes the answer void.
    setting: String,
    at: Instant,
    read_at: String,
    observation: Observation,
    lags: Vec<ReplicaLag>,
}

/// What all signals say now.
pub struct Looked {
    /// The state of each signal in force.
    pub states: Vec<SignalState>,
    /// The lags of the replicas.
    pub lags: Vec<ReplicaLag>,
}

impl Looked {
    /// The reason to wait; None if there is none.
    pub fn reason(&self) -> Option<String> {
        self.states.iter().find_map(|state| state.reason.clone())
    }
}

impl Signals {
    /// Reads every signal that counts and is due, all at once.
    ///
    /// # Errors
    /// [`Failure::CriticalLoad`]; and what a lost connection means.
    pub async fn look<E: Engine>(
        &self,
        engine: &E,
        settings: &Settings,
        counts: impl Fn(Signal) -> bool,
    ) -> Result<Looked, Failure> {
        let mut last = self.last.lock().await;
        let in_force: Vec<(Signal, String)> = Signal::ALL
            .into_iter()
            .filter(|signal| counts(*signal))
            .filter_map(|signal| Some((signal, setting(signal, settings)?)))
            .collect();
        last.retain(|last| {
            last.at.elapsed() < last.signal.interval()
                && in_force
                    .iter()
                    .any(|(signal, now)| *signal == last.signal && *now == last.setting)
        });
        let due: Vec<&(Signal, String)> = in_force
            .iter()
            .filter(|(signal, _)| last.iter().all(|last| last.signal != *signal))
            .collect();
        let asked = join_all(due.iter().map(|(signal, _)| read(engine, settings, *signal))).await;
        for ((signal, setting), asked) in due.into_iter().zip(asked) {
            let (observation, lags) = asked?;
            last.push(Last {
                signal: *signal,
                setting: setting.clone(),
                at: Instant::now(),
                read_at: now(),
                observation,
                lags,
            });
        }
        last.sort_by_key(|last| last.signal);
        let states = last.iter().map(|last| SignalState {
            signal: last.signal.name().into(),
            observed: last.observation.observed.clone(),
            limit: last.setting.clone(),
            reason: last.observation.reason.clone(),
            read_at: last.read_at.clone(),
        });
        let lags = last.iter().flat_map(|last| last.lags.clone()).collect();
        Ok(Looked { states: states.collect(), lags })
    }
}

impl Signals {
    /// Reads how far the replicas are behind, if the last answer does not count any more.
    ///
    /// # Errors
    /// What a lost connection means.
    pub async fn replica_lag<E: Engine>(
        &self,
        engine: &E,
        settings: &Settings,
    ) -> Result<Observation, Failure> {
        let signal = Signal::ReplicaLag;
        let now_set = setting(signal, settings).unwrap_or_default();
        let mut last = self.last.lock().await;
        let is_fresh = |last: &&Last| {
            last.signal == signal
                && last.setting == now_set
                && last.at.elapsed() < signal.interval()
        };
        if let Some(known) = last.iter().find(is_fresh) {
            return Ok(known.observation.clone());
        }
        let (observation, lags) = read(engine, settings, signal).await?;
        last.retain(|last| last.signal != signal);
        last.push(Last {
            signal,
            setting: now_set,
            at: Instant::now(),
            read_at: now(),
            observation: observation.clone(),
            lags,
        });
        Ok(observation)
    }
}

/// The setting that puts a signal in force, as people write it; None if it is not in force.
fn setting(signal: Signal, settings: &Settings) -> Option<String> {
    let seconds = |time: Duration| format!("{:.1}s", time.as_secs_f64());
    match signal {
        Signal::Order => settings.throttle.then(|| "none".into()),
        Signal::ThrottleFile => {
            settings.throttle_file.as_ref().map(|path| path.display().to_string())
        }
        Signal::ReplicaLag => {
            let replicas: Vec<&str> =
                settings.replicas.iter().map(|replica| &*replica.address).collect();
            let what =
                [replicas.join(","), settings.replication_lag_query.clone().unwrap_or_default()];
            let what = what.iter().filter(|it| !it.is_empty());
            Some(what.fold(seconds(settings.max_lag), |text, it| format!("{text} ({it})")))
        }
        Signal::Load => {
            let limits = [("critical: ", &settings.critical_load), ("", &settings.max_load)];
            let limits: Vec<String> = limits
                .iter()
                .filter(|(_, limits)| !limits.0.is_empty())
                .map(|(what, limits)| format!("{what}{limits}"))
                .collect();
            (!limits.is_empty()).then(|| limits.join("; "))
        }
        Signal::LockWaiters => settings.max_lock_waiters.map(|most| most.to_string()),
        Signal::HistoryList => settings.max_history_list.map(|most| most.to_string()),
        Signal::FreeDisk => settings.min_free_disk.map(own_signals::exact_bytes_text),
        Signal::ThrottleQuery => settings.throttle_query.clone(),
        Signal::ThrottleHttp => settings.throttle_http.as_deref().map(own_signals::without_login),
        // The run itself looks at it, because it must act on it.
        Signal::RetainedLog => None,
    }
}

async fn read<E: Engine>(
    engine: &E,
    settings: &Settings,
    signal: Signal,
) -> Result<(Observation, Vec<ReplicaLag>), Failure> {
    let reading = async {
        match signal {
            Signal::ReplicaLag => {
                let watched = WatchedReplicas {
                    named: &settings.replicas,
                    query: settings.replication_lag_query.as_deref(),
                };
                let lags = engine.replica_lags(watched).await?;
                Ok((lag::of_lags(settings, &lags), lags))
            }
            Signal::Load => Ok((load::observed(engine, settings).await?, Vec::new())),
            _ => Ok((of_others(engine, settings, signal).await?, Vec::new())),
        }
    };
    timeout_of(signal, reading).await
}

/// Reads no longer than the signal's time limit. No answer in time, and any error that does not end
/// the session, mean: wait.
async fn timeout_of(
    signal: Signal,
    reading: impl Future<Output = Result<(Observation, Vec<ReplicaLag>), Failure>>,
) -> Result<(Observation, Vec<ReplicaLag>), Failure> {
    let limit = signal.time_limit();
    if limit.is_zero() {
        return reading.await;
    }
    let late = || format!("no answer within {} s", limit.as_secs());
    match timeout(limit, reading).await {
        Err(_) => Ok((Observation::unknown(signal.name(), &late()), Vec::new())),
        Ok(Err(Failure::Error(error))) if !ends_session(&error) => {
            Ok((Observation::unknown(signal.name(), &error.reason), Vec::new()))
        }
        Ok(read) => read,
    }
}

async fn of_others<E: Engine>(
    engine: &E,
    settings: &Settings,
    signal: Signal,
) -> Result<Observation, Failure> {
    Ok(match signal {
        Signal::Order => Observation {
            observed: Some("throttle".into()),
            reason: Some("by order of the operator".into()),
        },
        Signal::ThrottleFile => own_signals::of_file(settings.throttle_file.as_deref()),
        Signal::LockWaiters => {
            let most = settings.max_lock_waiters.unwrap_or(u64::MAX);
            Observation::at_most(signal, engine.read(Reading::LockWaiters).await?, most)
        }
        Signal::HistoryList => {
            let most = settings.max_history_list.unwrap_or(u64::MAX);
            Observation::at_most(signal, engine.read(Reading::HistoryList).await?, most)
        }
        Signal::FreeDisk => own_signals::of_disk(engine, settings).await?,
        Signal::ThrottleQuery => {
            own_signals::of_query(engine, settings.throttle_query.as_deref()).await
        }
        Signal::ThrottleHttp => own_signals::of_http(settings.throttle_http.as_deref()).await,
        Signal::ReplicaLag | Signal::Load | Signal::RetainedLog => Observation::default(),
    })
}

/// Whether the run must connect again. Any other error means: wait.
fn ends_session(error: &Error) -> bool {
    matches!(error.kind, Kind::Disconnected | Kind::Transient | Kind::Missed)
}

/// The moment, as scripts read it.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads what the server must tell once, so that what it cannot tell is refused at once.
///
/// # Errors
/// `Refused`, naming the signal.
pub async fn check<E: Engine>(engine: &E, settings: &Settings) -> Result<()> {
    load::check(engine, settings).await?;
    if settings.max_lock_waiters.is_some() {
        engine.read(Reading::LockWaiters).await?;
    }
    if settings.max_history_list.is_some() {
        engine.read(Reading::HistoryList).await?;
    }
    if settings.min_free_disk.is_some() && settings.free_disk.is_none() {
        engine.read(Reading::FreeDisk).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist_contract::model::{Habits, Server};

    fn settings(max_load: &str) -> Settings {
        Settings { max_load: max_load.parse().expect("it is a limit"), ..Settings::default() }
    }

    /// The model's load is another number from 0 to 1 whenever it is read.
    async fn load(signals: &Signals, settings: &Settings) -> SignalState {
        let engine = Server::new(7, Habits::default()).process();
        let looked = signals.look(&engine, settings, |_| true).await.expect("nothing is critical");
        let load = looked.states.iter().find(|state| state.signal == "load");
        load.expect("it is in force").clone()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_for_its_interval_and_no_longer() {
        let (signals, settings) = (Signals::default(), settings("a=1"));
        let first = load(&signals, &settings).await;
        tokio::time::advance(Signal::Load.interval() / 2).await;
        assert_eq!(load(&signals, &settings).await, first);
        tokio::time::advance(Signal::Load.interval()).await;
        let engine = Server::new(8, Habits::default()).process();
        let looked = signals.look(&engine, &settings, |_| true).await.expect("it is read");
        assert!(looked.states.iter().all(|state| state.observed != first.observed));
    }

    #[tokio::test(start_paused = true)]
    async fn another_limit_is_asked_about_at_once() {
        let signals = Signals::default();
        assert!(load(&signals, &settings("a=0")).await.reason.is_some());
        assert_eq!(load(&signals, &settings("a=2")).await.reason, None);
        let off = Settings::default();
        let engine = Server::new(7, Habits::default()).process();
        let looked = signals.look(&engine, &off, |_| true).await.expect("it is read");
        assert_eq!(looked.states.len(), 1, "only the lag is always in force");
    }

    #[tokio::test(start_paused = true)]
    async fn what_gives_no_answer_in_time_means_wait_and_so_does_an_error() {
        let late =
            timeout_of(Signal::Load, std::future::pending()).await.expect("it is no failure");
        assert_eq!(late.0.reason.as_deref(), Some("load unknown (no answer within 5 s)"));
        let refused = async { Err(Error::refused("read it", "no right").into()) };
        let refused = timeout_of(Signal::LockWaiters, refused).await.expect("it is no failure");
        assert_eq!(refused.0.reason.as_deref(), Some("lock-waiters unknown (no right)"));
        let lost = async { Err(Error::new(Kind::Disconnected, "read it", "gone").into()) };
        assert!(timeout_of(Signal::LockWaiters, lost).await.is_err(), "the run connects again");
    }
}
