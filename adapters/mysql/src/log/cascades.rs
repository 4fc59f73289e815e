//! Follows the actions of foreign keys that are not in the log, by the changes of their parents.
//!
//! MySQL runs CASCADE and SET NULL inside InnoDB and does not log them, before 9.6 and where
//! `innodb_native_foreign_keys` is ON. But their cause is in the log: a parent's row was deleted,
//! or got another value. A row of the source that such an action changed had the parent's value
//! right before. So does the row of the shadow. Otherwise a change of that row is pending already,
//! and the run reads it again anyway. So the stream delivers the value like a key: it stands for
//! all rows of the shadow that have it.
//!
//! - No row that was read before may be written afterwards. So the run looks for the rows while no
//!   copy and no refresh runs ([`Cascades::moves`]). A later read sees what the action did (law 1).
//! - While the tables are locked, only the lock's holder can read the shadow. Then the stream
//!   delivers the values themselves, and the holder's refresh looks for the rows.
//! - If the rows' key is part of the change, the run also looks for rows of the source: they have a
//!   new key.
//! - The log of a table does not show what actions change in it. So the plan refuses a parent that
//!   is itself such a child.
//!
//! If the table is its own parent, that last point is the problem. A row that an action deletes
//! takes its own children along, and the log has only the first row. So when the run refreshes a
//! row, it also checks the shadow's rows that refer to it. Those that the source does not have any
//! more are *stale children*, and are refreshed in turn ([`stale_children`]). No other work moves
//! rows meanwhile. No row is forgotten:
//!
//! - The run refreshes the row that the log has.
//! - It finds the child of a deleted row when it refreshes that row. It does so if the row is in
//!   the shadow, as a stale child itself, or if its key is pending. Otherwise the row was not
//!   copied yet, and never will be. The run looks for rows that refer to such a row after the copy
//!   ([`ColumnMapping::own_keys`], `refresh_orphans`).
//! - If the row has come back since, that is in the log, and the run refreshes it.

use crate::key::index::KeyIndex;
use crate::key::spelling::Spelling;
use crate::log::row_image::{Cell, ColumnFormat, RowOperation, Rows};
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::ForeignKey;
use crate::schema::table::{Table, is_same};
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::sql;
use crate::sql::compare::Compared;
use altergeist_contract::{Key, Result};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Most values that one statement looks for.
const MOST_VALUES: usize = 500;

/// A foreign key of the source whose actions are not in the log, seen from its parent.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub table: TableName,
    /// The columns that the key refers to: their places in the row images, and how their values are
    /// spelled.
    columns: Vec<(usize, Spelling)>,
    /// The columns of the source that refer to them.
    child_columns: Vec<String>,
}

impl Parent {
    /// Returns None if the log does not show the values of a column that the key refers to.
    pub(crate) fn of(key: &ForeignKey, parent: &Table) -> Option<Parent> {
        let column = |name: &String| {
            let column = parent.column(name)?;
            let spelling = Spelling::of(column)
                .filter(|spelling| !matches!(spelling, Spelling::Timestamp(_)))?;
            (!column.generated || column.is_stored()).then_some((column.ordinal, spelling))
        };
        let columns = key.parent_columns.iter().map(column).collect::<Option<_>>()?;
        Some(Parent { table: key.parent.clone(), columns, child_columns: key.columns.clone() })
    }

    /// Returns the columns of the source that refer to it.
    pub(crate) fn child_columns(&self) -> &[String] {
        &self.child_columns
    }

    /// Returns the values that were deleted or set, each as a key like those of `key`. None if the
    /// event does not show them.
    pub(crate) fn changed_values(
        &self,
        key: &KeyIndex,
        formats: &[ColumnFormat],
        rows: &Rows,
    ) -> Option<Vec<Key>> {
        let wanted: Vec<usize> = self.columns.iter().map(|(ordinal, _)| *ordinal).collect();
        let mut values = Vec::new();
        rows.each(formats, &wanted, |before, after| {
            let is_kept = |(old, new): (&Cell, &Cell)| *new == Cell::Absent || old == new;
            // A new row has no children yet, and a row that keeps its values causes no action.
            if rows.operation == RowOperation::Write
                || rows.operation != RowOperation::Delete && before.iter().zip(after).all(is_kept)
            {
                return Some(());
            }
            if before.contains(&Cell::Absent) {
                return None;
            }
            values.extend(self.key(key, before)?);
            if rows.operation != RowOperation::Delete {
                let now = before
                    .iter()
                    .zip(after)
                    .map(|(old, new)| if *new == Cell::Absent { *old } else { *new });
                values.extend(self.key(key, &now.collect::<Vec<_>>())?);
            }
            Some(())
        })?;
        Some(values)
    }

