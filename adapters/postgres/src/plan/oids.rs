//! OIDs that other tables keep as data, in `regclass`, `oid`, `regtype` and `regproc` columns:
//! those of the table, its types, indexes or materialized views. The new objects have other OIDs,
//! so the swap changes those rows. If it may not, or cannot do it at once, the plan refuses and
//! names the column.

use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// A bigger table is not read. It is no registry of tables, and the read would take too long.
const BYTES_MAX: i64 = 256 << 20;

/// Under the lock, the swap changes no more rows than this.
const ROWS_MAX: i64 = 1000;

/// Under the lock, the swap changes no bigger table. The server may have to read all of it.
const CHANGED_BYTES_MAX: i64 = 16 << 20;

/// A column that may hold OIDs, with the conditions for each OID.
struct Place {
    object: String,
    table: String,
    bytes: i64,
    obstacle: Option<String>,
    identities: Vec<Identity>,
}

/// An OID that changes with the swap.
struct Identity {
    thing: String,
    condition: String,
    /// None if no object has it afterwards.
    assignment: Option<String>,
}

/// A column that holds an OID.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OidReference {
    object: String,
    /// The object that the OID belongs to.
    thing: String,
    table: String,
    condition: String,
    assignment: Option<String>,
    bytes: i64,
    /// Why the swap cannot change the row.
    obstacle: Option<String>,
    rows: i64,
}

/// The OIDs that were found.
#[derive(Default)]
pub(crate) struct OidReferences {
    kept: Vec<OidReference>,
    /// Columns that were not checked.
    skipped: Vec<String>,
}

/// Finds the OIDs of relations and of their parts. The statements replace them by the OIDs of the
/// heirs.
pub(crate) async fn find(
    session: &Session,
    relations: &[u32],
    heirs: &[u32],
) -> Result<OidReferences> {
    let attempted = "look for columns that hold the table's OID";
    let mut found = OidReferences::default();
    for place in places(session, relations, heirs).await.doing(attempted)? {
        if place.bytes > BYTES_MAX {
            found.skipped.push(place.object);
            continue;
        }
        let any: Vec<String> =
            place.identities.iter().map(|identity| format!("({})", identity.condition)).collect();
        match count(session, &place.table, &any.join(" OR ")).await.doing(attempted)? {
            None => found.skipped.push(place.object),
            Some(0) => {}
            Some(_) => found.kept.extend(kept(session, place).await.doing(attempted)?),
        }
    }
    Ok(found)
}

async fn places(
    session: &Session,
    relations: &[u32],
    heirs: &[u32],
) -> std::result::Result<Vec<Place>, tokio_postgres::Error> {
    let mut places: Vec<Place> = Vec::new();
    for row in session.query(sql::OID_COLUMNS, &[&relations, &heirs]).await? {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        let object = format!("column {column} of {table}");
        let identity =
            Identity { condition: row.get(2), assignment: row.get(3), thing: row.get(6) };
        match places.last_mut().filter(|last| last.object == object) {
            Some(place) => place.identities.push(identity),
            None => places.push(Place {
                object,
                table,
                bytes: row.get(4),
                obstacle: row.get(5),
                identities: vec![identity],
            }),
        }
    }
    Ok(places)
}

/// Returns the OIDs that a column holds.
async fn kept(
    session: &Session,
    place: Place,
) -> std::result::Result<Vec<OidReference>, tokio_postgres::Error> {
    let mut kept = Vec::new();
    for Identity { thing, condition, assignment } in place.identities {
        // An index that the clauses drop has no heir, and needs no note.
        let is_forgotten = assignment.is_none() && !thing.starts_with("function ");
        let rows = count(session, &place.table, &condition).await?.unwrap_or_default();
        if rows > 0 && !is_forgotten {
            kept.push(OidReference {
                object: place.object.clone(),
                thing,
                table: place.table.clone(),
                condition,
                assignment,
                bytes: place.bytes,
                obstacle: place.obstacle.clone(),
                rows,
            });
        }
    }
    Ok(kept)
}

