//! The server settings that following the log needs.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Refuses server settings that do not allow following the log.
pub(crate) async fn refuse_log(change: &Change, session: &mut Session) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look at the log's settings for");
    let row = session
        .row(sql::log::log_settings(change.server.version))
        .await
        .doing_in_catalogue(attempted)?;
    let setting =
        |place: usize| row.as_ref().and_then(|row| row.get(place)).map(text).unwrap_or_default();
    if setting(0) != "1" {
        return Ok(vec![refusal(
            "binary log",
            "it is off, and the run reads every change from it",
            "set log_bin and restart the server",
        )]);
    }
    let mut refusals = refuse_settings(setting);
    refusals.extend(refuse_filters(change, session).await);
    if let Err(failure) = session.rows(sql::log::PREPARED).await {
        let remedy = "run GRANT XA_RECOVER_ADMIN ON *.*: the run must see prepared transactions";
        let reason = failure.of_catalogue(attempted()).reason;
        refusals.push(Finding::error(Code::Privilege, "privileges", reason, remedy));
    }
    Ok(refusals)
}

fn refusal(object: &str, reason: impl Into<String>, remedy: &str) -> Finding {
    Finding::error(Code::LogSettings, object, reason, remedy)
}

/// Judges the settings in the order of [`sql::log::log_settings`].
fn refuse_settings(setting: impl Fn(usize) -> String) -> Vec<Finding> {
    let mut refusals = Vec::new();
    if setting(1) != "ROW" || setting(2) != "ROW" {
        let remedy = "run SET GLOBAL binlog_format = ROW, and let sessions that are open now end";
        let reason = format!("it is {}: the server logs statements, not rows", setting(2));
        refusals.push(refusal("binlog_format", reason, remedy));
    }
    if setting(3) != "1" {
        let reason = "it is off, so the log does not show when changes become visible";
        let remedy = "run SET GLOBAL binlog_order_commits = ON";
        refusals.push(refusal("binlog_order_commits", reason, remedy));
    }
    if !matches!(&*setting(4), "0" | "OFF" | "NO_LOCK") {
        let (reason, remedy) = ("the server is read-only", "run on the primary");
        refusals.push(Finding::error(Code::ServerSettings, "read_only", reason, remedy));
    }
    if setting(5) == "1" {
        let reason = "Galera clusters are not supported yet";
        let remedy = "change the table by the cluster's own means";
        refusals.push(Finding::error(Code::ServerSettings, "wsrep_on", reason, remedy));
    }
    refusals
}

/// Refuses a log that leaves schemas out.
async fn refuse_filters(change: &Change, session: &mut Session) -> Option<Finding> {
    match session.row(sql::log::log_status(change.server.version)).await {
        Ok(row) => {
            let row = row.unwrap_or_default();
            let is_set = |place: &usize| row.get(*place).map(text).is_some_and(|it| !it.is_empty());
            let reason = "the server logs only some schemas (binlog_do_db, binlog_ignore_db)";
            [2, 3].iter().any(is_set).then(|| refusal("binary log", reason, "log all of them"))
        }
        Err(failure) => {
            let reason = failure.of_catalogue(change.doing("look at the log of")).reason;
            let remedy = "run GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.*";
            Some(Finding::error(Code::Privilege, "privileges", reason, remedy))
        }
    }
}
