//! The roles of the contract, played by the model. Every statement takes its time, and the world
//! goes on meanwhile.

use super::{Effect, Entry, Flaw, Rows, Server, World, id, is_covered, is_within, key};
use crate::{
    Backfill, ChangeStream, Changes, Chunk, CommitLatency, Comparison, Cutover, Disposal,
    Duplicates, Engine, Error, Gauge, Hold, Inquiry, Journal, Key, Kind, Leftover, Marker, Measure,
    Measured, Misfits, OnlineSteps, Ownership, Pairs, Plan, Position, Preflight, Record,
    ReplicaLag, RestorePoint, Result, RetainedLog, Reversal, Shadow, SkippableLog, Swap, TableLock,
    Target, Turns, UnloggedChanges, Verdict, Watermark, Writes,
};
use rand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// One process's work on the model's table.
pub struct Model {
    server: Server,
    process: u64,
}

impl Model {
    pub(super) fn new(server: Server, process: u64) -> Model {
        Model { server, process }
    }

    fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.server.0.borrow_mut())
    }

    /// One statement: it travels, acts, and its answer travels back. If its client dies meanwhile
    /// it may act all the same, later.
    pub(super) async fn statement<T: 'static>(
        &self,
        attempted: &str,
        act: impl FnOnce(&mut World) -> Result<T> + 'static,
    ) -> Result<T> {
        statement(&self.server, attempted, act).await
    }
}

/// The run lock goes with its process.
impl Drop for Model {
    fn drop(&mut self) {
        self.world(|world| {
            if world.holder == Some(self.process) {
                world.holder = None;
            }
        });
    }
}

/// A statement on its way, that may arrive although nobody waits for it any more.
struct UnderWay {
    server: Server,
    act: Option<super::Zombie>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(act) = self.act.take() {
            let mut world = self.server.0.borrow_mut();
            if world.rng.random() {
                world.zombies.push(act);
            }
        }
    }
}

async fn pause(server: &Server) {
    let milliseconds = server.0.borrow_mut().rng.random_range(0..4);
    for _ in 0..milliseconds {
        tokio::time::sleep(Duration::from_millis(1)).await;
        server.0.borrow_mut().step();
    }
}

async fn statement<T: 'static>(
    server: &Server,
    attempted: &str,
    act: impl FnOnce(&mut World) -> Result<T> + 'static,
) -> Result<T> {
    let answer = std::rc::Rc::new(std::cell::RefCell::new(None));
    let answered = answer.clone();
    let run = move |world: &mut World| *answered.borrow_mut() = Some(act(world));
    let mut under_way = UnderWay { server: server.clone(), act: Some(Box::new(run)) };
    pause(server).await;
    let fault_chance = server.0.borrow().habits.fault_chance;
    if server.0.borrow_mut().chance(fault_chance) {
        let passes = server.0.borrow_mut().rng.random();
        if passes {
            under_way.act = None;
        }
        let kind = if passes { Kind::Transient } else { Kind::Disconnected };
        return Err(Error::new(kind, attempted, "a fault was thrown"));
    }
    let act = under_way.act.take().expect("taken once");
    act(&mut server.0.borrow_mut());
    pause(server).await;
    answer.take().expect("the statement has acted")
}

/// The model has no SQL to update rows with.
impl Backfill for Model {}

impl Engine for Model {
    type Stream = ModelStream;

    async fn connect(_: &Target) -> Result<Model> {
        Err(Error::refused("connect to a model", "a model is made by its server"))
    }

    async fn hold(&self) -> Result<Hold> {
        pause(&self.server).await;
        let process = self.process;
        self.world(|world| {
            if let Some(holder) = world.holder.filter(|holder| *holder != process) {
                return Ok(Hold::HeldBy(format!("process {holder}")));
            }
            world.holder = Some(process);
            if !world.has(Flaw::ZombiesAreNotFenced) {
                world.end_zombies();
            }
            world.locked_by = None;
            Ok(Hold::Taken)
        })
    }

    async fn holder(&self) -> Result<Option<String>> {
        Ok(self.world(|world| world.holder.map(|holder| format!("process {holder}"))))
    }

