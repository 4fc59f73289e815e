//! Finds the mapping of columns, once per run: which column of the shadow comes from which column
//! of the source, and which key both are followed by.

use crate::change::Change;
use crate::schema::column_mapping::{self, ColumnMapping};
use crate::schema::full_text::has_own_documents;
use crate::schema::lookup::{read_table, table_exists};
use crate::schema::reverse_mapping;
use crate::schema::table::definition_of;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::Session;
use crate::shadow::early_keys::{has_early_keys, own_keys, parents_to_follow};
use crate::state::ShadowState;
use altergeist_contract::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Returns how the shadow's columns come from the source's. It is the same for the whole run.
pub(crate) async fn load_mapping(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Result<Arc<ColumnMapping>> {
    if let Some(mapping) = &*shadow_state.mapping.lock().expect("not poisoned") {
        return Ok(mapping.clone());
    }
    let has_parents = !parents_to_follow(change, pool).await?.is_empty();
    let mut session = pool.reader().await?;
    let mut mapping = find_mapping(change, &mut session).await?;
    mapping.rounds = change.target.allow_rounding;
    mapping.own_keys = own_keys(change, &mut session, &mapping).await?;
    mapping.log_tells_all = mapping.own_keys.is_empty() && !has_parents;
    let definition = definition_of(&mut session, &change.names.shadow).await;
    let definition = definition.doing_in_catalogue(change.doing("look at the shadow of"))?;
    mapping.by_document.store(has_own_documents(&definition), Ordering::SeqCst);
    let mapping = Arc::new(mapping);
    pool.in_utc.store(mapping.in_utc, Ordering::SeqCst);
    pool.checks_parents.store(has_early_keys(change, &mut session).await?, Ordering::SeqCst);
    *shadow_state.mapping.lock().expect("not poisoned") = Some(mapping.clone());
    Ok(mapping)
}

async fn find_mapping(change: &Change, session: &mut Session) -> Result<ColumnMapping> {
    let source = read_table(change, session, &change.source).await?;
    let shadow = read_table(change, session, &change.names.shadow).await?;
    let (zone, flavour) = (change.server.zone(), change.server.version.flavour);
    let (found, what) = match &change.way_back {
        None => {
            let names = (&change.source, &change.names.shadow);
            let clauses = change.clauses()?;
            let found = column_mapping::find(names, &source, &shadow, clauses, zone, flavour);
            (found, "make the shadow of")
        }
        Some(way_back) => {
            let names = (&change.source, &change.names);
            let tables = [&source, &shadow];
            let found = reverse_mapping::find(names, tables, way_back, zone, flavour);
            (found, "undo the change of")
        }
    };
    found.map_err(|refusals| {
        let reasons: Vec<String> = refusals
            .iter()
            .map(|refusal| format!("{}: {}", refusal.object, refusal.message))
            .collect();
        Error::refused(change.doing(what), reasons.join("; "))
    })
}

/// Returns the key that the shadow's rows are found by. Before there is a shadow, it is the
/// source's best key.
pub(crate) async fn followed_key(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Result<crate::key::index::KeyIndex> {
    let mut session = pool.reader().await?;
    if table_exists(&mut session, &change.names.shadow).await? {
        return Ok(load_mapping(change, pool, shadow_state).await?.key.clone());
    }
    let source = read_table(change, &mut session, &change.source).await?;
    let candidates = crate::key::index::candidates(&source).map_err(|reasons| {
        Error::refused(
            change.doing("follow"),
            format!("it has no usable key: {}", reasons.join("; ")),
        )
    })?;
    let (index, columns) =
        candidates.into_iter().next().expect("there is one, or there was a reason");
    Ok(crate::key::index::KeyIndex { index: index.name, shadow_index: String::new(), columns })
}
