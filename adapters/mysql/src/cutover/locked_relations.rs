//! Locks the tables at the other ends of foreign keys, for MariaDB's cut-over.
//!
//! A DELETE of a parent's row holds the parent, opens every table with a key to it, and waits for
//! those that are locked. So if only the source is locked, such a DELETE holds the shadow and waits
//! for the source. Our ALTER of the shadow then waits for the DELETE. So the run locks parents
//! first, then the source, then children, as actions run. A session that waits for a parent holds
//! nothing that the cut-over alters.
//!
//! They stay locked until every key has its own name on the new table. Before that the new table
//! has some keys twice. Two keys that follow a parent's new value refuse each other's changes
//! (error 1452).
//!
//! Each table has a session of its own. If the application's statement and one session of ours wait
//! for each other, the server ends the statement (error 1213). If several sessions are involved,
//! the server sees no deadlock, and our wait just ends.

use crate::change::Change;
use crate::cutover::blockers::{describe_blockers, wait_for_lock};
use crate::cutover::foreign_key_swap::ForeignKeySwap;
use crate::cutover::foreign_keys::parents_to_lock;
use crate::cutover::relation_sessions::{LockedRelation, LockedRelations, NotLocked};
use crate::server::doing::Doing;
use crate::server::pool::{MOST_RELATIONS, SessionPool, Slot};
use crate::sql;
use altergeist_contract::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Opens a session for each related table, and locks nothing yet.
pub(crate) async fn open_relation_sessions(
    change: &Change,
    pool: &Arc<SessionPool>,
    key_swap: Option<&ForeignKeySwap>,
    within: Duration,
) -> Result<LockedRelations> {
    let children = key_swap.map(ForeignKeySwap::children).unwrap_or_default();
    let parents = parents_to_lock(change, pool, key_swap).await?;
    let only_children = children.iter().filter(|child| !parents.contains(child));
    let mut relations = LockedRelations::default();
    for (number, table) in parents.iter().chain(only_children).enumerate() {
        if number >= MOST_RELATIONS {
            let reason = format!(
                "foreign keys bind it to more than {MOST_RELATIONS} tables; drop some of them"
            );
            return Err(Error::refused(change.doing("lock"), reason));
        }
        let mut lease = pool.lease(Slot::Relation(number)).await?;
        for statement in [sql::session::lock_waits(within), sql::session::idle_limit(within)] {
            let done = lease.session().execute(&statement).await;
            done.doing_in_catalogue(change.doing("lock"))?;
        }
        let (is_parent, is_child) = (parents.contains(table), children.contains(table));
        relations.0.push(LockedRelation { table: table.clone(), is_parent, is_child, lease });
    }
    Ok(relations)
}

/// Locks parents against writes. This comes before all other locks.
pub(crate) async fn lock_parents(
    change: &Change,
    pool: &Arc<SessionPool>,
    relations: &mut LockedRelations,
    until: Instant,
) -> Result<()> {
    lock_each(change, pool, relations, true, until).await
}

/// Locks the other children. This comes after all other locks.
pub(crate) async fn lock_children(
    change: &Change,
    pool: &Arc<SessionPool>,
    relations: &mut LockedRelations,
    until: Instant,
) -> Result<()> {
    lock_each(change, pool, relations, false, until).await
}

async fn lock_each(
    change: &Change,
    pool: &Arc<SessionPool>,
    relations: &mut LockedRelations,
    parents: bool,
    until: Instant,
) -> Result<()> {
    let own: Vec<u64> = relations.ids().collect();
    let mut not_locked = None;
    for relation in relations.0.iter_mut().filter(|relation| relation.is_parent == parents) {
        let lock = sql::cutover::lock_relation(&change.source, &relation.table, relation.is_child);
        let bound = std::slice::from_ref(&relation.table);
        if let Err(failed) =
            wait_for_lock(change, pool, relation.lease.session(), &lock, bound, &own, until).await?
        {
            not_locked = Some((relation.table.clone(), failed));
            break;
        }
    }
    let Some((table, NotLocked { failure, ended })) = not_locked else { return Ok(()) };
    relations.unlock().await;
    let mut error = failure.of_lock(change.doing("lock"));
    error.reason =
        format!("{}, which a foreign key binds to it: {}{ended}", table.plain(), error.reason);
    error.reason += &describe_blockers(change, pool, &table).await;
    Err(error)
}