    async fn still_held(&self) -> Result<()> {
        match self.world(|world| world.holder == Some(self.process)) {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Disconnected,
                "look at the run lock",
                "it is not ours any more",
            )),
        }
    }

    async fn open_log(&self) -> Result<Position> {
        pause(&self.server).await;
        let position = self.world(|world| {
            world.muted = false;
            world.mutings_at_open = Some(world.mutings);
            world.log.len()
        });
        while self.world(|world| world.hides_before(position)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.world(World::step);
        }
        Ok(Position(position.to_string()))
    }

    async fn follow(&self, from: &Position) -> Result<ModelStream> {
        let from: usize = from.0.parse().expect("a position of this model");
        match self.world(|world| from < world.forgotten) {
            true => Err(Error::fatal("read the log", "the server no longer has this position")),
            false => {
                let (server, process) = (self.server.clone(), self.process);
                Ok(ModelStream { server, process, cursor: from, marker: Marker::NONE })
            }
        }
    }

    async fn check_stream(&self) -> Result<()> {
        self.statement("check the stream", |world| world.check_stream()).await
    }

    async fn mark(&self) -> Result<Marker> {
        let process = self.process;
        self.statement("put a mark into the log", move |world| Ok(world.mark(process))).await
    }
}

impl World {
    /// Whether a commit before this position in the log is not visible yet.
    fn hides_before(&self, position: usize) -> bool {
        !self.has(Flaw::StartsBehindRunning)
            && self.hidden.first().is_some_and(|entry| *entry < position)
    }

    /// Whether rows were in the log ever since it was opened, and nobody else wrote the shadow.
    fn check_stream(&self) -> Result<()> {
        if !self.has(Flaw::TrustsTheStream) && self.mutings_at_open != Some(self.mutings) {
            return Err(Error::new(
                Kind::Missed,
                "check the stream",
                "rows were kept out of the log",
            ));
        }
        if !self.has(Flaw::TrustsTheShadow) && self.trespasses > 0 {
            return Err(Error::new(Kind::Missed, "check the shadow", "another session wrote it"));
        }
        Ok(())
    }

    fn forget(&mut self, before: &Position) {
        let before: usize = before.0.parse().expect("a position of this model");
        let saved =
            self.record.as_ref().and_then(|record| record.position.as_ref()?.0.parse().ok());
        if saved.is_none_or(|saved: usize| before > saved) {
            self.violations.push("the log was forgotten beyond the saved position".into());
        }
        self.forgotten = self.forgotten.max(before);
    }

    fn mark(&mut self, process: u64) -> Marker {
        self.marks += 1;
        self.log.push(Entry {
            mark: Some((process, self.marks)),
            visible: true,
            ..Entry::default()
        });
        Marker(self.marks)
    }
}

impl Preflight for Model {
    fn table(&self) -> &str {
        "model.table"
    }

    async fn plan(&self) -> Result<Plan> {
        Ok(Plan {
            table: "model.table".into(),
            verdict: Verdict::Copy,
            key: "id (id)".into(),
            rows_estimated: self.world(|world| world.table.len() as u64),
            ..Plan::default()
        })
    }

    async fn alter_natively(&self, _: &str) -> Result<()> {
        Err(Error::refused("alter the model", "it only copies"))
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let shadow = || Leftover {
            object: "shadow".into(),
            reason: "a run".into(),
            disposal: Disposal::Dropped,
        };
        Ok(self.world(|world| world.shadow.as_ref().map(|_| shadow()).into_iter().collect()))
    }

    async fn cleanup(&self, _: bool) -> Result<()> {
        self.statement("clean up", |world| {
            world.shadow = None;
            world.record = None;
            Ok(())
        })
        .await
    }
}

impl Journal for Model {
    async fn load(&self) -> Result<Option<Record>> {
        self.statement("load the record", |world| Ok(world.record.clone())).await
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let mut record = record.clone();
        self.statement("save the record", move |world| {
            if world.has(Flaw::SavesAhead) {
                record.position = record.position.map(|_| Position(world.delivered.to_string()));
            }
            world.record = Some(record);
            Ok(())
        })
        .await
    }
}

/// The model's log, read by one process.
pub struct ModelStream {
    server: Server,
    process: u64,
    cursor: usize,
    marker: Marker,
}

