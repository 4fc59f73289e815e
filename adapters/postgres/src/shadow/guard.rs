//! Notes whether other sessions write to the shadow, for instance a job that cleans up every table.
//! A trigger for each statement writes the note in that statement's transaction, and blocks nobody.
//! Our own sessions do not fire it. Under the cut-over lock no session can write to the shadow, so
//! the note is complete.

use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::{self, Names};
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::{qualified, quoted};
use altergeist_contract::{Error, Kind, Result};

/// The trigger's name.
pub(crate) const TRIGGER: &str = "altergeist_touched";

/// Returns the name of the function and of its table.
fn name(names: &Names) -> String {
    format!("{TRIGGER}_{}", names::tag(&names.display))
}

fn place(names: &Names) -> String {
    qualified(&names.shadow_schema, &name(names))
}

/// Sets the guard on a new shadow and its partitions, within the session's transaction. False if
/// the language of its function is not usable.
pub(crate) async fn set(
    session: &Session,
    names: &Names,
    shadow: u32,
    parts: &[(String, String)],
) -> Result<bool> {
    let attempted = || format!("guard the shadow of {}", names.display);
    if !session.one(sql::HAS_PLPGSQL, &[]).await.trying_clauses(attempted)?.get::<_, bool>(0) {
        return Ok(false);
    }
    let owner: String = session.one(sql::OWNER, &[&shadow]).await.trying_clauses(attempted)?.get(0);
    let (place, owner) = (place(names), quoted(&owner));
    let mut script = drop_note(names);
    script.push(sql::guard(&place, &owner));
    script
        .extend(tables(names, parts).iter().map(|table| sql::guard_table(TRIGGER, table, &place)));
    session.run(&script.join(";\n")).await.trying_clauses(attempted)?;
    Ok(true)
}

/// Returns the statements that drop it.
pub(crate) fn drop(names: &Names, parts: &[(String, String)]) -> Vec<String> {
    let trigger = |table: &String| sql::drop_guard_trigger(TRIGGER, table);
    let mut script: Vec<String> = tables(names, parts).iter().map(trigger).collect();
    script.extend(drop_note(names));
    script
}

/// Returns the statements that drop the rest of it after the shadow is gone.
pub(crate) fn drop_note(names: &Names) -> Vec<String> {
    sql::drop_guard(&place(names)).to_vec()
}

fn tables(names: &Names, parts: &[(String, String)]) -> Vec<String> {
    let parts = parts.iter().map(|(name, schema)| qualified(schema, name));
    [names.shadow()].into_iter().chain(parts).collect()
}

/// Stops the run if another session has written to the shadow.
///
/// # Errors
/// `Missed`: only a new copy helps.
pub(crate) async fn check(session: &Session, names: &Names, shadow: u32) -> Result<()> {
    let missed =
        |reason: String| Err(Error::new(Kind::Missed, format!("follow {}", names.display), reason));
    let attempted = || format!("check for foreign writes to the shadow of {}", names.display);
    let is_on = session.one(sql::IS_GUARDED, &[&shadow, &TRIGGER]).await.doing(attempted)?;
    let rows = match session.query(&sql::guard_notes(&place(names)), &[]).await {
        Err(error) if error::is_missing_table(&error) => return missed(switched_off(names)),
        rows => rows.doing(attempted)?,
    };
    match () {
        () if !is_on.get::<_, bool>(0) => missed(switched_off(names)),
        () if !rows.is_empty() => {
            missed(format!("another session wrote to its shadow {}", names.shadow()))
        }
        () => Ok(()),
    }
}

fn switched_off(names: &Names) -> String {
    format!(
        "another session dropped the trigger {TRIGGER} from its shadow {}, which reports foreign \
         writes",
        names.shadow()
    )
}
