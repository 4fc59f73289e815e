//! Plans a change: asks the server and the catalogue, and tries the clauses on an empty clone.

use crate::change::Change;
use crate::cutover::blockers::{describe_blockers, refuse_killing};
use crate::cutover::triggers::rescue_triggers;
use crate::journal::read_entry;
use crate::log::source::LogServer;
use crate::plan::alternative::alternative;
use crate::plan::blockers::blockers_now;
use crate::plan::leftovers::{LeftoverObject, find_leftovers};
use crate::plan::log_settings::refuse_log;
use crate::plan::log_source::refuse_stream_from;
use crate::plan::old_dependents::check_nothing_needs_old;
use crate::plan::other_engine;
use crate::plan::postgres_flags::refuse_postgres_flags;
use crate::plan::privileges::{refuse_privileges, refuse_privileges_to_copy};
use crate::plan::replica_target::{refuse_replica, replica_target_note};
use crate::plan::space::space_notes;
use crate::plan::steps::{TableFacts, compose_plan};
use crate::plan::taken_names::refuse_names;
use crate::plan::trial::{Trial, try_clauses};
use crate::plan::unlogged_note::unlogged_note;
use crate::server::doing::Doing;
use crate::server::own_objects::refuse_others_objects;
use crate::server::pool::{SessionPool, Slot};
use crate::server::replicas::replica_notes;
use crate::server::session::{Session, execute_within, number, text};
use crate::server::settings;
use crate::sql;
use crate::state::{LogState, NativeState, ShadowState};
use altergeist_contract::{Code, Disposal, Error, Finding, Kind, Leftover, Plan, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub(crate) async fn plan(
    change: &Change,
    pool: &Arc<SessionPool>,
    log: &LogServer,
    native: &NativeState,
) -> Result<Plan> {
    let mut session = pool.reader().await?;
    let facts = table_facts(change, &mut session).await?;
    let mut found = refuse_table(change, &facts);
    found.extend(refuse_privileges(change, &mut session).await?);
    found.extend(refuse_postgres_flags(&change.target));
    found.extend(refuse_replica(change, pool, &mut session).await?);
    found.extend(refuse_others_objects(change, &mut session).await?);
    found.extend(change.request.clauses.as_ref().err().cloned());
    let mut trial = Trial::default();
    if let (Ok(clauses), true) = (&change.request.clauses, found.is_empty()) {
        trial = try_clauses(change, pool, native, &mut session, clauses).await?;
    }
    if trial.native.is_none() {
        found.extend(refuse_copy(change, pool, log, &mut session).await?);
        found.extend(replica_notes(change, pool).await?);
        found.extend(unlogged_note(change, &mut session).await);
        found.extend(alternative(change));
        found.extend(space_notes(change, &mut session, &facts).await);
    }
    found.extend(blockers_now(change, &mut session).await);
    found.extend(replica_target_note(change, &mut session).await?);
    Ok(compose_plan(change, facts, trial, found))
}

pub(crate) async fn alter_natively(
    change: &Change,
    pool: &Arc<SessionPool>,
    native: &NativeState,
    statement: &str,
) -> Result<()> {
    let attempted = || change.doing("alter");
    let most = native.most_for(statement, change.target.max_downtime);
    let (within, begun) = (most.unwrap_or(pool.lock_timeout), Instant::now());
    let mut lease = pool.lease(Slot::Control).await?;
    let signed = format!("{}{statement}", sql::sign(&change.source));
    let modes = settings::modes_of_clauses(&change.server.modes, change.target.allow_zero_dates);
    lease.session().execute(&modes).await.doing_in_catalogue(attempted)?;
    let outcome = execute_within(lease.session(), &pool.access, &signed, within).await;
    if lease.session().is_alive() {
        let modes = settings::our_modes(&change.server.modes);
        lease.session().execute(&modes).await.doing_in_catalogue(attempted)?;
    }
    lease.keep();
    match outcome {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_busy() && most.is_some_and(|most| begun.elapsed() >= most) => {
            native.is_refused.store(true, Ordering::Relaxed);
            Err(Error::refused(attempted(), "the server did not finish within --max-downtime"))
        }
        Err(failure) if failure.is_busy() => {
            let mut error = failure.of_lock(attempted());
            error.reason += &describe_blockers(change, pool, &change.source).await;
            Err(error)
        }
        Err(failure) => {
            let error = failure.of_clauses(attempted());
            native.is_refused.store(error.kind == Kind::Refused, Ordering::Relaxed);
            Err(error)
        }
    }
}

pub(crate) async fn leftovers(change: &Change, pool: &Arc<SessionPool>) -> Result<Vec<Leftover>> {
    let mut session = pool.reader().await?;
    let found = find_leftovers(change, pool, &mut session).await?;
    Ok(found.into_iter().map(|found| found.shown).collect())
}

pub(crate) async fn cleanup(
    change: &Change,
    pool: &Arc<SessionPool>,
    log_state: &LogState,
    shadow_state: &ShadowState,
    old_too: bool,
) -> Result<()> {
    log_state.heartbeat.end();
    let mut session = pool.reader().await?;
    let facts = read_entry(change, &mut session).await?.facts;
    rescue_triggers(change, pool, &facts).await?;
    if let (Some(turned), Some(back)) = (change.begun_way_back(&facts), &facts.back) {
        rescue_triggers(&turned, pool, back).await?;
    }
    let found = find_leftovers(change, pool, &mut session).await?;
    let is_with_old = |found: &LeftoverObject| found.shown.disposal == Disposal::DroppedWithOld;
    if old_too && found.iter().any(is_with_old) {
        check_nothing_needs_old(change, &mut session).await?;
    }
    let mut lease = pool.lease(Slot::Control).await?;
    for found in found {
        let is_dropped = match found.shown.disposal {
            Disposal::Dropped => true,
            Disposal::DroppedWithOld => old_too,
            Disposal::Unclaimed => false,
        };
        if is_dropped {
            let attempted = format!("drop {}", found.shown.object);
            lease.session().execute(&found.drop).await.doing_in_catalogue(attempted)?;
        }
    }
    lease.keep();
    *shadow_state.mapping.lock().expect("not poisoned") = None;
    Ok(())
}

pub(crate) async fn table_facts(change: &Change, session: &mut Session) -> Result<TableFacts> {
    let attempted = || change.doing("look at");
    let row = session
        .row(&sql::catalogue::table_facts(&change.source))
        .await
        .doing_in_catalogue(attempted)?;
    let row = row.ok_or_else(|| {
        Error::refused(
            attempted(),
            "it was dropped or renamed. Run `altergeist cleanup` to drop what its change left",
        )
    })?;
    let made = session
        .row(&sql::catalogue::show_create(&change.source))
        .await
        .doing_in_catalogue(attempted)?;
    Ok(TableFacts {
        kind: text(&row[0]),
        engine: text(&row[1]),
        rows: number(&row[2]).unwrap_or_default(),
        bytes: number(&row[3]).unwrap_or_default(),
        definition: made.and_then(|row| row.get(1).map(text)).unwrap_or_default(),
    })
}

/// Refuses tables that cannot be changed in any way.
fn refuse_table(change: &Change, facts: &TableFacts) -> Vec<Finding> {
    let table = format!("table {}", change.title);
    let mut refusals = Vec::new();
    if ["mysql", "information_schema", "performance_schema", "sys"]
        .contains(&&*change.source.schema.to_lowercase())
    {
        refusals.push(Finding::error(
            Code::TableKind,
            &table,
            "it is the server's own",
            "leave it alone",
        ));
    }
    if change.source.name.to_lowercase().starts_with("_altergeist") {
        refusals.push(Finding::error(
            Code::TableKind,
            &table,
            "it is this tool's own",
            "leave it alone",
        ));
    }
    if facts.kind != "BASE TABLE" {
        refusals.push(Finding::error(
            Code::TableKind,
            &table,
            format!("it is a {}, not a plain table", facts.kind.to_lowercase()),
            "change it by hand",
        ));
    } else if facts.engine != "InnoDB" {
        refusals.push(other_engine::refusal(&change.source, &facts.engine));
    }
    refusals
}

/// Refuses what prevents a copy, but not a native change.
async fn refuse_copy(
    change: &Change,
    pool: &Arc<SessionPool>,
    log: &LogServer,
    session: &mut Session,
) -> Result<Vec<Finding>> {
    let mut refusals = refuse_privileges_to_copy(change, log, session).await?;
    refusals.extend(refuse_log(change, session).await?);
    refusals.extend(refuse_stream_from(change, pool, log).await?);
    refusals.extend(refuse_names(change, session).await?);
    refusals.extend(refuse_killing(change, session).await);
    Ok(refusals)
}

#[cfg(test)]
mod tests {
    use crate::plan::trial::keeps_its_rows;
    use std::collections::BTreeSet;

    fn parts(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
        pairs.iter().map(|(table, index)| ((*table).to_owned(), (*index).to_owned())).collect()
    }

    #[test]
    fn rows_are_kept_if_no_table_and_no_index_is_made_anew() {
        let before = parts(&[("1", "7"), ("1", "8")]);
        assert!(keeps_its_rows(&before, &before));
        assert!(keeps_its_rows(&before, &parts(&[("1", "7")])));
        assert!(keeps_its_rows(&before, &parts(&[("1", "7"), ("1", "8"), ("2", "9")])));
        assert!(!keeps_its_rows(&before, &parts(&[("1", "7"), ("1", "9")])));
        assert!(!keeps_its_rows(&before, &parts(&[("2", "9"), ("2", "10")])));
    }
}
