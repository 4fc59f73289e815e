//! What the journal holds beside the core's record: facts about what the run made.

use crate::schema::foreign_key::ForeignKey;
use altergeist_contract::Record;
use serde::{Deserialize, Serialize};

/// What this engine writes to the journal beside the core's record.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    /// The source as it was when the shadow was made.
    pub source: Option<TableIdentity>,
    /// The source's definition when the shadow was made, or when the shadow followed it last; empty
    /// before.
    pub source_text: String,
    /// Set before the shadow is made. From then on a table with its name is ours.
    pub has_shadow: bool,
    /// The shadow, once it was altered.
    pub shadow: Option<TableIdentity>,
    /// Whether the shadow has an index of ours that the altered table must not have.
    pub has_lookup: bool,
    /// The index that is built when ours is dropped, because there is no room for both.
    pub late_index: Option<String>,
    /// Indexes that the shadow does not have yet.
    pub deferred: Option<DeferredIndexes>,
    /// FULLTEXT indexes that the shadow does not have yet, because it numbers its documents itself.
    pub full_text: Option<DeferredIndexes>,
    /// The foreign keys that a swap carries, from before the first is added until all are restored.
    pub foreign_keys: Option<Vec<CarriedKey>>,
    /// The foreign keys that the clauses gave to the shadow. It gets them back at the swap.
    #[serde(default)]
    pub added_keys: Vec<ForeignKey>,
    /// The source's triggers, from before the swap until the new table has them.
    pub triggers: Vec<Trigger>,
    /// The fingerprint of the table the change made.
    pub done: Option<String>,
    /// The native change that the server was asked to make.
    pub altering: Option<NativeChange>,
    /// How the change can be undone. Noted before the swap of a reversible change.
    pub way_back: Option<WayBack>,
    /// The facts of the way back: there the altered table is the source.
    pub back: Option<Box<Facts>>,
}

/// What undoing a change takes, beside the tables themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WayBack {
    /// The altered table's definition when it got the name.
    pub altered_text: String,
    /// Columns that both tables have, the old one's name first.
    pub columns: Vec<(String, String)>,
    /// Columns of the altered table that `--set` computes. The old one's values are others.
    pub computed: Vec<String>,
    /// Columns that only the old table has, with the expression of their values in new rows.
    pub sets: Vec<(String, String)>,
    /// Foreign keys of the altered table that the clauses added, by their names there.
    pub added_keys: Vec<String>,
    /// Foreign keys of the old table that the altered one does not have.
    pub dropped_keys: Vec<ForeignKey>,
}

/// A change that the server makes in one statement. The table itself shows whether it happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct NativeChange {
    /// The outlines of the table before and after it.
    pub before: Vec<String>,
    pub after: Vec<String>,
    /// Whether it drops foreign keys, which outlines do not contain.
    #[serde(default)]
    pub drops_keys: bool,
}

/// What identifies a table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TableIdentity {
    pub fingerprint: String,
    /// The storage engine's own numbers, which renames keep; empty if they may not be read.
    pub ids: Vec<String>,
}

impl TableIdentity {
    /// Returns whether both are one table. The engine's numbers distinguish tables with the same
    /// definition. If they may not be read, only the definition can.
    pub(crate) fn is_same(&self, now: &TableIdentity) -> bool {
        match self.ids.is_empty() || now.ids.is_empty() {
            true => self.fingerprint == now.fingerprint,
            false => self.ids == now.ids,
        }
    }
}

/// The journal's entry of the table.
#[derive(Default)]
pub(crate) struct Entry {
    pub record: Option<Record>,
    pub facts: Facts,
    pub exists: bool,
}

/// The indexes that are left out of the shadow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DeferredIndexes {
    /// The definitions from SHOW CREATE TABLE, in its order.
    pub definitions: Vec<String>,
    /// The fingerprint of the table with all of them.
    pub fingerprint: String,
}

/// A trigger, with all that is needed to create it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub name: String,
    /// INSERT, UPDATE or DELETE; newer servers allow several at once.
    pub event: String,
    pub sql_mode: String,
    pub charset: String,
    pub collation: String,
    /// The server's own statement, in the trigger's own character set, in hex.
    pub statement: String,
}

/// A foreign key as it will be after the change, and its temporary name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct CarriedKey {
    pub temporary: String,
    pub key: ForeignKey,
    /// Whether the clauses add it. Then nothing has checked the rows against it.
    #[serde(default)]
    pub is_new: bool,
}
