//! How much a connection keeps: prepared statements and portals, by their names.

use pgwire::messages::PgWireFrontendMessage;
use std::collections::HashMap;

/// The most bytes of statements and portals of a connection.
const KEPT_MAX: usize = 512 * 1024;

/// What each kept statement and portal needs beyond its text, about.
const EACH: usize = 512;

/// What a connection keeps.
#[derive(Default)]
pub struct Kept {
    sizes: HashMap<(u8, String), usize>,
    total: usize,
}

impl Kept {
    /// Notes what a message makes the connection keep or forget. Returns whether it is too much.
    pub fn is_too_much(&mut self, message: &PgWireFrontendMessage) -> bool {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        match message {
            PgWireFrontendMessage::Parse(parse) => {
                let size = parse.query.len() + 4 * parse.type_oids.len();
                self.keep(b'S', named(&parse.name), size);
            }
            PgWireFrontendMessage::Bind(bind) => {
                let values = bind.parameters.iter().flatten().map(|value| value.len());
                let size = values.sum::<usize>() + 16 * bind.parameters.len();
                self.keep(b'P', named(&bind.portal_name), size);
            }
            PgWireFrontendMessage::Close(close) => {
                self.forget(close.target_type, named(&close.name))
            }
            _ => {}
        }
        self.total > KEPT_MAX
    }

    fn keep(&mut self, kind: u8, name: String, size: usize) {
        let size = size + name.len() + EACH;
        let was = self.sizes.insert((kind, name), size).unwrap_or(0);
        self.total = self.total + size - was;
    }

    fn forget(&mut self, kind: u8, name: String) {
        self.total -= self.sizes.remove(&(kind, name)).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgwire::messages::extendedquery::{Close, Parse};

    #[test]
    fn a_statement_that_replaces_another_costs_nothing_and_many_are_too_much() {
        let mut kept = Kept::default();
        let parse = |name: &str| {
            let name = (!name.is_empty()).then(|| name.to_owned());
            PgWireFrontendMessage::Parse(Parse::new(name, "x".repeat(1000), vec![]))
        };
        for _ in 0..10_000 {
            assert!(!kept.is_too_much(&parse("")) && !kept.is_too_much(&parse("a")));
        }
        let mut names = 0..10_000;
        assert!(names.any(|nth| kept.is_too_much(&parse(&nth.to_string()))));
        let close = PgWireFrontendMessage::Close(Close::new(b'S', Some("a".into())));
        let was = kept.total;
        kept.is_too_much(&close);
        assert!(kept.total < was);
    }
}
