//! The journal: one row for each table, with the core's record and the facts that this engine needs
//! to continue.

use crate::facts::{Facts, ShadowFacts};
use crate::schema::catalogue;
use crate::schema::definition;
use crate::server::doing::Doing;
use crate::server::names::{JOURNAL_SCHEMA, MARKER, Names};
use crate::server::own_objects::{self, JournalLock, Trust};
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote;
use altergeist_contract::{Error, Kind, Record, Result, Stage, journal_json};

/// Why a run cannot continue.
pub(crate) const FORGOTTEN: &str = "the journal does not know the run: the schema altergeist was \
                                    dropped, or the run never started; `altergeist cleanup` drops \
                                    what is left of it; then start again";

/// A table's entry.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) record: Option<Record>,
    pub(crate) facts: Option<Facts>,
    /// Whether no other user can have written it. Only then its statements may be run.
    pub(crate) is_ours: bool,
}

/// Returns the table's record, with the stage that the server shows.
pub(crate) async fn load(session: &Session, names: &Names) -> Result<Option<Record>> {
    let Entry { record: Some(record), facts, is_ours } = entry(session, names).await? else {
        return Ok(None);
    };
    let online_steps = facts.as_ref().and_then(|facts| facts.online_steps.as_ref());
    if record.stage == Stage::Altering
        && online_steps.is_some_and(|online_steps| {
            online_steps.is_done() && online_steps.alter == record.alter
        })
    {
        return Ok(Some(Record { stage: Stage::Done, ..record }));
    }
    let shadow = facts.as_ref().and_then(|facts| facts.shadow.as_ref());
    if let Some(shadow) = shadow
        && is_ours
        && matches!(record.stage, Stage::Copying | Stage::CuttingOver)
        && catalogue::table_id(session, &names.shadow_schema, &names.table).await?
            == Some(shadow.oid)
        && !is_whole(session, shadow).await?
    {
        tracing::warn!(
            "{}: a crash of the server has emptied the unlogged shadow; the copy starts again",
            names.display
        );
        return Ok(Some(Record { stage: Stage::Preparing, ..record }));
    }
    let done = facts.and_then(|facts| facts.done);
    let done = match (record.stage, done) {
        (Stage::Done | Stage::Altering, Some(done)) => done,
        (Stage::Altering, None) => return Ok(None),
        _ => return Ok(Some(record)),
    };
    let Some(table) = catalogue::table_id(session, &names.schema, &names.table).await? else {
        return Ok(None);
    };
    let structure = definition::structure(&definition::describe(session, table).await?);
    Ok((structure == done).then_some(Record { stage: Stage::Done, ..record }))
}

/// Whether the shadow still holds its rows. The server empties an unlogged one after a crash. If it
/// is true once in a transaction, it stays so until that ends.
pub(crate) async fn is_whole(session: &Session, shadow: &ShadowFacts) -> Result<bool> {
    if !shadow.is_unlogged {
        return Ok(true);
    }
    let row = session.one(sql::IS_WHOLE, &[&shadow.oid]).await;
    Ok(row.doing("ask whether the shadow is whole")?.get(0))
}

/// Writes the record.
pub(crate) async fn save(session: &Session, names: &Names, record: &Record) -> Result<()> {
    ensure_tables(session).await?;
    if record.stage == Stage::Done {
        note_done(session, names).await?;
    }
    let attempted = || format!("save the record of {}", names.display);
    let columns = [
        &*names.display,
        &record.run,
        &record.alter,
        record.stage.name(),
        &record.holder,
        &journal_json::write(record),
    ];
    let saved = own_objects::use_journal(
        session,
        JournalLock::Write,
        &sql::save(&columns.map(quote::literal)),
    )
    .await;
    saved.map(drop).map_err(|error| own_objects::journal_error(attempted(), &error))
}

/// Notes the table's structure after the change, by a swap or natively. The record is valid for
/// that structure only.
pub(crate) async fn note_done(session: &Session, names: &Names) -> Result<()> {
    let Some(table) = catalogue::table_id(session, &names.schema, &names.table).await? else {
        return Ok(());
    };
    let done = Some(definition::structure(&definition::describe(session, table).await?));
    // The note is about the change, whichever way the run looks. There is no way back any more.
    let names = if names.is_turned { &names.turned() } else { names };
    let facts = match entry(session, names).await?.facts {
        Some(facts) => Facts { done, online_steps: None, reverse: None, ..facts },
        None => Facts { source: table, done, ..Facts::none() },
    };
    save_facts(session, names, &facts).await
}

