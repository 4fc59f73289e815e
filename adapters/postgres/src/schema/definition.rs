//! A table's definition: read from the catalogue line by line, and built again elsewhere. To find
//! what cannot be built the same, the code reads both definitions and compares them. It never
//! relies on a list of features.

use crate::schema::expression;
use crate::server::doing::Doing;
use crate::server::names::{self, Names};
use crate::server::session::Session;
use crate::server::version::Version;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::Result;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

/// One line of a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The object, as "column note" or "index orders_pkey".
    pub(crate) object: String,
    /// Its definition.
    pub(crate) definition: String,
    /// Whether it belongs to the structure, as opposed to rights, comments and storage.
    pub(crate) structure: bool,
}

/// One column, as the catalogue has it.
#[derive(Clone)]
pub(crate) struct Attribute {
    /// Its number. It stays the same when the column is renamed.
    pub(crate) number: i16,
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) type_oid: u32,
    pub(crate) modifier: i32,
    pub(crate) collation: u32,
    pub(crate) not_null: bool,
    pub(crate) generated: bool,
    pub(crate) identity: bool,
    pub(crate) default: Option<String>,
    /// Whether its default differs between rows.
    pub(crate) is_volatile: bool,
    /// The type under a domain.
    pub(crate) base_type: Option<u32>,
}

impl Attribute {
    fn of_row(row: &Row) -> Attribute {
        Attribute {
            number: row.get(0),
            name: row.get(1),
            type_name: row.get(2),
            type_oid: row.get(3),
            modifier: row.get(4),
            collation: row.get(5),
            not_null: row.get::<_, bool>(6) || row.get(12),
            generated: row.get(7),
            identity: row.get(8),
            default: row.get(9),
            is_volatile: row.get(10),
            base_type: Some(row.get(11)).filter(|oid| *oid != 0),
        }
    }

    /// Returns what decides how a value is stored: type, length and collation.
    pub(crate) fn stored_shape(&self) -> (u32, i32, u32) {
        (self.type_oid, self.modifier, self.collation)
    }

    /// Returns its type, or a domain's base type, and that type's length.
    pub(crate) fn stored_type(&self) -> (u32, i32) {
        (self.base_type.unwrap_or(self.type_oid), self.modifier)
    }
}

/// Reads a table's definition.
pub(crate) async fn describe(session: &Session, oid: u32) -> Result<Vec<Line>> {
    let rows = session.query(sql::DESCRIBE, &[&oid]).await;
    let rows = rows.doing("read a table's definition")?;
    let line = |row: &Row| Line {
        object: row.get(0),
        definition: row.get::<_, Option<String>>(1).unwrap_or_default(),
        structure: row.get(2),
    };
    Ok(rows.iter().map(line).collect())
}

/// Reads a table's columns.
pub(crate) async fn attributes(session: &Session, oid: u32) -> Result<Vec<Attribute>> {
    let rows = session.query(sql::COLUMNS, &[&oid]).await;
    let rows = rows.doing("read a table's columns")?;
    Ok(rows.iter().map(Attribute::of_row).collect())
}

/// Reads the names of a table's columns.
pub(crate) async fn column_names(session: &Session, oid: u32) -> Result<Vec<String>> {
    Ok(attributes(session, oid).await?.into_iter().map(|column| column.name).collect())
}

/// Returns the objects in which two definitions differ.
pub(crate) fn differences(one: &[Line], other: &[Line]) -> Vec<String> {
    let missing = |from: &[Line], line: &&Line| !from.contains(line);
    let differing = one
        .iter()
        .filter(|line| missing(other, line))
        .chain(other.iter().filter(|line| missing(one, line)));
    let mut objects: Vec<String> = differing.map(|line| line.object.clone()).collect();
    objects.sort();
    objects.dedup();
    objects
}

/// Returns the lines that are structure, as one text.
pub(crate) fn structure(lines: &[Line]) -> String {
    let lines = lines.iter().filter(|line| line.structure);
    lines.map(|line| format!("{}: {}\n", line.object, line.definition)).collect()
}

