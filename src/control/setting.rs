//! What an operator can read and change by name during a run: `name=?` and `name=value`.

use crate::control::{Limits, Settings, effort};
use crate::gate::Window;
use crate::pace::own_signals::{bytes_with_unit, exact_bytes_text};
use altergeist_contract::NamedReplica;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A setting with its names. The first name is the flag's; the others are gh-ost's.
pub struct Setting {
    /// The names by which it is read and set.
    pub names: &'static [&'static str],
    /// What its value is, for the list of orders.
    pub value: &'static str,
    /// What it does, for the list of orders.
    pub help: &'static str,
    read: fn(&Settings) -> String,
    write: fn(&mut Settings, &str) -> Result<(), String>,
}

impl Setting {
    /// Finds a setting by one of its names.
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.names.contains(&name))
    }

    /// Returns the present value, as it can be set.
    pub fn read(&self, settings: &Settings) -> String {
        (self.read)(settings)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// What it must be. Nothing is changed then.
    pub fn write(&self, settings: &mut Settings, value: &str) -> Result<(), String> {
        let mut changed = settings.clone();
        (self.write)(&mut changed, value)?;
        *settings = changed;
        Ok(())
    }
}

const LOCK_TIMES: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
const ANY_TIME: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(1_000_000);

/// How an order names replicas.
const FORM_OF_REPLICAS: &str = "must be HOST:PORT,...; the run logs in there as on the server. For \
                                another login repeat the command with --replica URL";

