//! A one-shot signal.

use std::cell::Cell;
use tokio::sync::Notify;

/// Signals one part of a run that another part has ended.
#[derive(Default)]
pub struct Done {
    is_set: Cell<bool>,
    news: Notify,
}

impl Done {
    /// Signals the end.
    pub fn set(&self) {
        self.is_set.set(true);
        self.news.notify_one();
    }

    /// Whether it has ended.
    pub fn is_set(&self) -> bool {
        self.is_set.get()
    }

    /// Waits for the end.
    pub async fn wait(&self) {
        while !self.is_set() {
            self.news.notified().await;
        }
    }
}
