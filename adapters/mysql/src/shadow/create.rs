//! Creates the shadow: an altered, empty copy of the source, with what the run needs on it.

use crate::change::Change;
use crate::cutover::foreign_keys::take_added_keys;
use crate::journal::{make_journal, read_entry, save_facts};
use crate::key::index::LOOKUP;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::ForeignKey;
use crate::schema::identity::identify_table;
use crate::schema::lookup::{read_table, table_exists};
use crate::schema::table::definition_of;
use crate::server::doing::Doing;
use crate::server::error::NOT_OVER_PARTITIONS;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::execute_within;
use crate::shadow::clone::{alter_copy, make_copy};
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::early_keys::{add_early_keys, needed_indexes};
use crate::shadow::full_text::defer_full_text;
use crate::shadow::indexes::defer_indexes;
use crate::shadow::kept_columns::{add_kept, drop_kept};
use crate::shadow::late_index::make_room_for_lookup;
use crate::sql;
use crate::state::{JournalTables, ShadowState};
use altergeist_contract::{Error, Result};
use std::sync::Arc;

pub(crate) async fn create_shadow(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    journal: &JournalTables,
) -> Result<()> {
    *shadow_state.mapping.lock().expect("not poisoned") = None;
    make_journal(change, pool, journal).await?;
    let mut reader = pool.reader().await?;
    let mut facts = read_entry(change, &mut reader).await?.facts;
    let exists = table_exists(&mut reader, &change.names.shadow).await?;
    if exists && !facts.has_shadow {
        return Err(Error::refused(
            change.doing("make the shadow of"),
            format!("{} exists and is not ours", change.names.shadow.plain()),
        ));
    }
    facts.has_shadow = true;
    facts.source = Some(identify_table(change, &mut reader, &change.source).await?);
    facts.source_text = definition_of(&mut reader, &change.source)
        .await
        .doing_in_catalogue(change.doing("look at"))?;
    facts.shadow = None;
    facts.has_lookup = false;
    facts.late_index = None;
    facts.deferred = None;
    facts.full_text = None;
    facts.done = None;
    facts.way_back = None;
    facts.back = None;
    save_facts(change, pool, &facts).await?;

    facts.added_keys = make_shadow(change, pool).await?;
    facts.full_text = defer_full_text(change, pool).await?;
    save_facts(change, pool, &facts).await?;
    let mapping = load_mapping(change, pool, shadow_state).await?;
    facts.has_lookup = mapping.key.needs_lookup();
    if facts.has_lookup {
        facts.late_index = make_room_for_lookup(change, pool, &mapping).await?;
        save_facts(change, pool, &facts).await?;
        add_kept(change, pool, &mapping).await?;
        add_lookup(change, pool, &mapping).await?;
    }
    add_early_keys(change, pool, &mapping).await?;
    let needed = needed_indexes(change, pool, &mut reader, &change.names.shadow, &mapping).await?;
    facts.deferred = defer_indexes(change, pool, &needed).await?;
    facts.shadow = Some(identify_table(change, &mut reader, &change.names.shadow).await?);
    save_facts(change, pool, &facts).await
}

/// Makes the shadow, and returns the foreign keys that the clauses add.
async fn make_shadow(change: &Change, pool: &Arc<SessionPool>) -> Result<Vec<ForeignKey>> {
    let attempted = || change.doing("make the shadow of");
    let mut lease = pool.lease(Slot::Control).await?;
    let session = lease.session();
    session
        .execute(&sql::ddl::drop_table(&change.source, &change.names.shadow))
        .await
        .doing_in_catalogue(attempted)?;
    let copy = &change.names.shadow;
    let names = make_copy(change, session, copy).await.trying_clauses(attempted)?;
    if !change.request.effective.is_empty() {
        alter_copy(change, session, copy, &names, "").await.trying_clauses(attempted)?;
    }
    let added = take_added_keys(change, session).await.doing_in_catalogue(attempted)?;
    lease.keep();
    Ok(added)
}

pub(crate) async fn clear_shadow(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let lease = pool.lease(Slot::Control).await?;
    let statement = sql::ddl::truncate(&change.source, &change.names.shadow);
    lease.execute(&statement).await.doing(change.doing("clear the shadow of"))?;
    // TRUNCATE makes another table for the storage engine.
    let mut reader = pool.reader().await?;
    let mut facts = read_entry(change, &mut reader).await?.facts;
    facts.shadow = Some(identify_table(change, &mut reader, &change.names.shadow).await?);
    save_facts(change, pool, &facts).await
}

/// Gives the empty shadow an index that finds rows by the key's columns. It is unique like the key.
/// If partitions forbid that, it is not, and then no two keys may be one key to it.
async fn add_lookup(
    change: &Change,
    pool: &Arc<SessionPool>,
    mapping: &ColumnMapping,
) -> Result<()> {
    let attempted = || change.doing("give an index over the key to the shadow of");
    let is_mapped = mapping.key.is_mapped();
    let mut lease = pool.lease(Slot::Control).await?;
    let mut outcome = lease
        .session()
        .execute(&sql::ddl::add_lookup(mapping, &mapping.shadow, "UNIQUE KEY"))
        .await;
    if outcome.as_ref().is_err_and(|failure| failure.code() == Some(NOT_OVER_PARTITIONS))
        && !is_mapped
    {
        outcome =
            lease.session().execute(&sql::ddl::add_lookup(mapping, &mapping.shadow, "KEY")).await;
    }
    lease.keep();
    outcome.map(|_| ()).trying_clauses(attempted)
}

/// Drops that index from the table that has the source's name now. Until then the table has one
/// index too many.
pub(crate) async fn drop_lookup(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let attempted = || change.doing("drop our index over the former key of");
    let mut reader = pool.reader().await?;
    let mut facts = read_entry(change, &mut reader).await?.facts;
    if !facts.has_lookup {
        return Ok(());
    }
    if read_table(change, &mut reader, &change.source)
        .await?
        .indexes
        .iter()
        .any(|index| index.name == LOOKUP)
    {
        // After this it is not the table any more that the run made.
        facts.shadow = None;
        save_facts(change, pool, &facts).await?;
        let mut lease = pool.lease(Slot::Control).await?;
        let outcome = match &facts.late_index {
            None => {
                let drop = sql::ddl::drop_indexes(&change.source, &change.source, &[LOOKUP]);
                execute_within(lease.session(), &pool.access, &drop, pool.lock_timeout).await
            }
            // The build may take long, but its waits for locks stay within the session's own limit.
            Some(late) => {
                let exchange =
                    sql::ddl::exchange_index(&change.source, &change.source, LOOKUP, late);
                lease.session().execute(&exchange).await
            }
        };
        outcome.locking(attempted)?;
        lease.keep();
    }
    drop_kept(change, pool).await?;
    facts.has_lookup = false;
    facts.late_index = None;
    save_facts(change, pool, &facts).await
}