    /// Composes a key for a parent's value. It has more columns than the rows' keys, and the first
    /// ones are empty, so it is no row's key. Returns no key if a value is NULL: no row refers to
    /// it.
    pub(crate) fn key(&self, key: &KeyIndex, cells: &[Cell]) -> Option<Option<Key>> {
        let mut columns: Vec<Vec<u8>> = vec![Vec::new(); key.columns.len()];
        for (((_, spelling), cell), child) in
            self.columns.iter().zip(cells).zip(&self.child_columns)
        {
            let Cell::Value(value) = cell else { return Some(None) };
            columns.push(child.clone().into_bytes());
            columns.push(spelling.literal(&spelling.of_log(value)?)?.into_bytes());
        }
        Some(Some(Key::compose(columns.iter().map(Vec::as_slice))))
    }
}

fn is_value(key: &KeyIndex, one: &Key) -> bool {
    one.columns().len() > key.columns.len()
}

/// Returns the keys of rows of the shadow that refer to one of these rows, but not in the source
/// any more.
pub(crate) async fn stale_children(
    session: &mut Session,
    mapping: &ColumnMapping,
    of: &Compared<'_>,
) -> std::result::Result<Vec<Key>, Failure> {
    let mut found = HashSet::new();
    for own in &mapping.own_keys {
        let statement = sql::compare::stale_children(mapping, own, of)
            .map_err(|error| Failure::Lost(error.to_string()))?;
        for row in session.rows(&statement).await? {
            found.insert(
                mapping
                    .key
                    .of_query(&row)
                    .ok_or_else(|| Failure::Lost("a key cannot be read".into()))?,
            );
        }
    }
    Ok(found.into_iter().collect())
}

/// Returns the keys of all rows above this one in the shadow, whether or not it has them.
async fn ancestors(
    session: &mut Session,
    mapping: &ColumnMapping,
    of: &Key,
) -> std::result::Result<Vec<Key>, Failure> {
    let mut known = HashSet::from([of.clone()]);
    let mut last = vec![of.clone()];
    while !last.is_empty() {
        let mut above = Vec::new();
        for own in &mapping.own_keys {
            let statement = sql::compare::parents(mapping, own, &last)
                .map_err(|error| Failure::Lost(error.to_string()))?;
            for row in session.rows(&statement).await? {
                above.push(
                    mapping
                        .key
                        .of_query(&row)
                        .ok_or_else(|| Failure::Lost("a key cannot be read".into()))?,
                );
            }
        }
        above.retain(|key| known.insert(key.clone()));
        last = above;
    }
    known.remove(of);
    Ok(known.into_iter().collect())
}

/// Returns the columns of the source that hold a parent's value, and its literals.
fn value(key: &KeyIndex, one: &Key) -> (Vec<String>, Vec<String>) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let columns = one.columns();
    columns[key.columns.len()..].chunks_exact(2).map(|pair| (said(pair[0]), said(pair[1]))).unzip()
}

