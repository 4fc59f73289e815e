//! Carries foreign keys over the swap: those of the table, and those of other tables to it.
//!
//! A key that refuses (RESTRICT, NO ACTION) must not be on a shadow that lags: it would refuse what
//! the application may do. So the shadow has no foreign keys until it equals the locked source.
//! Then, under the lock, the run adds every key a second time. It has a temporary name, and is
//! between the shadow and the key's other end. With `foreign_key_checks=0` that only changes the
//! catalogue.
//!
//! RENAME TABLE takes those keys along. So from the moment of the swap the new table has all keys
//! that the old one had. After it the run drops the old table's keys and restores the names. If the
//! run dies in between, there are too many keys, never too few. The server may then refuse a row
//! that it need not refuse. But it lets in no wrong row, and no row loses its parent. The journal
//! has all keys before the first of these statements. So the same command finds what is left to do
//! ([`ForeignKeySwap::restore`], [`ForeignKeySwap::remove_temporary`]).
//!
//! A key whose actions write (CASCADE, SET NULL) changes rows inside InnoDB. Every MariaDB, and
//! MySQL before 9.6, does not log them. MySQL 9.6 logs them like other rows. On MySQL the changes
//! of the parents show which rows those are ([`crate::log::cascades`]). The same holds on MariaDB
//! for a key that refers to its own table. For other keys MariaDB lets the server do the work: the
//! shadow has such a key from its creation, *early*. The server itself then changes both tables'
//! rows in the same transaction. Three things make that right:
//!
//! - The run writes a row to the shadow with `foreign_key_checks=1`. So its parent exists, and
//!   stays locked until the row is written. A change of the parent comes before that, and the run
//!   reads the row again. Or it comes after, and finds the row.
//! - Our sessions do not wait for row locks; they retry. A session that does not wait is part of no
//!   deadlock.
//! - An early key refuses nothing, because the shadow may lag. Where the source's key refuses one
//!   of the two actions, the early key follows it. A parent's change that the source's own key let
//!   through has no row in the source any more. So a row of the shadow that still refers to the
//!   parent is stale, and its refresh is still to come.

use crate::change::Change;
use crate::cutover::foreign_key_swap::ForeignKeySwap;
use crate::cutover::relation_sessions::AlterSessions;
use crate::journal::{read_entry, save_facts};
use crate::schema::carried_keys::{
    before_change, carried_keys, name_added_keys, orphans_query, source_keys,
};
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::foreign_key::{ForeignKey, foreign_keys};
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::Session;
use crate::shadow::column_mapping::load_mapping;
use crate::sql;
use crate::state::ShadowState;
use altergeist_contract::{Error, Kind, Result};
use std::sync::Arc;

pub(crate) const CORRECT_ROWS: &str =
    "give these rows a parent, or delete them, and run the same command again";

/// Reads from the catalogue which keys the swap must carry, and notes them in the journal. Returns
/// None if there are none.
pub(crate) async fn note_foreign_keys(
    change: &Change,
    pool: &Arc<SessionPool>,
    mapping: &ColumnMapping,
) -> Result<Option<ForeignKeySwap>> {
    let mut session = pool.reader().await?;
    let keys = source_keys(change, &mut session).await?;
    let mut facts = read_entry(change, &mut session).await?.facts;
    let noted = Some(carried_keys(change, &keys, &facts.added_keys, mapping))
        .filter(|_| !keys.is_empty() || !facts.added_keys.is_empty());
    if facts.foreign_keys != noted {
        facts.foreign_keys = noted.clone();
        save_facts(change, pool, &facts).await?;
    }
    Ok(noted.map(|carried| ForeignKeySwap::new(change, carried)))
}

/// Returns the keys that a swap had to carry, as the journal has them.
async fn noted_foreign_keys(
    change: &Change,
    pool: &Arc<SessionPool>,
) -> Result<Option<ForeignKeySwap>> {
    let mut session = pool.reader().await?;
    let facts = read_entry(change, &mut session).await?.facts;
    Ok(facts.foreign_keys.map(|carried| ForeignKeySwap::new(change, carried)))
}

/// Drops the temporary keys that an unfinished attempt has left.
pub(crate) async fn remove_temporary_keys(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let Some(key_swap) = noted_foreign_keys(change, pool).await? else { return Ok(()) };
    let mut control = pool.lease(Slot::Control).await?;
    let outcome = key_swap.remove_temporary(control.session()).await;
    control.keep();
    outcome.doing_in_catalogue(change.doing("take temporary foreign keys away from the shadow of"))
}

