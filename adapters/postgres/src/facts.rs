//! What this engine writes into the journal beside the core's record.

use crate::schema::altered::{DeferredIndex, FinalSteps};
use crate::schema::columns::Layout;
use crate::schema::definition::Line;
use altergeist_contract::Step;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What this engine writes down beside the record.
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
    #[serde(default)]
    pub(crate) witness: Option<Witness>,
    /// The source's own replica identity, as the catalogue spells it, while it has another one for
    /// the sake of the run.
    #[serde(default)]
    pub(crate) own_identity: Option<String>,
    /// The shadow, once it is made.
    pub(crate) shadow: Option<ShadowFacts>,
    /// The structure of the table the finished change made.
    pub(crate) done: Option<String>,
    /// The steps of a change without a copy.
    #[serde(default, rename = "recipe")]
    pub(crate) online_steps: Option<OnlineSteps>,
}

impl Facts {
    /// Nothing is known yet.
    pub(crate) fn none() -> Facts {
        Facts {
            system: String::new(),
            log_place: None,
            source: 0,
            source_lines: Vec::new(),
            witness: None,
            own_identity: None,
            shadow: None,
            done: None,
            online_steps: None,
        }
    }
}

/// What must be known of the shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShadowFacts {
    /// The shadow.
    pub(crate) oid: u32,
    /// Its definition when everything is in place.
    pub(crate) lines: Vec<Line>,
    /// Whether it is kept out of the log, and a crash of the server empties it.
    #[serde(default)]
    pub(crate) is_unlogged: bool,
    /// How rows move.
    pub(crate) layout: Layout,
    /// Indexes that are built when the rows are there.
    pub(crate) deferred: Vec<DeferredIndex>,
    /// The index rows are found by, where the shadow was made without it: built before the first of
    /// them is looked for.
    #[serde(default)]
    pub(crate) lookup: Option<DeferredIndex>,
    /// Constraints that hold for new rows only, and come in the swap.
    pub(crate) late: Vec<String>,
    /// What is done at the end of the swap, and after it.
    #[serde(default, rename = "arrival")]
    pub(crate) final_steps: FinalSteps,
    /// The columns that were in the source, by their names there and in the shadow.
    #[serde(default)]
    pub(crate) survivors: Vec<(String, String)>,
    /// Whether it tells who else writes to it.
    #[serde(default)]
    pub(crate) is_guarded: bool,
    /// What is left to check of the rows of old after the swap.
    #[serde(default)]
    pub(crate) finish: Vec<String>,
}

/// The change, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OnlineSteps {
    /// The clauses asked for, as given.
    pub(crate) alter: String,
    /// The search path they were written for.
    pub(crate) search_path: String,
    pub(crate) steps: Vec<OnlineStep>,
    /// How many steps are done.
    pub(crate) done: usize,
    /// What takes the constraints and indexes away again, and may be said twice.
    pub(crate) undo: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OnlineStep {
    pub(crate) statement: String,
    /// The index it builds concurrently, qualified; empty for any other statement.
    pub(crate) index: String,
    pub(crate) lock: StepLock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepLock {
    /// Only the catalogue is touched.
    Instant,
    /// The rows are read.
    Scan,
    /// An index is built.
    Build,
}

impl OnlineSteps {
    /// Whether every step is done.
    pub(crate) fn is_done(&self) -> bool {
        self.done == self.steps.len()
    }

    /// What is left to do, for people.
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
pub(crate) struct Witness {
    /// The publication and its entry of the source: their numbers, and those of the transactions
    /// that wrote them last.
    pub(crate) publication: Option<String>,
    /// The source's replica identity: its letter, and the numbers of its columns.
    pub(crate) identity: Option<String>,
}

impl Witness {
    /// The replica identity's letter, as the log spells it.
    pub(crate) fn letter(&self) -> Option<u8> {
        self.identity.as_ref().and_then(|identity| identity.bytes().next())
    }
}