/// Every setting that can be changed during a run.
pub const SETTINGS: &[Setting] = &[
    Setting {
        names: &["chunk-rows", "chunk-size"],
        value: "N",
        help: "rows per chunk; 0 sizes chunks by time",
        read: |settings| settings.chunk_rows.unwrap_or(0).to_string(),
        write: |settings, text| {
            let rows = whole(text, 0..=1_000_000)?;
            settings.chunk_rows = (rows > 0).then_some(rows);
            Ok(())
        },
    },
    Setting {
        names: &["chunk-time"],
        value: "TIME",
        help: "target time to copy a chunk",
        read: |settings| shown(settings.chunk_time),
        write: |settings, text| {
            settings.chunk_time = time(text, Duration::from_millis(1)..=Duration::from_secs(60))?;
            Ok(())
        },
    },
    Setting {
        names: &["workers"],
        value: "N",
        help: "upper limit of chunks, or batches of changed rows, in flight at once",
        read: |settings| settings.workers.to_string(),
        write: |settings, text| {
            settings.workers = whole(text, 1..=64)? as usize;
            Ok(())
        },
    },
    Setting {
        names: &["effort"],
        value: "1..10",
        help: "one dial for workers, chunk-time and nice; 7 is the default",
        read: |settings| {
            effort::position(settings).map_or_else(|| "own".into(), |position| position.to_string())
        },
        write: |settings, text| {
            // `own` is what the three make of it by themselves.
            if text != "own" || effort::position(settings).is_some() {
                effort::turn(settings, whole(text, 1..=effort::EFFORT_MAX)?);
            }
            Ok(())
        },
    },
    Setting {
        names: &["batch-keys", "dml-batch-size"],
        value: "N",
        help: "upper limit of changed rows refreshed in one transaction",
        read: |settings| settings.batch_keys.to_string(),
        write: |settings, text| {
            settings.batch_keys = whole(text, 1..=10_000)? as usize;
            Ok(())
        },
    },
    Setting {
        names: &["nice", "nice-ratio"],
        value: "RATIO",
        help: "after each turn, rest this many times as long as it took",
        read: |settings| settings.nice.to_string(),
        write: |settings, text| match text.parse() {
            Ok(ratio) if (0.0..=100.0).contains(&ratio) => {
                settings.nice = ratio;
                Ok(())
            }
            _ => Err("must be a number from 0 to 100".into()),
        },
    },
    Setting {
        names: &["max-lag"],
        value: "TIME",
        help: "pause the copy while a replica lags more",
        read: |settings| shown(settings.max_lag),
        write: set_max_lag,
    },
    Setting {
        names: &["max-lag-millis"],
        value: "N",
        help: "the same in milliseconds",
        read: |settings| settings.max_lag.as_millis().to_string(),
        write: set_max_lag,
    },
    Setting {
        names: &["replica", "throttle-control-replicas"],
        value: "HOST:PORT,...",
        help: "replicas whose lag counts; empty counts those that are found",
        read: |settings| {
            let replicas = settings.replicas.iter().map(|replica| replica.address.clone());
            replicas.collect::<Vec<_>>().join(",")
        },
        write: set_replicas,
    },
    Setting {
        names: &["replication-lag-query"],
        value: "QUERY",
        help: "measure lag by this query, in seconds; empty turns it off",
        read: |settings| settings.replication_lag_query.clone().unwrap_or_default(),
        write: |settings, text| {
            settings.replication_lag_query = given(text);
            Ok(())
        },
    },
    Setting {
        names: &["max-lock-waiters"],
        value: "N",
        help: "pause the copy while more sessions wait; empty turns it off",
        read: |settings| limit_text(settings.max_lock_waiters),
        write: |settings, text| {
            settings.max_lock_waiters = limit(text)?;
            Ok(())
        },
    },
    Setting {
        names: &["max-history-list"],
        value: "N",
        help: "pause the copy while the history list is longer; empty turns it off",
        read: |settings| limit_text(settings.max_history_list),
        write: |settings, text| {
            settings.max_history_list = limit(text)?;
            Ok(())
        },
    },
    Setting {
        names: &["min-free-disk"],
        value: "BYTES",
        help: "pause the copy while less disk is free, as 20GB; empty turns it off",
        read: |settings| settings.min_free_disk.map(exact_bytes_text).unwrap_or_default(),
        write: |settings, text| {
            let least = given(text).map(|text| bytes_with_unit(&text)).transpose()?;
            settings.min_free_disk = least.filter(|least| *least > 0);
            Ok(())
        },
    },
    Setting {
        names: &["max-commit-latency"],
        value: "TIME",
        help: "slow down while small commits take longer; 0 turns it off",
        read: |settings| shown(settings.max_commit_latency.unwrap_or_default()),
        write: |settings, text| {
            let latency = time(text, Duration::ZERO..=Duration::from_secs(60))?;
            settings.max_commit_latency = (!latency.is_zero()).then_some(latency);
            Ok(())
        },
    },
    Setting {
        names: &["max-load"],
        value: "NAME=N,...",
        help: "pause the copy while a load metric exceeds its limit; empty turns it off",
        read: |settings| settings.max_load.to_string(),
        write: |settings, text| {
            settings.max_load = text.parse::<Limits>()?;
            Ok(())
        },
    },
    Setting {
        names: &["critical-load"],
        value: "NAME=N,...",
        help: "stop when a load metric exceeds its limit; empty turns it off",
        read: |settings| settings.critical_load.to_string(),
        write: |settings, text| {
            settings.critical_load = text.parse::<Limits>()?;
            Ok(())
        },
    },
    Setting {
        names: &["throttle-query"],
        value: "QUERY",
        help: "pause the copy while the answer is greater than 0; empty turns it off",
        read: |settings| settings.throttle_query.clone().unwrap_or_default(),
        write: |settings, text| {
            settings.throttle_query = given(text);
            Ok(())
        },
    },
    Setting {
        names: &["throttle-http"],
        value: "URL",
        help: "pause the copy unless HEAD of it is answered by 200; empty turns it off",
        read: |settings| settings.throttle_http.clone().unwrap_or_default(),
        write: |settings, text| {
            settings.throttle_http = given(text).map(|text| http_url(&text)).transpose()?;
            Ok(())
        },
    },
    Setting {
        names: &["throttle-file", "throttle-flag-file", "throttle-additional-flag-file"],
        value: "PATH",
        help: "pause the copy while this file exists; empty turns it off",
        read: |settings| path_text(settings.throttle_file.as_ref()),
        write: |settings, text| {
            settings.throttle_file = given(text).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        names: &["postpone-file", "postpone-cut-over-flag-file"],
        value: "PATH",
        help: "do not swap while this file exists; empty turns it off",
        read: |settings| path_text(settings.postpone_file.as_ref()),
        write: |settings, text| {
            settings.postpone_file = given(text).map(PathBuf::from);
            Ok(())
        },
    },
    Setting {
        names: &["lock-timeout"],
        value: "TIME",
        help: "longest wait for the cut-over lock, and longest time to hold it",
        read: |settings| shown(settings.lock_timeout),
        write: |settings, text| {
            settings.lock_timeout = time(text, LOCK_TIMES)?;
            Ok(())
        },
    },
    Setting {
        names: &["lock-attempts"],
        value: "N",
        help: "attempts to get the cut-over lock",
        read: |settings| settings.lock_attempts.to_string(),
        write: |settings, text| {
            settings.lock_attempts = whole(text, 1..=1_000_000)? as u32;
            Ok(())
        },
    },
    Setting {
        names: &["kill-blockers"],
        value: "on|off",
        help: "kill sessions that block the cut-over lock",
        read: |settings| if settings.kill_blockers { "on" } else { "off" }.into(),
        write: |settings, text| {
            settings.kill_blockers = switch(text)?;
            Ok(())
        },
    },
    Setting {
        names: &["window"],
        value: "HOURS",
        help: "swap only in these hours; empty turns it off",
        read: |settings| settings.window.as_ref().map(Window::to_string).unwrap_or_default(),
        write: |settings, text| {
            let window = given(text).map(|text| text.parse()).transpose();
            settings.window = window.map_err(|form: String| format!("cannot be read; {form}"))?;
            Ok(())
        },
    },
    Setting {
        names: &["check-limits"],
        value: "NAME=N,...",
        help: "the numbers that --check and --gate compare with",
        read: |settings| settings.check_limits.to_string(),
        write: |settings, text| {
            settings.check_limits = settings.check_limits.changed(text)?;
            Ok(())
        },
    },
    Setting {
        names: &["max-null-increase"],
        value: "PERCENT",
        help: "swap only if the share of NULLs in no changed column grows more",
        read: |settings| settings.tolerance.null_increase.percent(),
        write: |settings, text| {
            settings.tolerance.null_increase = text.parse()?;
            Ok(())
        },
    },
    Setting {
        names: &["max-empty-increase"],
        value: "PERCENT",
        help: "the same for empty values",
        read: |settings| settings.tolerance.empty_increase.percent(),
        write: |settings, text| {
            settings.tolerance.empty_increase = text.parse()?;
            Ok(())
        },
    },
    Setting {
        names: &["max-distinct-decrease"],
        value: "PERCENT",
        help: "swap only if no changed column loses more of its different values",
        read: |settings| settings.tolerance.distinct_decrease.percent(),
        write: |settings, text| {
            settings.tolerance.distinct_decrease = text.parse()?;
            Ok(())
        },
    },
    Setting {
        names: &["deadline"],
        value: "TIME",
        help: "stop this long from now; 0 turns it off",
        read: |settings| {
            let left = settings.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            shown(Duration::from_secs(left.unwrap_or_default().as_secs()))
        },
        write: |settings, text| {
            let time = time(text, ANY_TIME)?;
            settings.deadline = (!time.is_zero()).then(|| Instant::now() + time);
            Ok(())
        },
    },
];

/// Names the replicas whose lag counts. One that was named when the run began keeps its login.
fn set_replicas(settings: &mut Settings, text: &str) -> Result<(), String> {
    let replica = |address: &str| {
        let known = settings.replicas_at_start.iter().find(|known| known.address == address);
        let is_address = !address.chars().any(|letter| "/@?#=".contains(letter) || letter == ' ');
        match (known, is_address && !address.is_empty()) {
            (Some(known), _) => Ok(known.clone()),
            (None, true) => Ok(NamedReplica { address: address.to_owned(), url: None }),
            // An order is recorded, so it must hold no password.
            (None, false) => Err(FORM_OF_REPLICAS.to_owned()),
        }
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    settings.replicas = match text {
        "" => Vec::new(),
        _ => parts.map(replica).collect::<Result<_, _>>()?,
    };
    Ok(())
}

/// Reads a limit of whole numbers; None for an empty text.
fn limit(text: &str) -> Result<Option<u64>, String> {
    given(text).map(|text| whole(&text, 0..=u64::MAX / 2)).transpose()
}

fn limit_text(limit: Option<u64>) -> String {
    limit.map(|limit| limit.to_string()).unwrap_or_default()
}

fn set_max_lag(settings: &mut Settings, text: &str) -> Result<(), String> {
    settings.max_lag = time(text, ANY_TIME)?;
    Ok(())
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "1" => Ok(true),
        "off" | "false" | "0" => Ok(false),
        _ => Err("must be on or off".into()),
    }
}

fn whole(text: &str, from_to: RangeInclusive<u64>) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if from_to.contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {} to {}", from_to.start(), from_to.end())),
    }
}

/// Reads `1500ms` or `2s`. A plain number means milliseconds.
fn time(text: &str, from_to: RangeInclusive<Duration>) -> Result<Duration, String> {
    let time = match text.parse::<u64>() {
        Ok(millis) => Some(Duration::from_millis(millis)),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| from_to.contains(time)).ok_or_else(|| {
        format!("must be a time from {} to {}", shown(*from_to.start()), shown(*from_to.end()))
    })
}

/// Reads the URL of a throttle service.
///
/// # Errors
/// How to write it.
pub fn http_url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("must be a URL, as http://freno.example:9777/check/altergeist/mysql/main".into()),
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn shown(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

fn path_text(path: Option<&PathBuf>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
