//! The work after the swap: prove foreign keys, refresh views, drop the log.

use crate::change::Change;
use crate::cutover::replacement_views;
use crate::journal;
use crate::log::slot;
use crate::log::source::LogSource;
use crate::schema::catalogue;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::session::Session;
use crate::shadow::guard;
use crate::sql;
use altergeist_contract::{Kind, Result};
use std::time::Duration;

/// How often a statement after the swap is tried, and the pause between.
const FINISH_ATTEMPTS: usize = 30;

const FINISH_PAUSE: Duration = Duration::from_secs(1);

/// Removes what only the run needed, and proves what was copied.
pub(crate) async fn finish(session: &Session, change: &Change, source: &LogSource) -> Result<()> {
    slot::drop_log(session, change, source).await?;
    Box::pin(drop_way_back(session, &change.names)).await?;
    settle(session, change).await
}

/// Drops what only the way back needs, whichever way the run looks.
pub(crate) async fn drop_way_back(session: &Session, names: &Names) -> Result<()> {
    let ahead = if names.is_turned { names.clone() } else { names.turned() };
    let Some(facts) = journal::entry(session, &ahead).await?.facts else { return Ok(()) };
    let Some(shadow) = facts.shadow else { return Ok(()) };
    let misfits = shadow.layout.back.as_ref().map(|back| sql::drop_misfits(&back.misfits));
    let mut script: Vec<String> = misfits.into_iter().collect();
    let is_there =
        catalogue::table_id(session, &ahead.shadow_schema, &ahead.table).await? == Some(shadow.oid);
    if is_there && facts.done.is_none() {
        script.extend(guard::drop(&ahead, &[]));
        let index = shadow.layout.helper_index.as_ref();
        script.extend(index.map(|index| sql::drop_index_if_there(&ahead.shadow_schema, index)));
    }
    let dropped = session.run(&script.join(";\n")).await;
    dropped.locking(format!("drop what kept the old {} current", names.display))
}

/// Proves foreign keys over copied rows, and refreshes materialized views.
pub(crate) async fn settle(session: &Session, change: &Change) -> Result<()> {
    let names = &change.names;
    let shadow = journal::facts(session, names).await?.shadow;
    if let Some(shadow) = shadow {
        for statement in &shadow.final_steps.validations {
            check_rows_of_old(session, change, statement)
                .await?
                .map_err(|broken| error::of_lock(attempted(&change.names, statement), &broken))?;
        }
        for statement in &shadow.finish {
            // The new table has the old table's rows, and the swap is done. To fail here would mend
            // nothing.
            match check_rows_of_old(session, change, statement).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::warn!(
                    "{}: rows break a foreign key, as they did before the change (they were \
                     written while it was not checked). It holds for new rows. Correct them, then \
                     run {statement}",
                    names.display
                ),
                Err(error) if error.kind == Kind::Disconnected => return Err(error),
                Err(error) => tracing::warn!(
                    "{}: the tables are swapped, but the server refuses one last statement ({}). \
                     Remove the cause, then run it yourself: {statement}",
                    names.display,
                    error.reason
                ),
            }
        }
        replacement_views::leave(session, shadow.oid).await?;
    }
    own_objects::drop_schema_if_empty(session, &names.shadow_schema).await
}

fn attempted(names: &Names, statement: &str) -> String {
    format!("finish the altered {}: {statement}", names.display)
}

/// The server's answer when rows break a foreign key.
type Checked = std::result::Result<(), tokio_postgres::Error>;

/// Runs a statement that proves copied rows. It blocks no reader or writer, so it may wait long,
/// for instance for a vacuum. A statement that would block them sets its own short limit, and is
/// tried again.
async fn check_rows_of_old(session: &Session, change: &Change, statement: &str) -> Result<Checked> {
    for _ in 1..FINISH_ATTEMPTS {
        match finish_one(session, change, statement).await {
            Err(error) if error.kind == Kind::Busy => tokio::time::sleep(FINISH_PAUSE).await,
            other => return other,
        }
    }
    finish_one(session, change, statement).await
}

async fn finish_one(session: &Session, change: &Change, statement: &str) -> Result<Checked> {
    let bounded = sql::with_long_lock_timeout(statement, change.lock_timeout_ms());
    match session.run(&bounded).await {
        // Another session has dropped it since, or the statement ran before and the note of it was
        // lost.
        Err(error) if error::is_constraint_changed(&error) => Ok(Ok(())),
        Err(error) if error::breaks_foreign_key(&error) => Ok(Err(error)),
        other => other.map(Ok).locking(attempted(&change.names, statement)),
    }
}
