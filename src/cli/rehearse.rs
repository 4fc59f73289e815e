//! `rehearse`: everything but the swap, and a runbook.

use crate::cli::commands::{failed, stop_at_deadline, stop_on_signals};
use crate::cli::engines::{Task, with_engine};
use crate::cli::run_args::RehearseArgs;
use crate::interface::log::say_error;
use crate::interface::output::print;
use crate::interface::recorder::Recorder;
use crate::interface::runbook::{self, Peaks};
use crate::interface::socket::Steering;
use crate::interface::{progress, report};
use altergeist::contract::{Engine, Target};
use altergeist::{Control, Failure, Listeners, Options, Rehearsal, Settings, Status};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Rehearses the change, and writes the runbook.
pub async fn rehearse(args: &RehearseArgs) -> u8 {
    match rehearse_once(args).await {
        Err(failure) => failed(&failure),
        Ok(text) => match &args.output {
            None => print(&text),
            Some(path) => match std::fs::write(path, &text) {
                Ok(()) => 0,
                Err(error) => {
                    print(&text);
                    say_error(&format!(
                        "altergeist: {} cannot be written: {error}",
                        path.display()
                    ));
                    2
                }
            },
        },
    }
}

async fn rehearse_once(args: &RehearseArgs) -> Result<String, Failure> {
    let target = args.run.target();
    let deadline = args.run.deadline.map(|time| std::time::Instant::now() + time);
    let settings = Arc::new(watch::Sender::new(Settings { deadline, ..args.run.settings() }));
    let status = watch::Sender::new(Status::default());
    // Hooks and webhooks tell of runs. A rehearsal changes nothing, so it tells nobody.
    let mut steering = Steering {
        settings: settings.clone(),
        status: status.subscribe(),
        listeners: Listeners::default(),
        recorder: Recorder::default(),
    };
    let sockets = args.run.watch.steering.listen(&target, &mut steering).await?;
    let shown = progress::show(args.run.watch.progress, status.subscribe());
    let peaks = watch_peaks(status.subscribe());
    stop_on_signals(settings.clone());
    stop_at_deadline(settings.clone());
    let task = RehearseTask {
        options: args.run.options(),
        settings: settings.clone(),
        status,
        with_lock: args.with_lock,
    };
    let mut panicked = settings.subscribe();
    let ended = tokio::select! {
        ended = with_engine(&target, task) => ended.unwrap_or_else(|error| Err(error.into())),
        _ = panicked.wait_for(|settings| settings.panic) => {
            say_error(
                "altergeist: the rehearsal was cut off, so it has dropped nothing. The table is \
                 untouched; `altergeist cleanup` drops what the rehearsal made",
            );
            Err(Failure::Stopped)
        }
    };
    shown.finish().await;
    drop(sockets);
    let peaks = peaks.await.unwrap_or_default();
    let command = runbook::Command {
        url: shown_url(&target.url),
        table: target.table.clone(),
        flags: flags_of_run(std::env::args().skip(2)),
        at: report::now(),
    };
    Ok(runbook::render(&ended?, &peaks, &command))
}

/// Keeps the greatest values of the status until its sender is gone.
fn watch_peaks(mut status: watch::Receiver<Status>) -> JoinHandle<Peaks> {
    tokio::spawn(async move {
        let mut peaks = Peaks::default();
        loop {
            let now = status.borrow_and_update().clone();
            peaks.note(&now);
            if status.changed().await.is_err() {
                return peaks;
            }
        }
    })
}

/// The URL without its password.
fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        let is_secret = |pair: &&str| !pair.trim_start().starts_with("password=");
        return url.split(' ').filter(is_secret).collect::<Vec<_>>().join(" ");
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let shown = match authority.rsplit_once('@') {
        Some((user, host)) => {
            format!("{}@{host}", user.split_once(':').map_or(user, |(user, _)| user))
        }
        None => authority.to_owned(),
    };
    // A password may be among the parameters, too.
    let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
    let kept: Vec<&str> = parameters
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("password="))
        .collect();
    let mark = if kept.is_empty() { "" } else { "?" };
    format!("{scheme}://{shown}{path}{mark}{}", kept.join("&"))
}

/// The given flags as a shell takes them, without those of the rehearsal, and without URL and
/// table. URLs among them are left out: they may hold passwords.
fn flags_of_run(words: impl Iterator<Item = String>) -> String {
    const LEFT_OUT: [&str; 9] = [
        "--url",
        "--table",
        "--output",
        "--progress",
        "--socket",
        "--deadline",
        "--replica",
        "--stream-from",
        "--throttle-http",
    ];
    let mut shown = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default().to_owned();
        if word == "--with-lock" || word == "--postpone-cut-over" {
            continue;
        }
        if LEFT_OUT.contains(&&*name) {
            if !word.contains('=') {
                words.next();
            }
            continue;
        }
        let value = word.split_once('=').map(|(_, value)| value);
        let value = value.or(words.peek().map(String::as_str)).unwrap_or_default();
        if name != "--alter" && word.starts_with("--") && value.contains("://") {
            if !word.contains('=') {
                words.next();
            }
            continue;
        }
        shown.push(quoted(&word));
    }
    shown.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=./:,".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

struct RehearseTask {
    options: Options,
    settings: Arc<watch::Sender<Settings>>,
    status: watch::Sender<Status>,
    with_lock: bool,
}

impl Task for RehearseTask {
    type Outcome = Result<Rehearsal, Failure>;

    async fn run<E: Engine>(self, target: &Target) -> Self::Outcome {
        let control = Control::new(self.settings.subscribe(), self.status);
        let connect = async || E::connect(target).await;
        altergeist::rehearse(connect, &control, &self.options, self.with_lock).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("mysql://me:secret@db:3306/shop", "mysql://me@db:3306/shop"),
            (
                "postgres://me:se@cret@db/shop?password=x&sslmode=require",
                "postgres://me@db/shop?sslmode=require",
            ),
            ("postgres:///shop?password=x", "postgres:///shop"),
            ("host=db password=x dbname=shop", "host=db dbname=shop"),
        ] {
            assert_eq!(shown_url(url), shown);
        }
    }

    #[test]
    fn the_flags_of_the_run_are_those_of_the_rehearsal() {
        let words = "--url mysql://me:secret@db/shop --table=orders --alter X --with-lock --output \
                     f.md --replica mysql://a:b@c --webhook https://x/secret --workers=2";
        let words = words.split_whitespace().map(|word| match word {
            "X" => "ADD a int DEFAULT 'x'".to_owned(),
            word => word.to_owned(),
        });
        let expected = "--alter 'ADD a int DEFAULT '\\''x'\\''' --workers=2";
        assert_eq!(flags_of_run(words), expected);
    }
}