/// Counts the rows that hold it. None if this role may not read them, or the answer takes too long.
async fn count(
    session: &Session,
    table: &str,
    condition: &str,
) -> std::result::Result<Option<i64>, tokio_postgres::Error> {
    let question = sql::count_up_to(table, condition, ROWS_MAX + 1);
    session.run(sql::BEGIN_QUESTION).await?;
    let answer = session.query(&question, &[]).await;
    session.run(sql::ROLLBACK).await?;
    match answer {
        Ok(rows) => Ok(rows.first().map(|row| row.get(0))),
        Err(error) if error.is_closed() || error.as_db_error().is_none() => Err(error),
        Err(_) => Ok(None),
    }
}

impl OidReferences {
    /// Returns why the swap cannot change them.
    pub(crate) fn refusals(&self) -> Vec<Finding> {
        let refusal = |kept: &OidReference| {
            let why = match &kept.obstacle {
                _ if kept.assignment.is_none() => {
                    "the swap creates it again, and only then it has an OID".to_owned()
                }
                Some(why) => why.clone(),
                None if kept.rows > ROWS_MAX => format!("more than {ROWS_MAX} rows hold it"),
                None if kept.bytes > CHANGED_BYTES_MAX => {
                    "that table is too big to be changed under the lock".to_owned()
                }
                None => return None,
            };
            let reason = format!(
                "it holds the OID of {}. The OID changes with the swap, and the swap cannot \
                 write the new one: {why}",
                kept.thing
            );
            let remedy =
                "delete those rows until the change is done, and insert them again afterwards";
            Some(Finding::error(Code::OidKept, kept.object.clone(), reason, remedy))
        };
        self.kept.iter().filter_map(refusal).collect()
    }

    /// Returns what an operator must know about it.
    pub(crate) fn notes(&self) -> Vec<Finding> {
        let note = |kept: &OidReference| {
            let message = format!(
                "it holds the OID of {} in {} rows; the swap writes the new OID",
                kept.thing, kept.rows
            );
            let note = Finding::note(Code::OidKept, message).about(kept.object.clone());
            note.count(kept.rows.unsigned_abs())
        };
        let mut notes: Vec<Finding> = self.kept.iter().map(note).collect();
        if !self.skipped.is_empty() {
            notes.push(Finding::warning(
                Code::OidKept,
                self.skipped.join(", "),
                "not checked for the table's OID, because it is big, locked or not readable",
                "look whether it holds the OID of the table, its type or its indexes",
            ));
        }
        notes
    }

    /// Returns the statements that write the heirs' OIDs.
    pub(crate) fn statements(&self) -> Vec<String> {
        let update = |kept: &OidReference| {
            let assignment = kept.assignment.as_ref()?;
            Some(sql::update_where(&kept.table, assignment, &kept.condition))
        };
        self.kept.iter().filter_map(update).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(rows: i64, obstacle: Option<&str>) -> OidReference {
        OidReference {
            object: "column rel of public.registry".into(),
            table: "public.registry".into(),
            thing: "relation public.t".into(),
            condition: "rel = 1".into(),
            assignment: Some("rel = 2".into()),
            bytes: 8192,
            obstacle: obstacle.map(Into::into),
            rows,
        }
    }

    #[test]
    fn a_few_rows_that_may_be_changed_are_and_others_are_refused_by_name() {
        let found = OidReferences { kept: vec![kept(3, None)], skipped: Vec::new() };
        assert!(found.refusals().is_empty());
        assert_eq!(found.statements(), ["UPDATE ONLY public.registry SET rel = 2 WHERE rel = 1"]);
        let found = OidReferences {
            kept: vec![kept(1001, None), kept(1, Some("a trigger"))],
            skipped: Vec::new(),
        };
        assert_eq!(found.refusals().len(), 2);
    }
}
