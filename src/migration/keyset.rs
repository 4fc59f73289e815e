//! The keys that changed and are not refreshed yet, each once. It orders nothing and knows no value.

use altergeist_contract::{Changes, Key, Marker};
use std::collections::{HashMap, HashSet};

/// Changed keys, waiting for their refresh. Nothing delivered is forgotten until it was refreshed.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: HashSet<Key>,
    bytes: usize,
    emptied: bool,
    /// Keys the log has still to tell of, each before a mark.
    sought: HashMap<Key, Marker>,
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
            self.sought.clear();
        }
        if !self.sought.is_empty() {
            changes.keys.iter().for_each(|key| self.told(key));
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

    /// The rows of these keys were seen to differ just now, before the mark was put and before anything else is refreshed: each of
    /// them is pending, or the log must tell of it before it passes the mark.
    pub fn seek(&mut self, keys: &[Key], before: Marker) {
        for key in keys {
            if !self.explains(key) {
                self.sought.entry(key.clone()).or_insert(before);
            }
        }
    }

    /// Whether the log has still to tell of this key.
    pub fn is_sought(&self, key: &Key) -> bool {
        self.sought.contains_key(key)
    }

    /// The keys the log has still to tell of.
    pub fn sought(&self) -> Vec<Key> {
        self.sought.keys().cloned().collect()
    }

    /// This key need not be told of any more.
    pub fn told(&mut self, key: &Key) {
        self.sought.remove(key);
    }

    /// The keys the log did not tell of before it passed this mark; they are not sought any more.
    pub fn missed(&mut self, passed: Marker) -> Vec<Key> {
        self.sought.extract_if(|_, before| *before <= passed).map(|(key, _)| key).collect()
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
    fn a_key_that_differs_is_pending_or_told_of_before_the_mark_or_missed() {
        let [pending, later, lost] = ["pending", "later", "lost"].map(|name| Key::compose([name.as_bytes()]));
        let mut keys = KeySet::default();
        keys.absorb(changes(false, &[b"pending"]));
        keys.seek(&[pending.clone(), later.clone(), lost.clone()], Marker(7));
        assert_eq!([&pending, &later, &lost].map(|key| keys.is_sought(key)), [false, true, true]);
        keys.take();
        keys.absorb(changes(false, &[b"later"]));
        keys.take();
        // Seen to differ once more, it is not given more time.
        keys.seek(std::slice::from_ref(&lost), Marker(9));
        assert_eq!(keys.missed(Marker(6)), []);
        assert_eq!(keys.missed(Marker(7)), [lost]);
        assert!(keys.sought().is_empty());
    }

    #[test]
    fn a_truncate_tells_of_every_key() {
        let mut keys = KeySet::default();
        keys.seek(&[Key::compose([&b"a"[..]])], Marker(1));
        keys.absorb(changes(true, &[]));
        keys.seek(&[Key::compose([&b"b"[..]])], Marker(1));
        assert_eq!(keys.missed(Marker(1)), []);
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
