//! The part of the table that one writer owns, as it must be; and what it does to it next.
//!
//! Pure: no connection in here. A change is planned, tried elsewhere, and applied to the model
//! only when the server has committed it.

use std::collections::{BTreeSet, HashMap, VecDeque};

use rand::Rng;
use rand::rngs::SmallRng;

use super::kind::Kind;
use super::table::{Row, STEP, TAIL, Table};

/// What one transaction does: every row is named once.
#[derive(Clone, Debug, Default)]
pub(super) struct Change(pub(super) Vec<RowChange>);

#[derive(Clone, Debug)]
pub(super) struct RowChange {
    pub(super) id: i64,
    pub(super) before: Option<Row>,
    pub(super) after: Option<Row>,
    how: How,
}

/// A change of key is two rows' changes and one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    Plain,
    DeleteAndInsert,
    MovedTo(i64),
    MovedHere,
}

impl Change {
    pub(super) fn rows<'a>(
        &'a self,
        side: impl Fn(&'a RowChange) -> Option<&'a Row>,
    ) -> Vec<Option<Row>> {
        self.0.iter().map(|row| side(row).cloned()).collect()
    }

    /// The same rows, each remaining what it was.
    pub(super) fn undone(&self) -> Self {
        let undone = |row: &RowChange| RowChange { after: row.before.clone(), ..row.clone() };
        Self(self.0.iter().map(undone).collect())
    }

    pub(super) fn statements(&self, table: &str) -> Vec<String> {
        let mut statements = Vec::new();
        // A unique value must leave a row before another may have it, on every server.
        for row in &self.0 {
            let (Some(before), Some(after)) = (&row.before, &row.after) else {
                continue;
            };
            if row.how == How::Plain
                && before.u != after.u
                && self.takes_elsewhere(row.id, before.u)
            {
                statements.push(format!("UPDATE {table} SET u = NULL WHERE id = {}", row.id));
            }
        }
        for row in &self.0 {
            match (&row.how, &row.before, &row.after) {
                (How::MovedTo(new), ..) => {
                    statements.push(format!("UPDATE {table} SET id = {new} WHERE id = {}", row.id))
                }
                (How::MovedHere, ..) => {}
                (How::DeleteAndInsert, _, Some(after)) => {
                    statements.push(format!("DELETE FROM {table} WHERE id = {}", row.id));
                    statements.push(insert(table, row.id, after));
                }
                (_, None, Some(after)) => statements.push(insert(table, row.id, after)),
                (_, Some(before), Some(after))
                    if before.u != after.u
                        && after.u.is_none()
                        && self.takes_elsewhere(row.id, before.u) => {}
                (_, Some(_), Some(after)) => statements.push(update(table, row.id, after)),
                (_, _, None) => {
                    statements.push(format!("DELETE FROM {table} WHERE id = {}", row.id))
                }
            }
        }
        statements
    }

    fn takes_elsewhere(&self, id: i64, u: Option<i64>) -> bool {
        u.is_some()
            && self
                .0
                .iter()
                .any(|row| row.id != id && row.after.as_ref().is_some_and(|after| after.u == u))
    }
}

fn insert(table: &str, id: i64, row: &Row) -> String {
    let Row { k, c, pad, .. } = row;
    format!(
        "INSERT INTO {table} (id, k, u, c, pad) VALUES ({id}, {k}, {}, '{c}', '{pad}')",
        sql(row.u)
    )
}

fn update(table: &str, id: i64, row: &Row) -> String {
    let Row { k, c, pad, .. } = row;
    format!(
        "UPDATE {table} SET k = {k}, u = {}, c = '{c}', pad = '{pad}' WHERE id = {id}",
        sql(row.u)
    )
}

fn sql(number: Option<i64>) -> String {
    number.map_or_else(|| "NULL".into(), |number| number.to_string())
}

/// The part of the table that one writer owns, as it must be.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) table: Table,
    /// The loaded keys that are ours: these multiples of [`STEP`].
    loaded: std::ops::Range<i64>,
    tail: i64,
    next_u: i64,
    pub(super) touched: HashMap<i64, Option<Row>>,
    /// Keys whose row was deleted, perhaps to be inserted again.
    pub(super) deleted: BTreeSet<i64>,
    recent: VecDeque<i64>,
    added: Vec<i64>,
    free_u: Vec<i64>,
}

