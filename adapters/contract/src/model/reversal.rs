//! How the model keeps its old table current after the swap. The old table has a column more than
//! the altered one, and takes no value beyond [`TOO_GREAT`].

use super::engine::{Model, pause};
use super::{Flaw, Row, Rows, World, id, key};
use crate::{Error, Key, Misfits, Result, Reversal};
use std::collections::BTreeMap;

/// The least value that the old table does not take.
pub(super) const TOO_GREAT: u32 = 1 << 30;

/// The value of the old table's own column in the rows that it had at the swap.
const OWN: u32 = 1;

/// What is noted beside the old table's rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// The values of the column that only the old table has, by id.
    own_values: BTreeMap<u32, u32>,
    /// Rows that it cannot hold; whether only another row is in the way.
    pub(super) misfits: BTreeMap<u32, bool>,
}

impl Beside {
    /// At the swap.
    pub(super) fn of_old(rows: &Rows) -> Beside {
        Beside { own_values: rows.keys().map(|id| (*id, OWN)).collect(), misfits: BTreeMap::new() }
    }
}

impl Reversal for Model {
    async fn turn_around(mut self) -> Result<Model> {
        pause(&self.server).await;
        if !self.world(|world| world.swapped || world.reverted) {
            return Err(Error::refused("turn around", "the tables are not swapped"));
        }
        self.is_turned = true;
        Ok(self)
    }

    async fn refresh_each(&self, keys: &[Key]) -> Result<()> {
        let ids: Vec<u32> = keys.iter().map(id).collect();
        pause(&self.server).await;
        let rows: Rows = self.world(|world| {
            ids.iter().filter_map(|id| Some((*id, *world.table.get(id)?))).collect()
        });
        self.statement("refresh rows one by one", move |world| world.refresh_each(&ids, rows)).await
    }

    async fn misfits(&self) -> Result<Vec<Misfits>> {
        self.statement("count the misfits", |world| {
            let of = |object: &str, is_blocked| {
                let found = world.beside.misfits.values().filter(|kind| **kind == is_blocked);
                Misfits { object: object.into(), rows: found.count() as u64 }
            };
            let mut all = vec![of("column value", false), of("unique index", true)];
            all.retain(|found| found.rows > 0);
            Ok(all)
        })
        .await
    }

    async fn blocked_misfits(&self, most: usize) -> Result<Vec<Key>> {
        self.statement("list the misfits", move |world| {
            let blocked = world.beside.misfits.iter().filter(|(_, is_blocked)| **is_blocked);
            Ok(blocked.map(|(id, _)| key(*id)).take(most).collect())
        })
        .await
    }
}

impl World {
    /// Whether the table that is written to takes a row.
    pub(super) fn fits(&self, row: Row) -> bool {
        !self.swapped || row.value < TOO_GREAT
    }

    /// After a refresh of these ids, of which some rows exist: they fit, and keep their own values.
    pub(super) fn keep_beside(&mut self, ids: &[u32], held: &[u32]) {
        if !self.swapped {
            return;
        }
        let forgets = self.has(Flaw::RevertForgetsOldColumns);
        for id in ids {
            self.beside.misfits.remove(id);
            if forgets || !held.contains(id) {
                self.beside.own_values.remove(id);
            }
            if held.contains(id) {
                self.beside.own_values.entry(*id).or_default();
            }
        }
    }

    /// All of these rows go out, and come in again one by one. What does not fit keeps its last
    /// version that did, if that still does.
    fn refresh_each(&mut self, ids: &[u32], rows: Rows) -> Result<()> {
        let before = self.shadow_rows()?.clone();
        self.shadow_rows()?.retain(|id, _| !ids.contains(id));
        for id in ids {
            let Some(row) = rows.get(id) else {
                self.keep_beside(&[*id], &[]);
                continue;
            };
            match self.insert_into_shadow(Rows::from([(*id, *row)]), false) {
                Ok(()) => self.keep_beside(&[*id], &[*id]),
                Err(_) => drop(self.beside.misfits.insert(*id, self.fits(*row))),
            }
        }
        let misfits: Vec<u32> =
            ids.iter().filter(|id| self.beside.misfits.contains_key(id)).copied().collect();
        for id in misfits {
            if let Some(row) = before.get(&id)
                && !self.shadow_rows()?.contains_key(&id)
            {
                // Another row may have taken its unique value.
                let _ = self.insert_into_shadow(Rows::from([(id, *row)]), false);
            }
        }
        Ok(())
    }

    /// The old table gets its name again.
    pub(super) fn swap_back(&mut self, old: Rows) {
        let misfits = std::mem::take(&mut self.beside.misfits);
        let is_fit = |id: &u32| !misfits.contains_key(id);
        let fit = |rows: &Rows| -> Rows {
            rows.iter().filter(|(id, _)| is_fit(id)).map(|(id, row)| (*id, *row)).collect()
        };
        if fit(&old) != fit(&self.table) {
            self.violations.push("the old table was not equal when it was swapped back".into());
        }
        if !misfits.is_empty() && !self.may_discard {
            self.violations.push("rows that do not fit were lost without an order".into());
        }
        let is_forgotten = |id: &&u32| {
            is_fit(id) && old.contains_key(id) && self.beside.own_values.get(id) != Some(&OWN)
        };
        if self.survivors.iter().any(|id| is_forgotten(&id)) {
            self.violations.push("a value that only the old table had is lost".into());
        }
        // What was given up is gone.
        for id in misfits.keys() {
            match old.get(id) {
                Some(row) => drop(self.truth.insert(*id, *row)),
                None => drop(self.truth.remove(id)),
            }
        }
        self.shadow = Some(std::mem::replace(&mut self.table, old));
        (self.swapped, self.reverted) = (false, true);
    }
}
