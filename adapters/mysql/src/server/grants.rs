//! What a user may do, as the server says it in SHOW GRANTS.

use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::sql;

/// The user's grants, with those of active roles.
pub(crate) async fn grants(session: &mut Session) -> std::result::Result<Vec<String>, Failure> {
    let rows = session.rows(sql::session::GRANTS).await?;
    let mut grants: Vec<String> = rows.iter().map(|row| text(&row[0])).collect();
    // MariaDB 10.11 and later: what everybody has.
    let public = session.rows(sql::session::GRANTS_OF_ALL).await.unwrap_or_default();
    grants.extend(public.iter().map(|row| text(&row[0])));
    Ok(grants)
}

/// Whether the server shows this user a table's triggers.
pub(crate) async fn sees_triggers(
    session: &mut Session,
    table: &TableName,
) -> std::result::Result<bool, Failure> {
    Ok(has(&grants(session).await?, "TRIGGER", Some(table)))
}

/// Whether the lines of SHOW GRANTS give a privilege on a table, or on everything.
pub(crate) fn has(grants: &[String], privilege: &str, table: Option<&TableName>) -> bool {
    let everything = TableName::new("*", "*");
    let table = table.unwrap_or(&everything);
    let mut has = false;
    for line in grants {
        let Some((verb, rest)) = line.split_once(' ') else { continue };
        let Some((privileges, object)) = rest.split_once(" ON ") else { continue };
        if !privileges
            .split(", ")
            .any(|one| one == privilege || matches!(one, "ALL" | "ALL PRIVILEGES"))
        {
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

/// Whether ``*.*``, `` `pattern`.* `` or `` `schema`.`table` `` at the beginning of the text covers
/// the table.
pub(crate) fn is_of(object: &str, table: &TableName) -> bool {
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
pub(crate) fn part(text: &str) -> Option<(Option<String>, &str)> {
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
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
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
