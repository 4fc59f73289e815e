//! What happens to a run, for those who want to hear of it. The core hands each event over and
//! waits for nobody, unless the answer may stop the run.

use crate::control::{Giver, Status};
use crossbeam_channel::{Sender, TrySendError};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// What happened. The names are a contract: hooks are files of these names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The run holds the table, and has done nothing yet.
    Startup,
    /// The plan is accepted, and nothing is created yet.
    Planned,
    /// The first chunk follows.
    CopyBegin,
    /// The last chunk is copied.
    CopyComplete,
    /// The two tables are proven equal.
    Proven,
    /// An attempt to lock and swap follows.
    CutOverBegin,
    /// The run is ready, and waits for a gate.
    Waiting,
    /// A gate is closed.
    CheckFailed,
    /// A signal throttles the run.
    Throttled,
    /// No signal throttles the run any more.
    Unthrottled,
    /// An order was carried out.
    Order,
    /// An attempt to lock and swap failed.
    CutOverAttemptFailed,
    /// The tables are swapped.
    Swapped,
    /// The old table has its name again.
    Reverted,
    /// The run ended well.
    Success,
    /// The run failed.
    Failure,
    /// The run stopped, and can be resumed.
    Stopped,
    /// A minute has passed.
    Status,
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 18] = [
        Event::Startup,
        Event::Planned,
        Event::CopyBegin,
        Event::CopyComplete,
        Event::Proven,
        Event::CutOverBegin,
        Event::Waiting,
        Event::CheckFailed,
        Event::Throttled,
        Event::Unthrottled,
        Event::Order,
        Event::CutOverAttemptFailed,
        Event::Swapped,
        Event::Reverted,
        Event::Success,
        Event::Failure,
        Event::Stopped,
        Event::Status,
    ];

    /// The name, as in `on-copy-begin`.
    pub fn name(self) -> &'static str {
        match self {
            Event::Startup => "startup",
            Event::Planned => "planned",
            Event::CopyBegin => "copy-begin",
            Event::CopyComplete => "copy-complete",
            Event::Proven => "proven",
            Event::CutOverBegin => "cut-over-begin",
            Event::Waiting => "waiting",
            Event::CheckFailed => "check-failed",
            Event::Throttled => "throttled",
            Event::Unthrottled => "unthrottled",
            Event::Order => "order",
            Event::CutOverAttemptFailed => "cut-over-attempt-failed",
            Event::Swapped => "swapped",
            Event::Reverted => "reverted",
            Event::Success => "success",
            Event::Failure => "failure",
            Event::Stopped => "stopped",
            Event::Status => "status",
        }
    }

    /// Whether the run waits for the hook, and stops if it fails.
    pub fn may_stop(self) -> bool {
        matches!(
            self,
            Event::Startup
                | Event::Planned
                | Event::CopyBegin
                | Event::CopyComplete
                | Event::Proven
                | Event::CutOverBegin
        )
    }
}

/// An event with its circumstances.
#[derive(Debug)]
pub struct News {
    /// What happened.
    pub event: Event,
    /// When.
    pub at: SystemTime,
    /// Why, or what: the reason to wait, the order, the failure.
    pub reason: Option<String>,
    /// Who gave the order, for [`Event::Order`].
    pub giver: Option<Giver>,
    /// The exit code, at the end of the run.
    pub exit_code: Option<u8>,
    /// The run at that moment.
    pub status: Status,
    /// Where the answer goes, if the run waits for it.
    pub answer: Option<oneshot::Sender<Result<(), String>>>,
}

impl News {
    /// Something that happened now.
    pub fn of(event: Event, status: Status) -> News {
        let at = SystemTime::now();
        News { event, at, reason: None, giver: None, exit_code: None, status, answer: None }
    }

    /// The same for another listener; the answer is asked of one only.
    fn copy(&self) -> News {
        News {
            event: self.event,
            at: self.at,
            reason: self.reason.clone(),
            giver: self.giver.clone(),
            exit_code: self.exit_code,
            status: self.status.clone(),
            answer: None,
        }
    }
}

/// Those who hear of events. Each has a queue with a limit. An event that finds a queue full is
/// lost there, and counted.
#[derive(Clone, Default, Debug)]
pub struct Listeners {
    /// Is asked about the events that may stop the run.
    pub gate: Option<Sender<News>>,
    /// Hears of all others.
    pub hooks: Option<Sender<News>>,
    /// Hears of every event.
    pub webhook: Option<Sender<News>>,
    /// Hears of every event.
    pub console: Option<Sender<News>>,
    lost: Arc<AtomicU64>,
}

impl Listeners {
    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        let none = [&self.gate, &self.hooks, &self.webhook, &self.console];
        none.iter().all(|listener| listener.is_none())
    }

    /// Tells everybody. Waits for nobody.
    pub fn tell(&self, news: News) {
        self.offer(self.webhook.as_ref(), || news.copy());
        self.offer(self.hooks.as_ref(), || news.copy());
        self.offer(self.console.as_ref(), || news.copy());
    }

    /// Tells everybody, and waits until the gate has answered.
    ///
    /// # Errors
    /// Why the run must stop.
    pub async fn ask(&self, mut news: News) -> Result<(), String> {
        self.offer(self.webhook.as_ref(), || news.copy());
        self.offer(self.console.as_ref(), || news.copy());
        let Some(gate) = &self.gate else { return Ok(()) };
        let (answer, answered) = oneshot::channel();
        news.answer = Some(answer);
        gate.try_send(news).map_err(|_| "an earlier hook is still running".to_owned())?;
        answered.await.unwrap_or_else(|_| Err("it gave no answer".into()))
    }

    /// Returns how many events were lost since the last call.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    fn offer(&self, listener: Option<&Sender<News>>, news: impl FnOnce() -> News) {
        let Some(listener) = listener else { return };
        if let Err(TrySendError::Full(_)) = listener.try_send(news()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_named_alike_for_files_and_machines() {
        for event in Event::ALL {
            let json = serde_json::to_string(&event).expect("a name is plain data");
            assert_eq!(json, format!("\"{}\"", event.name()));
        }
    }

    #[test]
    fn a_listener_that_is_behind_holds_up_nobody() {
        let (sender, receiver) = crossbeam_channel::bounded(2);
        let listeners = Listeners { webhook: Some(sender), ..Listeners::default() };
        for _ in 0..5 {
            listeners.tell(News::of(Event::Status, Status::default()));
        }
        assert_eq!((receiver.len(), listeners.take_lost(), listeners.take_lost()), (2, 3, 0));
    }

    #[tokio::test]
    async fn the_gate_s_answer_is_waited_for_and_silence_is_no_leave() {
        let (sender, receiver) = crossbeam_channel::bounded::<News>(1);
        let listeners = Listeners { gate: Some(sender), ..Listeners::default() };
        let news = || News::of(Event::CutOverBegin, Status::default());
        let gate = std::thread::spawn(move || {
            for answer in [Ok(()), Err("no".to_owned())] {
                let news = receiver.recv().expect("it is asked");
                let _ = news.answer.expect("it is waited for").send(answer);
            }
            drop(receiver.recv());
        });
        assert_eq!(listeners.ask(news()).await, Ok(()));
        assert_eq!(listeners.ask(news()).await, Err("no".into()));
        assert!(listeners.ask(news()).await.is_err());
        gate.join().expect("it ended");
        assert!(listeners.ask(news()).await.is_err(), "nobody is there any more");
        assert_eq!(Listeners::default().ask(news()).await, Ok(()));
    }
}
