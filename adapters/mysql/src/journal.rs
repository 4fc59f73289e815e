//! The journal: the core's record of each table's change, and our own facts about what was made.

use crate::change::Change;
use crate::facts::{Entry, Facts};
use crate::schema::identity::identify_table;
use crate::schema::table::{definition_of, fingerprint, outline};
use crate::server::doing::Doing;
use crate::server::error::{Failure, NO_SUCH_TABLE};
use crate::server::own_objects::check_own_tables;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, text};
use crate::sql;
use crate::state::{JournalTables, NativeState};
use altergeist_contract::{Record, Result, Stage, journal_json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(crate) async fn load_record(
    change: &Change,
    pool: &Arc<SessionPool>,
) -> Result<Option<Record>> {
    let mut session = pool.reader().await?;
    let entry = read_entry(change, &mut session).await?;
    let Some(mut record) = entry.record else { return Ok(None) };
    if let Some(altering) = entry.facts.altering.filter(|_| record.stage == Stage::Altering) {
        let definition = match definition_of(&mut session, &change.source).await {
            // The plan says that it is gone.
            Err(failure) if failure.code() == Some(NO_SUCH_TABLE) => return Ok(Some(record)),
            found => found.doing_in_catalogue(change.doing("look at"))?,
        };
        let now = outline(&definition, &change.source.name, &[]);
        let is_changed = now != altering.before || altering.drops_keys;
        if now == altering.after && is_changed && change.request.dropped_keys.is_empty() {
            record.stage = Stage::Done;
        }
        return Ok(Some(record));
    }
    let Some(done) = entry.facts.done.filter(|_| record.stage == Stage::Done) else {
        return Ok(Some(record));
    };
    let now = match fingerprint(&mut session, &change.source).await {
        // A table that was dropped when its change was done has nothing left to do.
        Err(failure) if failure.code() == Some(NO_SUCH_TABLE) => return Ok(None),
        found => found.doing_in_catalogue(change.doing("look at"))?,
    };
    Ok((now == done && change.request.dropped_keys.is_empty()).then_some(record))
}

pub(crate) async fn save_record(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
    journal: &JournalTables,
    record: &Record,
) -> Result<()> {
    make_journal(change, pool, journal).await?;
    let json = journal_json::write(record);
    let entry = sql::journal::Entry {
        alter: &record.alter,
        stage: record.stage.name(),
        holder: &record.holder,
        record: &json,
    };
    match record.stage {
        Stage::Done => note_done(change, pool).await?,
        Stage::Altering => note_altering(change, pool, native).await?,
        _ => {}
    }
    write_journal(
        change,
        pool,
        &sql::journal::save_entry(&change.names.journal, &change.source.name, &entry),
    )
    .await
}

/// Reads the table's entry; it is empty if there is no journal yet. If the engine is turned around,
/// the facts are those of the way back.
pub(crate) async fn read_entry(change: &Change, session: &mut Session) -> Result<Entry> {
    let mut entry = read_whole_entry(change, session).await?;
    if change.way_back.is_some() {
        entry.facts = entry.facts.back.take().map(|back| *back).unwrap_or_default();
    }
    Ok(entry)
}

/// Reads the table's entry with the facts of the change itself.
pub(crate) async fn read_whole_entry(change: &Change, session: &mut Session) -> Result<Entry> {
    let attempted = || change.doing("read the journal of");
    check_own_tables(change, session).await?;
    let row = match session
        .row(&sql::journal::load_entry(&change.names.journal, &change.source.name))
        .await
    {
        Ok(Some(row)) => row,
        Ok(None) | Err(Failure::Server { code: NO_SUCH_TABLE, .. }) => {
            return Ok(Entry::default());
        }
        Err(failure) => return Err(failure.of_catalogue(attempted())),
    };
    let record = match &row[0] {
        Some(_) => Some(journal_json::read(&text(&row[0]), attempted)?),
        None => None,
    };
    let facts = journal_json::read(&text(&row[1]), attempted)?;
    Ok(Entry { record, facts, exists: true })
}

/// Notes the table as the change has made it: the record counts only while the table stays so.
/// From here on no table with the shadow's name is ours.
async fn note_done(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let mut session = pool.reader().await?;
    let mut facts = read_whole_entry(change, &mut session).await?.facts;
    facts.done = Some(identify_table(change, &mut session, &change.source).await?.fingerprint);
    facts.has_shadow = false;
    facts.back = None;
    save_whole_facts(change, pool, &facts).await
}

/// Notes what the next statement would make of the table.
async fn note_altering(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
) -> Result<()> {
    let mut session = pool.reader().await?;
    let mut facts = read_entry(change, &mut session).await?.facts;
    facts.altering = native.expected.lock().expect("not poisoned").clone();
    save_facts(change, pool, &facts).await
}

/// Saves the facts that [`read_entry`] reads.
pub(crate) async fn save_facts(
    change: &Change,
    pool: &Arc<SessionPool>,
    facts: &Facts,
) -> Result<()> {
    if change.way_back.is_none() {
        return save_whole_facts(change, pool, facts).await;
    }
    let mut whole = read_whole_entry(change, &mut pool.reader().await?).await?.facts;
    whole.back = Some(Box::new(facts.clone()));
    save_whole_facts(change, pool, &whole).await
}

/// Saves the facts that [`read_whole_entry`] reads.
pub(crate) async fn save_whole_facts(
    change: &Change,
    pool: &Arc<SessionPool>,
    facts: &Facts,
) -> Result<()> {
    let json = journal_json::write(facts);
    write_journal(
        change,
        pool,
        &sql::journal::save_facts(&change.names.journal, &change.source.name, &json),
    )
    .await
}

async fn write_journal(change: &Change, pool: &Arc<SessionPool>, statement: &str) -> Result<()> {
    let lease = pool.lease(crate::server::pool::Slot::Control).await?;
    lease.execute(statement).await.doing_in_catalogue(change.doing("write the journal of"))?;
    Ok(())
}

/// Makes the journal's tables if they are missing.
pub(crate) async fn make_journal(
    change: &Change,
    pool: &Arc<SessionPool>,
    journal: &JournalTables,
) -> Result<()> {
    if journal.exist.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut lease = pool.lease(crate::server::pool::Slot::Control).await?;
    for (name, create) in [
        (&change.names.journal, sql::journal::create_journal(&change.names.journal)),
        (&change.names.beat, sql::journal::create_beat(&change.names.beat)),
    ] {
        let attempted = || format!("make the journal table {}", name.plain());
        let found = lease
            .session()
            .row(&sql::catalogue::find_table(name))
            .await
            .doing_in_catalogue(attempted)?;
        if found.is_none() {
            lease.session().execute(&create).await.doing_in_catalogue(attempted)?;
        }
    }
    lease.keep();
    journal.exist.store(true, Ordering::Relaxed);
    Ok(())
}
