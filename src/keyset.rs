//! The keys that changed and are not refreshed yet, each once. It orders nothing and knows no value.

use altergeist_contract::{Changes, Key};
use std::collections::HashSet;

/// Changed keys, waiting for their refresh. Nothing delivered is forgotten until it was refreshed.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: HashSet<Key>,
    bytes: usize,
    emptied: bool,
}

/// What is to be refreshed next.
#[derive(Debug, Default)]
pub struct Pending {
    /// The source was emptied: so must the shadow be, before the keys are refreshed.
    pub emptied: bool,
    /// Each key once.
    pub keys: Vec<Key>,
}

impl KeySet {
    /// Takes a delivery in.
    pub fn absorb(&mut self, changes: Changes) {
        if changes.emptied {
            self.emptied = true;
            self.keys.clear();
            self.bytes = 0;
        }
        self.put_back(changes.keys);
    }

    /// Takes keys in, or back after a refresh that failed.
    pub fn put_back(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            let size = key.size();
            if self.keys.insert(key) {
                self.bytes += size;
            }
        }
    }

    /// Everything pending; nothing is pending afterwards.
    pub fn take(&mut self) -> Pending {
        self.bytes = 0;
        Pending {
            emptied: std::mem::take(&mut self.emptied),
            keys: std::mem::take(&mut self.keys).into_iter().collect(),
        }
    }

    /// Takes back what could not be refreshed. What was delivered meanwhile stays: the source was emptied before it.
    pub fn give_back(&mut self, pending: Pending) {
        self.emptied |= pending.emptied;
        self.put_back(pending.keys);
    }

    /// Whether this key is pending. When the source was emptied, every key is.
    pub fn explains(&self, key: &Key) -> bool {
        self.emptied || self.keys.contains(key)
    }

    /// How many keys are pending.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing at all is pending.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.emptied
    }

    /// Bytes the pending keys take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use altergeist_contract::{Marker, Position};

    fn changes(emptied: bool, keys: &[&[u8]]) -> Changes {
        let keys = keys.iter().map(|key| Key::compose([*key])).collect();
        Changes { emptied, keys, position: Position(String::new()), marker: Marker::NONE }
    }

    #[test]
    fn a_row_changed_a_thousand_times_is_refreshed_once() {
        let mut keys = KeySet::default();
        (0..1000).for_each(|_| keys.absorb(changes(false, &[b"a"])));
        assert_eq!(keys.take().keys.len(), 1);
        assert!(keys.is_empty());
    }

    #[test]
    fn a_truncate_discards_the_keys_before_it_and_none_after() {
        let mut keys = KeySet::default();
        keys.absorb(changes(false, &[b"before"]));
        keys.absorb(changes(true, &[b"after"]));
        assert!(keys.explains(&Key::compose([&b"anything"[..]])));
        let pending = keys.take();
        assert!(pending.emptied);
        assert_eq!(pending.keys, [Key::compose([&b"after"[..]])]);
    }

    #[test]
    fn bytes_count_each_key_once_and_are_given_back() {
        let mut keys = KeySet::default();
        keys.absorb(changes(false, &[b"a", b"a", b"b"]));
        assert_eq!(keys.bytes(), 2 * Key::compose([&b"a"[..]]).size());
        keys.take();
        assert_eq!(keys.bytes(), 0);
    }
}
