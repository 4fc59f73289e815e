//! Checks what has the names of this tool's own tables before it is used: another user may have
//! made it. A view of such a name would run its functions as us. A trigger would change what we
//! write.
//!
//! The run checks it whenever it reads the journal, and again before the swap. In between, the log
//! shows it: DDL of others on these tables ends the run (`statement`).

use crate::change::Change;
use crate::facts::Facts;
use crate::schema::identity::identify_table;
use crate::schema::lookup::table_exists;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Code, Error, Finding, Result};

/// Columns of the journal and of the heartbeats: name, type, whether it may be NULL.
const JOURNAL: [(&str, &str, bool); 7] = [
    ("source", "varchar", false),
    ("alter_clauses", "longtext", false),
    ("stage", "varchar", false),
    ("updated_at", "datetime", false),
    ("holder", "varchar", false),
    ("record", "longtext", true),
    ("facts", "longtext", false),
];
const BEAT: [(&str, &str, bool); 2] = [("source", "varchar", false), ("beat", "bigint", false)];

/// Proves that the journal and the heartbeat table, if they exist, are as this tool makes them.
///
/// # Errors
/// `Refused`, naming the object and what it is.
pub(crate) async fn check_own_tables(change: &Change, session: &mut Session) -> Result<()> {
    let expected: [(&TableName, &[_]); 2] =
        [(&change.names.journal, &JOURNAL), (&change.names.beat, &BEAT)];
    for (name, columns) in expected {
        let odd = oddity(session, &change.source, &change.names.clone, name, Some(columns)).await;
        if let Some(odd) = odd.doing_in_catalogue(format!("look at {}", name.plain()))? {
            let reason = format!(
                "{odd}, so this tool did not make it. Find out who did, then drop or rename it"
            );
            return Err(Error::refused(format!("use {}", name.plain()), reason));
        }
    }
    Ok(())
}

/// Whether a table of this name exists that may be one of ours.
pub(crate) async fn is_plain(
    change: &Change,
    session: &mut Session,
    name: &TableName,
) -> Result<bool> {
    let odd = oddity(session, &change.source, &change.names.clone, name, None).await;
    let odd = odd.doing_in_catalogue(format!("look at {}", name.plain()))?;
    Ok(odd.is_none() && table_exists(session, name).await?)
}

/// Returns whether the shadow's name belongs to the table that this change has made, whatever
/// others have put on it.
///
/// # Errors
/// `Refused`, if this change has a shadow and something else bears its name.
pub(crate) async fn is_our_shadow(
    change: &Change,
    session: &mut Session,
    facts: &Facts,
) -> Result<bool> {
    let shadow = &change.names.shadow;
    if !facts.has_shadow || !table_exists(session, shadow).await? {
        return Ok(false);
    }
    if is_plain(change, session, shadow).await? {
        return Ok(true);
    }
    let is_made = match &facts.shadow {
        None => false,
        Some(made) => made.is_same(&identify_table(change, session, shadow).await?),
    };
    if is_made {
        return Ok(true);
    }
    let odd = oddity(session, &change.source, &change.names.clone, shadow, None).await;
    let odd = odd.doing_in_catalogue(format!("look at {}", shadow.plain()))?;
    Err(Error::refused(
        format!("look at the shadow of {}", change.title),
        format!(
            "{} has the shadow's name, and {}. Find out who made it, drop or rename it, and run \
             cleanup again",
            shadow.plain(),
            odd.unwrap_or_else(|| "it is not the shadow".to_owned())
        ),
    ))
}

/// Lists what has a name that the change needs, and is not ours.
pub(crate) async fn refuse_others_objects(
    change: &Change,
    session: &mut Session,
) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look for what bears the names needed to change");
    let mut refusals = Vec::new();
    for name in [&change.names.shadow, &change.names.clone] {
        let odd = oddity(session, &change.source, &change.names.clone, name, None)
            .await
            .doing_in_catalogue(attempted)?;
        refusals.extend(odd.map(|odd| {
            Finding::error(
                Code::NotOurs,
                name.plain(),
                format!("it has a name this tool needs, and {odd}"),
                "find out who made it, then drop or rename it",
            )
        }));
    }
    for guard in &change.names.guards {
        let found = session.row(&sql::triggers::find_trigger(guard)).await;
        let on = found.doing_in_catalogue(attempted)?.map(|row| text(&row[0]));
        if let Some(on) =
            on.filter(|on| *on != change.source.name && *on != change.names.shadow.name)
        {
            refusals.push(Finding::error(
                Code::NotOurs,
                format!("trigger {}", guard.plain()),
                format!("this tool needs its name, and it belongs to {on}"),
                "find out who made it, then drop it",
            ));
        }
    }
    Ok(refusals)
}

/// Says why this tool cannot have made the table for the source. None if it may have, or if there
/// is no such table.
pub(crate) async fn oddity(
    session: &mut Session,
    source: &TableName,
    clone: &TableName,
    name: &TableName,
    columns: Option<&[(&str, &str, bool)]>,
) -> std::result::Result<Option<String>, Failure> {
    let Some(facts) = session.row(&sql::catalogue::table_facts(name)).await? else {
        return Ok(None);
    };
    let kind = text(&facts[0]);
    if kind != "BASE TABLE" {
        return Ok(Some(format!("it is a {}, not a plain table", kind.to_lowercase())));
    }
    let triggers = session.text(&sql::triggers::count_others_triggers(source, clone, name)).await?;
    if triggers != "0" {
        return Ok(Some("it has triggers".to_owned()));
    }
    let Some(expected) = columns else { return Ok(None) };
    if text(&facts[1]) != "InnoDB" || text(&facts[6]).contains("partitioned") {
        return Ok(Some("its engine is not plain InnoDB".to_owned()));
    }
    let found = session.rows(&sql::catalogue::columns(name)).await?;
    let is_as_made = found.len() == expected.len()
        && found.iter().zip(expected).all(|(row, (column, data_type, is_nullable))| {
            let cell = |place: usize| text(&row[place]);
            let has_default = !matches!(&*cell(7), "" | "NULL");
            cell(0) == *column
                && cell(2) == *data_type
                && (cell(6) == "YES") == *is_nullable
                && !has_default
                && cell(8).is_empty()
                && cell(9).is_empty()
        });
    if !is_as_made {
        return Ok(Some("its columns differ".to_owned()));
    }
    let keys = session.text(&sql::catalogue::count_constraints(name)).await?;
    Ok((keys != "0").then(|| "it has constraints, or foreign keys refer to it".to_owned()))
}
