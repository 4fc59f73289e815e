//! Whether the server can be reached. A network may swallow everything. Then a statement would wait
//! until the kernel gives up, a quarter of an hour later. So a run asks for its lock every few
//! seconds. If there is no answer, every waiting statement ends as if its connection were lost.
//!
//! The run also has the server end our sessions when they are idle for long. So no lock outlives
//! its holder for long.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A holder of the run lock that was silent for so long is dead, or cut off.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(25);

/// A holder that asked this recently is alive.
pub(crate) const ALIVE_WITHIN: Duration = Duration::from_secs(7);

/// The server ends sessions that were idle for so long.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The run does not use sessions again that were idle for so long.
pub(crate) const FRESH: Duration = Duration::from_secs(30);

/// Shared by all sessions to one server.
#[derive(Clone)]
pub(crate) struct Reachability(Arc<watch::Sender<bool>>);

impl Reachability {
    pub(crate) fn new() -> Reachability {
        Reachability(Arc::new(watch::Sender::new(true)))
    }

    pub(crate) fn mark_unreachable(&self) {
        self.0.send_replace(false);
    }

    /// Ends when the server is out of reach.
    pub(crate) async fn lost(&self) {
        let mut reachability = self.0.subscribe();
        let _ = reachability.wait_for(|is_reachable| !is_reachable).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_is_told_when_the_server_is_out_of_reach() {
        let reachability = Reachability::new();
        let other = reachability.clone();
        let waiting = tokio::spawn(async move { other.lost().await });
        assert!(
            tokio::time::timeout(Duration::from_millis(20), reachability.lost()).await.is_err()
        );
        reachability.mark_unreachable();
        waiting.await.unwrap();
        reachability.lost().await;
    }
}