/// The table's entry, empty if there is none.
pub(crate) async fn entry(session: &Session, names: &Names) -> Result<Entry> {
    let attempted = || format!("read the journal of {}", names.display);
    if !session.one(sql::JOURNAL_EXISTS, &[]).await.doing(attempted)?.get::<_, bool>(0) {
        return Ok(Entry::default());
    }
    let is_ours = own_objects::trust(session, &attempted()).await? == Trust::Full;
    let rows =
        own_objects::use_journal(session, JournalLock::Read, &sql::load(&names.display)).await;
    let rows = rows.map_err(|error| own_objects::journal_error(attempted(), &error))?;
    let Some(row) = rows.iter().find(|row| row.columns().len() == 2) else {
        return Ok(Entry::default());
    };
    Ok(Entry {
        record: row.get(0).map(|text| journal_json::read(text, attempted)).transpose()?,
        facts: row
            .get(1)
            .map(|text| journal_json::read(text, attempted))
            .transpose()?
            .and_then(|facts: Facts| if names.is_turned { facts.turned() } else { Some(facts) }),
        is_ours,
    })
}

/// The facts of this run. There must be some.
pub(crate) async fn facts(session: &Session, names: &Names) -> Result<Facts> {
    let attempted = format!("read the journal of {}", names.display);
    let entry = entry(session, names).await?;
    if !entry.is_ours {
        // It may be another's, or be gone.
        own_objects::require(session, &attempted).await?;
    }
    // Without its journal nothing proves what was copied: a run copies again.
    entry.facts.ok_or_else(|| Error::new(Kind::Missed, attempted, FORGOTTEN))
}

/// Writes the facts down, within the session's transaction if it has one.
pub(crate) async fn save_facts(session: &Session, names: &Names, facts: &Facts) -> Result<()> {
    let attempted = || format!("write the journal of {}", names.display);
    let statement = sql::save_facts(&names.display, &written(names, facts));
    let saved = own_objects::use_journal(session, JournalLock::Write, &statement).await;
    saved.map(drop).map_err(|error| own_objects::journal_error(attempted(), &error))
}

/// Returns the facts as the journal keeps them: in the direction of the change.
pub(crate) fn written(names: &Names, facts: &Facts) -> String {
    let turned = if names.is_turned { facts.clone().turned() } else { None };
    journal_json::write(turned.as_ref().unwrap_or(facts))
}

/// Makes the journal if it is missing, and refuses one of another user. Two runs may begin at once:
/// one of them makes it, and the other waits.
pub(crate) async fn ensure_tables(session: &Session) -> Result<()> {
    const ATTEMPTED: &str = "make the journal";
    own_objects::require(session, ATTEMPTED).await?;
    if session.one(sql::JOURNAL_EXISTS, &[]).await.trying_clauses(ATTEMPTED)?.get(0) {
        return Ok(());
    }
    session.run(sql::BEGIN).await.trying_clauses(ATTEMPTED)?;
    let made = make_tables(session).await;
    session
        .run(if made.is_ok() { sql::COMMIT } else { sql::ROLLBACK })
        .await
        .trying_clauses(ATTEMPTED)?;
    made
}

async fn make_tables(session: &Session) -> Result<()> {
    const ATTEMPTED: &str = "make the journal";
    own_objects::serialise(session).await?;
    let comments =
        session.query(sql::SCHEMA_COMMENT, &[&JOURNAL_SCHEMA]).await.trying_clauses(ATTEMPTED)?;
    if comments.is_empty() {
        session.run(&sql::create_schema(JOURNAL_SCHEMA, MARKER)).await.trying_clauses(ATTEMPTED)?;
    }
    make_as_ours(session, sql::JOURNAL_TABLES).await.trying_clauses(ATTEMPTED)?;
    own_objects::require(session, ATTEMPTED).await
}

/// Makes tables of ours if they are missing, within the session's transaction. It undoes what event
/// triggers and default privileges did to the new ones. A table that was there before may belong to
/// another user, and stays as it is.
pub(crate) async fn make_as_ours(
    session: &Session,
    statements: &str,
) -> std::result::Result<(), tokio_postgres::Error> {
    let table = |row: &tokio_postgres::Row| (row.get::<_, u32>(0), row.get::<_, String>(1));
    let before: Vec<_> =
        session.query(sql::JOURNAL_TABLES_THERE, &[]).await?.iter().map(table).collect();
    session.run(statements).await?;
    let now: Vec<_> =
        session.query(sql::JOURNAL_TABLES_THERE, &[]).await?.iter().map(table).collect();
    for (oid, name) in now.iter().filter(|made| !before.contains(made)) {
        session.run(&sql::set_owner(name, "CURRENT_USER")).await?;
        let undo = session.query(sql::EVENT_TRIGGERS_UNDONE, &[oid, oid, name]).await?;
        let script: Vec<String> = undo.iter().map(|row| row.get(0)).collect();
        session.run(&script.join(";\n")).await?;
    }
    strip_privileges(session).await
}

/// Revokes what default privileges have granted to others on the journal's tables.
async fn strip_privileges(session: &Session) -> std::result::Result<(), tokio_postgres::Error> {
    let rows = session.query(sql::STRIP_PRIVILEGES, &[]).await?;
    let script: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    session.run(&script.join(";\n")).await
}
