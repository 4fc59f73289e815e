//! A switch that the operator may turn while an engine works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// On or off. Its clones are the same switch.
#[derive(Clone, Default, Debug)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// Returns a new switch in this position.
    pub fn new(is_on: bool) -> Switch {
        Switch(Arc::new(AtomicBool::new(is_on)))
    }

    /// Turns it.
    pub fn set(&self, is_on: bool) {
        self.0.store(is_on, Ordering::Relaxed);
    }

    /// Whether it is on now.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
