//! The statements of the lock and the swap.

use crate::server::names::TableName;
use crate::sql::quote::{sign, string, table};

/// Only this session reads or writes either table.
pub(crate) fn lock_both(source: &TableName, shadow: &TableName) -> String {
    format!("{}LOCK TABLES {} WRITE, {} WRITE", sign(source), table(source), table(shadow))
}

/// A further table for that lock.
pub(crate) fn and_lock(further: &TableName) -> String {
    format!(", {} WRITE", table(further))
}

/// Only this session reads or writes the source.
pub(crate) fn lock_against_all(source: &TableName) -> String {
    format!("{}LOCK TABLES {} WRITE", sign(source), table(source))
}

/// Locks a table that a foreign key binds to the source. No session writes a parent, and no session
/// uses a child.
pub(crate) fn lock_relation(source: &TableName, relation: &TableName, is_child: bool) -> String {
    let against = if is_child { "WRITE" } else { "READ" };
    format!("{}LOCK TABLES {} {against}", sign(source), table(relation))
}

/// Locks the source for this session only, if that needs no wait (MariaDB).
pub(crate) fn lock_at_once(source: &TableName) -> String {
    format!("{}LOCK TABLES {} WRITE NOWAIT", sign(source), table(source))
}

/// A transaction that has read the source and not written it (MySQL).
pub(crate) fn find_reader(source: &TableName) -> String {
    let held = |alias: &str, kind: &str| {
        format!(
            "{alias}.OBJECT_TYPE = 'TABLE' AND {alias}.OBJECT_SCHEMA = {} AND {alias}.OBJECT_NAME \
             = {} AND {alias}.LOCK_TYPE = '{kind}' AND {alias}.LOCK_STATUS = 'GRANTED'",
            string(&source.schema),
            string(&source.name)
        )
    };
    format!(
        "{}SELECT 1 FROM performance_schema.metadata_locks r WHERE {} AND NOT EXISTS (SELECT 1 \
         FROM performance_schema.metadata_locks w WHERE w.OWNER_THREAD_ID = r.OWNER_THREAD_ID AND \
         {}) LIMIT 1",
        sign(source),
        held("r", "SHARED_READ"),
        held("w", "SHARED_WRITE")
    )
}

/// No session writes the source; all may read it.
pub(crate) fn lock_against_writes(source: &TableName) -> String {
    format!("{}LOCK TABLES {} READ", sign(source), table(source))
}

pub(crate) fn rename(source: &TableName, from: &TableName, to: &TableName) -> String {
    format!("{}RENAME TABLE {} TO {}", sign(source), table(from), table(to))
}

pub(crate) fn rename_both(source: &TableName, old: &TableName, shadow: &TableName) -> String {
    let source_quoted = table(source);
    format!(
        "{}RENAME TABLE {source_quoted} TO {}, {} TO {source_quoted}",
        sign(source),
        table(old),
        table(shadow)
    )
}

/// Renames both only if the sentry exists: its rename comes first, and without it nothing happens.
pub(crate) fn rename_both_on(
    source: &TableName,
    old: &TableName,
    shadow: &TableName,
    sentry: &TableName,
    used_sentry: &TableName,
) -> String {
    let source_quoted = table(source);
    format!(
        "{}RENAME TABLE {} TO {}, {source_quoted} TO {}, {} TO {source_quoted}",
        sign(source),
        table(sentry),
        table(used_sentry),
        table(old),
        table(shadow)
    )
}

/// The comment of a sentry table. It shows that this tool made the table.
pub(crate) const SENTRY: &str = "altergeist: sentry of a cut-over";

pub(crate) fn create_sentry(source: &TableName, sentry: &TableName) -> String {
    format!(
        "{}CREATE TABLE {} (go TINYINT) ENGINE = MEMORY COMMENT = '{SENTRY}'",
        sign(source),
        table(sentry)
    )
}

/// What a session does now: its state and its statement.
pub(crate) fn doing(id: u64) -> String {
    format!("SELECT STATE, INFO FROM information_schema.PROCESSLIST WHERE ID = {id}")
}

/// Waits only for an exclusive lock that is held, not for a session that waits for one.
pub(crate) fn look_at(name: &TableName) -> String {
    format!("SHOW CREATE TABLE {}", table(name))
}

pub(crate) fn next_row_number(source: &TableName, of: &TableName) -> String {
    format!(
        "{}SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND \
         TABLE_NAME = {}",
        sign(source),
        string(&of.schema),
        string(&of.name)
    )
}

pub(crate) fn set_next_row_number(source: &TableName, of: &TableName, number: u64) -> String {
    format!("{}ALTER TABLE {} AUTO_INCREMENT = {number}", sign(source), table(of))
}

/// Releases all tables that the session has locked.
pub(crate) const UNLOCK: &str = "UNLOCK TABLES";

/// Does not wait for a locked table.
pub(crate) const WAIT_FOR_NO_TABLE: &str = "SET SESSION lock_wait_timeout = 0";

/// Waits for a locked table for the shortest time that the server can count.
pub(crate) const WAIT_A_SECOND: &str = "SET SESSION lock_wait_timeout = 1";
