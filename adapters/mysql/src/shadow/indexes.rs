//! The shadow's secondary indexes. The run leaves them out while it copies. Then it builds them by
//! one ALTER, which sorts instead of inserting row by row.
//!
//! The definitions are the server's own text. On the empty shadow the run tries whether the server
//! drops and adds an index in place, and whether the table then has the same text as before. The
//! server lists indexes in the order of their creation, unique ones first. So the run leaves out
//! the last of the others, up to the first that must stay. An index must stay if a foreign key or a
//! counter needs it, or if the run finds rows by it. It must also stay if it is over an expression
//! that the server would copy the table for.
//!
//! If the shadow has foreign keys from its creation, nothing is left out. Each change of a parent's
//! row then opens the shadow. A build that waits for one open transaction would block all other
//! changes of parents.

use crate::change::Change;
use crate::facts::{DeferredIndexes, Facts};
use crate::journal::{read_entry, save_facts};
use crate::schema::identity::identify_table;
use crate::schema::index_definition::{Definition, named, secondary};
use crate::schema::table::{definition_of, fingerprint};
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::Session;
use crate::shadow::early_keys::{early_keys, has_early_keys};
use crate::sql;
use crate::state::ShadowState;
use altergeist_contract::{Error, Kind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest wait of a build for comparisons that run beside it.
pub(crate) const BUILD_WAIT: Duration = Duration::from_secs(600);

/// Drops the indexes of the empty shadow that can be built later, and returns them. The indexes in
/// `keep` stay.
pub(crate) async fn defer_indexes(
    change: &Change,
    pool: &Arc<SessionPool>,
    keep: &[String],
) -> Result<Option<DeferredIndexes>> {
    if change.target.keep_indexes {
        return Ok(None);
    }
    let attempted = || change.doing("leave indexes out of the shadow of");
    if has_early_keys(change, &mut pool.reader().await?).await? {
        return Ok(None);
    }
    let mut lease = pool.lease(Slot::Control).await?;
    let deferred = defer_checked(change, lease.session(), keep).await;
    lease.keep();
    deferred.map_err(|failure| {
        let mut error = failure.of_catalogue(attempted());
        if error.kind == Kind::Fatal {
            error.reason += "; with --keep-indexes it has them from the beginning";
        }
        error
    })
}

/// Predicts, for `plan`, what the shadow of this altered clone will leave out.
pub(crate) async fn predict_deferred(
    change: &Change,
    session: &mut Session,
    clone: &TableName,
    keep: &[String],
) -> Result<Vec<String>> {
    if change.target.keep_indexes {
        return Ok(Vec::new());
    }
    if !early_keys(change, session).await?.is_empty() {
        return Ok(Vec::new());
    }
    let definition = definition_of(session, clone)
        .await
        .doing_in_catalogue(change.doing("look at the altered clone of"))?;
    let found = secondary(&definition)
        .into_iter()
        .rev()
        .take_while(|definition| !keep.contains(&definition.name));
    let mut texts: Vec<String> = found.map(|definition| definition.text).collect();
    texts.reverse();
    Ok(texts)
}

/// Runs with foreign key checks on: only then the server refuses to drop the index of a foreign
/// key.
async fn defer_checked(
    change: &Change,
    session: &mut Session,
    keep: &[String],
) -> std::result::Result<Option<DeferredIndexes>, Failure> {
    session.execute(&sql::session::check_foreign_keys(true)).await?;
    let deferred = try_to_defer(change, session, keep).await;
    session.execute(&sql::session::check_foreign_keys(false)).await?;
    deferred
}

async fn try_to_defer(
    change: &Change,
    session: &mut Session,
    keep: &[String],
) -> std::result::Result<Option<DeferredIndexes>, Failure> {
    let shadow = &change.names.shadow;
    let whole = fingerprint(session, shadow).await?;
    let mut definitions = Vec::new();
    for definition in secondary(&definition_of(session, shadow).await?).into_iter().rev() {
        if keep.contains(&definition.name) || !can_be_readded(change, session, &definition).await? {
            break;
        }
        definitions.push(definition);
    }
    definitions.reverse();
    let names: Vec<&str> = definitions.iter().map(|definition| &*definition.name).collect();
    let definitions: Vec<String> =
        definitions.iter().map(|definition| definition.text.clone()).collect();
    if names.is_empty() {
        return Ok(None);
    }
    // Each index was dropped and added alone, the last one first. Now try all of them together, as
    // the build will do it.
    session.execute(&sql::ddl::drop_indexes(&change.source, shadow, &names)).await?;
    session.execute(&sql::ddl::add_indexes(&change.source, shadow, &definitions)).await?;
    if fingerprint(session, shadow).await? != whole {
        return Err(Failure::Server {
            code: 0,
            message: "the table is another with its indexes added again".into(),
        });
    }
    session.execute(&sql::ddl::drop_indexes(&change.source, shadow, &names)).await?;
    Ok(Some(DeferredIndexes { definitions, fingerprint: whole }))
}

/// Returns whether the server drops an index of the empty shadow and adds it again without copying
/// the table.
async fn can_be_readded(
    change: &Change,
    session: &mut Session,
    definition: &Definition,
) -> std::result::Result<bool, Failure> {
    let shadow = &change.names.shadow;
    match session
        .execute(&sql::ddl::drop_indexes(&change.source, shadow, &[&definition.name]))
        .await
    {
        Ok(_) => {}
        Err(failure) if failure.ends_session() => return Err(failure),
        Err(_) => return Ok(false),
    }
    let added = session
        .execute(&sql::ddl::add_indexes(
            &change.source,
            shadow,
            std::slice::from_ref(&definition.text),
        ))
        .await;
    match added {
        Ok(_) => Ok(true),
        Err(failure) if failure.ends_session() => Err(failure),
        Err(_) => {
            session
                .execute(&sql::ddl::add_index_by_copy(&change.source, shadow, &definition.text))
                .await?;
            Ok(false)
        }
    }
}

/// Builds the indexes that were left out, if any.
pub(crate) async fn build_indexes(
    change: &Change,
    pool: &Arc<SessionPool>,
    shadow_state: &ShadowState,
    gently: bool,
) -> Result<()> {
    let attempted = || change.doing("build the indexes of the shadow of");
    let mut reader = pool.reader().await?;
    let mut facts: Facts = read_entry(change, &mut reader).await?.facts;
    let Some(deferred) = facts.deferred.take() else { return Ok(()) };
    let mut lease = pool.lease(Slot::Control).await?;
    shadow_state.builder.store(lease.id(), Ordering::Relaxed);
    let built = add_what_is_missing(change, lease.session(), &deferred, gently).await;
    shadow_state.builder.store(0, Ordering::Relaxed);
    let now = built.doing(attempted)?;
    lease.keep();
    if now != deferred.fingerprint {
        return Err(Error::fatal(
            attempted(),
            "it is not the table it should be now; `altergeist cleanup` drops it",
        ));
    }
    facts.shadow = Some(identify_table(change, &mut reader, &change.names.shadow).await?);
    save_facts(change, pool, &facts).await
}

/// Adds the missing indexes, and returns the fingerprint of the whole table. One ALTER adds all or
/// none, and a killed one leaves nothing.
async fn add_what_is_missing(
    change: &Change,
    session: &mut Session,
    deferred: &DeferredIndexes,
    gently: bool,
) -> std::result::Result<String, Failure> {
    let shadow = &change.names.shadow;
    let present = secondary(&definition_of(session, shadow).await?);
    let is_missing =
        |text: &&String| named(text).is_none_or(|name| present.iter().all(|one| one.name != name));
    let missing: Vec<String> = deferred.definitions.iter().filter(is_missing).cloned().collect();
    if !missing.is_empty() {
        for setting in sql::ddl::build_settings(change.server.version, gently) {
            session.execute(setting).await?;
        }
        // At its end the build waits for comparisons. After a short wait it would undo all its
        // work.
        session.execute(&sql::session::lock_waits(BUILD_WAIT)).await?;
        let added = session.execute(&sql::ddl::add_indexes(&change.source, shadow, &missing)).await;
        session.execute(&sql::session::lock_waits(change.target.lock_timeout)).await?;
        added?;
    }
    fingerprint(session, shadow).await
}
