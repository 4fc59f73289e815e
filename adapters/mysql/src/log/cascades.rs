//! Foreign keys' actions that are not in the log, told by their parents.
//!
//! MySQL carries out CASCADE and SET NULL inside InnoDB, without a word in the log, before 9.6 and
//! where `innodb_native_foreign_keys` is ON. But what sets them off is in the log: a parent's row
//! that went, or got another value. A row of the source that such an action changed held the
//! parent's value right before. So does the row of the shadow, or else a change of that row is
//! pending already, by which it is read again anyway. Therefore the value is delivered like a key:
//! it stands for whatever rows of the shadow hold it.
//!
//! - Nothing that was read before and is written afterwards may get in between: the rows are looked
//!   for while no copy and no refresh is under way ([`Cascades::moves`]). What is read later sees
//!   what the action did (law 1).
//! - While the tables are locked only the lock's holder can look into the shadow; then the values
//!   themselves are handed on, and its refresh looks for the rows.
//! - Where the key of the rows is part of what changes, rows of the source are looked for too: they
//!   have a new key.
//! - What is changed by actions is not told by its own log: a parent that is itself such a child is
//!   refused.
//!
//! Where the table is its own parent, that last point is the whole matter: a row that an action
//! takes away takes its own children along, and the log tells of the first of them all only. So
//! whenever a row is refreshed, the shadow's rows that refer to it are looked at too, and those
//! that the source does not have so any more, its *stale children*, are refreshed in turn
//! ([`stale_children`]), while nobody else moves rows. Why none is forgotten: the row that the log
//! tells of is refreshed. A child of a row that was taken away is found when that row is refreshed;
//! the row is, if it is in the shadow, as a stale child itself, or if its key is pending. If it is
//! neither, it was not copied yet, and never will be; rows that refer to such a one are looked for
//! when all is copied ([`Shape::own_keys`], `clear_stale`). And if it has come back since, the log
//! told of that, and it is refreshed.

use crate::key::index::KeyIndex;
use crate::key::spelling::Spelling;
use crate::log::row_image::{Cell, Deed, Form, Rows};
use crate::schema::columns::Shape;
use crate::schema::foreign_key::ForeignKey;
use crate::schema::table::{Table, is_same};
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::Crew;
use crate::server::session::Session;
use crate::sql;
use crate::sql::compare::Compared;
use altergeist_contract::{Key, Result};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Values looked for by one statement.
const MOST_VALUES: usize = 500;

/// A foreign key of the source whose actions the log does not tell, seen from its parent.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    pub table: TableName,
    /// The columns that are referred to: their places in the row images, and how their values are
    /// spelled.
    columns: Vec<(usize, Spelling)>,
    /// The columns of the source that refer to them.
    child_columns: Vec<String>,
}

impl Parent {
    /// None if the values of a column that is referred to cannot be told from the log.
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

    /// The columns of the source that refer to it.
    pub(crate) fn child_columns(&self) -> &[String] {
        &self.child_columns
    }

    /// The values that went or came, each as a key beside those of `key`; None if the event does
    /// not tell them.
    pub(crate) fn told(&self, key: &KeyIndex, forms: &[Form], rows: &Rows) -> Option<Vec<Key>> {
        let wanted: Vec<usize> = self.columns.iter().map(|(ordinal, _)| *ordinal).collect();
        let mut told = Vec::new();
        rows.each(forms, &wanted, |before, after| {
            let is_kept = |(old, new): (&Cell, &Cell)| *new == Cell::Absent || old == new;
            // A new row has no children yet, and a row that keeps its values sets nothing off.
            if rows.deed == Deed::Write
                || rows.deed != Deed::Delete && before.iter().zip(after).all(is_kept)
            {
                return Some(());
            }
            if before.contains(&Cell::Absent) {
                return None;
            }
            told.extend(self.key(key, before)?);
            if rows.deed != Deed::Delete {
                let now = before
                    .iter()
                    .zip(after)
                    .map(|(old, new)| if *new == Cell::Absent { *old } else { *new });
                told.extend(self.key(key, &now.collect::<Vec<_>>())?);
            }
            Some(())
        })?;
        Some(told)
    }

