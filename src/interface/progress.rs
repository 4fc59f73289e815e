//! Shows a run while it goes on: a bar on a terminal, plain lines or JSON elsewhere.

use crate::interface::log::say;
use crate::interface::output::print_line;
use crate::interface::report;
use altergeist::{Phase, Status};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often the bar is drawn.
const BAR_EVERY: Duration = Duration::from_millis(200);
/// How often a plain line is printed while nothing else happens.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often a JSON line is printed.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// How progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressArg {
    /// A bar on a terminal, plain lines elsewhere
    Auto,
    /// A bar
    Bar,
    /// Plain lines
    Plain,
    /// One JSON object per line
    Json,
}

/// The task that shows progress.
pub struct Shown(JoinHandle<()>);

impl Shown {
    /// Waits until the last state is shown. The run's sender must be gone by then.
    pub async fn finish(self) {
        let _ = self.0.await;
    }
}

/// Shows a run until its sender is gone.
pub fn show(how: ProgressArg, status: watch::Receiver<Status>) -> Shown {
    Shown(match resolve(how) {
        ProgressArg::Bar | ProgressArg::Auto => tokio::spawn(show_bar(status)),
        ProgressArg::Plain => {
            tokio::spawn(show_lines(status, LINE_EVERY, |status| say(&report::line(status))))
        }
        ProgressArg::Json => tokio::spawn(show_lines(status, JSON_EVERY, |status| {
            print_line(&report::json(status));
        })),
    })
}

fn resolve(how: ProgressArg) -> ProgressArg {
    match how {
        ProgressArg::Auto if std::io::stderr().is_terminal() => ProgressArg::Bar,
        ProgressArg::Auto => ProgressArg::Plain,
        chosen => chosen,
    }
}

async fn show_bar(mut status: watch::Receiver<Status>) {
    let bar = ProgressBar::new(1000);
    bar.set_style(
        ProgressStyle::with_template("{spinner} [{elapsed_precise}] {bar:30} {wide_msg}")
            .expect("the template is well formed")
            .progress_chars("=> "),
    );
    let mut last_error = None;
    loop {
        {
            let now = status.borrow_and_update();
            if let Some(error) = new_error(&mut last_error, &now) {
                bar.println(error);
            }
            bar.set_position((now.percent * 10.0) as u64);
            bar.set_message(report::line(&now));
        }
        bar.tick();
        tokio::time::sleep(BAR_EVERY).await;
        if status.has_changed().is_err() {
            break;
        }
    }
    bar.finish_and_clear();
}

/// A line whenever the phase changes, and every so often.
async fn show_lines(mut status: watch::Receiver<Status>, every: Duration, print: impl Fn(&Status)) {
    let mut shown: Option<(Phase, Instant)> = None;
    let mut last_error = None;
    loop {
        let is_over = status.has_changed().is_err();
        {
            let now = status.borrow_and_update();
            if let Some(error) = new_error(&mut last_error, &now) {
                say(&error);
            }
            let is_due =
                shown.is_none_or(|(phase, at)| phase != now.phase || at.elapsed() >= every);
            if is_due {
                print(&now);
                shown = Some((now.phase, Instant::now()));
            }
        }
        if is_over {
            return;
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), status.changed()).await;
    }
}

/// Returns an error that the run continued after, once. The error that ends a run is printed
/// elsewhere.
fn new_error(last_error: &mut Option<String>, status: &Status) -> Option<String> {
    if status.last_error == *last_error || status.phase == Phase::Failed {
        return None;
    }
    last_error.clone_from(&status.last_error);
    last_error.as_ref().map(|error| format!("continuing after: {error}"))
}
