//! An engine in memory, driven by one seed: a table under random writers, on a server that shows
//! commits late, forgets answers, loses connections and goes on with statements whose client died.
//!
//! Everything that can go wrong between a tool and a server goes wrong here often, so that a
//! thousand seeds meet what a thousand nights would. A [`Flaw`] breaks one law on purpose: the
//! simulation must then fail.

mod cutover;
mod engine;
mod order_table;
mod reversal;
mod shadow;
mod writers;

pub use cutover::ModelLock;
pub use engine::{Model, ModelStream};

use crate::{Key, Record, Watermark};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A law broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Law 1: the stream delivers commits that no read sees yet.
    DeliversBeforeVisible,
    /// Law 1: the log is opened without waiting for what was running.
    StartsBehindRunning,
    /// Law 2: a refresh restores rows beyond the watermark.
    RefreshIgnoresWatermark,
    /// Law 2: a copy passes over rows that meet another in a unique index, as INSERT IGNORE does.
    CopyIgnoresConflicts,
    /// Law 3: a copy answers before its rows are in.
    CopyOutlivesItsTurn,
    /// Law 4: a refresh passes over rows that meet another in a unique index.
    RefreshIgnoresConflicts,
    /// Law 4: a refresh deletes the row in its way, whoever's it is, as REPLACE does.
    RefreshReplaces,
    /// Law 5: the log spells keys otherwise than a comparison does.
    TwoSpellings,
    /// Law 5: a changed key is delivered as the new one only.
    ChangedKeyIsOneKey,
    /// Law 6: the saved position runs ahead of the refreshed keys.
    SavesAhead,
    /// Law 7: a swap whose answer was lost is taken for one that did not happen.
    LostAnswerMeansNo,
    /// Law 9: nobody asks whether the log still tells of every row.
    TrustsTheStream,
    /// Law 10: nobody asks whether others wrote the shadow.
    TrustsTheShadow,
    /// The gates: every question is answered as if the gate were open.
    OpensEveryGate,
    /// Law 8: an event is passed over, as by a decoder that does not know it.
    LosesEvents,
    /// Law 8: the comparison sees no difference.
    ComparesNothing,
    /// Revert: a refresh deletes and inserts, and forgets what only the old table has.
    RevertForgetsOldColumns,
    /// Revert: the log of the altered table is read from now on, not from the swap on.
    StartsBehindTheSwap,
    /// Promise 4: statements of a killed process go on behind the back of the next.
    ZombiesAreNotFenced,
}

/// How the world behaves. The default is a bad night.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Rows before the run begins.
    pub rows: u32,
    /// Ids and unique values are taken from below this.
    pub ids: u32,
    /// Whether commits become visible in the order of the log, as on MySQL; else in any order, as
    /// on PostgreSQL.
    pub visible_in_order: bool,
    /// The chance that a step of the world holds a transaction.
    pub write_chance: f64,
    /// The chance that a commit is visible as soon as it is logged.
    pub visible_at_once_chance: f64,
    /// The chance that a transaction empties the table.
    pub truncate_chance: f64,
    /// The chance that a statement fails for no fault of its own.
    pub fault_chance: f64,
    /// How often what is left to do after the swap fails for a reason that does not pass by itself.
    pub unfinished_chance: f64,
    /// The chance that a step of the world keeps rows, but not marks, out of the log, or lets them
    /// in again.
    pub mute_chance: f64,
    /// The chance that a step of the world takes a row out of the shadow.
    pub trespass_chance: f64,
    /// The chance that a value written after the swap does not fit the old table.
    pub misfit_chance: f64,
    /// The chance that a step of the world opens or closes the gate of the swap; 0 for no gate.
    pub gate_chance: f64,
    /// Whether the source enforces the unique index that the shadow has.
    pub source_is_unique: bool,
    /// Whether rows may be compared while what was left out is built.
    pub compares_beside_builds: bool,
    /// Whether the server counts what is written, and if so, whether it ever tells.
    pub counts_writes: Option<bool>,
    /// Laws broken on purpose.
    pub flaws: Vec<Flaw>,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            rows: 40,
            ids: 120,
            visible_in_order: true,
            write_chance: 0.5,
            visible_at_once_chance: 0.7,
            truncate_chance: 0.001,
            fault_chance: 0.005,
            unfinished_chance: 0.3,
            mute_chance: 0.0002,
            trespass_chance: 0.0,
            misfit_chance: 0.0,
            gate_chance: 0.0,
            source_is_unique: true,
            compares_beside_builds: false,
            counts_writes: None,
            flaws: Vec::new(),
        }
    }
}

