//! The journal, the heartbeat and the schemas of ours.

use crate::sql::own_objects::no_code;
use crate::sql::quote::{literal, quoted};

/// Whether the journal is there.
pub(crate) const JOURNAL_EXISTS: &str = "SELECT to_regclass('altergeist.journal') IS NOT NULL";

/// A table's entry.
pub(crate) fn load(table: &str) -> String {
    format!(
        "SELECT record, facts FROM ONLY altergeist.journal WHERE \"table\" = {}",
        literal(table)
    )
}

/// Writes the record, whose columns are literals, and leaves the facts alone.
pub(crate) fn save(columns: &[String; 6]) -> String {
    format!(
        "INSERT INTO altergeist.journal (\"table\", run, alter, stage, holder, record, updated_at)
        VALUES ({}, now())
        ON CONFLICT (\"table\") DO UPDATE
        SET run = excluded.run, alter = excluded.alter, stage = excluded.stage, holder = excluded.holder,
            record = excluded.record, updated_at = excluded.updated_at",
        columns.join(", ")
    )
}

/// Writes the facts and leaves the record alone.
pub(crate) fn save_facts(table: &str, facts: &str) -> String {
    format!(
        "INSERT INTO altergeist.journal (\"table\", facts, updated_at) VALUES ({}, {}, now())
        ON CONFLICT (\"table\") DO UPDATE SET facts = excluded.facts, updated_at = excluded.updated_at",
        literal(table),
        literal(facts)
    )
}

/// The name table $1 has in schema $2, if it is there.
pub(crate) const NAME_IN: &str = "
    SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1 AND n.nspname = $2";

/// The schema and the name of a table.
pub(crate) const PLACE: &str = "
    SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1";

/// Forgets a table.
pub(crate) fn forget(table: &str) -> String {
    let table = literal(table);
    format!(
        "LOCK TABLE ONLY altergeist.heartbeat IN ROW EXCLUSIVE MODE;
        {};
        DELETE FROM ONLY altergeist.heartbeat WHERE \"table\" = {table};
        DELETE FROM ONLY altergeist.journal WHERE \"table\" = {table}",
        no_code()
    )
}

/// The heartbeat's table, if it is there.
pub(crate) const HEARTBEAT: &str = "SELECT to_regclass('altergeist.heartbeat')::oid";

/// Says that this run is alive; replicas are asked what they know of it. Fails unless the table is
/// the one that was looked at.
pub(crate) fn beat(heartbeat: u32, table: &str, incarnation: &str, beat: i64) -> String {
    format!(
        "LOCK TABLE ONLY altergeist.heartbeat IN ROW EXCLUSIVE MODE;
        SELECT (oid || ' is another table')::int FROM pg_class
        WHERE oid = 'altergeist.heartbeat'::regclass AND oid <> {heartbeat};
        INSERT INTO altergeist.heartbeat (\"table\", incarnation, beat, at) VALUES ({}, {}, {beat}, now())
        ON CONFLICT (\"table\") DO UPDATE SET incarnation = excluded.incarnation, beat = excluded.beat, at = excluded.at",
        literal(table),
        literal(incarnation)
    )
}

/// The last heartbeat of this run a server has.
pub(crate) const LAST_BEAT: &str =
    "SELECT beat FROM altergeist.heartbeat WHERE \"table\" = $1 AND incarnation = $2";

/// Makes a schema, marked as ours, unless somebody has made it. An event trigger may give it to
/// somebody else at once.
pub(crate) fn create_schema(schema: &str, marker: &str) -> String {
    format!(
        "CREATE SCHEMA {name}; ALTER SCHEMA {name} OWNER TO CURRENT_USER; COMMENT ON SCHEMA \
         {name} IS {marker};",
        name = quoted(schema),
        marker = literal(marker)
    )
}

/// A schema's comment, if there is such a schema.
pub(crate) const SCHEMA_COMMENT: &str = "
    SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1";

/// Whether nothing lives in a schema any more.
pub(crate) const SCHEMA_IS_EMPTY: &str = "
    SELECT NOT EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
       AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)
       AND NOT EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid)
    FROM pg_namespace n WHERE n.nspname = $1";

/// Lets the owner of a table keep it in a schema of ours.
pub(crate) fn open_schema(schema: &str, owner: &str) -> String {
    format!("GRANT USAGE, CREATE ON SCHEMA {} TO {}", quoted(schema), quoted(owner))
}

/// A table's owner, and whether that is us.
pub(crate) const OWNER: &str = "
    SELECT pg_get_userbyid(relowner)::text, pg_get_userbyid(relowner) = current_user FROM pg_class WHERE oid = $1";
