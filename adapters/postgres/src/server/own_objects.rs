//! Checks whether objects with this tool's names are its own. A user who may create a schema can
//! create one under our name first, with a trigger that then runs as the next superuser. So nothing
//! is used before its owner and its shape are known.

use crate::schema::catalogue::{self, SchemaState};
use crate::schema::definition;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::JOURNAL_SCHEMA;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Error, Finding, Kind, Result};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

/// Drops a schema of ours if it is empty.
pub(crate) async fn drop_schema_if_empty(session: &Session, schema: &str) -> Result<()> {
    if !matches!(catalogue::schema_state(session, schema).await?, SchemaState::Ours) {
        return Ok(());
    }
    let attempted = || format!("drop the empty schema {schema}");
    session.run(sql::BEGIN).await.doing(attempted)?;
    serialise(session).await?;
    let rows = session.query(sql::SCHEMA_IS_EMPTY, &[&schema]).await.doing(attempted)?;
    if !rows.first().is_some_and(|row| row.get(0)) {
        return session.run(sql::ROLLBACK).await.doing(attempted);
    }
    match session.run(&sql::drop_schema_and_commit(schema)).await {
        // Another run has just begun to use it.
        Err(error) if error::has_dependents(&error) => {
            session.run(sql::ROLLBACK).await.doing(attempted)
        }
        other => other.doing(attempted),
    }
}

/// Something under our name that is not ours.
struct Stranger {
    object: String,
    why: String,
    remedy: String,
    /// Whether reading it may run the code of another user.
    bears_code: bool,
}

/// How far the journal may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It is as this tool makes it, and no other user may write it. Its statements may be run.
    Full,
    /// It bears no code, but another user may have written it. Its rows may be read and deleted; no
    /// statement in them is run.
    AsData,
}

async fn strangers(session: &Session) -> Result<Vec<Stranger>> {
    let rows = session.query(sql::STRANGERS, &[]).await;
    let rows = rows.doing(format!("look at the schema {JOURNAL_SCHEMA}"))?;
    let stranger = |row: &tokio_postgres::Row| Stranger {
        object: row.get(0),
        why: row.get(1),
        remedy: row.get(2),
        bears_code: row.get(3),
    };
    Ok(rows.iter().map(stranger).collect())
}

/// What of the journal is not ours, as refusals.
pub(crate) async fn refusals(session: &Session) -> Result<Vec<Finding>> {
    let strangers = strangers(session).await?;
    Ok(strangers
        .into_iter()
        .map(|it| Finding::error(Code::NotOurs, it.object, it.why, &it.remedy))
        .collect())
}

/// How far the journal may be used. Refuses one that could run the code of another user.
pub(crate) async fn trust(session: &Session, attempted: &str) -> Result<Trust> {
    let strangers = strangers(session).await?;
    match strangers.iter().find(|stranger| stranger.bears_code) {
        Some(stranger) => Err(refused(attempted, stranger)),
        None if strangers.is_empty() => Ok(Trust::Full),
        None => Ok(Trust::AsData),
    }
}

/// Refuses unless the journal is ours in every respect.
pub(crate) async fn require(session: &Session, attempted: &str) -> Result<()> {
    match strangers(session).await?.first() {
        None => Ok(()),
        Some(stranger) => Err(refused(attempted, stranger)),
    }
}

fn refused(attempted: &str, stranger: &Stranger) -> Error {
    Error::refused(attempted, format!("{}: {}; {}", stranger.object, stranger.why, stranger.remedy))
}

/// Runs one statement on the journal. The same transaction first locks the journal and checks again
/// that it bears no code. So no other session can add a trigger, or replace the table, in between.
pub(crate) async fn use_journal(
    session: &Session,
    lock: JournalLock,
    statement: &str,
) -> std::result::Result<Vec<SimpleQueryRow>, tokio_postgres::Error> {
    let script = sql::with_journal(lock.is_write(), statement);
    let mut rows = Vec::new();
    for message in session.script(&script).await? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// What the statement does with the journal.
#[derive(Clone, Copy)]
pub(crate) enum JournalLock {
    /// Rows are read.
    Read,
    /// Rows are written.
    Write,
}

impl JournalLock {
    fn is_write(self) -> bool {
        matches!(self, JournalLock::Write)
    }
}

/// What an error of [`use_journal`] means.
pub(crate) fn journal_error(attempted: String, failed: &tokio_postgres::Error) -> Error {
    if error::bears_code(failed) {
        let reason =
            "the journal was changed by another session at this moment; `altergeist plan` says how";
        return Error::refused(attempted, reason);
    }
    if error::is_forbidden(failed) {
        let reason = "the journal in the schema altergeist belongs to another role, and this role \
                      may not use it: run as that role, or as one that may";
        return Error::refused(attempted, reason);
    }
    error::of(attempted, failed)
}

/// A schema of ours for the shadow or the old table that another role owns, or that others may
/// create objects in.
pub(crate) async fn stranger_schema(session: &Session, schema: &str) -> Result<Option<Finding>> {
    let rows = session.query(sql::STRANGER_SCHEMA, &[&schema]).await;
    let rows = rows.doing(format!("look at the schema {schema}"))?;
    Ok(rows.first().map(|row| {
        Finding::error(
            Code::NotOurs,
            format!("schema {schema}"),
            row.get::<_, String>(0),
            row.get::<_, String>(1),
        )
    }))
}

/// Refuses such a schema.
pub(crate) async fn require_schema(session: &Session, schema: &str, attempted: &str) -> Result<()> {
    match stranger_schema(session, schema).await? {
        None => Ok(()),
        Some(it) => {
            Err(Error::refused(attempted, format!("{}: {}; {}", it.object, it.message, it.remedy)))
        }
    }
}

/// Refuses a shadow that bears code. This tool adds none, and it would run as our user.
pub(crate) async fn require_bare(session: &Session, shadow: u32, attempted: &str) -> Result<()> {
    let rows = session.query(sql::CODE_ON, &[&shadow]).await;
    let rows = rows.doing(attempted)?;
    match rows.first() {
        None => Ok(()),
        Some(row) => {
            let (object, remedy): (String, String) = (row.get(0), row.get(1));
            let reason = format!("another session put {object} on the shadow; {remedy}");
            Err(Error::new(Kind::Refused, attempted, reason))
        }
    }
}

/// Makes those who make or drop schemas of ours wait for each other, until the session's
/// transaction ends.
pub(crate) async fn serialise(session: &Session) -> Result<()> {
    let waited = session.query(sql::SERIALISE, &[]).await;
    waited.map(drop).doing("wait for another run that makes or drops a schema")
}

/// Keeps schemas of ours from being made or dropped by others, until the session's transaction
/// ends.
pub(crate) async fn keep_schemas(session: &Session, attempted: &str) -> Result<()> {
    let kept = session.query(sql::KEEP_SCHEMAS, &[]).await;
    kept.map(drop).locking(attempted)
}

/// Makes a schema for shadows or old tables where it is missing, in a transaction of its own.
pub(crate) async fn ensure_schema(session: &Session, schema: &str, source: u32) -> Result<()> {
    let attempted = || format!("make the schema {schema}");
    if !matches!(catalogue::schema_state(session, schema).await?, SchemaState::Missing) {
        return Ok(());
    }
    session.run(sql::BEGIN).await.doing(attempted)?;
    serialise(session).await?;
    if matches!(catalogue::schema_state(session, schema).await?, SchemaState::Missing) {
        definition::make_schema(session, schema, source).await?;
    }
    session.run(sql::COMMIT).await.doing(attempted)
}
