//! The roles of the contract, played by the model. Every statement takes its time, and the world
//! goes on meanwhile.

use super::{Effect, Entry, Flaw, Server, World, key};
use crate::{
    Backfill, ChangeStream, Changes, CommitLatency, Disposal, Engine, Error, Gauge, Hold, Inquiry,
    Journal, Key, Kind, Leftover, Marker, Measure, Measured, OnlineSteps, Pairs, Plan, Position,
    Preflight, Reading, Record, ReplicaLag, RestorePoint, Result, RetainedLog, SkippableLog,
    Target, Turns, UnloggedChanges, Verdict, WatchedReplicas, Writes,
};
use rand::Rng;
use std::time::Duration;

/// One process's work on the model's table.
pub struct Model {
    pub(super) server: Server,
    pub(super) process: u64,
    /// Whether the old table follows the altered one.
    pub(super) is_turned: bool,
}

impl Model {
    pub(super) fn new(server: Server, process: u64) -> Model {
        Model { server, process, is_turned: false }
    }

    pub(super) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
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

pub(super) async fn pause(server: &Server) {
    let milliseconds = server.0.borrow_mut().rng.random_range(0..4);
    for _ in 0..milliseconds {
        tokio::time::sleep(Duration::from_millis(1)).await;
        server.0.borrow_mut().step();
    }
}

pub(super) async fn statement<T: 'static>(
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
        let mut from: usize = from.0.parse().expect("a position of this model");
        if self.is_turned && self.world(|world| world.has(Flaw::StartsBehindTheSwap)) {
            from = self.world(|world| world.log.len());
        }
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
    pub(super) fn check_stream(&self) -> Result<()> {
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

    pub(super) fn mark(&mut self, process: u64) -> Marker {
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

impl OnlineSteps for Model {}

impl RetainedLog for Model {}

impl UnloggedChanges for Model {}

impl Turns for Model {}

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
    async fn replica_lags(&self, _: WatchedReplicas<'_>) -> Result<Vec<ReplicaLag>> {
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

    async fn read(&self, _: Reading) -> Result<u64> {
        pause(&self.server).await;
        Ok(0)
    }
}
