//! How many clients are served at once. Clients that only wait make room for new ones, so that no
//! number of silent clients keeps an operator out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Clients served at once. It bounds the file descriptors that clients take from the run.
const OPEN_MAX: usize = 128;

/// A client that has not sent its first line may keep its place for this long.
const FIRST_LINE: Duration = Duration::from_secs(1);

/// Clients refused at once. Further ones wait until the run has refused these.
const REFUSED_MAX: usize = 64;

/// What a client that finds no place gets to read.
pub const FULL: &str = "too many connections; try again";

/// The clients of one door.
pub struct Connections {
    open: Mutex<Open>,
    refused: Arc<Semaphore>,
}

impl Default for Connections {
    fn default() -> Connections {
        let refused = Arc::new(Semaphore::new(REFUSED_MAX));
        Connections { open: Mutex::default(), refused }
    }
}

/// Whether a client is served.
pub enum Admission {
    /// It has a place.
    Place(Place),
    /// There is none. The client is refused while this value lives.
    Full(OwnedSemaphorePermit),
}

#[derive(Default)]
struct Open {
    next: u64,
    clients: BTreeMap<u64, Client>,
}

struct Client {
    /// Since when it waits for the client's next line; None while an order is carried out.
    idle_since: Option<Instant>,
    was_answered: bool,
    leave: Arc<Notify>,
}

/// A client's place among the others. Dropping it gives the place back.
pub struct Place {
    nth: u64,
    leave: Arc<Notify>,
    connections: Arc<Connections>,
}

impl Connections {
    /// Admits a new client, or refuses it if every other client is busy.
    pub async fn admit(self: &Arc<Self>) -> Admission {
        if let Some(place) = self.place() {
            return Admission::Place(place);
        }
        let turn = self.refused.clone().acquire_owned().await;
        Admission::Full(turn.expect("the semaphore is never closed"))
    }

    /// Returns a place for a new client; None if every other client is busy.
    pub fn place(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open();
        if open.clients.len() >= OPEN_MAX {
            let nth = dispensable(&open.clients, Instant::now())?;
            if let Some(client) = open.clients.remove(&nth) {
                client.leave.notify_one();
            }
        }
        open.next += 1;
        let (nth, leave) = (open.next, Arc::new(Notify::new()));
        let client =
            Client { idle_since: Some(Instant::now()), was_answered: false, leave: leave.clone() };
        open.clients.insert(nth, client);
        Some(Place { nth, leave, connections: self.clone() })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client that can be closed for a new one: the one that has waited longest since its last
/// answer, else a client that has been silent for long.
fn dispensable(clients: &BTreeMap<u64, Client>, now: Instant) -> Option<u64> {
    let waits = |client: &Client| client.idle_since.map(|since| now.duration_since(since));
    let longest = |was_answered: bool, least: Duration| {
        let those = clients.iter().filter(|(_, client)| client.was_answered == was_answered);
        let idle = those.filter_map(|(nth, client)| Some((waits(client)?, *nth)));
        idle.filter(|(time, _)| *time >= least).max().map(|(_, nth)| nth)
    };
    longest(true, Duration::ZERO).or_else(|| longest(false, FIRST_LINE))
}

impl Place {
    /// Notes that an order is carried out now.
    pub fn works(&self) {
        self.change(|client| client.idle_since = None);
    }

    /// Notes that the client has its answer, and may send another line.
    pub fn answered(&self) {
        self.change(|client| {
            client.idle_since = Some(Instant::now());
            client.was_answered = true;
        });
    }

    /// Waits until the place is needed for another client.
    pub async fn is_needed(&self) {
        self.leave.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut Client)) {
        if let Some(client) = self.connections.open().clients.get_mut(&self.nth) {
            change(client);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open().clients.remove(&self.nth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_wait_make_room_and_busy_ones_stay() {
        let connections = Arc::new(Connections::default());
        let places: Vec<Place> = (0..OPEN_MAX).filter_map(|_| connections.place()).collect();
        assert_eq!(places.len(), OPEN_MAX);
        assert!(connections.place().is_none(), "nobody has been silent for long");
        places[7].works();
        places[7].answered();
        let place = connections.place().expect("one has its answer");
        place.works();
        assert!(connections.place().is_none());
        drop(places);
        assert_eq!(connections.open().clients.len(), 1);
        drop(place);
        assert_eq!(connections.open().clients.len(), 0);
    }

    #[test]
    fn a_silent_client_keeps_its_place_for_a_while_only() {
        let client =
            |idle_since| Client { idle_since, was_answered: false, leave: Arc::new(Notify::new()) };
        let begun = Instant::now();
        let clients = BTreeMap::from([(1, client(Some(begun))), (2, client(None))]);
        assert_eq!(dispensable(&clients, begun), None);
        assert_eq!(dispensable(&clients, begun + FIRST_LINE), Some(1));
    }
}
