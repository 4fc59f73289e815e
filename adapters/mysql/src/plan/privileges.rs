//! What the user may do: read from what the server says of its grants, so that what is missing is known before anything is
//! begun. Some of it would not be seen otherwise: without TRIGGER the server shows a table as if it had no triggers.

use crate::engine::MySql;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Refusal, Result};

/// What every change needs, on the table and on ours beside it.
const ALWAYS: [&str; 8] = ["ALTER", "CREATE", "DELETE", "DROP", "INDEX", "INSERT", "SELECT", "UPDATE"];
/// What a shadow copy needs besides.
const TO_COPY: [&str; 2] = ["LOCK TABLES", "TRIGGER"];
/// What following the log needs, on all schemas.
const TO_FOLLOW: &str = "REPLICATION SLAVE";

impl MySql {
    /// The privileges that any change needs and the user lacks.
    pub(crate) async fn refuse_privileges(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        self.refuse_lacking(session, &ALWAYS).await
    }

    /// The privileges that a shadow copy needs besides and the user lacks.
    pub(crate) async fn refuse_privileges_to_copy(&self, session: &mut Session) -> Result<Vec<Refusal>> {
        let mut refusals = self.refuse_lacking(session, &TO_COPY).await?;
        let grants = self.grants(session).await?;
        if !self.log.is_replica && !has(&grants, TO_FOLLOW, None) {
            refusals.push(Refusal {
                object: "privileges".into(),
                reason: format!("without {TO_FOLLOW} the log cannot be read"),
                remedy: format!("GRANT {TO_FOLLOW} ON *.* to this user"),
            });
        }
        Ok(refusals)
    }

    /// Returns which of these privileges the user lacks on a table.
    pub(crate) async fn lacking_on(
        &self,
        session: &mut Session,
        table: &TableName,
        needed: &[&'static str],
    ) -> Result<Vec<&'static str>> {
        let grants = self.grants(session).await?;
        Ok(needed.iter().filter(|privilege| !has(&grants, privilege, Some(table))).copied().collect())
    }

    async fn refuse_lacking(&self, session: &mut Session, needed: &[&str]) -> Result<Vec<Refusal>> {
        let grants = self.grants(session).await?;
        let names = [&self.source, &self.names.shadow, &self.names.old, &self.names.journal, &self.names.beat];
        let is_lacking = |privilege: &&&str| !names.iter().all(|name| has(&grants, privilege, Some(name)));
        let lacking: Vec<&str> = needed.iter().filter(is_lacking).copied().collect();
        if lacking.is_empty() {
            return Ok(Vec::new());
        }
        let lacking = lacking.join(", ");
        Ok(vec![Refusal {
            object: "privileges".into(),
            reason: format!(
                "the user lacks {lacking} on the schema; without TRIGGER a table's triggers are not even seen"
            ),
            remedy: format!("GRANT {lacking} ON {}.* to this user", sql::quote(&self.source.schema)),
        }])
    }

    async fn grants(&self, session: &mut Session) -> Result<Vec<String>> {
        grants(session).await.map_err(|failure| failure.of_catalogue(self.doing("look at the privileges on")))
    }
}

/// The user's grants, with those of active roles.
async fn grants(session: &mut Session) -> std::result::Result<Vec<String>, Failure> {
    let rows = session.rows("SHOW GRANTS").await?;
    let mut grants: Vec<String> = rows.iter().map(|row| text(&row[0])).collect();
    // MariaDB 10.11 and later: what everybody has.
    let public = session.rows("SHOW GRANTS FOR PUBLIC").await.unwrap_or_default();
    grants.extend(public.iter().map(|row| text(&row[0])));
    Ok(grants)
}

/// Whether the server shows this user a table's triggers.
pub(crate) async fn sees_triggers(session: &mut Session, table: &TableName) -> std::result::Result<bool, Failure> {
    Ok(has(&grants(session).await?, "TRIGGER", Some(table)))
}

/// Whether the lines of SHOW GRANTS give a privilege on a table, or on everything.
fn has(grants: &[String], privilege: &str, table: Option<&TableName>) -> bool {
    let everything = TableName::new("*", "*");
    let table = table.unwrap_or(&everything);
    let mut has = false;
    for line in grants {
        let Some((verb, rest)) = line.split_once(' ') else { continue };
        let Some((privileges, object)) = rest.split_once(" ON ") else { continue };
        if !privileges.split(", ").any(|one| one == privilege || matches!(one, "ALL" | "ALL PRIVILEGES")) {
            continue;
        }
        let object = object.strip_prefix("TABLE ").unwrap_or(object);
        match verb {
            "GRANT" => has |= is_of(object, table),
            // Partial revokes name whole schemas, and take from what was given globally.
            "REVOKE" if is_of(object, table) => return false,
            _ => {}
        }
    }
    has
}

/// Whether ``*.*``, `` `pattern`.* `` or `` `schema`.`table` `` at the beginning of the text covers the table.
fn is_of(object: &str, table: &TableName) -> bool {
    let Some((schema, rest)) = part(object) else { return false };
    let Some((name, _)) = rest.strip_prefix('.').and_then(part) else { return false };
    let is_schema = match (schema, &name) {
        (None, _) => true,
        (Some(pattern), None) => is_like(&table.schema.to_lowercase(), &pattern.to_lowercase()),
        (Some(schema), Some(_)) => schema.to_lowercase() == table.schema.to_lowercase(),
    };
    is_schema && name.is_none_or(|name| name.to_lowercase() == table.name.to_lowercase())
}

/// A star (None) or a quoted name, and what comes behind it.
fn part(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    let quote = text.chars().next().filter(|quote| matches!(quote, '`' | '"'))?;
    let mut name = String::new();
    let mut rest = &text[1..];
    loop {
        let end = rest.find(quote)?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix(quote) {
            Some(more) => {
                name.push(quote);
                rest = more;
            }
            None => return Some((Some(name), rest)),
        }
    }
}

/// The LIKE of schema names in grants.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = chars.as_str();
            text.char_indices().any(|(place, _)| is_like(&text[place..], rest)) || is_like("", rest)
        }
        Some('_') => {
            let mut text = text.chars();
            text.next().is_some() && is_like(text.as_str(), chars.as_str())
        }
        Some('\\') if matches!(chars.clone().next(), Some('_' | '%' | '\\')) => {
            let wanted = chars.next();
            let mut text = text.chars();
            text.next() == wanted && is_like(text.as_str(), chars.as_str())
        }
        Some(wanted) => {
            let mut text = text.chars();
            text.next() == Some(wanted) && is_like(text.as_str(), chars.as_str())
        }
    }
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
        assert!(!sees(&["GRANT TRIGGER ON *.* TO `u`@`%`", "REVOKE TRIGGER ON `my_app`.* FROM `u`@`%`"]));
    }
}