/// A row, less its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Held by one row at a time.
    pub unique: u32,
    /// Anything.
    pub value: u32,
}

/// A table: rows by id.
pub type Rows = BTreeMap<u32, Row>;

/// What a transaction does to one row.
#[derive(Clone, Copy, Debug)]
enum Effect {
    Put(u32, Row),
    Remove(u32),
}

/// One entry of the log: a transaction, or a mark.
#[derive(Debug, Default)]
struct Entry {
    effects: Vec<Effect>,
    emptied: bool,
    mark: Option<(u64, u64)>,
    visible: bool,
    /// Readers of the log are not told of it.
    unheard: bool,
}

/// A statement that runs on although its client is gone.
type Zombie = Box<dyn FnOnce(&mut World)>;

/// The server, its table, and everybody who uses it.
pub struct World {
    rng: SmallRng,
    habits: Habits,
    /// The rows a read begun now sees in the table that bears the name.
    table: Rows,
    /// The rows that were committed to it, visible or not.
    truth: Rows,
    shadow: Option<Rows>,
    swapped: bool,
    reverted: bool,
    beside: reversal::Beside,
    /// Rows that were there at the swap, and were never deleted since.
    survivors: BTreeSet<u32>,
    /// Whether rows that do not fit may be lost.
    may_discard: bool,
    log: Vec<Entry>,
    hidden: Vec<usize>,
    forgotten: usize,
    delivered: usize,
    record: Option<Record>,
    zombies: Vec<Zombie>,
    processes: u64,
    holder: Option<u64>,
    marks: u64,
    locks: u64,
    locked_by: Option<u64>,
    /// Whether rows are kept out of the log now.
    muted: bool,
    /// How often that began or ended.
    mutings: u64,
    /// The same when the log was opened.
    mutings_at_open: Option<u64>,
    /// How often others wrote the shadow since it was made.
    trespasses: u64,
    orders: Vec<order_table::OrderRow>,
    last_run: Option<String>,
    is_gate_closed: bool,
    /// Whether the present process has asked, and the gate was open when it asked last.
    has_seen_gate_open: bool,
    calm: bool,
    violations: Vec<String>,
}

/// The world, shared by the engine's parts and the test that watches.
#[derive(Clone)]
pub struct Server(Rc<RefCell<World>>);

impl Server {
    /// A server with a filled table.
    pub fn new(seed: u64, habits: Habits) -> Server {
        let mut world = World {
            rng: SmallRng::seed_from_u64(seed),
            habits,
            table: Rows::new(),
            truth: Rows::new(),
            shadow: None,
            swapped: false,
            reverted: false,
            beside: reversal::Beside::default(),
            survivors: BTreeSet::new(),
            may_discard: false,
            log: Vec::new(),
            hidden: Vec::new(),
            forgotten: 0,
            delivered: 0,
            record: None,
            zombies: Vec::new(),
            processes: 0,
            holder: None,
            marks: 0,
            locks: 0,
            locked_by: None,
            muted: false,
            mutings: 0,
            mutings_at_open: None,
            trespasses: 0,
            orders: Vec::new(),
            last_run: None,
            is_gate_closed: false,
            has_seen_gate_open: false,
            calm: false,
            violations: Vec::new(),
        };
        world.fill();
        Server(Rc::new(RefCell::new(world)))
    }

    /// A process that works on the table.
    pub fn process(&self) -> Model {
        let mut world = self.0.borrow_mut();
        world.processes += 1;
        world.has_seen_gate_open = false;
        Model::new(self.clone(), world.processes)
    }

    /// Ends faults and writers, so that a run can come to its end.
    pub fn calm_down(&self) {
        self.0.borrow_mut().calm = true;
    }

    /// Lets everything that is under way arrive, and says what is wrong with the table that bears
    /// the name now: rows lost, invented or changed, and laws seen broken on the way. Empty if all
    /// is well.
    pub fn verdict(&self) -> Vec<String> {
        let mut world = self.0.borrow_mut();
        world.calm = true;
        world.end_zombies();
        world.show_all();
        let mut found = std::mem::take(&mut world.violations);
        let wrong = world.truth.iter().filter(|(id, row)| world.table.get(id) != Some(row)).count();
        let invented = world.table.keys().filter(|id| !world.truth.contains_key(id)).count();
        if wrong + invented > 0 {
            found.push(format!("{wrong} rows lost or changed, {invented} invented"));
        }
        found
    }

    /// Whether the swap has a gate in this world.
    pub fn has_gate(&self) -> bool {
        self.0.borrow().habits.gate_chance > 0.0
    }

