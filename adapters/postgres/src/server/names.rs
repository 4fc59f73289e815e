//! The names of everything we make on a server, and the numbers of the locks that guard it.

use crate::sql::quote::qualified;
use altergeist_contract::name_hash;

/// The longest name that the server keeps.
const NAME_BYTES: usize = 63;

/// The schema of the journal.
pub(crate) const JOURNAL_SCHEMA: &str = "altergeist";

/// The comment that marks a schema as made by this tool.
pub(crate) const MARKER: &str = "made by altergeist; see altergeist.journal before touching it";

/// A table's name in two parts, and all names made from it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The schema of the source.
    pub(crate) schema: String,
    /// The name of the source, which shadow and old table share.
    pub(crate) table: String,
    /// Qualified, and quoted where needed: for people, and as the key in the journal.
    pub(crate) display: String,
    /// The schema the shadow is built in.
    pub(crate) shadow_schema: String,
    /// The schema the old table goes to.
    pub(crate) old_schema: String,
    /// The replication slot.
    pub(crate) slot: String,
    /// The publication.
    pub(crate) publication: String,
    /// How our sessions present themselves.
    pub(crate) application: String,
    /// The advisory lock of the run.
    pub(crate) run_lock: i64,
    /// The advisory lock every session of a run shares.
    pub(crate) fence: i64,
    /// Whether the run works its way back: the altered table is the source.
    pub(crate) is_turned: bool,
}

impl Names {
    /// The names for a table of a database.
    pub(crate) fn new(database: &str, schema: &str, table: &str) -> Names {
        let display = qualified(schema, table);
        let tag = format!("{:016x}", hash(&[database, schema, table]));
        Names {
            shadow_schema: shadow_schema(schema),
            old_schema: shortened("ag_old_", schema),
            slot: format!("altergeist_{tag}"),
            publication: format!("altergeist_{tag}"),
            application: application(&display, &tag),
            run_lock: hash(&["run", schema, table]).cast_signed(),
            fence: hash(&["fence", schema, table]).cast_signed(),
            schema: schema.to_owned(),
            table: table.to_owned(),
            display,
            is_turned: false,
        }
    }

    /// Returns the names for the other direction. The old table is where a shadow is, and the
    /// altered one goes to where its shadow was.
    pub(crate) fn turned(&self) -> Names {
        Names {
            shadow_schema: self.old_schema.clone(),
            old_schema: self.shadow_schema.clone(),
            is_turned: !self.is_turned,
            ..self.clone()
        }
    }

    /// The source, quoted.
    pub(crate) fn source(&self) -> String {
        qualified(&self.schema, &self.table)
    }

    /// The shadow, quoted.
    pub(crate) fn shadow(&self) -> String {
        qualified(&self.shadow_schema, &self.table)
    }

    /// The old table, quoted.
    pub(crate) fn old(&self) -> String {
        qualified(&self.old_schema, &self.table)
    }
}

/// The schema that holds a schema's shadows until the swap.
pub(crate) fn shadow_schema(schema: &str) -> String {
    shortened("ag_shadow_", schema)
}

/// A short word that stands for a name.
pub(crate) fn tag(name: &str) -> String {
    format!("{:016x}", hash(&[name]))
}

/// A prefix and a name, within the server's bound. A hash replaces what is cut off.
fn shortened(prefix: &str, name: &str) -> String {
    let whole = format!("{prefix}{name}");
    if whole.len() <= NAME_BYTES {
        return whole;
    }
    let hash = format!("_{:08x}", hash(&[name]) >> 32);
    format!("{}{hash}", cut(&whole, NAME_BYTES - hash.len()))
}

/// The application name, readable if the server would not change it.
fn application(display: &str, tag: &str) -> String {
    let whole = format!("altergeist {display}");
    if whole.len() <= NAME_BYTES && whole.is_ascii() { whole } else { format!("altergeist {tag}") }
}

/// The longest beginning of a text that fits into so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

/// The hash of several parts. A zero byte ends each, so that no two lists of parts are alike.
fn hash(parts: &[&str]) -> u64 {
    name_hash(parts.iter().flat_map(|part| part.bytes().chain([0])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::quote::{literal, quoted};

    #[test]
    fn a_name_is_quoted_only_where_it_must_be() {
        assert_eq!(quoted("orders_2"), "orders_2");
        assert_eq!(quoted("Orders"), "\"Orders\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(quoted("order"), "\"order\"");
        assert_eq!(quoted("2x"), "\"2x\"");
        assert_eq!(quoted(""), "\"\"");
    }

    #[test]
    fn a_literal_keeps_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), "E'a\\\\b'");
    }

    #[test]
    fn long_schemas_get_short_distinct_names() {
        let one = Names::new("db", &"é".repeat(31), "t");
        let other = Names::new("db", &format!("{}x", "é".repeat(30)), "t");
        assert!(one.shadow_schema.len() <= NAME_BYTES && one.old_schema.len() <= NAME_BYTES);
        assert_ne!(one.shadow_schema, other.shadow_schema);
    }

    #[test]
    fn tables_whose_names_join_alike_have_different_slots() {
        assert_ne!(Names::new("db", "a", "bc").slot, Names::new("db", "ab", "c").slot);
    }
}
