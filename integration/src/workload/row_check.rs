//! The check of all rows: what must be in the table now, and whether it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::table::{Row, STEP, Table, list, loaded_values, rows_where};
use crate::session::{Failure, Session, block_on};

/// Knows every row that must be in the table.
#[derive(Debug)]
pub struct RowCheck {
    /// The table.
    pub table: Table,
    pub(super) expected: BTreeMap<i64, Option<Row>>,
    pub(super) deleted: BTreeSet<i64>,
}

/// What was found equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// All rows of the table.
    pub rows: u64,
    /// Those that the writers touched, the deleted ones included.
    pub touched: u64,
}

impl RowCheck {
    /// Compares the table with what must be in it: every touched row by its values, every other
    /// by being what it was loaded as, and their number.
    ///
    /// # Errors
    /// The differences, in words.
    pub fn check(&self, url: &str) -> Result<Proof, String> {
        block_on(async {
            let mut session = Session::connect(url).await.map_err(|e| e.to_string())?;
            let condition = deviation(&self.table, session.is_postgres());
            let deviating = rows_where(&mut session, &self.table.name, &condition).await;
            let deviating = deviating.map_err(|e| e.to_string())?;
            let count = session.value(&format!("SELECT count(*) FROM {}", self.table.name)).await;
            let count: u64 = count
                .map_err(|e| e.to_string())?
                .and_then(|count| count.parse().ok())
                .unwrap_or_default();
            let resurrected = self.resurrected(&mut session).await.map_err(|e| e.to_string())?;
            self.judge(&deviating, count, &resurrected)
        })
    }

    /// Deleted keys that are in the table all the same.
    async fn resurrected(&self, session: &mut Session) -> Result<Vec<i64>, Failure> {
        let gone: Vec<i64> =
            self.expected.iter().filter(|(_, row)| row.is_none()).map(|(&id, _)| id).collect();
        let mut found = Vec::new();
        for ids in gone.chunks(1000) {
            let ids = list(ids.iter().copied());
            found.extend(
                rows_where(session, &self.table.name, &format!("id IN ({ids})")).await?.into_keys(),
            );
        }
        Ok(found)
    }

    fn judge(
        &self,
        deviating: &HashMap<i64, Row>,
        count: u64,
        resurrected: &[i64],
    ) -> Result<Proof, String> {
        let mut differences: Vec<String> =
            resurrected.iter().map(|id| format!("row {id} was deleted and is there")).collect();
        for (id, expected) in &self.expected {
            let Some(expected) = expected else { continue };
            // A row that is not among the deviating ones is as loaded, or missing.
            let is_as_loaded = self.table.loaded(*id).as_ref() == Some(expected);
            match deviating.get(id) {
                Some(found) if found == expected => {}
                Some(found) => differences.push(format!("row {id} is {found:?}, not {expected:?}")),
                None if is_as_loaded => {}
                None => differences
                    .push(format!("row {id} is missing or as it was loaded, not {expected:?}")),
            }
        }
        for id in deviating.keys().filter(|id| !self.expected.contains_key(id)) {
            differences.push(format!("row {id} was never written by anybody"));
        }
        if count != self.count() {
            differences.push(format!("there are {count} rows, not {}", self.count()));
        }
        match differences.len() {
            0 => Ok(Proof { rows: count, touched: self.expected.len() as u64 }),
            n => Err(format!("{n} differences: {}", differences[..n.min(10)].join("; "))),
        }
    }

    /// Whether a row was loaded, and was there ever since.
    pub fn is_as_old_as_the_table(&self, id: i64) -> bool {
        self.table.loaded(id).is_some() && !self.deleted.contains(&id)
    }

    /// How many rows there must be.
    pub fn count(&self) -> u64 {
        let touched_present = self.expected.values().flatten().count() as u64;
        let touched_loaded =
            self.expected.keys().filter(|&&id| self.table.loaded(id).is_some()).count() as u64;
        self.table.rows - touched_loaded + touched_present
    }
}

/// The condition of rows that are not as they were loaded.
fn deviation(table: &Table, postgres: bool) -> String {
    // Byte by byte: a column's collation may differ from the connection's, and be too kind.
    let bytes = if postgres { "COLLATE \"C\"" } else { "COLLATE utf8mb4_bin" };
    let [k, u, c, pad] = loaded_values();
    let last = table.rows as i64 * STEP;
    format!(
        "CASE WHEN id BETWEEN {STEP} AND {last} AND id % {STEP} = 0 \
         AND k = {k} AND u = {u} AND c = {c} {bytes} AND pad = {pad} {bytes} THEN 0 ELSE 1 END = 1"
    )
}

/// How many rows of either table have no exact counterpart in the other; the first of `columns`
/// is the key. For tables that nobody writes to any more.
///
/// # Errors
/// What the server answered.
pub fn differences(url: &str, old: &str, new: &str, columns: &[&str]) -> Result<u64, Failure> {
    block_on(async {
        let mut session = Session::connect(url).await?;
        let same = if session.is_postgres() { "IS NOT DISTINCT FROM" } else { "<=>" };
        let key = columns.first().copied().unwrap_or("id");
        let equal: Vec<String> =
            columns[1..].iter().map(|column| format!("a.{column} {same} b.{column}")).collect();
        let condition = equal
            .into_iter()
            .chain([format!("a.{key} = b.{key}")])
            .collect::<Vec<_>>()
            .join(" AND ");
        let mut total = 0;
        for (one, other) in [(old, new), (new, old)] {
            let sql = format!(
                "SELECT count(*) FROM {one} a LEFT JOIN {other} b ON {condition} WHERE b.{key} IS \
                 NULL"
            );
            total += session
                .value(&sql)
                .await?
                .and_then(|count| count.parse::<u64>().ok())
                .unwrap_or_default();
        }
        Ok(total)
    })
}