impl ChangeStream for ModelStream {
    async fn next(&mut self) -> Result<Changes> {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut world = self.server.0.borrow_mut();
            world.step();
            let fault_chance = world.habits.fault_chance / 4.0;
            if world.chance(fault_chance) {
                return Err(Error::new(Kind::Disconnected, "read the log", "a fault was thrown"));
            }
            let most = world.rng.random_range(1..6);
            if let Some(changes) =
                deliver(&mut world, &mut self.cursor, most, (self.process, &mut self.marker))
            {
                return Ok(changes);
            }
        }
    }

    async fn forget(&mut self, before: &Position) -> Result<()> {
        self.server.0.borrow_mut().forget(before);
        Ok(())
    }
}

/// Up to `most` entries that may be delivered, in the order of the log.
fn deliver(
    world: &mut World,
    cursor: &mut usize,
    most: usize,
    mine: (u64, &mut Marker),
) -> Option<Changes> {
    let (process, marker) = mine;
    let first = *cursor;
    let mut keys = Vec::new();
    let mut emptied = false;
    while *cursor < world.log.len() && *cursor < first + most {
        let entry = &world.log[*cursor];
        if !(entry.visible || world.has(Flaw::DeliversBeforeVisible))
            || entry.emptied && *cursor > first
        {
            break;
        }
        emptied |= entry.emptied && !entry.unheard;
        let is_lost = entry.unheard || world.has(Flaw::LosesEvents) && (*cursor).is_multiple_of(16);
        if !is_lost {
            keys.extend(
                entry.effects.iter().filter_map(|effect| spell(world, effect, &entry.effects)),
            );
        }
        if let Some((_, mark)) = entry.mark.filter(|(by, _)| *by == process) {
            *marker = Marker(mark);
        }
        *cursor += 1;
    }
    world.delivered = world.delivered.max(*cursor);
    let position = Position(cursor.to_string());
    (*cursor > first).then_some(Changes { emptied, keys, position, marker: *marker })
}

/// The key of an effect as the log spells it, unless a flaw leaves it out.
fn spell(world: &World, effect: &Effect, all: &[Effect]) -> Option<Key> {
    let (Effect::Put(id, _) | Effect::Remove(id)) = *effect;
    let is_before_image = matches!(effect, Effect::Remove(_)) && all.len() > 1;
    if is_before_image && world.has(Flaw::ChangedKeyIsOneKey) {
        return None;
    }
    let canonical = key(id);
    match world.has(Flaw::TwoSpellings) {
        true => Some(Key::compose([&b"0"[..], canonical.columns()[0]])),
        false => Some(canonical),
    }
}

impl Shadow for Model {
    async fn create(&self) -> Result<()> {
        self.statement("create the shadow", |world| {
            world.shadow = Some(Rows::new());
            world.trespasses = 0;
            Ok(())
        })
        .await
    }

    async fn next_chunk(&self, after: &Watermark, rows: u64) -> Result<Chunk> {
        let begin = after.clone();
        let through = self
            .statement("find the next chunk", move |world| {
                let found = world.read(&begin, &Watermark::End);
                let last = found.keys().nth(usize::try_from(rows).expect("a few rows") - 1);
                Ok(last.map_or(Watermark::End, |last| Watermark::At(key(*last))))
            })
            .await?;
        Ok(Chunk { after: after.clone(), through })
    }

    async fn copy(&self, chunk: &Chunk) -> Result<u64> {
        pause(&self.server).await;
        let rows = self.world(|world| world.read(&chunk.after, &chunk.through));
        let count = rows.len() as u64;
        if self.world(|world| world.has(Flaw::CopyOutlivesItsTurn)) {
            self.world(|world| {
                world
                    .zombies
                    .push(Box::new(move |world| drop(world.insert_into_shadow(rows, false))))
            });
            return Ok(count);
        }
        self.statement("copy a chunk", move |world| {
            let ignores = world.has(Flaw::CopyIgnoresConflicts);
            world.insert_into_shadow(rows, ignores)
        })
        .await?;
        Ok(count)
    }

    async fn refresh(&self, keys: &[Key], through: &Watermark) -> Result<()> {
        refresh(&self.server, keys, through).await
    }

    async fn clear_beyond(&self, through: &Watermark) -> Result<()> {
        let through = through.clone();
        self.statement("clear the shadow beyond the watermark", move |world| {
            world.shadow_rows()?.retain(|id, _| is_covered(*id, &through));
            Ok(())
        })
        .await
    }

