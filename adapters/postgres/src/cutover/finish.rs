//! What is left to do after the swap: it proves foreign keys, refreshes views, and drops the log.

use crate::change::Change;
use crate::cutover::replacement_views;
use crate::journal;
use crate::log::slot;
use crate::log::source::LogSource;
use crate::server::error;
use crate::server::names::Names;
use crate::server::own_objects;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Kind, Result};
use std::time::Duration;

/// How often, and after what pause, what is left after the swap is tried again.
const FINISH_ATTEMPTS: usize = 30;

const FINISH_PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn finish(session: &Session, change: &Change, source: &LogSource) -> Result<()> {
    let names = &change.names;
    slot::drop_log(session, change, source).await?;
    let shadow = journal::facts(session, names).await?.shadow;
    if let Some(shadow) = shadow {
        for statement in &shadow.final_steps.validations {
            check_rows_of_old(session, change, statement)
                .await?
                .map_err(|broken| error::of_lock(attempted(&change.names, statement), &broken))?;
        }
        for statement in &shadow.finish {
            // The new table has the rows of the old one, and the swap is done: nothing is mended by
            // a failure.
            match check_rows_of_old(session, change, statement).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::warn!(
                    "{}: rows break a foreign key, as they did before (they were written while it \
                     was not checked); it holds for new rows. When they are mended: {statement}",
                    names.display
                ),
                Err(error) if error.kind == Kind::Disconnected => return Err(error),
                Err(error) => tracing::warn!(
                    "{}: the tables are swapped, but the server refuses one last statement ({}). \
                     When its reason is gone, give it yourself: {statement}",
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

/// What the server says when rows break a foreign key.
type Checked = std::result::Result<(), tokio_postgres::Error>;

/// Nobody who reads or writes rows waits for this, nor behind it, so it may wait long for a vacuum
/// or the like. Where somebody would, the statement itself says that it will not wait long, and is
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
        // Somebody has dropped it since, or it was added before we could write that down.
        Err(error) if error::is_constraint_changed(&error) => Ok(Ok(())),
        Err(error) if error::breaks_foreign_key(&error) => Ok(Err(error)),
        other => other
            .map(Ok)
            .map_err(|error| error::of_lock(attempted(&change.names, statement), &error)),
    }
}
