//! How the model moves and compares rows.

use super::engine::{Model, pause, statement};
use super::reversal::Beside;
use super::{Flaw, Rows, Server, World, id, is_covered, is_within, key};
use crate::{Chunk, Comparison, Duplicates, Error, Key, Kind, Result, Shadow, Watermark};
use rand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

impl Shadow for Model {
    async fn create(&self) -> Result<()> {
        self.statement("create the shadow", |world| {
            world.shadow = Some(Rows::new());
            world.reverted = false;
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
            world.beside = Beside::default();
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
        Ok(Comparison { rows, differing, columns: Vec::new() })
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
            let is_left_out = |id: &u32| world.beside.misfits.contains_key(id);
            let differing = ids
                .filter(|id| is_asked_for(**id) && !is_left_out(id))
                .filter(|id| source.get(id) != shadow.get(id))
                .map(|id| key(*id));
            Ok(if world.has(Flaw::ComparesNothing) { Vec::new() } else { differing.collect() })
        })
        .await
}

/// Reads the source at one moment and writes the shadow at a later one, as a server's transaction
/// does.
pub(super) async fn refresh(server: &Server, keys: &[Key], through: &Watermark) -> Result<()> {
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
        let held: Vec<u32> = rows.keys().copied().collect();
        world.insert_into_shadow(rows, ignores).inspect_err(|_| world.shadow = Some(before))?;
        world.keep_beside(&ids, &held);
        Ok(())
    })
    .await
}

impl World {
    pub(super) fn shadow_rows(&mut self) -> Result<&mut Rows> {
        self.shadow.as_mut().ok_or_else(|| Error::fatal("use the shadow", "there is none"))
    }

    /// A plain INSERT: all or nothing; or, with a flaw, one that passes over conflicts.
    pub(super) fn insert_into_shadow(&mut self, rows: Rows, ignores_conflicts: bool) -> Result<()> {
        let mut filled = self.shadow_rows()?.clone();
        for (id, row) in rows {
            if !self.fits(row) {
                return Err(Error::fatal("insert into the shadow", "a value does not fit"));
            }
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
