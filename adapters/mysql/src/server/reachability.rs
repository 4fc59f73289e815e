//! Whether the server can be reached at all. A network that swallows everything says nothing: a
//! statement would be waited for until the kernel gives up, a quarter of an hour later. So a run
//! asks for its lock every few seconds, and when there is no answer, every statement that is waited
//! for is given up as one whose connection was lost.
//!
//! The server is told to end our sessions when it has not heard of them for a while, so nobody's
//! lock outlives its holder for long.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A holder of the run lock that has not asked for so long is dead, or cut off.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(25);

/// One that has asked this recently lives.
pub(crate) const ALIVE_WITHIN: Duration = Duration::from_secs(7);

/// The server ends sessions that did nothing for so long.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// Sessions that did nothing for so long are not used again.
pub(crate) const FRESH: Duration = Duration::from_secs(30);

/// Shared by all sessions to one server.
#[derive(Clone)]
pub(crate) struct Reach(Arc<watch::Sender<bool>>);

impl Reach {
    pub(crate) fn new() -> Reach {
        Reach(Arc::new(watch::Sender::new(true)))
    }

    pub(crate) fn lose(&self) {
        self.0.send_replace(false);
    }

    /// Ends when the server is out of reach.
    pub(crate) async fn lost(&self) {
        let mut reach = self.0.subscribe();
        let _ = reach.wait_for(|is_reachable| !is_reachable).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_server_is_out_of_reach() {
        let reach = Reach::new();
        let other = reach.clone();
        let waiting = tokio::spawn(async move { other.lost().await });
        assert!(tokio::time::timeout(Duration::from_millis(20), reach.lost()).await.is_err());
        reach.lose();
        waiting.await.unwrap();
        reach.lost().await;
    }
}
