//! The journal and the heartbeats.

use crate::server::names::TableName;
use crate::sql::quote::{sign, string, table};

pub(crate) fn create_journal(journal: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
            source VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
            alter_clauses LONGTEXT CHARACTER SET utf8mb4 NOT NULL,
            stage VARCHAR(32) CHARACTER SET utf8mb4 NOT NULL,
            updated_at DATETIME NOT NULL,
            holder VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL,
            record LONGTEXT CHARACTER SET utf8mb4 NULL,
            facts LONGTEXT CHARACTER SET utf8mb4 NOT NULL
        ) ENGINE = InnoDB COMMENT = 'altergeist: schema changes under way and done'",
        table(journal)
    )
}

pub(crate) fn create_beat(beat: &TableName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (
            source VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
            beat BIGINT UNSIGNED NOT NULL
        ) ENGINE = InnoDB COMMENT = 'altergeist: heartbeats of schema changes under way'",
        table(beat)
    )
}

pub(crate) fn load_entry(journal: &TableName, source: &str) -> String {
    format!("SELECT record, facts FROM {} WHERE source = {}", table(journal), string(source))
}

/// The journal's columns besides the record itself.
pub(crate) struct Entry<'a> {
    pub alter: &'a str,
    pub stage: &'a str,
    pub holder: &'a str,
    pub record: &'a str,
}

pub(crate) fn save_entry(journal: &TableName, source: &str, entry: &Entry) -> String {
    let [alter, stage, record] = [entry.alter, entry.stage, entry.record].map(string);
    let holder = string(&entry.holder.chars().take(255).collect::<String>());
    format!(
        "INSERT INTO {} (source, alter_clauses, stage, updated_at, holder, record, facts) \
         VALUES ({}, {alter}, {stage}, NOW(), {holder}, {record}, '{{}}') ON DUPLICATE KEY UPDATE \
         alter_clauses = {alter}, stage = {stage}, updated_at = NOW(), holder = {holder}, record \
         = {record}",
        table(journal),
        string(source)
    )
}

pub(crate) fn save_facts(journal: &TableName, source: &str, facts: &str) -> String {
    let facts = string(facts);
    format!(
        "INSERT INTO {} (source, alter_clauses, stage, updated_at, holder, record, facts) \
         VALUES ({}, '', '', NOW(), '', NULL, {facts}) ON DUPLICATE KEY UPDATE facts = {facts}",
        table(journal),
        string(source)
    )
}

pub(crate) fn delete_entry(of: &TableName, source: &str) -> String {
    format!("DELETE FROM {} WHERE source = {}", table(of), string(source))
}

pub(crate) fn first_beat(beat: &TableName, source: &str, number: u64) -> String {
    format!("INSERT INTO {} (source, beat) VALUES ({}, {number})", table(beat), string(source))
}

pub(crate) fn last_beat(beat: &TableName, source: &str) -> String {
    format!("SELECT beat FROM {} WHERE source = {}", table(beat), string(source))
}

/// Writes the next heartbeat. It changes no row if another session has written one.
pub(crate) fn next_beat(beat: &TableName, source: &TableName, number: u64) -> String {
    format!(
        "{}UPDATE {} SET beat = {number} WHERE source = {} AND beat = {}",
        sign(source),
        table(beat),
        string(&source.name),
        number - 1
    )
}