    /// Whether the shadow bears the name now.
    pub fn is_swapped(&self) -> bool {
        self.0.borrow().swapped
    }

    /// Whether the old table has the name again.
    pub fn is_reverted(&self) -> bool {
        self.0.borrow().reverted
    }

    /// Lets rows be lost that do not fit the old table.
    pub fn allow_discarding(&self) {
        self.0.borrow_mut().may_discard = true;
    }

    /// Whether they may.
    pub fn may_discard(&self) -> bool {
        self.0.borrow().may_discard
    }

    /// Rows of the shadow, if there is one.
    pub fn shadow(&self) -> Option<Rows> {
        self.0.borrow().shadow.clone()
    }

    /// Rows a read sees now.
    pub fn table(&self) -> Rows {
        self.0.borrow().table.clone()
    }

    /// What is saved for the next run.
    pub fn record(&self) -> Option<Record> {
        self.0.borrow().record.clone()
    }

    /// Commits rows of the test's own: in the log at once, visible when [`Server::show_all`] is
    /// called or by chance.
    pub fn commit(&self, put: &[(u32, Row)], remove: &[u32]) {
        let puts = put.iter().map(|&(id, row)| Effect::Put(id, row));
        let effects = remove.iter().map(|&id| Effect::Remove(id)).chain(puts).collect();
        self.0.borrow_mut().append(effects);
    }

    /// Makes every commit visible.
    pub fn show_all(&self) {
        self.0.borrow_mut().show_all();
    }
}

impl World {
    /// What the gate's question is answered: how much is wrong.
    fn asked(&mut self) -> String {
        let is_closed = self.is_gate_closed && !self.calm;
        self.has_seen_gate_open = !is_closed;
        let is_told = is_closed && !self.has(Flaw::OpensEveryGate);
        u8::from(is_told).to_string()
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.habits.flaws.contains(&flaw)
    }

    fn chance(&mut self, chance: f64) -> bool {
        !self.calm && self.rng.random_bool(chance)
    }

    /// A moment passes: somebody may write, a commit may become visible, a zombie may wake.
    fn step(&mut self) {
        let write_chance = self.habits.write_chance;
        if self.locked_by.is_none() && self.chance(write_chance) {
            self.write();
        }
        let mute_chance = self.habits.mute_chance;
        if mute_chance > 0.0 && self.chance(mute_chance) {
            self.muted = !self.muted;
            self.mutings += 1;
        }
        let trespass_chance = self.habits.trespass_chance;
        if trespass_chance > 0.0
            && !self.swapped
            && !self.reverted
            && self.locked_by.is_none()
            && self.chance(trespass_chance)
        {
            let lost = self.shadow.as_mut().and_then(Rows::pop_first);
            self.trespasses += u64::from(lost.is_some());
        }
        let gate_chance = self.habits.gate_chance;
        if gate_chance > 0.0 && self.chance(gate_chance) {
            self.is_gate_closed = !self.is_gate_closed;
        }
        if self.rng.random_bool(0.3) {
            self.show_one();
        }
        if !self.zombies.is_empty() && self.rng.random_bool(0.1) {
            self.end_zombies();
        }
    }

    fn end_zombies(&mut self) {
        for zombie in std::mem::take(&mut self.zombies) {
            zombie(self);
        }
    }

    /// Rows a read begun now finds in a range.
    fn read(&self, after: &Watermark, through: &Watermark) -> Rows {
        self.table
            .iter()
            .filter(|(id, _)| is_within(**id, after, through))
            .map(|(id, row)| (*id, *row))
            .collect()
    }
}

/// The one spelling of an id; its bytes are not in the order of the ids.
pub fn key(id: u32) -> Key {
    Key::compose([&id.reverse_bits().to_be_bytes()[..]])
}

/// The id a key spells, in whichever of the two ways a flaw may have chosen.
fn id(key: &Key) -> u32 {
    let columns = key.columns();
    let bytes = columns.last().expect("a model key has a column");
    u32::from_be_bytes((*bytes).try_into().expect("a model key has four bytes")).reverse_bits()
}

fn is_within(candidate: u32, after: &Watermark, through: &Watermark) -> bool {
    let is_after = match after {
        Watermark::Start => true,
        Watermark::At(key) => candidate > id(key),
        Watermark::End => false,
    };
    is_after && is_covered(candidate, through)
}

fn is_covered(candidate: u32, through: &Watermark) -> bool {
    match through {
        Watermark::Start => false,
        Watermark::At(key) => candidate <= id(key),
        Watermark::End => true,
    }
}