    async fn clear(&self) -> Result<()> {
        self.statement("clear the shadow", |world| {
            world.shadow_rows()?.clear();
            Ok(())
        })
        .await
    }

    async fn complete(&self, _gently: bool) -> Result<()> {
        let takes = self.world(|world| world.rng.random_range(1..80));
        tokio::time::sleep(Duration::from_millis(takes)).await;
        Ok(())
    }

    fn compares_beside_builds(&self) -> bool {
        self.world(|world| world.habits.compares_beside_builds)
    }

    async fn analyze(&self, _gently: bool) -> Result<()> {
        let takes = self.world(|world| world.rng.random_range(1..80));
        tokio::time::sleep(Duration::from_millis(takes)).await;
        Ok(())
    }

    async fn compare(&self, chunk: &Chunk) -> Result<Comparison> {
        let range = chunk.clone();
        let is_within_range = move |id: u32| is_within(id, &range.after, &range.through);
        let differing = compare(self, is_within_range.clone()).await?;
        let rows = self
            .world(|world| world.table.keys().filter(|id| is_within_range(**id)).count() as u64);
        Ok(Comparison { rows, differing })
    }

    async fn compare_keys(&self, keys: &[Key]) -> Result<Vec<Key>> {
        let ids: Vec<u32> = keys.iter().map(id).collect();
        compare(self, move |id| ids.contains(&id)).await
    }

    async fn duplicates(&self) -> Result<Vec<Duplicates>> {
        self.statement("count duplicates", |world| {
            let mut holders = BTreeMap::<u32, u32>::new();
            for row in world.table.values() {
                *holders.entry(row.unique).or_default() += 1;
            }
            let values = holders.values().filter(|count| **count > 1).count() as u64;
            Ok((values > 0)
                .then_some(Duplicates { index: "unique".into(), values })
                .into_iter()
                .collect())
        })
        .await
    }
}

async fn compare(model: &Model, is_asked_for: impl Fn(u32) -> bool + 'static) -> Result<Vec<Key>> {
    model
        .statement("compare", move |world| {
            let source = &world.table;
            let Some(shadow) = world.shadow.as_ref() else {
                return Err(Error::fatal("compare", "there is no shadow"));
            };
            let ids = source.keys().chain(shadow.keys().filter(|id| !source.contains_key(id)));
            let differing = ids
                .filter(|id| is_asked_for(**id) && source.get(id) != shadow.get(id))
                .map(|id| key(*id));
            Ok(if world.has(Flaw::ComparesNothing) { Vec::new() } else { differing.collect() })
        })
        .await
}

/// Reads the source at one moment and writes the shadow at a later one, as a server's transaction
/// does.
async fn refresh(server: &Server, keys: &[Key], through: &Watermark) -> Result<()> {
    let ids: Vec<u32> = keys.iter().map(id).collect();
    let through = through.clone();
    pause(server).await;
    let rows: Rows = {
        let world = server.0.borrow();
        let covers = |id: u32| is_covered(id, &through) || world.has(Flaw::RefreshIgnoresWatermark);
        ids.iter()
            .filter(|id| covers(**id))
            .filter_map(|id| Some((*id, *world.table.get(id)?)))
            .collect()
    };
    statement(server, "refresh keys", move |world| {
        let before = world.shadow_rows()?.clone();
        world.shadow_rows()?.retain(|id, _| !ids.contains(id));
        if world.has(Flaw::RefreshReplaces) {
            let uniques: Vec<u32> = rows.values().map(|row| row.unique).collect();
            world.shadow_rows()?.retain(|_, row| !uniques.contains(&row.unique));
        }
        let ignores = world.has(Flaw::RefreshIgnoresConflicts) || world.has(Flaw::RefreshReplaces);
        world.insert_into_shadow(rows, ignores).inspect_err(|_| world.shadow = Some(before))
    })
    .await
}

impl World {
    fn shadow_rows(&mut self) -> Result<&mut Rows> {
        self.shadow.as_mut().ok_or_else(|| Error::fatal("use the shadow", "there is none"))
    }

