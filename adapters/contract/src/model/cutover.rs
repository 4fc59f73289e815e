//! How the model swaps its tables.

use super::engine::{Model, pause, statement};
use super::reversal::Beside;
use super::{Flaw, Rows, Server, World};
use crate::{Cutover, Error, Key, Kind, Marker, Ownership, Result, Swap, TableLock, Watermark};
use rand::Rng;
use std::time::Duration;

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
        let undo = self.world(|world| {
            world.rng.random::<bool>().then(|| (world.shadow.clone(), world.beside.clone()))
        });
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
        let is_turned = self.is_turned;
        self.statement("ask who owns the name", move |world| {
            world.end_zombies();
            world.locked_by = None;
            let has_moved = if is_turned { world.reverted } else { world.swapped };
            Ok(if has_moved { Ownership::Shadow } else { Ownership::Source })
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

/// The shadow as it was, with what only it has.
type Undo = (Option<Rows>, Beside);

/// The model's tables, locked.
pub struct ModelLock {
    server: Server,
    process: u64,
    lock: u64,
    /// What the shadow becomes again if nothing is swapped, on a server whose lock is a
    /// transaction.
    undo: Option<Undo>,
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
        super::shadow::refresh(&self.server, keys, &Watermark::End).await
    }

    async fn clear(&mut self) -> Result<()> {
        statement(&self.server, "clear the shadow under the lock", |world| {
            world.shadow_rows()?.clear();
            world.beside = Beside::default();
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
            let has_gate = world.habits.gate_chance > 0.0 && !world.swapped;
            if has_gate && !world.has_seen_gate_open {
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
    fn give_up(&mut self, undo: Option<Undo>) {
        self.locked_by = None;
        if let Some((shadow, beside)) = undo {
            (self.shadow, self.beside) = (shadow, beside);
        }
    }

    /// The swap arrives: it happens or not, and the lock is gone either way.
    fn swap(&mut self, lock: u64, happens: bool, undo: Option<Undo>) {
        if self.locked_by != Some(lock) {
            return;
        }
        if !happens {
            return self.give_up(undo);
        }
        self.locked_by = None;
        match self.shadow.take() {
            None => self.violations.push("a swap was repeated".into()),
            Some(_) if self.reverted => self.violations.push("it was reverted twice".into()),
            Some(old) if self.swapped => self.swap_back(old),
            Some(shadow) => {
                if shadow != self.table {
                    self.violations.push("the shadow was not equal when it was swapped in".into());
                }
                self.beside = Beside::of_old(&self.table);
                self.survivors = self.table.keys().copied().collect();
                self.shadow = Some(std::mem::replace(&mut self.table, shadow));
                self.swapped = true;
            }
        }
    }
}
