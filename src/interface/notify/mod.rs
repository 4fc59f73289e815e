//! Hooks and webhooks: each works on a thread of its own and is fed by a queue with a limit. One
//! that hangs slows nothing else.

mod document;
mod hooks;
mod watch;
mod webhook;

pub use hooks::{Hooks, check_folder};
pub use webhook::{Webhook, WebhookFormat};

use altergeist::{Event, Failure, Listeners, News, Status};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Events that wait for a hook or for the webhook.
const QUEUE: usize = 256;
/// Longest wait, at the end of the run, for what is still to be sent, beyond one hook's time.
const TO_END: Duration = Duration::from_secs(10);

/// Tells hooks and webhooks of a run's events.
pub struct Notifier {
    listeners: Listeners,
    /// Dropped when no further event follows.
    open: Sender<Infallible>,
    /// Disconnected once every thread has ended.
    ended: Receiver<Infallible>,
    longest_end: Duration,
}

impl Notifier {
    /// Starts the threads.
    pub fn start(hooks: Option<Hooks>, webhook: Option<Webhook>) -> Notifier {
        let (open, closing) = bounded::<Infallible>(0);
        let (ending, ended) = bounded::<Infallible>(0);
        let spawn = |work: Box<dyn Fn(News) + Send>| {
            let (sender, queue) = bounded(QUEUE);
            let (closing, ending) = (closing.clone(), ending.clone());
            std::thread::spawn(move || {
                while let Some(news) = next(&queue, &closing) {
                    // Of the news of a minute ago only the latest is worth a hook's time.
                    if news.event != Event::Status || queue.is_empty() {
                        work(news);
                    }
                }
                drop(ending);
            });
            sender
        };
        let longest_end = hooks.as_ref().map_or(Duration::ZERO, Hooks::time_limit) + TO_END;
        let mut listeners = Listeners::default();
        if let Some(hooks) = hooks.map(Arc::new) {
            let gate = hooks.clone();
            listeners.gate = Some(spawn(Box::new(move |news| gate.answer(news))));
            listeners.hooks = Some(spawn(Box::new(move |news| hooks.report(&news))));
        }
        if let Some(webhook) = webhook {
            listeners.webhook = Some(spawn(Box::new(move |news| webhook.report(&news))));
        }
        Notifier { listeners, open, ended, longest_end }
    }

    /// Returns those who hear of events.
    pub fn listeners(&self) -> Listeners {
        self.listeners.clone()
    }

    /// Tells how a run ended, unless it did not begin.
    pub fn tell_end(&self, ended: Result<u8, &Failure>, status: &Status) {
        let (event, exit_code, reason) = match ended {
            Ok(code) => (Event::Success, code, None),
            Err(Failure::Held { .. }) => return,
            Err(failure) if failure.exit_code() == 5 => {
                (Event::Stopped, 5, Some(failure.to_string()))
            }
            Err(failure) => (Event::Failure, failure.exit_code(), Some(failure.to_string())),
        };
        let news = News::of(event, status.clone());
        self.listeners.tell(News { reason, exit_code: Some(exit_code), ..news });
    }

    /// Waits until everything is sent, for a limited time.
    pub async fn finish(self) {
        let Notifier { listeners, open, ended, longest_end } = self;
        drop(open);
        let waiting = move || ended.recv_timeout(longest_end);
        if let Ok(Err(RecvTimeoutError::Timeout)) = tokio::task::spawn_blocking(waiting).await {
            tracing::warn!("a hook or the webhook did not end in time");
        }
        match listeners.take_lost() {
            0 => {}
            lost => tracing::warn!(lost, "hooks or the webhook were too slow and missed events"),
        }
    }
}

/// Watches a run's status, and tells of what can be seen there.
pub fn watch(status: tokio::sync::watch::Receiver<Status>, listeners: &Listeners) {
    if !listeners.is_empty() {
        tokio::spawn(watch::watch(status, listeners.clone()));
    }
}

/// Waits for the next news. None once no further news follow.
fn next(queue: &Receiver<News>, closing: &Receiver<Infallible>) -> Option<News> {
    select! {
        recv(queue) -> news => news.ok(),
        recv(closing) -> _ => queue.try_recv().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn what_is_queued_is_sent_before_the_end_and_no_hook_costs_nothing() {
        Notifier::start(None, None).finish().await;
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let seen = folder.path().join("seen");
        let script = format!("#!/bin/sh\necho $ALTERGEIST_EVENT >> {}\n", seen.display());
        for event in ["throttled", "success"] {
            hooks::tests::write_hook(folder.path(), event, &script);
        }
        let hooks = Hooks::new(folder.path().to_owned(), Duration::from_secs(10));
        let notifier = Notifier::start(Some(hooks), None);
        let begun = Instant::now();
        for _ in 0..3 {
            notifier.listeners.tell(News::of(Event::Throttled, Status::default()));
        }
        notifier.tell_end(Ok(0), &Status::default());
        assert!(begun.elapsed() < Duration::from_secs(1), "telling waits for nobody");
        let _still_open = notifier.listeners();
        notifier.finish().await;
        let seen = std::fs::read_to_string(seen).expect("the hooks ran");
        assert_eq!(seen, "throttled\nthrottled\nthrottled\nsuccess\n");
    }
}
