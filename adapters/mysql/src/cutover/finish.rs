//! Finishes a swap: triggers, foreign keys, and what the run left on the server.

use crate::change::Change;
use crate::cutover::foreign_keys::restore_foreign_keys;
use crate::cutover::ownership::find_owner;
use crate::cutover::triggers::complete_triggers;
use crate::cutover::way_back::end_way_back;
use crate::plan::taken_names::is_sentry;
use crate::schema::lookup::table_exists;
use crate::server::doing::Doing;
use crate::server::pool::{SessionPool, Slot};
use crate::shadow::create::drop_lookup;
use crate::sql;
use crate::state::{LogState, ShadowState};
use altergeist_contract::{Ownership, Result};
use std::sync::Arc;

/// Completes what the swap left half done.
pub(crate) async fn settle_swap(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    // A way back that did not come to its swap has nothing to carry.
    if change.way_back.is_some() && find_owner(change, pool).await? == Ownership::Source {
        return Ok(());
    }
    complete_triggers(change, pool).await?;
    restore_foreign_keys(change, pool).await
}

/// Completes the swap, and removes what only the run needed.
pub(crate) async fn finish_swap(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    shadow_state: &ShadowState,
) -> Result<()> {
    settle_swap(change, pool).await?;
    end_way_back(change, pool).await?;
    log_state.heartbeat.end();
    *shadow_state.mapping.lock().expect("not poisoned") = None;
    let mut lease = pool.lease(Slot::Control).await?;
    let attempted = || change.doing("clean up after the swap of");
    for name in [&change.names.sentry, &change.names.used_sentry] {
        if table_exists(lease.session(), name).await? && is_sentry(lease.session(), name).await? {
            let drop = sql::ddl::drop_table(&change.source, name);
            lease.session().execute(&drop).await.doing_in_catalogue(attempted)?;
        }
    }
    if table_exists(lease.session(), &change.names.beat).await? {
        let delete = sql::journal::delete_entry(&change.names.beat, &change.source.name);
        lease.session().execute(&delete).await.doing_in_catalogue(attempted)?;
    }
    lease.keep();
    drop_lookup(change, pool).await
}
