//! Refuses a server that is a replica. The change would happen there alone, and the next row from
//! its source may not fit the altered table. `--allow-replica` overrides the refusal.

use crate::change::Change;
use crate::server::pool::SessionPool;
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};
use std::sync::Arc;

const REMEDY: &str = "name the primary in --url; the change replicates from there. Use \
                      --allow-replica if this server takes the writes";

/// Refuses to change this server alone.
pub(crate) async fn refuse_replica(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
) -> Result<Vec<Finding>> {
    let mut refusals = Vec::new();
    if !change.target.allow_replica {
        let sources = replication_sources(change, session).await?;
        if !sources.is_empty() {
            let object = format!("server {}", pool.access.address);
            let reason = format!("it is a replica: it replicates from {}", sources.join(" and "));
            refusals.push(Finding::error(Code::ReplicaTarget, object, reason, REMEDY));
        }
    }
    refusals.extend(refuse_group(change, pool, session).await);
    Ok(refusals)
}

/// Returns what `plan` says of a replica that may be changed.
pub(crate) async fn replica_target_note(
    change: &Change,
    session: &mut Session,
) -> Result<Option<Finding>> {
    let sources = replication_sources(change, session).await?;
    Ok((!sources.is_empty()).then(|| {
        Finding::warning(
            Code::ReplicaTarget,
            "this server",
            format!(
                "it replicates from {}. The run changes the table here only, and the rows that \
                 arrive must fit the altered table",
                sources.join(" and ")
            ),
            "make sure that they fit",
        )
    }))
}

/// Returns the servers that this one replicates from, stopped or not. A user who may not see them
/// gets none. The privileges that a copy needs to follow the log include this one.
async fn replication_sources(change: &Change, session: &mut Session) -> Result<Vec<String>> {
    let rows = match session.rows(sql::log::replication_status(change.server.version)).await {
        Ok(rows) => rows,
        Err(failure) if failure.ends_session() => {
            return Err(failure.of_catalogue(change.doing("look for the source of the server of")));
        }
        Err(_) => session.rows(sql::log::REPLICATION_SOURCES).await.unwrap_or_default(),
    };
    let (host, port) = match change.server.version.flavour {
        Flavour::MySql => (1, 3),
        Flavour::MariaDb => (3, 5),
    };
    let is_of_group = |row: &crate::server::session::Cells| {
        row.iter().any(|cell| text(cell).starts_with("group_replication_"))
    };
    let named = |row: &crate::server::session::Cells| {
        let cell = |place: usize| row.get(place).map(text).unwrap_or_default();
        format!("{}:{}", cell(host), cell(port))
    };
    Ok(rows.iter().filter(|row| !is_of_group(row)).map(named).collect())
}

/// Refuses a member of a group whose rows come from other members. A server without the plugin has
/// no members.
async fn refuse_group(
    change: &Change,
    pool: &Arc<SessionPool>,
    session: &mut Session,
) -> Option<Finding> {
    if change.server.version.flavour == Flavour::MariaDb {
        return None;
    }
    let row = session.row(sql::log::GROUP_ROLE).await.ok().flatten()?;
    let (role, primaries) = (text(&row[0]), text(&row[1]));
    let (reason, remedy) = match (&*role, &*primaries) {
        ("SECONDARY", _) => {
            ("it is a secondary of a replication group", "name the group's primary in --url")
        }
        ("PRIMARY", "0" | "1") => return None,
        _ => (
            "it is one of several primaries of a replication group. What the others write during \
             the swap could be lost",
            "run SELECT group_replication_switch_to_single_primary_mode() before the change, and \
             switch back afterwards",
        ),
    };
    Some(Finding::error(
        Code::ReplicaTarget,
        format!("server {}", pool.access.address),
        reason,
        remedy,
    ))
}
