//! The table's identity kept as data: `regclass`, `oid` and `regtype` columns of other tables. The new table has another
//! identity, so the swap changes those rows. Where it may not, or could not do it at once, the plan refuses by name.

use crate::alteration::refuse;
use crate::error;
use crate::session::Session;
use crate::sql;
use altergeist_contract::{Refusal, Result};

/// A bigger table is not read: it is no registry of tables, and reading it takes time.
const BYTES_MAX: i64 = 256 << 20;

/// More rows are not changed under the lock.
const ROWS_MAX: i64 = 1000;

/// A bigger table without rows to spare is not changed under the lock: the server may have to read all of it.
const CHANGED_BYTES_MAX: i64 = 16 << 20;

/// Where the identity is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    object: String,
    table: String,
    condition: String,
    assignment: String,
    bytes: i64,
    /// What keeps a row from being changed.
    obstacle: Option<String>,
    rows: i64,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Found {
    kept: Vec<Kept>,
    /// Columns that were not looked at, and why.
    passed_over: Vec<String>,
}

/// Looks for the identity of `table`; the statements put that of `heir` in its place.
pub(crate) async fn find(session: &Session, table: u32, heir: u32) -> Result<Found> {
    let failed = |error: tokio_postgres::Error| error::of("look for columns that hold the table's OID", &error);
    let mut found = Found::default();
    for row in session.query(sql::OID_COLUMNS, &[&table, &heir]).await.map_err(failed)? {
        let (host, column): (String, String) = (row.get(0), row.get(1));
        let mut kept = Kept {
            object: format!("column {column} of {host}"),
            table: host,
            condition: row.get(2),
            assignment: row.get(3),
            bytes: row.get(4),
            obstacle: row.get(5),
            rows: 0,
        };
        if kept.bytes > BYTES_MAX {
            found.passed_over.push(kept.object);
            continue;
        }
        match count(session, &kept).await.map_err(failed)? {
            None => found.passed_over.push(kept.object),
            Some(0) => {}
            Some(rows) => {
                kept.rows = rows;
                found.kept.push(kept);
            }
        }
    }
    Ok(found)
}

/// How many rows hold it; None if this role may not know, or the answer takes too long.
async fn count(session: &Session, kept: &Kept) -> std::result::Result<Option<i64>, tokio_postgres::Error> {
    let question = format!(
        "SELECT count(*) FROM (SELECT FROM ONLY {} WHERE {} LIMIT {}) AS rows",
        kept.table,
        kept.condition,
        ROWS_MAX + 1
    );
    session.run("BEGIN READ ONLY; SET LOCAL statement_timeout = '2s'; SET LOCAL lock_timeout = '200ms'").await?;
    let answer = session.query(&question, &[]).await;
    session.run("ROLLBACK").await?;
    match answer {
        Ok(rows) => Ok(rows.first().map(|row| row.get(0))),
        Err(error) if error.is_closed() || error.as_db_error().is_none() => Err(error),
        Err(_) => Ok(None),
    }
}

impl Found {
    /// Why the swap could not change them.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        let refusal = |kept: &Kept| {
            let why = match &kept.obstacle {
                Some(why) => why.clone(),
                None if kept.rows > ROWS_MAX => format!("more than {ROWS_MAX} rows hold it"),
                None if kept.bytes > CHANGED_BYTES_MAX => {
                    "that table is too big to be changed under the lock".to_owned()
                }
                None => return None,
            };
            let reason = format!(
                "it holds the table's OID, which is another one after the swap, and the swap cannot change it: {why}"
            );
            let remedy = "take those rows away for the time of the change, and put them back afterwards";
            Some(refuse(kept.object.clone(), reason, remedy))
        };
        self.kept.iter().filter_map(refusal).collect()
    }

    /// What an operator must know of it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .kept
            .iter()
            .map(|kept| {
                format!("{} holds the table's OID in {} rows; the swap puts the new one there", kept.object, kept.rows)
            })
            .collect();
        if !self.passed_over.is_empty() {
            notes.push(format!(
                "not looked at, for it is big, locked or not readable: whether the table's OID is kept in {}",
                self.passed_over.join(", ")
            ));
        }
        notes
    }

    /// The statements that put the heir's identity there.
    pub(crate) fn statements(&self) -> Vec<String> {
        let update =
            |kept: &Kept| format!("UPDATE ONLY {} SET {} WHERE {}", kept.table, kept.assignment, kept.condition);
        self.kept.iter().map(update).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rows: i64, obstacle: Option<&str>) -> Kept {
        Kept {
            object: "column rel of public.registry".into(),
            table: "public.registry".into(),
            condition: "rel = 1".into(),
            assignment: "rel = 2".into(),
            bytes: 8192,
            obstacle: obstacle.map(Into::into),
            rows,
        }
    }

    #[test]
    fn a_few_rows_that_may_be_changed_are_and_others_are_refused_by_name() {
        let found = Found { kept: vec![kept(3, None)], passed_over: Vec::new() };
        assert!(found.refusals().is_empty());
        assert_eq!(found.statements(), ["UPDATE ONLY public.registry SET rel = 2 WHERE rel = 1"]);
        let found = Found { kept: vec![kept(1001, None), kept(1, Some("a trigger"))], passed_over: Vec::new() };
        assert_eq!(found.refusals().len(), 2);
    }
}