impl Model {
    pub(super) fn of(table: &Table, number: u32, of: u32) -> Self {
        let (rows, number, of) = (table.rows as i64, i64::from(number), i64::from(of));
        Self {
            table: table.clone(),
            loaded: rows * number / of + 1..rows * (number + 1) / of + 1,
            tail: (rows + 1) * STEP + number * TAIL,
            next_u: -1 - number * TAIL,
            touched: HashMap::new(),
            deleted: BTreeSet::new(),
            recent: VecDeque::new(),
            added: Vec::new(),
            free_u: Vec::new(),
        }
    }

    fn row(&self, id: i64) -> Option<Row> {
        self.touched.get(&id).cloned().unwrap_or_else(|| self.table.loaded(id))
    }

    pub(super) fn plan(&mut self, kind: Kind, random: &mut SmallRng) -> Change {
        let changes = match kind {
            Kind::Insert => vec![self.insertion(random)],
            Kind::Update => {
                self.one(random, &[]).map(|id| self.update_of(id, random)).into_iter().collect()
            }
            Kind::Delete => {
                self.one(random, &[]).map(|id| self.plain(id, None)).into_iter().collect()
            }
            Kind::ChangeKey => self.change_of_key(random),
            Kind::SwapUnique => self.two(random, |a, b| (b.u, a.u)),
            Kind::MoveUnique => self.two(random, |a, _| (None, a.u)),
            Kind::MoveUniqueInTwo => self.giving_up(random),
            Kind::Replace => self.replacement(random),
            Kind::Several | Kind::Abort => {
                let rows = random.random_range(2..8);
                self.several(rows, random)
            }
            Kind::Many => self.several(100, random),
        };
        match changes.is_empty() {
            true => Change(vec![self.insertion(random)]),
            false => Change(changes),
        }
    }

    fn plain(&self, id: i64, after: Option<Row>) -> RowChange {
        RowChange { id, before: self.row(id), after, how: How::Plain }
    }

    fn insertion(&mut self, random: &mut SmallRng) -> RowChange {
        let id = self.vacant_key(random);
        let u = match random.random_range(0..4) {
            0 => None,
            1 => self.free_u.get(random.random_range(0..self.free_u.len().max(1))).copied(),
            _ => Some(self.fresh_u()),
        };
        self.plain(id, Some(Row { u, ..fresh_row(random) }))
    }

    fn update_of(&self, id: i64, random: &mut SmallRng) -> RowChange {
        let u = self.row(id).and_then(|row| row.u);
        self.plain(id, Some(Row { u, ..fresh_row(random) }))
    }

    fn change_of_key(&mut self, random: &mut SmallRng) -> Vec<RowChange> {
        let Some(id) = self.one(random, &[]) else {
            return Vec::new();
        };
        let new = self.vacant_key(random);
        let row = self.row(id);
        vec![
            RowChange { id, before: row.clone(), after: None, how: How::MovedTo(new) },
            RowChange { id: new, before: None, after: row, how: How::MovedHere },
        ]
    }

    /// Two rows whose unique values become what `exchange` says.
    fn two(
        &self,
        random: &mut SmallRng,
        exchange: impl Fn(&Row, &Row) -> (Option<i64>, Option<i64>),
    ) -> Vec<RowChange> {
        let Some(a) = self.one(random, &[]) else {
            return Vec::new();
        };
        let Some(b) = self.one(random, &[a]) else {
            return Vec::new();
        };
        let (Some(row_a), Some(row_b)) = (self.row(a), self.row(b)) else {
            return Vec::new();
        };
        if row_a.u.is_none() || row_a.u == row_b.u {
            return Vec::new();
        }
        let (u_a, u_b) = exchange(&row_a, &row_b);
        vec![
            self.plain(a, Some(Row { u: u_a, ..row_a })),
            self.plain(b, Some(Row { u: u_b, ..row_b })),
        ]
    }

