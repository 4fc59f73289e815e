//! Row events: the keys of the source's rows, our heartbeats, and the counts of changed rows.

use crate::key::index::KeyIndex;
use crate::log::events::{inflated_rows, operation};
use crate::log::row_image::{Cell, ColumnFormat, Fields, Rows, TableMap};
use crate::log::transactions::{Batch, LogEvent, MOST_KEYS, Phase, TableRole, TransactionParser};
use crate::server::names::TableName;
use altergeist_contract::{Key, Result};
use std::sync::atomic::Ordering;

impl TransactionParser {
    pub(super) fn table_map(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        self.note_offset(event);
        let map =
            TableMap::read(event.body).ok_or_else(|| self.unreadable("a table's announcement"))?;
        let is = |table: &TableName| {
            map.schema == table.schema.as_bytes() && map.name == table.name.as_bytes()
        };
        let interest = if is(&self.source) {
            TableRole::Source(
                map.formats().ok_or_else(|| self.unreadable("the announcement of the table"))?,
            )
        } else if is(&self.beat_table) {
            TableRole::Beats(
                map.formats()
                    .ok_or_else(|| self.unreadable("the announcement of the heartbeats"))?,
            )
        } else if is(&self.shadow)
            && self.last_beat.is_some_and(|last| last >= self.counted_from.load(Ordering::SeqCst))
        {
            // Rows that cannot be read are not counted. So they never seem to be another session's.
            map.formats().map_or(TableRole::None, TableRole::Shadow)
        } else if let Some(parent) = self.parents.iter().find(|parent| is(&parent.table)) {
            let formats =
                map.formats().ok_or_else(|| self.unreadable("the announcement of a parent"))?;
            TableRole::Parent(parent.table.clone(), formats)
        } else {
            TableRole::None
        };
        self.tables.insert(map.id, interest);
        Ok(None)
    }

    pub(crate) fn rows(&mut self, event: &LogEvent) -> Result<Option<Batch>> {
        self.note_offset(event);
        if self.phase != Phase::Inside {
            return Err(self.fatal("the log holds rows outside a transaction"));
        }
        let (operation, has_extra, is_compressed) = operation(event.code).expect("asked before");
        let inflated = if is_compressed {
            Some(
                inflated_rows(operation, has_extra, event.body)
                    .ok_or_else(|| self.unreadable("compressed rows"))?,
            )
        } else {
            None
        };
        let body = inflated.as_deref().unwrap_or(event.body);
        let rows =
            Rows::read(operation, has_extra, body).ok_or_else(|| self.unreadable("a row event"))?;
        match self.tables.get(&rows.table) {
            Some(TableRole::Source(formats)) => {
                let read = source_keys(&self.key, formats, &rows);
                let (keys, changes) = read.ok_or_else(|| self.unreadable("a row of the table"))?;
                self.source_rows += changes;
                self.xa_keys.as_mut().unwrap_or(&mut self.keys).extend(keys);
            }
            Some(TableRole::Parent(table, formats)) => {
                let mut values = Vec::new();
                for parent in self.parents.iter().filter(|parent| parent.table == *table) {
                    let reason = "a row that a foreign key refers to";
                    values.extend(
                        parent
                            .changed_values(&self.key, formats, &rows)
                            .ok_or_else(|| self.unreadable(reason))?,
                    );
                }
                self.xa_keys.as_mut().unwrap_or(&mut self.keys).extend(values);
            }
            Some(TableRole::Beats(formats)) => {
                let beat = own_beat(&self.source.name, formats, &rows)
                    .ok_or_else(|| self.unreadable("a heartbeat"))?;
                self.beat = beat.or(self.beat);
            }
            Some(TableRole::Shadow(formats)) => {
                let mut count = 0;
                let counted = rows.each(formats, &[], |_, _| {
                    count += 1;
                    Some(())
                });
                self.shadow_rows += counted.map_or(0, |()| count);
            }
            Some(TableRole::None) => {}
            // Both servers use this number to say that a statement is over.
            None if rows.table == 0xff_ffff => {}
            None => {
                return Err(self.fatal("the log holds rows without their table's announcement"));
            }
        }
        Ok((self.keys.len() >= MOST_KEYS).then(|| self.batch(None)))
    }
}

/// Returns the keys before and after for every row, or one key if both are the same; and how many
/// rows there are. If an image lacks a key column, the column did not change.
fn source_keys(key: &KeyIndex, formats: &[ColumnFormat], rows: &Rows) -> Option<(Vec<Key>, u64)> {
    let wanted: Vec<usize> = key.columns.iter().map(|column| column.ordinal).collect();
    let (mut keys, mut changes) = (Vec::new(), 0);
    rows.each(formats, &wanted, |before, after| {
        changes += 1;
        let has = |image: &[Cell]| image.iter().any(|cell| *cell != Cell::Absent);
        let old = if has(before) { Some(spelled(key, before, before)?) } else { None };
        let new = if has(after) { Some(spelled(key, after, before)?) } else { None };
        match (old, new) {
            (None, None) => return None,
            (Some(old), Some(new)) if old != new => keys.extend([old, new]),
            (old, new) => keys.extend(new.or(old)),
        }
        Some(())
    })?;
    Some((keys, changes))
}

fn spelled(key: &KeyIndex, image: &[Cell], otherwise: &[Cell]) -> Option<Key> {
    let column = |((column, cell), other): ((&crate::key::index::KeyColumn, &Cell), &Cell)| match (
        cell, other,
    ) {
        (Cell::Value(value), _) | (Cell::Absent, Cell::Value(value)) => {
            column.spelling.of_log(value)
        }
        _ => None,
    };
    let columns: Vec<Vec<u8>> =
        key.columns.iter().zip(image).zip(otherwise).map(column).collect::<Option<_>>()?;
    Some(Key::compose(columns.iter().map(Vec::as_slice)))
}

/// Returns the heartbeat that this event writes for our table. The inner value is None for another
/// table's.
fn own_beat(source: &str, formats: &[ColumnFormat], rows: &Rows) -> Option<Option<u64>> {
    let mut own = None;
    rows.each(formats, &[0, 1], |before, after| {
        let either = |column: usize| match (after[column], before[column]) {
            (Cell::Value(value), _) | (Cell::Absent, Cell::Value(value)) => Some(value),
            _ => None,
        };
        if either(0)? == source.as_bytes()
            && let Cell::Value(beat) = after[1]
        {
            own = Some(Fields(beat).number(8)?);
        }
        Some(())
    })?;
    Some(own)
}