/// Restores every foreign key after the swap, and removes the note from the journal.
pub(crate) async fn restore_foreign_keys(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let Some(key_swap) = noted_foreign_keys(change, pool).await? else { return Ok(()) };
    let attempted = || change.doing("put foreign keys in their places after the swap of");
    let mut control = pool.lease(Slot::Control).await?;
    let outcome = key_swap.restore(&mut AlterSessions::one(control.session())).await;
    control.keep();
    outcome.doing_in_catalogue(attempted)?;
    let mut session = pool.reader().await?;
    let left = foreign_keys(&mut session, &change.names.old).await.doing_in_catalogue(attempted)?;
    if let Some(key) = left.first() {
        let reason = format!(
            "{} was created during the cut-over; drop it, and create it again for the new \
             table",
            key.describe()
        );
        return Err(Error::new(Kind::Fatal, attempted(), reason));
    }
    for carried in key_swap.carried.iter().filter(|carried| carried.is_new) {
        check_rows(change, &mut session, &carried.key).await?;
    }
    let mut facts = read_entry(change, &mut session).await?.facts;
    facts.foreign_keys = None;
    save_facts(change, pool, &facts).await
}

/// Drops the foreign keys that the clauses gave to the empty shadow, and returns them.
pub(crate) async fn take_added_keys(
    change: &Change,
    session: &mut Session,
) -> std::result::Result<Vec<ForeignKey>, Failure> {
    let added = foreign_keys(session, &change.names.shadow).await?;
    let drops: Vec<String> =
        added.iter().map(|key| sql::ddl::drop_foreign_key(&key.name)).collect();
    if !drops.is_empty() {
        session
            .execute(&sql::ddl::alter(&change.source, &change.names.shadow, &drops.join(", ")))
            .await?;
    }
    Ok(added)
}

/// Checks, after the copy, whether the rows obey the keys that the clauses add.
pub(crate) async fn check_added_keys(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Result<()> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    let mut session = pool.reader().await?;
    let added = read_entry(change, &mut session).await?.facts.added_keys;
    let keys = source_keys(change, &mut session).await?;
    for key in name_added_keys(change, &added, &keys) {
        if let Some(before) = before_change(&key, &mapping) {
            check_rows(change, &mut session, &before).await?;
        }
    }
    Ok(())
}

/// Checks, before the old table is put back, whether rows that were written since the swap obey the
/// keys that come back with it.
pub(crate) async fn check_returning_keys(
    change: &Change,
    pool: &Arc<SessionPool>,
    mapping: &ColumnMapping,
    key_swap: Option<&ForeignKeySwap>,
) -> Result<()> {
    let Some(key_swap) = key_swap.filter(|_| change.way_back.is_some()) else { return Ok(()) };
    let mut session = pool.reader().await?;
    for carried in key_swap.carried.iter().filter(|carried| carried.is_new) {
        if let Some(key) = before_change(&carried.key, mapping) {
            // The operator can correct the rows, and the old table goes on to follow.
            check_rows(change, &mut session, &key).await.map_err(|error| match error.kind {
                Kind::Fatal => Error { kind: Kind::Refused, ..error },
                _ => error,
            })?;
        }
    }
    Ok(())
}

/// Fails if a row of the table violates the key.
async fn check_rows(change: &Change, session: &mut Session, key: &ForeignKey) -> Result<()> {
    let attempted =
        || change.doing(&format!("look for rows that {} does not allow in", key.describe()));
    match session.row(&orphans_query(change, key)).await.doing(attempted)? {
        None => Ok(()),
        Some(_) => {
            Err(Error::new(Kind::Fatal, attempted(), format!("there are some: {CORRECT_ROWS}")))
        }
    }
}

/// Returns the parents that the cut-over locks: those of present keys and those of new ones. A key
/// that is dropped or left out still refuses deletes of its parent, until the old table has lost
/// it.
pub(crate) async fn parents_to_lock(
    change: &Change,
    pool: &Arc<SessionPool>,
    key_swap: Option<&ForeignKeySwap>,
) -> Result<Vec<TableName>> {
    let mut session = pool.reader().await?;
    let keys = source_keys(change, &mut session).await?;
    let own = keys.iter().filter(|key| key.child == change.source && key.parent != change.source);
    let mut parents: Vec<TableName> = Vec::new();
    for parent in
        key_swap.iter().flat_map(|key_swap| key_swap.parents()).chain(own.map(|key| &key.parent))
    {
        if !parents.contains(parent) {
            parents.push(parent.clone());
        }
    }
    Ok(parents)
}