    /// A plain INSERT: all or nothing; or, with a flaw, one that passes over conflicts.
    fn insert_into_shadow(&mut self, rows: Rows, ignores_conflicts: bool) -> Result<()> {
        let mut filled = self.shadow_rows()?.clone();
        for (id, row) in rows {
            let is_taken = filled.values().any(|other| other.unique == row.unique);
            match (filled.contains_key(&id), is_taken) {
                (false, false) => drop(filled.insert(id, row)),
                _ if ignores_conflicts => {}
                (true, _) => {
                    return Err(Error::fatal(
                        "insert into the shadow",
                        "it holds a row of this key already",
                    ));
                }
                (false, true) => {
                    let kind = Kind::Stale { index: "unique".into() };
                    return Err(Error::new(
                        kind,
                        "insert into the shadow",
                        "a row of another key is in the way",
                    ));
                }
            }
        }
        self.shadow = Some(filled);
        Ok(())
    }
}

impl Cutover for Model {
    type Lock = ModelLock;

    /// Writers queue behind the lock while it waits for those that hold the table already.
    async fn lock(&self, within: Duration) -> Result<ModelLock> {
        let busy = || Error::new(Kind::Busy, "lock the table", "somebody uses it");
        pause(&self.server).await;
        let lock = self.world(|world| {
            if world.locked_by.is_some() || world.chance(0.2) {
                return Err(busy());
            }
            world.locks += 1;
            world.locked_by = Some(world.locks);
            Ok(world.locks)
        })?;
        let undo =
            self.world(|world| world.rng.random::<bool>().then(|| world.shadow.clone()).flatten());
        let held = ModelLock {
            server: self.server.clone(),
            process: self.process,
            lock,
            undo,
            is_swapping: false,
        };
        for _ in 0..within.as_millis() {
            if self.world(|world| world.all_is_visible()) {
                return Ok(held);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.world(World::step);
        }
        Err(busy())
    }

    async fn ownership(&self) -> Result<Ownership> {
        self.statement("ask who owns the name", |world| {
            world.end_zombies();
            world.locked_by = None;
            Ok(if world.swapped { Ownership::Shadow } else { Ownership::Source })
        })
        .await
    }

    async fn settle(&self) -> Result<()> {
        pause(&self.server).await;
        Ok(())
    }

    async fn finish(&self) -> Result<()> {
        self.statement("finish", |world| match world.chance(world.habits.unfinished_chance) {
            true => {
                Err(Error::fatal("finish", "an object that depends on the table is in the way"))
            }
            false => Ok(()),
        })
        .await
    }
}

impl OnlineSteps for Model {}

impl RetainedLog for Model {}

impl UnloggedChanges for Model {}

impl Turns for Model {}

impl Reversal for Model {
    async fn turn_around(self) -> Result<Model> {
        Err(Error::refused("keep the old table current", "the model cannot do that"))
    }

    async fn refresh_each(&self, _keys: &[Key]) -> Result<()> {
        Ok(())
    }

    async fn misfits(&self) -> Result<Vec<Misfits>> {
        Ok(Vec::new())
    }

    async fn blocked_misfits(&self, _most: usize) -> Result<Vec<Key>> {
        Ok(Vec::new())
    }
}

impl Pairs for Model {
    type Pair = std::convert::Infallible;

    async fn pair(_target: &Target, _other: &str) -> Result<Self::Pair> {
        Err(Error::refused("compare two tables", "the model has one"))
    }
}

impl SkippableLog for Model {
    async fn writes(&self) -> Result<Option<Writes>> {
        pause(&self.server).await;
        Ok(self.world(|world| {
            let tells = world.habits.counts_writes?;
            let written = world.log.iter().filter(|entry| entry.mark.is_none()).count() as u64;
            Some(Writes { count: if tells { written } else { 0 }, late: Duration::ZERO })
        }))
    }

    async fn log_now(&self) -> Result<Option<Position>> {
        let position = self.world(|world| world.log.len());
        pause(&self.server).await;
        Ok((!self.world(|world| world.hides_before(position)))
            .then(|| Position(position.to_string())))
    }

    async fn pass_log(&self, before: &Position) -> Result<()> {
        let before = before.clone();
        self.statement("pass over the log", move |world| {
            world.forget(&before);
            Ok(())
        })
        .await
    }
}

impl Inquiry for Model {
    async fn ask(&self, _: &str) -> Result<Option<String>> {
        self.statement("ask a question", |world| Ok(Some(world.asked()))).await
    }
}

impl Measure for Model {
    async fn measure(&self, _: &Plan) -> Result<Measured> {
        pause(&self.server).await;
        Ok(Measured::default())
    }

