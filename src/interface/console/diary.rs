//! What happened since this process began: events, orders, and a line of progress now and then.
//! Each list has a limit; the run waits for none of them.

use altergeist::{Event, News, Phase, Status};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Entries of a list. The oldest goes.
const ENTRIES: usize = 1000;
/// Events that may wait until they are noted.
const QUEUE: usize = 256;
/// How often progress is noted, beyond each new phase.
const PROGRESS: Duration = Duration::from_secs(10);

/// An event.
#[derive(Clone, Debug)]
pub struct EventEntry {
    /// When.
    pub at: SystemTime,
    /// What happened.
    pub event: Event,
    /// What the run was doing.
    pub phase: Phase,
    /// Why, or what.
    pub reason: Option<String>,
}

/// An order that was carried out.
#[derive(Clone, Debug)]
pub struct OrderEntry {
    /// When.
    pub at: SystemTime,
    /// Who gave it.
    pub given_by: String,
    /// Through which door.
    pub door: String,
    /// Its words.
    pub words: String,
}

/// The run at a moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When.
    pub at: SystemTime,
    /// The status then.
    pub status: Status,
}

/// The lists.
#[derive(Default)]
pub struct Kept {
    /// Events, the oldest first.
    pub events: VecDeque<EventEntry>,
    /// Orders, the oldest first.
    pub orders: VecDeque<OrderEntry>,
    /// Progress, the oldest first.
    pub history: VecDeque<Moment>,
    noted: Option<(Phase, Instant)>,
}

/// The diary of a process.
pub struct Diary {
    queue: Receiver<News>,
    kept: Mutex<Kept>,
}

impl Diary {
    /// An empty diary, and where its news come in.
    pub fn new() -> (Diary, Sender<News>) {
        let (sender, queue) = bounded(QUEUE);
        (Diary { queue, kept: Mutex::default() }, sender)
    }

    /// Notes what came in, and the progress if it is time.
    pub fn note(&self, status: &Status) {
        let mut kept = self.lock();
        while let Ok(news) = self.queue.try_recv() {
            take(&mut kept, news);
        }
        let is_due = kept
            .noted
            .is_none_or(|(phase, when)| phase != status.phase || when.elapsed() >= PROGRESS);
        if is_due {
            kept.noted = Some((status.phase, Instant::now()));
            let moment = Moment { at: SystemTime::now(), status: status.clone() };
            push(&mut kept.history, moment);
        }
    }

    /// Returns the lists, after noting what came in.
    pub fn read(&self, status: &Status) -> MutexGuard<'_, Kept> {
        self.note(status);
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(kept: &mut Kept, news: News) {
    let News { event, at, reason, giver, status, .. } = news;
    if event == Event::Status {
        return;
    }
    if let (Some(giver), Some(words)) = (giver, &reason) {
        let (given_by, door) = (giver.name, giver.door.to_string());
        push(&mut kept.orders, OrderEntry { at, given_by, door, words: words.clone() });
    }
    push(&mut kept.events, EventEntry { at, event, phase: status.phase, reason });
}

fn push<T>(list: &mut VecDeque<T>, entry: T) {
    if list.len() >= ENTRIES {
        list.pop_front();
    }
    list.push_back(entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist::{Door, Giver, Listeners};

    #[test]
    fn a_diary_forgets_its_oldest_entries_and_holds_up_nobody() {
        let (diary, sender) = Diary::new();
        let mut listeners = Listeners::default();
        listeners.console = Some(sender);
        let status = Status::default();
        let order = |nth: usize| {
            let giver = Some(Giver::new("ann", Door::Console));
            let reason = Some(format!("workers={nth}"));
            News { reason, giver, ..News::of(Event::Order, Status::default()) }
        };
        for nth in 0..ENTRIES + 5 {
            listeners.tell(order(nth));
            diary.note(&status);
        }
        let kept = diary.read(&status);
        assert_eq!((kept.orders.len(), kept.events.len()), (ENTRIES, ENTRIES));
        assert_eq!(kept.orders[0].words, "workers=5");
        assert_eq!(kept.history.len(), 1, "nothing has changed");
        drop(kept);
        for nth in 0..QUEUE + 5 {
            listeners.tell(order(nth));
        }
        assert_eq!(listeners.take_lost(), 5);
    }
}
