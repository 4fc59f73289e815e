//! The applications of the model's table: what they write, and when others see it.

use super::reversal::TOO_GREAT;
use super::{Effect, Entry, Row, World};
use rand::Rng;
use std::collections::BTreeSet;

impl World {
    /// Fills the table before anything else happens.
    pub(super) fn fill(&mut self) {
        for _ in 0..self.habits.rows {
            let (id, row) = (self.free_id(), self.free_row());
            if let (Some(id), Some(row)) = (id, row) {
                self.table.insert(id, row);
                self.truth.insert(id, row);
            }
        }
    }

    /// One transaction of somebody's, unless what it wants to touch is locked by one that is not
    /// visible yet.
    pub(super) fn write(&mut self) {
        if self.rng.random_bool(self.habits.truncate_chance) {
            return self.truncate();
        }
        let effects = match self.rng.random_range(0..10) {
            0 | 1 => self.insert(),
            2 | 3 => self.update(),
            4 => self.delete(),
            5 => self.change_key(),
            6 | 7 => self.swap_uniques(),
            8 => self.move_unique(),
            _ => None, // begun, and rolled back
        };
        if let Some(effects) = effects
            && self.is_free(&effects)
        {
            self.append(effects);
        }
    }

    fn insert(&mut self) -> Option<Vec<Effect>> {
        Some(vec![Effect::Put(self.free_id()?, self.free_row()?)])
    }

    fn update(&mut self) -> Option<Vec<Effect>> {
        let (id, row) = self.any_row()?;
        let value = self.any_value();
        Some(vec![Effect::Put(id, Row { value, ..row })])
    }

    fn delete(&mut self) -> Option<Vec<Effect>> {
        let (id, _) = self.any_row()?;
        Some(vec![Effect::Remove(id)])
    }

    fn change_key(&mut self) -> Option<Vec<Effect>> {
        let (id, row) = self.any_row()?;
        Some(vec![Effect::Remove(id), Effect::Put(self.free_id()?, row)])
    }

    fn swap_uniques(&mut self) -> Option<Vec<Effect>> {
        let (a, row_a) = self.any_row()?;
        let (b, row_b) = self.any_row()?;
        let with = |row: Row, unique| Row { unique, ..row };
        (a != b).then(|| {
            vec![
                Effect::Put(a, with(row_a, row_b.unique)),
                Effect::Put(b, with(row_b, row_a.unique)),
            ]
        })
    }

    /// A row gives its unique value up, and another takes it: an existing one, or a new one.
    fn move_unique(&mut self) -> Option<Vec<Effect>> {
        let (a, row_a) = self.any_row()?;
        let given_up =
            if self.rng.random() { Effect::Remove(a) } else { Effect::Put(a, self.free_row()?) };
        let taker = if self.rng.random() { self.free_id()? } else { self.any_row()?.0 };
        (a != taker).then(|| vec![given_up, Effect::Put(taker, row_a)])
    }

    fn truncate(&mut self) {
        if self.hidden.is_empty() {
            self.log.push(Entry {
                emptied: true,
                visible: true,
                unheard: self.muted,
                ..Entry::default()
            });
            self.table.clear();
            self.truth.clear();
            self.survivors.clear();
        }
    }

    /// Commits: the log has it now, readers sooner or later.
    pub(super) fn append(&mut self, effects: Vec<Effect>) {
        for effect in &effects {
            apply(&mut self.truth, effect);
            if let Effect::Remove(id) = effect {
                self.survivors.remove(id);
            }
        }
        self.log.push(Entry { effects, unheard: self.muted, ..Entry::default() });
        self.hidden.push(self.log.len() - 1);
        let at_once = self.habits.visible_at_once_chance;
        let is_blocked = self.habits.visible_in_order && self.hidden.len() > 1;
        if !is_blocked && self.rng.random_bool(at_once) {
            self.show(self.hidden.len() - 1);
        }
    }

    /// One commit that was not visible becomes so.
    pub(super) fn show_one(&mut self) {
        match self.hidden.len() {
            0 => {}
            _ if self.habits.visible_in_order => self.show(0),
            count => {
                let nth = self.rng.random_range(0..count);
                self.show(nth);
            }
        }
    }

    pub(super) fn show_all(&mut self) {
        while !self.hidden.is_empty() {
            self.show(0);
        }
    }

    pub(super) fn all_is_visible(&self) -> bool {
        self.hidden.is_empty()
    }

    fn show(&mut self, nth: usize) {
        let entry = self.hidden.remove(nth);
        for effect in &self.log[entry].effects {
            apply(&mut self.table, effect);
        }
        self.log[entry].visible = true;
    }

    /// Whether no transaction that is not visible yet holds a lock on these rows or their unique
    /// values.
    fn is_free(&self, effects: &[Effect]) -> bool {
        let (ids, uniques) = self.locked();
        effects.iter().all(|effect| match effect {
            Effect::Remove(id) => {
                !ids.contains(id)
                    && self.truth.get(id).is_none_or(|row| !uniques.contains(&row.unique))
            }
            Effect::Put(id, row) => {
                !ids.contains(id)
                    && !uniques.contains(&row.unique)
                    && self.truth.get(id).is_none_or(|row| !uniques.contains(&row.unique))
            }
        })
    }

    fn locked(&self) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let mut ids = BTreeSet::new();
        let mut uniques = BTreeSet::new();
        for effect in self.hidden.iter().flat_map(|entry| &self.log[*entry].effects) {
            let (Effect::Put(id, _) | Effect::Remove(id)) = effect;
            ids.insert(*id);
            uniques.extend(self.table.get(id).map(|row| row.unique));
            uniques.extend(self.truth.get(id).map(|row| row.unique));
        }
        (ids, uniques)
    }

    fn any_row(&mut self) -> Option<(u32, Row)> {
        let count = self.truth.len();
        let nth = self.rng.random_range(0..count.max(1));
        self.truth.iter().nth(nth).map(|(id, row)| (*id, *row))
    }

    fn free_id(&mut self) -> Option<u32> {
        let id = self.rng.random_range(1..self.habits.ids);
        (!self.truth.contains_key(&id)).then_some(id)
    }

    /// A row whose unique value nobody holds; anybody's, if the source does not mind.
    fn free_row(&mut self) -> Option<Row> {
        let unique = self.rng.random_range(1..self.habits.ids * 2);
        let is_free =
            !self.habits.source_is_unique || self.truth.values().all(|row| row.unique != unique);
        is_free.then(|| Row { unique, value: self.any_value() })
    }

    /// After the swap it may be one that the old table does not take.
    fn any_value(&mut self) -> u32 {
        let is_too_great = self.swapped && self.rng.random_bool(self.habits.misfit_chance);
        self.rng.random_range(0..TOO_GREAT) + if is_too_great { TOO_GREAT } else { 0 }
    }
}

fn apply(rows: &mut super::Rows, effect: &Effect) {
    match *effect {
        Effect::Put(id, row) => drop(rows.insert(id, row)),
        Effect::Remove(id) => drop(rows.remove(&id)),
    }
}
