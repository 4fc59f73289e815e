//! What this engine writes into the journal beside the core's record.

use crate::schema::altered::{DeferredIndex, FinalSteps};
use crate::schema::columns::Layout;
use crate::schema::definition::Line;
use altergeist_contract::Step;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What this engine writes into the journal beside the core's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The server's own identity.
    pub(crate) system: String,
    /// The standby that has the slot, if it is not where the table is.
    #[serde(default)]
    pub(crate) log_place: Option<String>,
    /// The source.
    pub(crate) source: u32,
    /// The source's definition when the run began.
    pub(crate) source_lines: Vec<Line>,
    /// What the change stream depends on.
    #[serde(default, rename = "witness")]
    pub(crate) stream_conditions: Option<StreamConditions>,
    /// The source's own replica identity, while the run has set another one. As the catalogue
    /// spells it.
    #[serde(default)]
    pub(crate) own_identity: Option<String>,
    /// The shadow, once it is made.
    pub(crate) shadow: Option<ShadowFacts>,
    /// The structure of the table after the finished change.
    pub(crate) done: Option<String>,
    /// The steps of a change without a copy.
    #[serde(default, rename = "recipe")]
    pub(crate) online_steps: Option<OnlineSteps>,
    /// The facts of the way back, once a swap that can be reverted has happened.
    #[serde(default)]
    pub(crate) reverse: Option<Box<ReverseFacts>>,
}

/// The facts of the way back: the altered table is the source, and the old one is its shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReverseFacts {
    pub(crate) source: u32,
    pub(crate) source_lines: Vec<Line>,
    pub(crate) stream_conditions: Option<StreamConditions>,
    pub(crate) own_identity: Option<String>,
    pub(crate) shadow: Option<ShadowFacts>,
    /// The structure of the table after the swap back.
    pub(crate) done: Option<String>,
}

impl Facts {
    /// Nothing is known yet.
    pub(crate) fn none() -> Facts {
        Facts {
            system: String::new(),
            log_place: None,
            source: 0,
            source_lines: Vec::new(),
            stream_conditions: None,
            own_identity: None,
            shadow: None,
            done: None,
            online_steps: None,
            reverse: None,
        }
    }

    /// Returns the facts as the other direction has them. None if there is no way back. Turned
    /// twice, they are what they were.
    pub(crate) fn turned(self) -> Option<Facts> {
        let ahead = *self.reverse?;
        let behind = ReverseFacts {
            source: self.source,
            source_lines: self.source_lines,
            stream_conditions: self.stream_conditions,
            own_identity: self.own_identity,
            shadow: self.shadow,
            done: self.done,
        };
        Some(Facts {
            system: self.system,
            log_place: self.log_place,
            source: ahead.source,
            source_lines: ahead.source_lines,
            stream_conditions: ahead.stream_conditions,
            own_identity: ahead.own_identity,
            shadow: ahead.shadow,
            done: ahead.done,
            online_steps: self.online_steps,
            reverse: Some(Box::new(behind)),
        })
    }
}

/// What must be known of the shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShadowFacts {
    /// The shadow.
    pub(crate) oid: u32,
    /// Its definition when everything is in place.
    pub(crate) lines: Vec<Line>,
    /// Whether it is unlogged, so that a crash of the server empties it.
    #[serde(default)]
    pub(crate) is_unlogged: bool,
    /// How rows move.
    pub(crate) layout: Layout,
    /// Indexes that the run builds after the copy.
    pub(crate) deferred: Vec<DeferredIndex>,
    /// The index that finds rows. The shadow is created without it, and the run builds it before it
    /// first searches for a row.
    #[serde(default)]
    pub(crate) lookup: Option<DeferredIndex>,
    /// Constraints that hold for new rows only. The swap adds them.
    pub(crate) late: Vec<String>,
    /// What the run does at the end of the swap, and after it.
    #[serde(default, rename = "arrival")]
    pub(crate) final_steps: FinalSteps,
    /// The columns of the source that survive: the old name and the new name.
    #[serde(default)]
    pub(crate) survivors: Vec<(String, String)>,
    /// Whether a trigger reports writes of other sessions to it.
    #[serde(default)]
    pub(crate) is_guarded: bool,
    /// Statements for after the swap, which check the rows that were copied.
    #[serde(default)]
    pub(crate) finish: Vec<String>,
    /// What hung on the table before the first swap. Only the way back knows it.
    #[serde(default)]
    pub(crate) originals: Option<Originals>,
}

