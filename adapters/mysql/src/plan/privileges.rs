//! Checks the user's privileges in the server's list of grants, before the run begins. Some gaps
//! would not show otherwise: without TRIGGER the server shows a table as if it had no triggers.

use crate::change::Change;
use crate::log::source::LogServer;
use crate::server::doing::Doing;
use crate::server::grants::{grants, has};
use crate::server::names::TableName;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Privileges that every change needs, on the table and on our own tables.
const ALWAYS: [&str; 8] =
    ["ALTER", "CREATE", "DELETE", "DROP", "INDEX", "INSERT", "SELECT", "UPDATE"];

/// Privileges that only a copy needs.
const TO_COPY: [&str; 2] = [sql::session::LOCK_TABLES, "TRIGGER"];

/// The privilege that following the log needs, on all schemas.
const TO_FOLLOW: &str = "REPLICATION SLAVE";

/// Refuses a change if the user lacks privileges that every change needs.
pub(crate) async fn refuse_privileges(
    change: &Change,
    session: &mut Session,
) -> Result<Vec<Finding>> {
    refuse_lacking(change, session, &ALWAYS).await
}

/// Refuses a copy if the user lacks privileges that only a copy needs.
pub(crate) async fn refuse_privileges_to_copy(
    change: &Change,
    log: &LogServer,
    session: &mut Session,
) -> Result<Vec<Finding>> {
    let mut refusals = refuse_lacking(change, session, &TO_COPY).await?;
    let grants = read_grants(change, session).await?;
    if !log.is_replica && !has(&grants, TO_FOLLOW, None) {
        refusals.push(Finding::error(
            Code::Privilege,
            "privileges",
            format!("without {TO_FOLLOW} the log cannot be read"),
            format!("run GRANT {TO_FOLLOW} ON *.* to this user"),
        ));
    }
    Ok(refusals)
}

/// Returns which of these privileges the user lacks on a table.
pub(crate) async fn lacking_on(
    change: &Change,
    session: &mut Session,
    table: &TableName,
    needed: &[&'static str],
) -> Result<Vec<&'static str>> {
    let grants = read_grants(change, session).await?;
    Ok(needed.iter().filter(|privilege| !has(&grants, privilege, Some(table))).copied().collect())
}

async fn refuse_lacking(
    change: &Change,
    session: &mut Session,
    needed: &[&str],
) -> Result<Vec<Finding>> {
    let grants = read_grants(change, session).await?;
    let names = [
        &change.source,
        &change.names.shadow,
        &change.names.old,
        &change.names.journal,
        &change.names.beat,
    ];
    let is_lacking =
        |privilege: &&&str| !names.iter().all(|name| has(&grants, privilege, Some(name)));
    let lacking: Vec<&str> = needed.iter().filter(is_lacking).copied().collect();
    if lacking.is_empty() {
        return Ok(Vec::new());
    }
    let lacking = lacking.join(", ");
    Ok(vec![Finding::error(
        Code::Privilege,
        "privileges",
        format!(
            "the user lacks {lacking} on the schema. Without TRIGGER the server hides a table's \
             triggers"
        ),
        format!("run GRANT {lacking} ON {}.* to this user", sql::quote(&change.source.schema)),
    )])
}

pub(crate) async fn read_grants(change: &Change, session: &mut Session) -> Result<Vec<String>> {
    grants(session).await.doing_in_catalogue(change.doing("look at the privileges on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sees(grants: &[&str]) -> bool {
        let grants: Vec<String> = grants.iter().map(|line| (*line).to_owned()).collect();
        has(&grants, "TRIGGER", Some(&TableName::new("my_app", "orders")))
    }

    #[test]
    fn triggers_are_seen_by_a_grant_that_covers_the_table() {
        for grant in [
            "GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION",
            "GRANT SELECT, TRIGGER, DROP ON *.* TO `u`@`%`",
            "GRANT TRIGGER ON `my_app`.* TO `u`@`%`",
            "GRANT TRIGGER ON `my\\_app`.* TO `u`@`%`",
            "GRANT TRIGGER ON `my\\_%`.* TO `u`@`%`",
            "GRANT TRIGGER ON \"my_app\".\"orders\" TO \"u\"@\"%\"",
        ] {
            assert!(sees(&[grant]), "{grant}");
        }
        for grant in [
            "GRANT SELECT, INSERT ON `my_app`.* TO `u`@`%`",
            "GRANT TRIGGER ON `other`.* TO `u`@`%`",
            "GRANT TRIGGER ON `my\\_ap`.* TO `u`@`%`",
            "GRANT TRIGGER ON `my_app`.`others` TO `u`@`%`",
            "GRANT `trigger_role`@`%` TO `u`@`%`",
        ] {
            assert!(!sees(&[grant]), "{grant}");
        }
        assert!(!has(&["GRANT TRIGGER ON `my_app`.* TO `u`@`%`".to_owned()], "TRIGGER", None));
        assert!(has(&["GRANT TRIGGER, EVENT ON *.* TO `u`@`%`".to_owned()], "TRIGGER", None));
        assert!(!sees(&[
            "GRANT TRIGGER ON *.* TO `u`@`%`",
            "REVOKE TRIGGER ON `my_app`.* FROM `u`@`%`"
        ]));
    }
}
