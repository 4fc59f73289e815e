//! Holds the changed keys that wait for their refresh, each once. It has no order and knows no
//! value.

use altergeist_contract::{Changes, Key, Marker};
use std::collections::{HashMap, HashSet};

/// Changed keys that wait for their refresh. A delivered key stays here until it is refreshed.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: HashSet<Key>,
    bytes: usize,
    emptied: bool,
    /// Keys whose difference the log must explain before it passes the mark.
    unexplained: HashMap<Key, Marker>,
}

/// What to refresh next.
#[derive(Debug, Default)]
pub struct Pending {
    /// The source was emptied. The shadow must be emptied before the keys are refreshed.
    pub emptied: bool,
    /// Each key once.
    pub keys: Vec<Key>,
}

impl KeySet {
    /// Adds a delivery.
    pub fn absorb(&mut self, changes: Changes) {
        if changes.emptied {
            self.emptied = true;
            self.keys.clear();
            self.bytes = 0;
            self.unexplained.clear();
        }
        if !self.unexplained.is_empty() {
            changes.keys.iter().for_each(|key| self.explained(key));
        }
        self.put_back(changes.keys);
    }

    /// Adds keys, or puts them back after a failed refresh.
    pub fn put_back(&mut self, keys: impl IntoIterator<Item = Key>) {
        for key in keys {
            let size = key.size();
            if self.keys.insert(key) {
                self.bytes += size;
            }
        }
    }

    /// Returns everything that is pending. Afterwards nothing is pending.
    pub fn take(&mut self) -> Pending {
        self.bytes = 0;
        Pending {
            emptied: std::mem::take(&mut self.emptied),
            keys: std::mem::take(&mut self.keys).into_iter().collect(),
        }
    }

    /// Puts back what could not be refreshed. Keys delivered meanwhile stay: the source was emptied
    /// before them.
    pub fn give_back(&mut self, pending: Pending) {
        self.emptied |= pending.emptied;
        self.put_back(pending.keys);
    }

    /// Whether this key is pending. When the source was emptied, every key is.
    pub fn explains(&self, key: &Key) -> bool {
        self.emptied || self.keys.contains(key)
    }

    /// Records keys whose rows differ. The mark was put after the comparison and before any
    /// refresh. So each key is pending, or the log delivers it before it passes the mark.
    pub fn expect_explanation(&mut self, keys: &[Key], before: Marker) {
        for key in keys {
            if !self.explains(key) {
                self.unexplained.entry(key.clone()).or_insert(before);
            }
        }
    }

    /// Whether the log must still explain this key.
    pub fn is_unexplained(&self, key: &Key) -> bool {
        self.unexplained.contains_key(key)
    }

    /// Returns the keys that the log must still explain.
    pub fn unexplained(&self) -> Vec<Key> {
        self.unexplained.keys().cloned().collect()
    }

    /// Records that this key is explained.
    pub fn explained(&mut self, key: &Key) {
        self.unexplained.remove(key);
    }

    /// Removes and returns the keys that the log did not explain before it passed this mark.
    pub fn overdue(&mut self, passed: Marker) -> Vec<Key> {
        self.unexplained.extract_if(|_, before| *before <= passed).map(|(key, _)| key).collect()
    }

    /// Returns the number of pending keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nothing at all is pending.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.emptied
    }

    /// Returns the bytes that the pending keys take.
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
    fn a_key_that_differs_is_pending_or_told_of_before_the_mark_or_missed() {
        let [pending, later, lost] =
            ["pending", "later", "lost"].map(|name| Key::compose([name.as_bytes()]));
        let mut keys = KeySet::default();
        keys.absorb(changes(false, &[b"pending"]));
        keys.expect_explanation(&[pending.clone(), later.clone(), lost.clone()], Marker(7));
        assert_eq!(
            [&pending, &later, &lost].map(|key| keys.is_unexplained(key)),
            [false, true, true]
        );
        keys.take();
        keys.absorb(changes(false, &[b"later"]));
        keys.take();
        // Seen to differ once more, it is not given more time.
        keys.expect_explanation(std::slice::from_ref(&lost), Marker(9));
        assert_eq!(keys.overdue(Marker(6)), []);
        assert_eq!(keys.overdue(Marker(7)), [lost]);
        assert!(keys.unexplained().is_empty());
    }

    #[test]
    fn a_truncate_tells_of_every_key() {
        let mut keys = KeySet::default();
        keys.expect_explanation(&[Key::compose([&b"a"[..]])], Marker(1));
        keys.absorb(changes(true, &[]));
        keys.expect_explanation(&[Key::compose([&b"b"[..]])], Marker(1));
        assert_eq!(keys.overdue(Marker(1)), []);
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