/// What hung on the table before a swap that can be reverted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Originals {
    /// Each dependent of the altered table right after the swap, and what it was before. None for
    /// what the clauses created.
    pub(crate) carried: Vec<(Dependent, Option<Dependent>)>,
    /// The dependents that the clauses dropped.
    pub(crate) dropped: Vec<Dependent>,
    /// The query of each materialized view right after the swap, and before it.
    pub(crate) queries: Vec<(String, String)>,
}

/// One object that depends on the table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Dependent {
    /// The object, for people.
    pub(crate) object: String,
    /// The statement that drops it from the old table. None if the new one just takes its place.
    pub(crate) before: Option<String>,
    /// The statement that creates it on the table with the name.
    pub(crate) after: String,
    /// The statement that checks the copied rows after the swap.
    pub(crate) finish: Option<String>,
    /// The columns with which the server would drop it.
    pub(crate) columns: Vec<String>,
    /// Whether it is a foreign key, of this table or to it.
    pub(crate) is_key: bool,
    /// The statement that drops it from an old table that is kept current: the run's own statements
    /// must not fire it. None if `before` does, or if nothing fires it.
    #[serde(default)]
    pub(crate) strip: Option<String>,
}

/// The steps of a change without a copy, and how many are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OnlineSteps {
    /// The clauses as given.
    pub(crate) alter: String,
    /// The search path for these clauses.
    pub(crate) search_path: String,
    pub(crate) steps: Vec<OnlineStep>,
    /// How many steps are done.
    pub(crate) done: usize,
    /// Statements that drop the constraints and indexes again. They may run twice.
    pub(crate) undo: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OnlineStep {
    pub(crate) statement: String,
    /// The index it builds concurrently, qualified. Empty for any other statement.
    pub(crate) index: String,
    pub(crate) lock: StepLock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepLock {
    /// It changes only the catalogue.
    Instant,
    /// It reads the rows.
    Scan,
    /// It builds an index.
    Build,
}

impl OnlineSteps {
    /// Whether every step is done.
    pub(crate) fn is_done(&self) -> bool {
        self.done == self.steps.len()
    }

    /// Returns the steps that are left, for people.
    pub(crate) fn steps(&self, lock_timeout: Duration) -> Vec<Step> {
        let wait = format!("after a wait of at most {lock_timeout:?}");
        let lock = |step: &OnlineStep| match step.lock {
            StepLock::Instant if step.statement.contains("FOREIGN KEY") => {
                format!(
                    "ACCESS EXCLUSIVE at most, and SHARE ROW EXCLUSIVE on the parent, for an \
                         instant, {wait}"
                )
            }
            StepLock::Instant => format!("ACCESS EXCLUSIVE for an instant, {wait}"),
            StepLock::Scan => "SHARE UPDATE EXCLUSIVE while the rows are read: reads and writes \
                               go on"
                .to_owned(),
            StepLock::Build => "SHARE UPDATE EXCLUSIVE while the index is built: reads and writes \
                                go on; it waits for transactions that began before"
                .to_owned(),
        };
        let left = self.steps.iter().skip(self.done);
        left.map(|step| Step { statement: step.statement.clone(), lock: lock(step) }).collect()
    }
}

/// What the change stream depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamConditions {
    /// The OIDs of the publication and its entry for the source, and the transactions that wrote
    /// them last.
    pub(crate) publication: Option<String>,
    /// The source's replica identity: its letter, and the numbers of its columns.
    pub(crate) identity: Option<String>,
}

impl StreamConditions {
    /// The replica identity's letter, as the log spells it.
    pub(crate) fn letter(&self) -> Option<u8> {
        self.identity.as_ref().and_then(|identity| identity.bytes().next())
    }
}
