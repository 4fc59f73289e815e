//! Turns the engine around after the swap, so that the old table follows the altered one.
//!
//! The names of the two tables are exchanged, and nearly everything else stays as it is: the lock,
//! the swap, triggers, foreign keys and the proofs. The journal holds what the tables themselves do
//! not show ([`WayBack`]), from before the swap on.

use crate::change::Change;
use crate::cutover::ownership::find_owner;
use crate::facts::{Facts, WayBack};
use crate::journal::{make_journal, read_whole_entry, save_whole_facts};
use crate::schema::foreign_key::ForeignKey;
use crate::schema::identity::identify_table;
use crate::schema::lookup::table_exists;
use crate::schema::table::definition_of;
use crate::server::doing::Doing;
use crate::server::pool::{SessionPool, Slot};
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::misfits;
use crate::sql;
use crate::state::{JournalTables, MySql};
use altergeist_contract::{Error, Key, Misfits, Ownership, Result, Reversal};
use std::sync::Arc;

impl Reversal for MySql {
    async fn turn_around(self) -> Result<MySql> {
        if self.change.way_back.is_some() {
            return Ok(self);
        }
        let way_back = begin_way_back(&self.change, &self.pool, &self.journal).await?;
        let turned = self.turned(way_back);
        make_misfits(&turned).await?;
        Ok(turned)
    }

    async fn refresh_each(&self, keys: &[Key]) -> Result<()> {
        misfits::refresh_each(&self.change, &self.pool, &self.shadow, keys).await
    }

    async fn misfits(&self) -> Result<Vec<Misfits>> {
        misfits::count_misfits(&self.change, &self.pool).await
    }

    async fn blocked_misfits(&self, most: usize) -> Result<Vec<Key>> {
        misfits::blocked_misfits(&self.change, &self.pool, &self.shadow, most).await
    }
}

/// Proves that the tables are those that the swap left. Notes the facts of the way back, unless an
/// earlier process did.
async fn begin_way_back(
    change: &Change,
    pool: &Arc<SessionPool>,
    journal: &JournalTables,
) -> Result<WayBack> {
    let attempted = || change.doing("turn the change around of");
    make_journal(change, pool, journal).await?;
    let mut session = pool.reader().await?;
    let mut facts = read_whole_entry(change, &mut session).await?.facts;
    let Some(way_back) = facts.way_back.clone() else {
        let reason = "the journal does not say how: the change was not made with --reversible";
        return Err(Error::refused(attempted(), reason));
    };
    if facts.back.is_some() {
        return Ok(way_back);
    }
    match find_owner(change, pool).await? {
        Ownership::Shadow => {}
        Ownership::Source => {
            return Err(Error::refused(attempted(), "its tables are not swapped"));
        }
        Ownership::Unclear(found) => return Err(Error::refused(attempted(), found)),
    }
    let old = identify_table(change, &mut session, &change.names.old).await?;
    if !facts.source.as_ref().is_some_and(|made| made.is_same(&old)) {
        let reason = format!(
            "{} is not the table that the swap put there. Keep the tables as the change left them",
            change.names.old.plain()
        );
        return Err(Error::refused(attempted(), reason));
    }
    let altered = match &facts.shadow {
        Some(altered) => altered.clone(),
        None => identify_table(change, &mut session, &change.source).await?,
    };
    let altered_text = match way_back.altered_text.is_empty() {
        true => definition_of(&mut session, &change.source).await.doing_in_catalogue(attempted)?,
        false => way_back.altered_text.clone(),
    };
    // The keys bear the names that they had. So they must not look like keys of a copy.
    let of_old = |key: &ForeignKey| ForeignKey { child: change.names.old.clone(), ..key.clone() };
    facts.back = Some(Box::new(Facts {
        source: Some(altered),
        source_text: altered_text,
        has_shadow: true,
        shadow: Some(old),
        added_keys: way_back.dropped_keys.iter().map(of_old).collect(),
        ..Facts::default()
    }));
    save_whole_facts(change, pool, &facts).await?;
    Ok(way_back)
}

/// Makes the table of misfits, unless it exists or the old table has its name again.
async fn make_misfits(turned: &MySql) -> Result<()> {
    let (change, pool) = (&turned.change, &turned.pool);
    if !table_exists(&mut pool.reader().await?, &change.names.shadow).await? {
        return Ok(());
    }
    let mapping = load_mapping(change, pool, &turned.shadow).await?;
    let Some(reverse) = &mapping.reverse else { return Ok(()) };
    let lease = pool.lease(Slot::Control).await?;
    let create = sql::reversal::create_misfits(&mapping, reverse);
    lease.execute(&create).await.doing_in_catalogue(change.doing("note misfits of"))?;
    Ok(())
}
