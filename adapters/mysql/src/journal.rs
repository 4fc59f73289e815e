//! The journal: the core's record of each table's change, and our own facts about what was made.

use crate::facts::{Entry, Facts, Made};
use crate::schema::table::{definition_of, fingerprint, outline};
use crate::server::doing::Doing;
use crate::server::error::{Failure, NO_SUCH_TABLE};
use crate::server::session::{Session, text};
use crate::sql;
use crate::state::MySql;
use altergeist_contract::{Journal, Record, Result, Stage, journal_json};
use std::sync::atomic::Ordering;

impl Journal for MySql {
    async fn load(&self) -> Result<Option<Record>> {
        let mut session = self.crew.reader().await?;
        let entry = self.entry(&mut session).await?;
        let Some(mut record) = entry.record else { return Ok(None) };
        if let Some(altering) = entry.facts.altering.filter(|_| record.stage == Stage::Altering) {
            let definition = match definition_of(&mut session, &self.source).await {
                // The plan says that it is gone.
                Err(failure) if failure.code() == Some(NO_SUCH_TABLE) => return Ok(Some(record)),
                found => found.doing_in_catalogue(self.doing("look at"))?,
            };
            let now = outline(&definition, &self.source.name, &[]);
            let is_changed = now != altering.before || altering.drops_keys;
            if now == altering.after && is_changed && self.change.dropped_keys.is_empty() {
                record.stage = Stage::Done;
            }
            return Ok(Some(record));
        }
        let Some(done) = entry.facts.done.filter(|_| record.stage == Stage::Done) else {
            return Ok(Some(record));
        };
        let now = match fingerprint(&mut session, &self.source).await {
            // A table that was dropped when its change was done has nothing left to do.
            Err(failure) if failure.code() == Some(NO_SUCH_TABLE) => return Ok(None),
            found => found.doing_in_catalogue(self.doing("look at"))?,
        };
        Ok((now == done && self.change.dropped_keys.is_empty()).then_some(record))
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.make_journal().await?;
        let json = journal_json::write(record);
        let entry = sql::journal::Entry {
            alter: &record.alter,
            stage: record.stage.name(),
            holder: &record.holder,
            record: &json,
        };
        match record.stage {
            Stage::Done => self.note_done().await?,
            Stage::Altering => self.note_altering().await?,
            _ => {}
        }
        self.write_journal(&sql::journal::save_entry(
            &self.names.journal,
            &self.source.name,
            &entry,
        ))
        .await
    }
}

impl MySql {
    /// Reads the table's entry; it is empty if there is no journal yet.
    pub(crate) async fn entry(&self, session: &mut Session) -> Result<Entry> {
        let attempted = || self.doing("read the journal of");
        self.check_own_tables(session).await?;
        let row = match session
            .row(&sql::journal::load_entry(&self.names.journal, &self.source.name))
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
    async fn note_done(&self) -> Result<()> {
        let mut session = self.crew.reader().await?;
        let mut facts = self.entry(&mut session).await?.facts;
        facts.done = Some(self.made(&mut session, &self.source).await?.fingerprint);
        facts.has_shadow = false;
        self.save_facts(&facts).await
    }

    /// Notes what the next statement would make of the table.
    async fn note_altering(&self) -> Result<()> {
        let mut session = self.crew.reader().await?;
        let mut facts = self.entry(&mut session).await?.facts;
        facts.altering = self.expected.lock().expect("not poisoned").clone();
        self.save_facts(&facts).await
    }

    pub(crate) async fn save_facts(&self, facts: &Facts) -> Result<()> {
        let json = journal_json::write(facts);
        self.write_journal(&sql::journal::save_facts(&self.names.journal, &self.source.name, &json))
            .await
    }

    async fn write_journal(&self, statement: &str) -> Result<()> {
        let lease = self.crew.lease(crate::server::pool::Slot::Control).await?;
        lease.execute(statement).await.doing_in_catalogue(self.doing("write the journal of"))?;
        Ok(())
    }

    /// Makes the journal's tables if they are missing.
    pub(crate) async fn make_journal(&self) -> Result<()> {
        if self.has_journal.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut lease = self.crew.lease(crate::server::pool::Slot::Control).await?;
        for (name, create) in [
            (&self.names.journal, sql::journal::create_journal(&self.names.journal)),
            (&self.names.beat, sql::journal::create_beat(&self.names.beat)),
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
        self.has_journal.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Returns what identifies a table later.
    pub(crate) async fn made(
        &self,
        session: &mut Session,
        name: &crate::server::names::TableName,
    ) -> Result<Made> {
        let fingerprint = fingerprint(session, name)
            .await
            .doing_in_catalogue(format!("look at {}", name.plain()))?;
        let is_plain = name
            .plain()
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.'));
        let ids = if is_plain {
            session
                .rows(&sql::catalogue::innodb_ids(self.server.version, name))
                .await
                .unwrap_or_default()
        } else {
            Vec::new()
        };
        Ok(Made { fingerprint, ids: ids.iter().map(|row| text(&row[0])).collect() })
    }
}
