//! Notes in the journal how the change can be undone, before the swap that makes it true. A process
//! on another host finds there what the tables themselves do not show. At the end it removes what
//! the way back left.

use crate::change::Change;
use crate::cutover::foreign_keys::remove_temporary_keys;
use crate::cutover::ownership::find_owner;
use crate::cutover::triggers::drop_guards;
use crate::facts::WayBack;
use crate::journal::{read_entry, read_whole_entry, save_facts};
use crate::schema::carried_keys::{is_key_left, name_added_keys, source_keys};
use crate::schema::lookup::read_table;
use crate::schema::reverse_mapping::{common_columns, computed_columns};
use crate::schema::table::definition_of;
use crate::server::doing::Doing;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Ownership, Result};
use std::sync::Arc;

/// Notes it, if the change is to be reversible.
pub(crate) async fn note_way_back(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    if !change.target.reversible || change.way_back.is_some() {
        return Ok(());
    }
    let attempted = || change.doing("note how to undo the change of");
    let mut session = pool.reader().await?;
    let mut facts = read_entry(change, &mut session).await?.facts;
    let keys = source_keys(change, &mut session).await?;
    let added = name_added_keys(change, &facts.added_keys, &keys);
    let own = keys.iter().filter(|key| key.child == change.source);
    let dropped_keys = own.filter(|key| is_key_left(change, key)).cloned().collect();
    let source = read_table(change, &mut session, &change.source).await?;
    let shadow = read_table(change, &mut session, &change.names.shadow).await?;
    let altered_text = definition_of(&mut session, &change.names.shadow).await;
    let clauses = change.clauses()?;
    let way_back = WayBack {
        altered_text: altered_text.doing_in_catalogue(attempted)?,
        columns: common_columns(clauses, [&source, &shadow]),
        computed: computed_columns(clauses),
        sets: change.target.reverse_sets.clone(),
        added_keys: added.into_iter().map(|key| key.name).collect(),
        dropped_keys,
    };
    if facts.way_back.as_ref() != Some(&way_back) {
        facts.way_back = Some(way_back);
        save_facts(change, pool, &facts).await?;
    }
    Ok(())
}

/// Removes what only the way back needed. If the old table was not put back, this includes what an
/// attempt to do it left on the old table.
pub(crate) async fn end_way_back(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let attempted = || change.doing("clean up after the way back of");
    let mut session = pool.reader().await?;
    let facts = read_whole_entry(change, &mut session).await?.facts;
    if let Some(turned) = change.begun_way_back(&facts)
        && find_owner(&turned, pool).await? == Ownership::Source
    {
        remove_temporary_keys(&turned, pool).await?;
        drop_guards(&turned, pool).await?;
    }
    if is_misfits(change, &mut session).await? {
        let lease = pool.lease(Slot::Control).await?;
        let drop = sql::ddl::drop_table(&change.source, &change.names.misfits);
        lease.execute(&drop).await.doing_in_catalogue(attempted)?;
    }
    Ok(())
}

/// Returns whether the table of misfits exists and is ours.
pub(crate) async fn is_misfits(change: &Change, session: &mut Session) -> Result<bool> {
    let row = session
        .row(&sql::catalogue::table_facts(&change.names.misfits))
        .await
        .doing_in_catalogue(change.doing("look for the misfits of"))?;
    Ok(row.is_some_and(|row| text(&row[5]) == sql::reversal::MISFITS))
}
