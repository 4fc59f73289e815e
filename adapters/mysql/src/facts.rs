//! What the journal holds beside the core's record: the facts about what was made.

use crate::schema::foreign_key::ForeignKey;
use altergeist_contract::Record;
use serde::{Deserialize, Serialize};

/// What this engine writes down beside the core's record.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    /// The source as it was when the shadow was made.
    pub source: Option<TableIdentity>,
    /// The source in the server's words when the shadow was made, or when the shadow followed it
    /// last; empty before.
    pub source_text: String,
    /// Set before the shadow is made: from then on a table of its name is ours.
    pub has_shadow: bool,
    /// The shadow, once it was altered.
    pub shadow: Option<TableIdentity>,
    /// Whether it has an index of ours that the altered table is not to have.
    pub has_lookup: bool,
    /// The index that is built when that one goes, because there is no room for both.
    pub late_index: Option<String>,
    /// Indexes that it does not have yet.
    pub deferred: Option<DeferredIndexes>,
    /// The foreign keys that a swap carries: from before the first of them is touched until all are
    /// in their places.
    pub foreign_keys: Option<Vec<CarriedKey>>,
    /// The foreign keys that the clauses gave to the shadow, which does not have them before the
    /// swap.
    #[serde(default)]
    pub added_keys: Vec<ForeignKey>,
    /// The source's triggers, from before the swap until they stand on the new table.
    pub triggers: Vec<Trigger>,
    /// The fingerprint of the table the change made.
    pub done: Option<String>,
    /// What the server was told to do by itself.
    pub altering: Option<NativeChange>,
}

/// A change the server does in one statement: whether it happened can be seen from the table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NativeChange {
    /// The outlines of the table before and after it.
    pub before: Vec<String>,
    pub after: Vec<String>,
    /// Whether it drops foreign keys, which outlines do not tell of.
    #[serde(default)]
    pub drops_keys: bool,
}

/// How to know a table again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TableIdentity {
    pub fingerprint: String,
    /// The storage engine's own numbers, which renames keep; empty if they may not be read.
    pub ids: Vec<String>,
}

impl TableIdentity {
    /// Returns whether both are one table. The engine's numbers tell tables apart that are made
    /// alike; where they may not be read, only the making can.
    pub(crate) fn is_same(&self, now: &TableIdentity) -> bool {
        match self.ids.is_empty() || now.ids.is_empty() {
            true => self.fingerprint == now.fingerprint,
            false => self.ids == now.ids,
        }
    }
}

/// What the journal holds for the table.
#[derive(Default)]
pub(crate) struct Entry {
    pub record: Option<Record>,
    pub facts: Facts,
    pub exists: bool,
}

/// What is left out of the shadow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DeferredIndexes {
    /// The indexes, as SHOW CREATE TABLE tells them, in its order.
    pub definitions: Vec<String>,
    /// Of the table with all of them.
    pub fingerprint: String,
}

/// A trigger, as it must be made again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub name: String,
    /// INSERT, UPDATE or DELETE; newer servers know several at once.
    pub event: String,
    pub sql_mode: String,
    pub charset: String,
    pub collation: String,
    /// The server's own statement, in the trigger's own character set, in hex.
    pub statement: String,
}

/// A foreign key as it will be after the change, and its name meanwhile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct CarriedKey {
    pub temporary: String,
    pub key: ForeignKey,
    /// Whether the clauses add it, so that nobody has seen to it that the rows keep to it.
    #[serde(default)]
    pub is_new: bool,
}
