//! Finds foreign keys that this user cannot see. After the swap they would still point to the old
//! table. So a plan that cannot rule them out says so, or is refused.

use crate::change::Change;
use crate::plan::privileges::read_grants;
use crate::schema::foreign_key::ForeignKey;
use crate::server::doing::Doing;
use crate::server::grants::has;
use crate::server::names::TableName;
use crate::server::session::{Session, text};
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};

/// Any of these on a table lets MariaDB show its foreign keys; SELECT alone does not.
const SHOWS_KEYS: [&str; 11] = [
    "ALTER",
    "CREATE",
    sql::session::CREATE_VIEW,
    "DELETE",
    "DROP",
    "INDEX",
    "INSERT",
    "REFERENCES",
    sql::session::SHOW_VIEW,
    "TRIGGER",
    "UPDATE",
];

/// Most tables that a refusal names.
const NAMED: usize = 3;

/// Refuses a table if keys point to it that this user cannot see.
pub(crate) async fn refuse_hidden_keys(
    change: &Change,
    session: &mut Session,
    seen: &[ForeignKey],
) -> Result<Option<Finding>> {
    let object = format!("foreign keys to {}", change.title);
    if let Some(count) = count_keys(change, session).await {
        let seen = seen.iter().filter(|key| key.parent == change.source).count();
        return Ok((count > seen).then(|| {
            Finding::error(
                Code::HiddenFromUser,
                object,
                format!("{count} refer to it, and this user sees {seen} of them"),
                "grant it SELECT and ALTER on the tables they belong to",
            )
        }));
    }
    let blind = tables_with_hidden_keys(change, session).await?;
    if blind.is_empty() {
        return Ok(None);
    }
    let more = match blind.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named: Vec<String> = blind.iter().take(NAMED).map(TableName::plain).collect();
    let reason = format!(
        "this user has only SELECT on {}{more}, so the server hides their foreign keys. One of \
         them may refer to this table",
        named.join(", ")
    );
    Ok(Some(Finding::error(
        Code::HiddenFromUser,
        object,
        reason,
        "run GRANT PROCESS ON *.* to this user",
    )))
}

/// Warns if tables may exist that this user cannot see at all.
pub(crate) async fn hidden_keys_note(
    change: &Change,
    session: &mut Session,
) -> Result<Option<Finding>> {
    if count_keys(change, session).await.is_some() {
        return Ok(None);
    }
    let grants = read_grants(change, session).await?;
    if SHOWS_KEYS.iter().any(|privilege| has(&grants, privilege, None)) {
        return Ok(None);
    }
    Ok(Some(Finding::warning(
        Code::HiddenFromUser,
        format!("foreign keys to {}", change.title),
        "this user sees only those of tables that it may use. After the swap a key of another \
         table would refer to the old table",
        "run GRANT PROCESS ON *.* to this user, and the plan counts them",
    )))
}

/// Returns how many keys point to the table, also from tables that this user cannot see. None
/// without PROCESS.
async fn count_keys(change: &Change, session: &mut Session) -> Option<usize> {
    let count = session
        .text(&sql::catalogue::count_keys_to(change.server.version, &change.source))
        .await
        .ok()?;
    count.parse().ok()
}

/// Returns the tables that this user may read, but whose keys MariaDB hides.
async fn tables_with_hidden_keys(change: &Change, session: &mut Session) -> Result<Vec<TableName>> {
    if change.server.version.flavour != Flavour::MariaDb {
        return Ok(Vec::new());
    }
    let grants = read_grants(change, session).await?;
    let rows = session
        .rows(sql::catalogue::VISIBLE_TABLES)
        .await
        .doing_in_catalogue(change.doing("look for tables that may refer to"))?;
    let shows_keys =
        |table: &TableName| SHOWS_KEYS.iter().any(|kind| has(&grants, kind, Some(table)));
    let tables = rows.iter().map(|row| TableName::new(&text(&row[0]), &text(&row[1])));
    Ok(tables.filter(|table| !shows_keys(table)).collect())
}