    async fn restore_point(&self, name: &str) -> Result<RestorePoint> {
        pause(&self.server).await;
        let position = self.world(|world| world.log.len()).to_string();
        Ok(RestorePoint { position, name: Some(name.to_owned()), at_seconds: 0 })
    }
}

impl Gauge for Model {
    async fn replica_lags(&self) -> Result<Vec<ReplicaLag>> {
        Ok(Vec::new())
    }

    fn commit_latency(&self) -> Option<CommitLatency> {
        None
    }

    /// Whatever is asked for, it is anything from nothing to one.
    async fn loads(&self, measures: &[&str]) -> Result<Vec<f64>> {
        pause(&self.server).await;
        Ok(measures.iter().map(|_| self.world(|world| world.rng.random())).collect())
    }
}

/// The model's tables, locked.
pub struct ModelLock {
    server: Server,
    process: u64,
    lock: u64,
    /// What the shadow becomes again if nothing is swapped, on a server whose lock is a
    /// transaction.
    undo: Option<Rows>,
    is_swapping: bool,
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        let mut world = self.server.0.borrow_mut();
        if !self.is_swapping && world.locked_by == Some(self.lock) {
            world.give_up(self.undo.take());
        }
    }
}

impl TableLock for ModelLock {
    async fn mark(&mut self) -> Result<Marker> {
        let process = self.process;
        statement(&self.server, "put a mark into the log", move |world| Ok(world.mark(process)))
            .await
    }

    async fn refresh(&mut self, keys: &[Key]) -> Result<()> {
        refresh(&self.server, keys, &Watermark::End).await
    }

    async fn clear(&mut self) -> Result<()> {
        statement(&self.server, "clear the shadow under the lock", |world| {
            world.shadow_rows()?.clear();
            Ok(())
        })
        .await
    }

    async fn check_stream(&mut self) -> Result<()> {
        statement(&self.server, "check the stream under the lock", |world| world.check_stream())
            .await
    }

    async fn swap(mut self) -> Swap {
        self.is_swapping = true;
        let lock = self.lock;
        let (happens, is_answered) = {
            let mut world = self.server.0.borrow_mut();
            if world.habits.gate_chance > 0.0 && !world.has_seen_gate_open {
                world.violations.push("a swap was sent while a gate was closed".into());
            }
            (!world.chance(0.15), !world.chance(0.15))
        };
        let undo = self.undo.take();
        let sent = statement(&self.server, "swap", move |world| {
            world.swap(lock, happens, undo);
            Ok(())
        })
        .await;
        let lost = || Error::new(Kind::Disconnected, "swap", "no answer came");
        let takes_silence_for_no = self.server.0.borrow().has(Flaw::LostAnswerMeansNo);
        match (sent, is_answered) {
            (Ok(()), true) if happens => Swap::Done,
            (Ok(()), true) => {
                Swap::Refused(Error::new(Kind::Transient, "swap", "a fault was thrown"))
            }
            _ if takes_silence_for_no => {
                Swap::Refused(Error::new(Kind::Transient, "swap", "no answer came"))
            }
            _ => Swap::Unknown(lost()),
        }
    }

    async fn release(self) -> Result<()> {
        pause(&self.server).await;
        Ok(())
    }
}

impl World {
    /// The lock ends without a swap; where it was a transaction, all that was done under it is
    /// undone.
    fn give_up(&mut self, undo: Option<Rows>) {
        self.locked_by = None;
        if let Some(undo) = undo {
            self.shadow = Some(undo);
        }
    }

    /// The swap arrives: it happens or not, and the lock is gone either way.
    fn swap(&mut self, lock: u64, happens: bool, undo: Option<Rows>) {
        if self.locked_by != Some(lock) {
            return;
        }
        if !happens {
            return self.give_up(undo);
        }
        self.locked_by = None;
        match self.shadow.take() {
            None => self.violations.push("a swap was repeated".into()),
            Some(shadow) => {
                if shadow != self.table {
                    self.violations.push("the shadow was not equal when it was swapped in".into());
                }
                self.shadow = Some(std::mem::replace(&mut self.table, shadow));
                if self.swapped {
                    self.violations.push("the tables were swapped back".into());
                }
                self.swapped = true;
            }
        }
    }
}
