//! Finds out which table has the source's name: the source, or the shadow (law 7).

use crate::change::Change;
use crate::cutover::foreign_keys::remove_temporary_keys;
use crate::facts::TableIdentity;
use crate::journal::read_entry;
use crate::schema::identity::identify_table;
use crate::schema::lookup::table_exists;
use crate::server::pool::SessionPool;
use altergeist_contract::{Ownership, Result};
use std::sync::Arc;

/// Finds out which table has the source's name; see [`Cutover::ownership`].
pub(crate) async fn find_owner(change: &Change, pool: &Arc<SessionPool>) -> Result<Ownership> {
    pool.kill_abandoned().await?;
    let mut session = pool.reader().await?;
    let facts = read_entry(change, &mut session).await?.facts;
    let has_source = table_exists(&mut session, &change.source).await?;
    let has_shadow = table_exists(&mut session, &change.names.shadow).await?;
    let has_old = table_exists(&mut session, &change.names.old).await?;
    let found = format!(
        "{} {}, {} {}, {} {}",
        change.title,
        presence(has_source),
        change.names.shadow.plain(),
        presence(has_shadow),
        change.names.old.plain(),
        presence(has_old)
    );
    let is = |made: &Option<TableIdentity>, now: &Option<TableIdentity>| match (made, now) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(made), Some(now)) => made.is_same(now),
    };
    let source = if has_source {
        Some(identify_table(change, &mut session, &change.source).await?)
    } else {
        None
    };
    let shadow = if has_shadow {
        Some(identify_table(change, &mut session, &change.names.shadow).await?)
    } else {
        None
    };
    // A swap leaves an old table, and no table with the shadow's name. If neither is so, no swap
    // happened, whatever became of the source or the shadow since.
    let is_kept = facts.shadow.is_some() && is(&facts.shadow, &shadow);
    let is_source =
        || facts.source.is_some() && is(&facts.source, &source) && !is(&facts.shadow, &source);
    Ok(match (has_shadow, has_old) {
        (true, false) if is_kept || is(&facts.source, &source) => Ownership::Source,
        (false, false) if !has_source || is_source() => Ownership::Source,
        (false, true) if is(&facts.shadow, &source) => Ownership::Shadow,
        _ => Ownership::Unclear(format!(
            "{found}; and the table with this name is not the expected one, or is unknown"
        )),
    })
}

fn presence(is_there: bool) -> &'static str {
    if is_there { "exists" } else { "does not exist" }
}

pub(crate) async fn find_ownership(change: &Change, pool: &Arc<SessionPool>) -> Result<Ownership> {
    let owner = find_owner(change, pool).await?;
    if owner == Ownership::Source {
        remove_temporary_keys(change, pool).await?;
    }
    Ok(owner)
}