/// Builds an empty table like the source in a schema of ours, within the session's transaction.
/// Returns its OID.
pub(crate) async fn build(
    session: &Session,
    names: &Names,
    version: Version,
    source: u32,
    schema: &str,
) -> Result<u32> {
    let attempted = || format!("build an empty table like {}", names.display);
    let clone = quote::qualified(schema, &names.table);
    let table: String = session
        .one(sql::CREATE_TABLE, &[&source, &schema, &version.names_not_null()])
        .await
        .trying_clauses(attempted)?
        .get(0);
    let create = sql::create_bare(&expression::reread(&table));
    session.run(&create).await.trying_clauses(attempted)?;
    recreate_objects(session, source, &clone, schema).await?;
    let oid: u32 = session
        .one(sql::TABLE_ID, &[&schema, &names.table])
        .await
        .trying_clauses(attempted)?
        .get(0);
    undo_event_triggers(session, source, oid, &clone).await?;
    carry_privileges(session, source, oid, &clone).await.trying_clauses(attempted)?;
    Ok(oid)
}

/// Undoes what event triggers do to every new table, such as row security, an owner, triggers, or a
/// publication. The source's own are carried later.
async fn undo_event_triggers(
    session: &Session,
    source: u32,
    clone_oid: u32,
    clone: &str,
) -> Result<()> {
    let attempted = || format!("undo what event triggers did to {clone}");
    let rows = session
        .query(sql::EVENT_TRIGGERS_UNDONE, &[&source, &clone_oid, &clone])
        .await
        .trying_clauses(attempted)?;
    if rows.is_empty() {
        return Ok(());
    }
    let script: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
    let rows = session
        .query(sql::EVENT_TRIGGERS_UNDONE, &[&source, &clone_oid, &clone])
        .await
        .trying_clauses(attempted)?;
    match rows.first() {
        None => Ok(()),
        Some(row) => {
            let left: String = row.get(0);
            let reason = format!(
                "an event trigger reverts this at once: {left}. Disable the event trigger until \
                 the change is done: ALTER EVENT TRIGGER … DISABLE"
            );
            Err(altergeist_contract::Error::refused(attempted(), reason))
        }
    }
}

/// Creates on a bare table or materialized view the objects of another, such as indexes and
/// comments.
pub(crate) async fn recreate_objects(
    session: &Session,
    source: u32,
    clone: &str,
    schema: &str,
) -> Result<()> {
    let attempted = || format!("apply the changes to {clone}");
    let rows = session
        .query(sql::RECREATE_OBJECTS, &[&source, &clone, &schema])
        .await
        .trying_clauses(attempted)?;
    let mut script: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    script.push(sql::USE_OWN_TABLESPACE);
    session.run(&expression::reread(&script.join(";\n"))).await.trying_clauses(attempted)
}

/// Grants the privileges on a table to the same roles on a clone.
pub(crate) async fn carry_privileges(
    session: &Session,
    source: u32,
    clone_oid: u32,
    clone: &str,
) -> std::result::Result<(), tokio_postgres::Error> {
    let grants = session.query(sql::PRIVILEGES, &[&source, &clone_oid, &clone]).await?;
    let script: Vec<String> = grants.iter().map(|row| row.get(0)).collect();
    if script.is_empty() { Ok(()) } else { session.run(&script.join(";\n")).await }
}

/// Creates a schema of ours inside the session's transaction. The table's owner, who owns what is
/// in it, may use it.
pub(crate) async fn make_schema(session: &Session, schema: &str, source: u32) -> Result<()> {
    let attempted = || format!("make the schema {schema}");
    session.run(&sql::create_schema(schema, names::MARKER)).await.trying_clauses(attempted)?;
    open_to_owner(session, schema, source).await
}

/// Lets the table's owner have it in a schema of ours.
pub(crate) async fn open_to_owner(session: &Session, schema: &str, source: u32) -> Result<()> {
    let owner = session
        .one(sql::OWNER, &[&source])
        .await
        .trying_clauses(format!("open the schema {schema} to the table's owner"))?;
    if owner.get::<_, bool>(1) {
        return Ok(());
    }
    session
        .run(&sql::open_schema(schema, owner.get(0)))
        .await
        .trying_clauses(format!("open the schema {schema} to the table's owner"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: &str, definition: &str) -> Line {
        Line { object: object.into(), definition: definition.into(), structure: true }
    }

    #[test]
    fn a_difference_is_named_once_whichever_side_has_it() {
        let one = [line("column a", "1 int"), line("index i", "x")];
        let other = [line("column a", "1 bigint"), line("constraint c", "y")];
        assert_eq!(differences(&one, &other), ["column a", "constraint c", "index i"]);
        assert!(differences(&one, &one).is_empty());
    }
}
