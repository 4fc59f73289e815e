//! Completes the filled shadow: refreshes rows that the log did not mention, builds the indexes
//! that were left out, and checks the rows against added foreign keys.

use crate::change::Change;
use crate::cutover::foreign_keys::check_added_keys;
use crate::log::cascades::stale_children;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::full_text::build_full_text;
use crate::shadow::indexes::build_indexes;
use crate::shadow::insert::parts;
use crate::shadow::rows::{next_chunk, refresh_keys};
use crate::sql::compare::Compared;
use crate::state::ShadowState;
use altergeist_contract::{Key, Result, Watermark};
use std::sync::Arc;

/// Rows whose parents one statement looks for.
const ROWS_LOOKED_AT: u64 = 10_000;

pub(crate) async fn complete_shadow(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    gently: bool,
) -> Result<()> {
    refresh_orphans(change, pool, shadow_state).await?;
    build_indexes(change, pool, shadow_state, gently).await?;
    build_full_text(change, pool, shadow_state).await?;
    check_added_keys(change, pool, shadow_state).await
}

/// Refreshes rows whose parents are gone. An action had deleted the parent, unknown to the log,
/// before the parent was copied. This runs after the copy.
async fn refresh_orphans(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Result<()> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    if mapping.own_keys.is_empty() {
        return Ok(());
    }
    let mut through = Watermark::Start;
    while through != Watermark::End {
        let chunk = next_chunk(change, pool, shadow_state, &through, ROWS_LOOKED_AT).await?;
        let mut lease = pool.worker().await?;
        let stale = stale_children(lease.session(), &mapping, &Compared::Range(&chunk)).await;
        lease.keep();
        let attempted = || change.doing("look for rows whose parents are gone in the shadow of");
        for part in parts(&stale.doing(attempted)?) {
            refresh_keys(change, pool, shadow_state, part, &Watermark::End).await?;
        }
        through = chunk.through;
    }
    Ok(())
}

pub(crate) fn log_tells_all(shadow_state: &ShadowState) -> bool {
    shadow_state
        .mapping
        .lock()
        .expect("nobody panics with it")
        .as_ref()
        .is_some_and(|mapping| mapping.log_tells_all)
}

pub(crate) async fn causes_of(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    key: &Key,
) -> Result<Vec<Key>> {
    let mapping = load_mapping(change, pool, shadow_state).await?;
    shadow_state.cascades.causes(&mapping, key).await
}
