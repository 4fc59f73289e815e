//! The server settings that following the log needs.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Refusal, Result};

/// Refuses server settings that do not allow following the log.
pub(crate) async fn refuse_log(change: &Change, session: &mut Session) -> Result<Vec<Refusal>> {
    let attempted = || change.doing("look at the log's settings for");
    let row = session
        .row(sql::log::log_settings(change.server.version))
        .await
        .doing_in_catalogue(attempted)?;
    let setting =
        |place: usize| row.as_ref().and_then(|row| row.get(place)).map(text).unwrap_or_default();
    let mut refusals = Vec::new();
    if setting(0) != "1" {
        refusals.push(Refusal::new(
            "binary log",
            "it is off, and the run reads every change from it",
            "set log_bin and restart the server",
        ));
        return Ok(refusals);
    }
    if setting(1) != "ROW" || setting(2) != "ROW" {
        let remedy = "run SET GLOBAL binlog_format = ROW, and let sessions that are open now end";
        refusals.push(Refusal::new(
            "binlog_format",
            format!("it is {}: the server logs statements, not rows", setting(2)),
            remedy,
        ));
    }
    if setting(3) != "1" {
        let reason = "it is off, so the log does not show when changes become visible";
        refusals.push(Refusal::new(
            "binlog_order_commits",
            reason,
            "run SET GLOBAL binlog_order_commits = ON",
        ));
    }
    if !matches!(&*setting(4), "0" | "OFF" | "NO_LOCK") {
        refusals.push(Refusal::new("read_only", "the server is read-only", "run on the primary"));
    }
    if setting(5) == "1" {
        refusals.push(Refusal::new(
            "wsrep_on",
            "Galera clusters are not supported yet",
            "change the table by the cluster's own means",
        ));
    }
    match session.row(sql::log::log_status(change.server.version)).await {
        Ok(Some(row))
            if row.get(2).map(text).is_some_and(|list| !list.is_empty())
                || row.get(3).map(text).is_some_and(|list| !list.is_empty()) =>
        {
            let reason = "the server logs only some schemas (binlog_do_db, binlog_ignore_db)";
            refusals.push(Refusal::new("binary log", reason, "log all of them"));
        }
        Ok(_) => {}
        Err(failure) => {
            let error = failure.of_catalogue(attempted());
            refusals.push(Refusal::new(
                "privileges",
                error.reason,
                "run GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.*",
            ));
        }
    }
    if let Err(failure) = session.rows(sql::log::PREPARED).await {
        let error = failure.of_catalogue(attempted());
        refusals.push(Refusal::new(
            "privileges",
            error.reason,
            "run GRANT XA_RECOVER_ADMIN ON *.*: the run must see prepared transactions",
        ));
    }
    Ok(refusals)
}