/// Returns the keys. For each parent's value it has the keys of the rows that hold the value.
pub(crate) async fn rows_of<'a>(
    session: &mut Session,
    mapping: &ColumnMapping,
    keys: &'a [Key],
) -> std::result::Result<Cow<'a, [Key]>, Failure> {
    let (values, mut found): (Vec<Key>, Vec<Key>) =
        keys.iter().cloned().partition(|key| is_value(&mapping.key, key));
    if values.is_empty() {
        return Ok(Cow::Borrowed(keys));
    }
    let mut by_columns: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
    for one in &values {
        let (columns, literals) = value(&mapping.key, one);
        by_columns.entry(columns).or_default().push(literals);
    }
    for (columns, literals) in by_columns {
        let is_in_key =
            |column: &String| mapping.key.columns.iter().any(|key| is_same(&key.name, column));
        let changes_keys = columns.iter().any(is_in_key);
        for literals in literals.chunks(MOST_VALUES) {
            for in_shadow in
                [true, false].into_iter().filter(|in_shadow| *in_shadow || changes_keys)
            {
                let rows = session
                    .rows(&sql::compare::rows_that_hold(mapping, in_shadow, &columns, literals))
                    .await?;
                let unreadable = || Failure::Lost("a key cannot be read".into());
                for row in rows {
                    found.push(mapping.key.of_query(&row).ok_or_else(unreadable)?);
                }
            }
        }
    }
    Ok(Cow::Owned(found))
}

/// Looks for rows that hold a parent's value, on behalf of the stream.
#[derive(Clone)]
pub(crate) struct Cascades {
    pub pool: Arc<SessionPool>,
    pub mapping: Arc<Mutex<Option<Arc<ColumnMapping>>>>,
    /// Work that moves rows into the shadow shares it. The search for rows that actions changed
    /// holds it alone.
    pub moves: Arc<RwLock<()>>,
    /// Whether the tables are locked, or about to be.
    pub is_locked: Arc<AtomicBool>,
}

impl Cascades {
    pub(crate) fn new(pool: Arc<SessionPool>) -> Cascades {
        Cascades { pool, mapping: Arc::default(), moves: Arc::default(), is_locked: Arc::default() }
    }

    /// Locks the moves for a refresh. It holds them alone if it must also look for children.
    pub(crate) async fn lock_moves(&self, mapping: &ColumnMapping) -> Moving<'_> {
        match mapping.own_keys.is_empty() {
            true => Moving::DeliveryChecks(self.moves.read().await),
            false => Moving::Alone(self.moves.write().await),
        }
    }

    /// From now on only the lock's holder reads the shadow, until the caller drops the value.
    pub(crate) async fn begin_lock(&self) -> Locking {
        self.is_locked.store(true, Ordering::SeqCst);
        let locking = Locking(self.is_locked.clone());
        drop(self.moves.read().await);
        locking
    }

    /// Returns the keys of rows whose change would explain another row in the shadow for this key.
    pub(crate) async fn causes(&self, mapping: &ColumnMapping, key: &Key) -> Result<Vec<Key>> {
        if mapping.own_keys.is_empty() {
            return Ok(Vec::new());
        }
        let attempted =
            || format!("look for the parents of a row in the shadow of {}", mapping.source.plain());
        let mut session = self.pool.reader().await?;
        ancestors(&mut session, mapping, key).await.doing(attempted)
    }

    /// Replaces parents' values by the keys of rows, except while the tables are locked.
    pub(crate) async fn resolve(&self, keys: &mut Vec<Key>) -> Result<()> {
        // Before the mapping is known there is no shadow.
        let Some(mapping) = self.mapping.lock().expect("not poisoned").clone() else {
            return Ok(());
        };
        if !keys.iter().any(|key| is_value(&mapping.key, key)) {
            return Ok(());
        }
        let _nothing_moves = self.moves.write().await;
        if self.is_locked.load(Ordering::SeqCst) {
            return Ok(());
        }
        // No abandoned session of ours may still hold the shadow.
        self.pool.kill_abandoned().await?;
        let attempted =
            || format!("look for what foreign keys changed in {}", mapping.source.plain());
        let mut session = self.pool.reader().await?;
        if self.pool.in_utc.load(Ordering::SeqCst) {
            session.execute(sql::session::IN_UTC).await.doing(attempted)?;
        }
        let found = rows_of(&mut session, &mapping, keys).await.doing(attempted)?;
        *keys = found.into_owned();
        Ok(())
    }
}

/// The time in which a refresh moves rows into the shadow.
pub(crate) enum Moving<'a> {
    DeliveryChecks(#[expect(dead_code, reason = "held")] RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'a, ()>),
}

/// The time in which the tables are locked.
pub(crate) struct Locking(Arc<AtomicBool>);

impl Drop for Locking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
