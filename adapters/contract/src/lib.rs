//! What the core and an engine both know, and nothing else: the roles an engine plays, the words
//! they exchange, an engine in memory to test the core with, and the laws as tests every engine
//! must pass.
//!
//! No SQL, no driver and no server name may appear here outside doc comments.
// The core runs as one task and never spawns, so no future here needs to be `Send`.
#![allow(async_fn_in_trait)]

pub mod backfill;
pub mod change;
pub mod column_counts;
pub mod column_set;
pub mod computed_values;
pub mod conformance;
pub mod engine;
pub mod error;
pub mod estimate;
pub mod finding;
pub mod heartbeats;
pub mod journal_json;
pub mod key;
pub mod look;
pub mod model;
pub mod name_hash;
pub mod order_table;
pub mod pair;
pub mod password;
pub mod plan;
pub mod position;
pub mod reading;
pub mod record;
pub mod reversal;
pub mod special_roles;
pub mod switch;
pub mod turn;
pub mod url;

pub use backfill::{
    Backfill, Backfills, DoneBackfill, RowOrder, RowUpdate, Trial, UpdatePace, Updated,
};
pub use change::{ForeignKeys, Strategy, Target};
pub use column_counts::{ColumnCounts, ValueCounts};
pub use column_set::ColumnSet;
pub use computed_values::Outcomes;
pub use engine::{
    ChangeStream, Changes, CommitLatency, Comparison, Cutover, Disposal, Duplicates, Engine, Gauge,
    Hold, Inquiry, Journal, Leftover, Ownership, Preflight, ReplicaLag, Shadow, Swap, TableLock,
};
pub use error::{Attempted, Error, Kind, Result};
pub use estimate::{
    Blocks, Estimate, InPlace, InPlaceEstimate, Measure, Measured, RestorePoint, Sample, Span,
};
pub use finding::{Code, Finding, Severity};
pub use heartbeats::Heartbeats;
pub use key::{Chunk, Key, Watermark};
pub use look::Look;
pub use name_hash::name_hash;
pub use order_table::{GivenOrder, Moment, NotedOrder, OrderAnswer, OrderTable};
pub use pair::{Pairs, RangeComparison, TablePair};
pub use password::{Login, Passwords};
pub use plan::{Cost, Plan, Step, Verdict};
pub use position::{Marker, Position};
pub use reading::{NamedReplica, Reading, WatchedReplicas, seconds_of_lag};
pub use record::{Record, Reversible, Stage};
pub use reversal::{Misfits, Reversal};
pub use special_roles::{LogKept, OnlineSteps, RetainedLog, SkippableLog, UnloggedChanges, Writes};
pub use switch::Switch;
pub use turn::{Turn, Turns};
