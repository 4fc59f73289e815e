//! Locks the tables for the swap.
//!
//! MySQL renames tables under LOCK TABLES: one session locks both tables, drains the log, and
//! renames.
//!
//! MariaDB refuses that (error 1192). There one session, the holder, locks the source against
//! writes. All sessions may still read it, and any session of ours may refresh the shadow from it.
//! Then a second session, the renamer, sends the RENAME, which waits for the holder's lock on the
//! source. A session that waits for an exclusive lock goes before all writers that wait. So when
//! the holder releases its lock, the RENAME is next, and no write comes between the drain and the
//! swap. Three things make that safe:
//!
//! - The RENAME begins with a table that does not exist yet, the sentry. If the holder dies before
//!   the sentry exists, the RENAME fails and nothing has changed.
//! - The run creates the sentry only when the renamer is proven to wait for the source itself. The
//!   server takes the locks of a RENAME in the order of names. The sentry's name sorts behind the
//!   source's. So the renamer has not asked for it yet, and the run can create it. If the shadow's
//!   name sorts before the source's, the renamer must hold the shadow already. A read of the shadow
//!   that gets no answer proves that. If it sorts behind, the source is the first table that the
//!   renamer waits for.
//! - From then on the renamer is next, no matter which session dies: the swap completes.
//!
//! The run also locks the tables at the other ends of foreign keys; see
//! [`crate::cutover::locked_relations`].
//!
//! The RENAME also waits for transactions that have read the source, and all others wait behind it.
//! So the holder first makes sure that there are none. If one began since then, the run ends the
//! renamer in time.

use crate::change::Change;
use crate::cutover::blockers::{describe_blockers, wait_for_lock};
use crate::cutover::foreign_key_swap::ForeignKeySwap;
use crate::cutover::foreign_keys::{
    check_returning_keys, note_foreign_keys, remove_temporary_keys,
};
use crate::cutover::locked_relations::{lock_children, lock_parents, open_relation_sessions};
use crate::cutover::relation_sessions::{LockedRelations, NotLocked};
use crate::cutover::table_lock::MySqlLock;
use crate::cutover::triggers::prepare_triggers;
use crate::cutover::way_back::note_way_back;
use crate::plan::log_source::replica_filters;
use crate::server::doing::Doing;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::Session;
use crate::server::version::Flavour;
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::concurrent_ddl::follow_others;
use crate::sql;
use crate::state::{LogState, ShadowState};
use altergeist_contract::{Error, Kind, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause between two checks for transactions that have read the source.
const GAP_LOOK: Duration = Duration::from_millis(2);

/// Locks the source, the shadow, and the tables that foreign keys bind to the source.
pub(crate) async fn lock_tables(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    shadow_state: &ShadowState,
    within: Duration,
) -> Result<MySqlLock> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    log_state.heartbeat.begin().await?;
    remove_temporary_keys(change, pool).await?;
    let source_text = follow_others(change, pool, &mapping).await?;
    let key_swap = note_foreign_keys(change, pool, &mapping).await?;
    note_way_back(change, pool).await?;
    check_returning_keys(change, pool, &mapping, key_swap.as_ref()).await?;
    let triggers = prepare_triggers(change, pool).await?;
    let locking = shadow_state.cascades.begin_lock().await;
    let mut relations = match change.server.version.flavour {
        Flavour::MySql => LockedRelations::default(),
        Flavour::MariaDb => open_relation_sessions(change, pool, key_swap.as_ref(), within).await?,
    };
    if change.server.version.flavour == Flavour::MariaDb {
        // A login while the table is locked would take its time from the application.
        for slot in [Slot::Rename, Slot::Triggers] {
            pool.lease(slot).await?.keep();
        }
    }
    let mut holder = pool.lease(Slot::Lock).await?;
    let until = Instant::now() + within;
    prepare_holder(change, holder.session(), within).await?;
    lock_parents(change, pool, &mut relations, until).await?;
    let own: Vec<u64> = relations.ids().chain([holder.id()]).collect();
    let mut bound = vec![change.source.clone()];
    bound.extend(key_swap.as_ref().map(ForeignKeySwap::children).unwrap_or_default());
    let is_locked = wait_for_readers(change, holder.session(), until - within * 3 / 4).await;
    for lock in &source_locks(change, key_swap.as_ref())[usize::from(is_locked)..] {
        let locked =
            wait_for_lock(change, pool, holder.session(), lock, &bound, &own, until).await?;
        if let Err(not_locked) = locked {
            drop(holder);
            relations.unlock().await;
            return Err(explain(change, pool, not_locked).await);
        }
    }
    if let Err(error) = lock_children(change, pool, &mut relations, until).await {
        drop(holder);
        return Err(error);
    }
    Ok(MySqlLock {
        pool: pool.clone(),
        heartbeat: log_state.heartbeat.clone(),
        mapping,
        names: change.names.clone(),
        holder,
        relations,
        undecided: log_state.undecided.clone(),
        key_swap,
        triggers,
        source_text,
        completeness: log_state.completeness.clone(),
        shadow_writes: shadow_state.shadow_writes.clone(),
        rows_written: 0,
        filters: replica_filters(change, &log_state.server),
        within,
        _locking: locking,
    })
}

