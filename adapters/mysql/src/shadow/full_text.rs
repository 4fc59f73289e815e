//! The FULLTEXT indexes of a shadow that numbers its documents itself. The run leaves them out
//! while it copies, because InnoDB takes growing numbers only, and keys come in another order. It
//! builds them last. From then on rows are refreshed by document: see [`crate::shadow::documents`].

use crate::change::Change;
use crate::facts::DeferredIndexes;
use crate::journal::{read_entry, save_facts};
use crate::schema::full_text::{full_text, has_own_documents};
use crate::schema::identity::identify_table;
use crate::schema::table::{definition_of, fingerprint};
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::Session;
use crate::shadow::column_mapping::load_mapping;
use crate::shadow::documents::fill_gaps;
use crate::shadow::indexes::BUILD_WAIT;
use crate::sql;
use crate::state::ShadowState;
use altergeist_contract::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Drops these indexes from the empty shadow, and returns them. None if the table does not number
/// its documents itself.
pub(crate) async fn defer_full_text(
    change: &Change,
    pool: &Arc<SessionPool>,
) -> Result<Option<DeferredIndexes>> {
    let attempted = || change.doing("leave FULLTEXT indexes out of the shadow of");
    let mut lease = pool.lease(Slot::Control).await?;
    let deferred = defer(change, lease.session()).await.doing_in_catalogue(attempted)?;
    lease.keep();
    Ok(deferred)
}

async fn defer(
    change: &Change,
    session: &mut Session,
) -> std::result::Result<Option<DeferredIndexes>, Failure> {
    let shadow = &change.names.shadow;
    let definition = definition_of(session, shadow).await?;
    if !has_own_documents(&definition) {
        return Ok(None);
    }
    let fingerprint = fingerprint(session, shadow).await?;
    let found = full_text(&definition);
    let names: Vec<&str> = found.iter().map(|index| &*index.name).collect();
    session.execute(&sql::ddl::drop_indexes(&change.source, shadow, &names)).await?;
    let definitions = found.iter().map(|index| index.text.clone()).collect();
    Ok(Some(DeferredIndexes { definitions, fingerprint }))
}

/// Builds these indexes, if any were left out. Meanwhile no row of the shadow can be written, so
/// refreshes wait.
pub(crate) async fn build_full_text(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
) -> Result<()> {
    let attempted = || change.doing("build the FULLTEXT indexes of the shadow of");
    let mut reader = pool.reader().await?;
    let mut facts = read_entry(change, &mut reader).await?.facts;
    let Some(deferred) = facts.full_text.take() else { return Ok(()) };
    let mapping = load_mapping(change, pool, shadow_state).await?;
    // From now on no refresh adds a document before a smaller one.
    mapping.by_document.store(true, Ordering::SeqCst);
    fill_gaps(change, pool, shadow_state, &mapping).await?;
    let turn = shadow_state.document_turn.lock().await;
    let mut lease = pool.lease(Slot::Control).await?;
    shadow_state.builder.store(lease.id(), Ordering::Relaxed);
    let built = build_each(change, lease.session(), &deferred).await;
    shadow_state.builder.store(0, Ordering::Relaxed);
    let now = built.doing(attempted)?;
    lease.keep();
    drop(turn);
    if now != deferred.fingerprint {
        return Err(Error::fatal(
            attempted(),
            "it is not the table it should be now; `altergeist cleanup` drops it",
        ));
    }
    facts.shadow = Some(identify_table(change, &mut reader, &change.names.shadow).await?);
    save_facts(change, pool, &facts).await
}

/// The server builds one such index at a time.
async fn build_each(
    change: &Change,
    session: &mut Session,
    deferred: &DeferredIndexes,
) -> std::result::Result<String, Failure> {
    let shadow = &change.names.shadow;
    let present = full_text(&definition_of(session, shadow).await?);
    session.execute(&sql::session::lock_waits(BUILD_WAIT)).await?;
    let mut built = Ok(());
    for text in &deferred.definitions {
        if built.is_ok() && present.iter().all(|index| index.text != *text) {
            let add = sql::ddl::add_indexes(&change.source, shadow, std::slice::from_ref(text));
            built = session.execute(&add).await.map(drop);
        }
    }
    if session.is_alive() {
        session.execute(&sql::session::lock_waits(change.target.lock_timeout)).await?;
    }
    built?;
    fingerprint(session, shadow).await
}