    /// Nobody refers to values of which one is NULL. A key of more columns than the rows' keys
    /// have, the first of them empty: no row's.
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

/// The keys of rows of the shadow that refer to one of these rows, and do so no more in the source.
pub(crate) async fn stale_children(
    session: &mut Session,
    shape: &Shape,
    of: &Compared<'_>,
) -> std::result::Result<Vec<Key>, Failure> {
    let mut found = HashSet::new();
    for own in &shape.own_keys {
        let statement = sql::compare::stale_children(shape, own, of)
            .map_err(|error| Failure::Lost(error.to_string()))?;
        for row in session.rows(&statement).await? {
            found.insert(
                shape
                    .key
                    .of_query(&row)
                    .ok_or_else(|| Failure::Lost("a key cannot be read".into()))?,
            );
        }
    }
    Ok(found.into_iter().collect())
}

/// The keys of all rows above this one in the shadow, whether or not it has them.
async fn ancestors(
    session: &mut Session,
    shape: &Shape,
    of: &Key,
) -> std::result::Result<Vec<Key>, Failure> {
    let mut known = HashSet::from([of.clone()]);
    let mut last = vec![of.clone()];
    while !last.is_empty() {
        let mut above = Vec::new();
        for own in &shape.own_keys {
            let statement = sql::compare::parents(shape, own, &last)
                .map_err(|error| Failure::Lost(error.to_string()))?;
            for row in session.rows(&statement).await? {
                above.push(
                    shape
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

/// The columns of the source that hold a parent's value, and literals of it.
fn value(key: &KeyIndex, one: &Key) -> (Vec<String>, Vec<String>) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let columns = one.columns();
    columns[key.columns.len()..].chunks_exact(2).map(|pair| (said(pair[0]), said(pair[1]))).unzip()
}

/// The keys, with the keys of the rows that hold a parent's value in place of it.
pub(crate) async fn rows_of<'a>(
    session: &mut Session,
    shape: &Shape,
    keys: &'a [Key],
) -> std::result::Result<Cow<'a, [Key]>, Failure> {
    let (values, mut found): (Vec<Key>, Vec<Key>) =
        keys.iter().cloned().partition(|key| is_value(&shape.key, key));
    if values.is_empty() {
        return Ok(Cow::Borrowed(keys));
    }
    let mut by_columns: BTreeMap<Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
    for one in &values {
        let (columns, literals) = value(&shape.key, one);
        by_columns.entry(columns).or_default().push(literals);
    }
    for (columns, literals) in by_columns {
        let is_in_key =
            |column: &String| shape.key.columns.iter().any(|key| is_same(&key.name, column));
        let changes_keys = columns.iter().any(is_in_key);
        for literals in literals.chunks(MOST_VALUES) {
            for in_shadow in
                [true, false].into_iter().filter(|in_shadow| *in_shadow || changes_keys)
            {
                let rows = session
                    .rows(&sql::compare::rows_that_hold(shape, in_shadow, &columns, literals))
                    .await?;
                let unreadable = || Failure::Lost("a key cannot be read".into());
                for row in rows {
                    found.push(shape.key.of_query(&row).ok_or_else(unreadable)?);
                }
            }
        }
    }
    Ok(Cow::Owned(found))
}

/// What the stream needs to look for rows that hold a parent's value.
#[derive(Clone)]
pub(crate) struct Cascades {
    pub crew: Arc<Crew>,
    pub shape: Arc<Mutex<Option<Arc<Shape>>>>,
    /// Held shared by whatever moves rows into the shadow; alone, while rows are looked for that
    /// actions changed.
    pub moves: Arc<RwLock<()>>,
    /// Whether the tables are locked, or about to be.
    pub is_locked: Arc<AtomicBool>,
}

impl Cascades {
    pub(crate) fn new(crew: Arc<Crew>) -> Cascades {
        Cascades { crew, shape: Arc::default(), moves: Arc::default(), is_locked: Arc::default() }
    }

    /// While what is given is held, rows may be refreshed: alone, where their children have to be
    /// looked for.
    pub(crate) async fn moving(&self, shape: &Shape) -> Moving<'_> {
        match shape.own_keys.is_empty() {
            true => Moving::Beside(self.moves.read().await),
            false => Moving::Alone(self.moves.write().await),
        }
    }

    /// From now on, until what is given is dropped, nobody but the lock's holder looks into the
    /// shadow.
    pub(crate) async fn begin_lock(&self) -> Locking {
        self.is_locked.store(true, Ordering::SeqCst);
        let locking = Locking(self.is_locked.clone());
        drop(self.moves.read().await);
        locking
    }

    /// The keys of rows whose change would explain that the shadow has another row for this key.
    pub(crate) async fn causes(&self, shape: &Shape, key: &Key) -> Result<Vec<Key>> {
        if shape.own_keys.is_empty() {
            return Ok(Vec::new());
        }
        let attempted =
            || format!("look for the parents of a row in the shadow of {}", shape.source.plain());
        let mut session = self.crew.reader().await?;
        ancestors(&mut session, shape, key).await.map_err(|failure| failure.of_rows(attempted()))
    }

    /// Puts the keys of rows in place of parents' values, but for while the tables are locked.
    pub(crate) async fn resolve(&self, keys: &mut Vec<Key>) -> Result<()> {
        // As long as the shape is not known, there is no shadow that could hold anything.
        let Some(shape) = self.shape.lock().expect("not poisoned").clone() else { return Ok(()) };
        if !keys.iter().any(|key| is_value(&shape.key, key)) {
            return Ok(());
        }
        let _nothing_moves = self.moves.write().await;
        if self.is_locked.load(Ordering::SeqCst) {
            return Ok(());
        }
        // Nobody of ours may hold the shadow any more.
        self.crew.bury().await?;
        let attempted =
            || format!("look for what foreign keys changed in {}", shape.source.plain());
        let mut session = self.crew.reader().await?;
        if self.crew.in_utc.load(Ordering::SeqCst) {
            session
                .execute(sql::session::IN_UTC)
                .await
                .map_err(|failure| failure.of_rows(attempted()))?;
        }
        let found = rows_of(&mut session, &shape, keys)
            .await
            .map_err(|failure| failure.of_rows(attempted()))?;
        *keys = found.into_owned();
        Ok(())
    }
}

/// The time in which rows are moved into the shadow.
pub(crate) enum Moving<'a> {
    Beside(#[expect(dead_code, reason = "held")] RwLockReadGuard<'a, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'a, ()>),
}

/// The time in which the tables are locked.
pub(crate) struct Locking(Arc<AtomicBool>);

impl Drop for Locking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}
