//! Finds triggers that cannot be carried: creates each on the altered clone.

use crate::change::Change;
use crate::cutover::triggers::{Triggers, trial_of};
use crate::facts::Trigger;
use crate::server::doing::Doing;
use crate::server::error::{
    Failure, NEEDS_PRIVILEGE, ROUTINE_DENIED, TABLE_DENIED, TRIGGER_NEEDS_SUPER,
};
use crate::server::names::TableName;
use crate::server::pool::SessionPool;
use crate::server::session::{Cells, Session, text};
use crate::sql;
use altergeist_contract::{Code, Finding, Result};
use std::sync::Arc;

/// Refuses triggers that the server does not accept on the altered clone.
pub(crate) async fn refuse_triggers(
    change: &Change,
    pool: &Arc<SessionPool>,
) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look at the triggers of");
    let mut session = pool.reader().await?;
    let triggers =
        Triggers::read(&mut session, &change.source).await.doing_in_catalogue(attempted)?;
    let mut refusals = Vec::new();
    if triggers.list.is_empty() {
        return Ok(refusals);
    }
    let schema = &change.source.schema;
    let of_schema = session.text(&sql::triggers::schema_collation(schema)).await;
    let of_schema = of_schema.doing_in_catalogue(attempted)?;
    session.execute(&sql::session::use_schema(schema)).await.doing_in_catalogue(attempted)?;
    for (trigger, row) in triggers.list.iter().zip(&triggers.seen) {
        match try_trigger(change, &mut session, trigger, row).await {
            Ok(None) => {}
            Ok(Some(refusal)) => refusals.push(refusal),
            Err(failure) => return Err(failure.of_catalogue(attempted())),
        }
        let collation = text(&row[5]);
        if collation != of_schema {
            let reason = format!(
                "it was made when the schema's collation was {collation}; now it is {of_schema}"
            );
            let remedy = "drop it and create it again, so that it gets the schema's collation";
            refusals.push(refusal(Code::Trigger, trigger, reason, remedy));
        }
    }
    Ok(refusals)
}

fn refusal(code: Code, trigger: &Trigger, reason: impl Into<String>, remedy: &str) -> Finding {
    Finding::error(code, format!("trigger {}", trigger.name), reason, remedy)
}

/// Creates a trigger on the clone, and drops it. Fails only if the session has ended.
async fn try_trigger(
    change: &Change,
    session: &mut Session,
    trigger: &Trigger,
    row: &Cells,
) -> std::result::Result<Option<Finding>, Failure> {
    // Triggers and tables do not share a namespace.
    let trial = &change.names.clone;
    let Some([settings, create]) = trial_of(trigger, &sql::triggers::trial_trigger(trial, row))
    else {
        let remedy = "drop it and create it again in a simpler form";
        let reason = "the server's text of it is unreadable";
        return Ok(Some(refusal(Code::Trigger, trigger, reason, remedy)));
    };
    let tried = match session.execute_bytes(settings).await {
        Ok(()) => session.execute_bytes(create).await,
        failed => failed,
    };
    session.execute(sql::session::NAMES).await?;
    match tried {
        Ok(()) => {
            session.execute(&sql::triggers::drop_trigger(&change.source, trial)).await?;
            Ok(None)
        }
        Err(failure) if failure.ends_session() => Err(failure),
        Err(failure) => {
            let (code, remedy) = remedy(failure.code(), &change.source, row);
            let reason = failure.of_catalogue("try it").reason;
            Ok(Some(refusal(code, trigger, reason, &remedy)))
        }
    }
}

fn remedy(code: Option<u16>, source: &TableName, row: &Cells) -> (Code, String) {
    match code {
        Some(TRIGGER_NEEDS_SUPER) => (
            Code::Privilege,
            "run SET GLOBAL log_bin_trust_function_creators = ON: without it only SUPER may make \
             triggers"
                .to_owned(),
        ),
        Some(NEEDS_PRIVILEGE) => (
            Code::Privilege,
            format!(
                "its definer is {}. Run GRANT SET_ANY_DEFINER ON *.* (MySQL 8.2 and later), \
                 SET_USER_ID (8.0) or SET USER (MariaDB) to this user; and \
                 ALLOW_NONEXISTENT_DEFINER if the definer's account is gone",
                text(&row[4])
            ),
        ),
        Some(TABLE_DENIED | ROUTINE_DENIED) => (
            Code::Privilege,
            format!("run GRANT TRIGGER ON {}.* to this user", sql::quote(&source.schema)),
        ),
        _ => (
            Code::Trigger,
            "change the trigger so that it fits the altered table, or leave this part of the \
             clauses out"
                .to_owned(),
        ),
    }
}