    fn giving_up(&self, random: &mut SmallRng) -> Vec<RowChange> {
        let id = (0..10).find_map(|_| {
            self.one(random, &[]).filter(|&id| self.row(id).is_some_and(|row| row.u.is_some()))
        });
        id.map(|id| self.plain(id, self.row(id).map(|row| Row { u: None, ..row })))
            .into_iter()
            .collect()
    }

    /// The second half of a move: another row takes the value that the first gave up.
    pub(super) fn take_what_was_given_up(&self, first: &Change, random: &mut SmallRng) -> Change {
        let given_up = &first.0[0];
        let u = given_up.before.as_ref().and_then(|row| row.u);
        let Some(id) = self.one(random, &[given_up.id]) else {
            return Change::default();
        };
        Change(vec![self.plain(id, self.row(id).map(|row| Row { u, ..row }))])
    }

    fn replacement(&self, random: &mut SmallRng) -> Vec<RowChange> {
        let Some(id) = self.one(random, &[]) else {
            return Vec::new();
        };
        vec![RowChange { how: How::DeleteAndInsert, ..self.update_of(id, random) }]
    }

    fn several(&mut self, rows: u32, random: &mut SmallRng) -> Vec<RowChange> {
        let mut changes: Vec<RowChange> = Vec::new();
        for _ in 0..rows {
            let taken: Vec<i64> = changes.iter().map(|change| change.id).collect();
            match (random.random_range(0..4), self.one(random, &taken)) {
                (0, Some(id)) => changes.push(self.plain(id, None)),
                (1 | 2, Some(id)) => changes.push(self.update_of(id, random)),
                _ => {
                    let id = self.vacant_key(random);
                    let u = Some(self.fresh_u());
                    if !taken.contains(&id) {
                        changes.push(self.plain(id, Some(Row { u, ..fresh_row(random) })));
                    }
                }
            }
        }
        changes
    }

    /// A row that is there: one of the last touched, one of ours, or any.
    fn one(&self, random: &mut SmallRng, but: &[i64]) -> Option<i64> {
        (0..50).find_map(|_| {
            let id = match random.random_range(0..10) {
                0..3 if !self.recent.is_empty() => {
                    self.recent[random.random_range(0..self.recent.len())]
                }
                3..5 if !self.added.is_empty() => {
                    self.added[random.random_range(0..self.added.len())]
                }
                _ if !self.loaded.is_empty() => random.random_range(self.loaded.clone()) * STEP,
                _ => return None,
            };
            (!but.contains(&id) && self.row(id).is_some()).then_some(id)
        })
    }

    /// A key that no row has: between the loaded ones, freed by a deletion, or at the end.
    fn vacant_key(&mut self, random: &mut SmallRng) -> i64 {
        if random.random_range(0..4) > 0 && !self.loaded.is_empty() {
            for _ in 0..20 {
                let id = random.random_range(self.loaded.start * STEP..self.loaded.end * STEP);
                if self.row(id).is_none() {
                    return id;
                }
            }
        }
        self.tail += 1;
        self.tail
    }

    fn fresh_u(&mut self) -> i64 {
        self.next_u -= 1;
        self.next_u
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let u_of = |row: &Option<Row>| row.as_ref().and_then(|row| row.u);
        self.free_u.extend(change.0.iter().filter_map(|row| u_of(&row.before)));
        for row in &change.0 {
            if let Some(u) = u_of(&row.after) {
                self.free_u.retain(|&free| free != u);
            }
            if row.before.is_none() {
                self.added.push(row.id);
            }
            if row.after.is_none() || row.how == How::DeleteAndInsert {
                self.deleted.insert(row.id);
            }
            self.recent.push_back(row.id);
            self.touched.insert(row.id, row.after.clone());
        }
        let surplus = self.recent.len().saturating_sub(50);
        self.recent.drain(..surplus);
        let surplus = self.free_u.len().saturating_sub(1000);
        self.free_u.drain(..surplus);
    }
}

fn fresh_row(random: &mut SmallRng) -> Row {
    let mark: u64 = random.random();
    Row {
        k: i64::from(random.random_range(0..i32::MAX)),
        u: None,
        c: format!("{mark:c>width$}", width = random.random_range(20..120)),
        pad: format!("{:p>40}", mark % 1000),
    }
}