/// Sets up the session that will hold the lock.
async fn prepare_holder(change: &Change, session: &mut Session, within: Duration) -> Result<()> {
    let mut statements = vec![sql::session::lock_waits(within), sql::session::idle_limit(within)];
    if change.server.version.flavour == Flavour::MySql {
        statements.push(sql::session::WITHOUT_AUTOCOMMIT.to_owned());
    }
    for statement in &statements {
        session.execute(statement).await.doing_in_catalogue(|| change.doing("lock"))?;
    }
    Ok(())
}

/// Returns the statements that lock the source, in their order.
fn source_locks(change: &Change, key_swap: Option<&ForeignKeySwap>) -> Vec<String> {
    let source = &change.source;
    match change.server.version.flavour {
        Flavour::MySql => {
            let further = key_swap.map(ForeignKeySwap::additional_locks).unwrap_or_default();
            let misfits = match change.way_back {
                Some(_) => sql::cutover::and_lock(&change.names.misfits),
                None => String::new(),
            };
            vec![sql::cutover::lock_both(source, &change.names.shadow) + &misfits + &further]
        }
        Flavour::MariaDb => {
            vec![sql::cutover::lock_against_all(source), sql::cutover::lock_against_writes(source)]
        }
    }
}

/// Returns the error for a lock that was not acquired. It names the sessions in the way.
async fn explain(change: &Change, pool: &Arc<SessionPool>, not_locked: NotLocked) -> Error {
    let mut error = not_locked.failure.of_lock(change.doing("lock"));
    if error.kind == Kind::Busy {
        error.reason += &not_locked.ended;
        error.reason += &describe_blockers(change, pool, &change.source).await;
    }
    error
}

/// Waits until the server shows no transaction that has read the table and may write it. Returns
/// whether the source is locked already.
///
/// While our lock waits, such a transaction and the lock may wait for each other. Then the servers
/// end the *transaction's* statement (error 1213), as they do for any ALTER. So the run asks for
/// the lock when there is no such transaction, or when there always is one. It does not wait for
/// what it cannot see.
async fn wait_for_readers(change: &Change, session: &mut Session, until: Instant) -> bool {
    while Instant::now() < until {
        match change.server.version.flavour {
            Flavour::MySql => match session.row(&sql::cutover::find_reader(&change.source)).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            },
            Flavour::MariaDb => {
                match session.execute(&sql::cutover::lock_at_once(&change.source)).await {
                    Ok(_) => return true,
                    Err(failure) if failure.is_lock_wait() => {}
                    Err(_) => return false,
                }
            }
        }
        tokio::time::sleep(GAP_LOOK).await;
    }
    false
}
