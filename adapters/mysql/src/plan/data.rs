//! Finds rows of the source that the altered table cannot hold.

use crate::change::Change;
use crate::schema::columns::Shape;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::shadow::duplicates::find_duplicates;
use crate::sql;
use altergeist_contract::{Error, Key, Refusal, Result};

/// Refuses rows of the source that the altered table cannot hold. The plan finds them, not a copy
/// after hours.
pub(crate) async fn refuse_rows(
    change: &Change,
    session: &mut Session,
    shape: &Shape,
) -> Result<Vec<Refusal>> {
    let mut refusals = Vec::new();
    for found in find_duplicates(change, session, shape, &change.names.clone).await? {
        let reason = format!(
            "{} values occur more than once in the table, and this unique index allows each only \
             once",
            found.values
        );
        let remedy = "remove the duplicates, or leave the index out";
        refusals.push(Refusal::new(format!("unique index {}", found.index), reason, remedy));
    }
    for pair in shape.columns.iter().filter(|pair| pair.source.nullable && !pair.shadow.nullable) {
        let attempted =
            || change.doing(&format!("look for NULLs of column {} in", pair.source.name));
        let query = sql::catalogue::has_nulls(&change.source, &pair.source.name);
        if session.row(&query).await.doing(attempted)?.is_some() {
            let remedy = "give these rows a value first, or keep the column nullable";
            refusals.push(Refusal::new(
                format!("column {}", pair.source.name),
                "it holds NULLs, and the clauses make it NOT NULL",
                remedy,
            ));
        }
    }
    refusals.extend(refuse_zero_dates(change, session, shape).await?);
    refusals.extend(refuse_lost_keys(change, session, shape).await?);
    Ok(refusals)
}

/// Checks whether the server finds rows by their own keys, many at once. MariaDB 11.8 was seen to
/// find only the first of several moments. The run would not refresh changed rows then, and would
/// not notice when it compares them.
pub(crate) async fn refuse_lost_keys(
    change: &Change,
    session: &mut Session,
    shape: &Shape,
) -> Result<Option<Refusal>> {
    let attempted = change.doing("look for rows by their keys in");
    let zone = shape.in_utc.then_some((sql::session::IN_UTC, sql::session::IN_SERVERS_ZONE));
    for open in sql::compare::OPEN_SNAPSHOT.into_iter().chain(zone.map(|(utc, _)| utc)) {
        session.execute(open).await.doing(&attempted)?;
    }
    let looking = async {
        let keys = query_keys(session, shape, &sql::rows::first_keys(shape), &attempted).await?;
        if keys.is_empty() {
            return Ok(None);
        }
        let found =
            query_keys(session, shape, &sql::rows::keys_among(shape, &keys)?, &attempted).await?;
        let lost = keys.iter().filter(|key| !found.contains(key)).count();
        Ok((lost > 0).then(|| {
            Refusal::new(
                format!("key {}", shape.key.describe()),
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
    shape: &Shape,
    query: &str,
    attempted: &str,
) -> Result<Vec<Key>> {
    let rows = session.rows(query).await.doing(attempted)?;
    let key = |row: &crate::server::session::Cells| shape.key.of_query(row);
    rows.iter()
        .map(key)
        .collect::<Option<_>>()
        .ok_or_else(|| Error::fatal(attempted, "a key cannot be read"))
}

/// Refuses zero dates in columns that are converted, if the server's own rules refuse them.
pub(crate) async fn refuse_zero_dates(
    change: &Change,
    session: &mut Session,
    shape: &Shape,
) -> Result<Vec<Refusal>> {
    let attempted = || change.doing("look for zero dates in");
    let mut refusals = Vec::new();
    let rules =
        session.text(sql::catalogue::REFUSES_ZERO_DATES).await.doing_in_catalogue(attempted)?;
    if change.target.allow_zero_dates || rules != "1" {
        return Ok(refusals);
    }
    let is_date = |data_type: &str| matches!(data_type, "date" | "datetime" | "timestamp");
    for given in shape.given.iter().filter(|given| is_date(&given.column.data_type)) {
        if session.row(&sql::catalogue::has_rows(&change.source)).await.doing(attempted)?.is_some()
        {
            refusals.push(Refusal::new(
                format!("column {}", given.column.name),
                "the server's sql_mode refuses zero dates, and the existing rows would get one",
                "give it a default, or allow zero dates with --allow-zero-dates",
            ));
        }
    }
    for pair in shape.columns.iter().filter(|pair| !pair.source.is_alike(&pair.shadow)) {
        if !is_date(&pair.source.data_type) || !is_date(&pair.shadow.data_type) {
            continue;
        }
        let query = sql::catalogue::has_zero_dates(&change.source, &pair.source.name);
        if session.row(&query).await.doing(attempted)?.is_some() {
            refusals.push(Refusal::new(
                format!("column {}", pair.source.name),
                "it holds zero dates, and the server's sql_mode refuses them in its new type",
                "give them another value first, or allow them with --allow-zero-dates",
            ));
        }
    }
    Ok(refusals)
}
