//! Finds rows of the source that the altered table cannot hold.

use crate::change::Change;
use crate::plan::checks::refuse_new_checks;
use crate::plan::values::find_misfits;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::table::Table;
use crate::server::doing::Doing;
use crate::server::limited;
use crate::server::session::Session;
use crate::shadow::duplicates::find_duplicates;
use crate::sql;
use altergeist_contract::{Code, Error, Finding, Key, Result};

/// Refuses rows of the source that the altered table cannot hold. The plan finds them, not a copy
/// after hours.
pub(crate) async fn refuse_rows(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    altered: &Table,
) -> Result<Vec<Finding>> {
    let mut refusals = Vec::new();
    for found in find_duplicates(change, session, mapping, &change.names.clone).await? {
        let object = format!("unique index {}", found.index);
        let Some(values) = found.values else {
            refusals.push(limited::unanswered(change, &object, "duplicates"));
            continue;
        };
        let reason = format!(
            "{values} values occur more than once in the table, and this unique index allows each \
             only once"
        );
        let remedy = "remove the duplicates, or leave the index out";
        let refusal = Finding::error(Code::UniqueDuplicates, object, reason, remedy);
        refusals.push(refusal.count(values));
    }
    refusals.extend(find_misfits(change, session, mapping).await?);
    refusals.extend(refuse_new_checks(change, session, mapping, altered).await?);
    refusals.extend(refuse_lost_keys(change, session, mapping).await?);
    Ok(refusals)
}

/// Checks whether the server finds rows by their own keys, many at once. MariaDB 11.8 was seen to
/// find only the first of several moments. The run would not refresh changed rows then, and would
/// not notice when it compares them.
pub(crate) async fn refuse_lost_keys(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Option<Finding>> {
    let attempted = change.doing("look for rows by their keys in");
    let zone = mapping.in_utc.then_some((sql::session::IN_UTC, sql::session::IN_SERVERS_ZONE));
    for open in sql::compare::OPEN_SNAPSHOT.into_iter().chain(zone.map(|(utc, _)| utc)) {
        session.execute(open).await.doing(&attempted)?;
    }
    let looking = async {
        let keys =
            query_keys(session, mapping, &sql::rows::first_keys(mapping), &attempted).await?;
        if keys.is_empty() {
            return Ok(None);
        }
        let found =
            query_keys(session, mapping, &sql::rows::keys_among(mapping, &keys)?, &attempted)
                .await?;
        let lost = keys.iter().filter(|key| !found.contains(key)).count();
        Ok((lost > 0).then(|| {
            Finding::error(
                Code::KeyChoice,
                format!("key {}", mapping.key.describe()),
                format!("the server does not find {lost} of {} rows by their own keys", keys.len()),
                "report this with the server's version: it is a fault of the server or of this \
                 tool. Another unique index over NOT NULL columns may work",
            )
        }))
    };
    let looked = looking.await;
    for close in [sql::session::COMMIT].into_iter().chain(zone.map(|(_, servers)| servers)) {
        session.execute(close).await.doing(&attempted)?;
    }
    looked
}

pub(crate) async fn query_keys(
    session: &mut Session,
    mapping: &ColumnMapping,
    query: &str,
    attempted: &str,
) -> Result<Vec<Key>> {
    let rows = session.rows(query).await.doing(attempted)?;
    let key = |row: &crate::server::session::Cells| mapping.key.of_query(row);
    rows.iter()
        .map(key)
        .collect::<Option<_>>()
        .ok_or_else(|| Error::fatal(attempted, "a key cannot be read"))
}
