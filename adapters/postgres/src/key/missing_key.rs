//! A table without a key that identifies rows. The refusal names the one statement that helps this
//! table, and its cost.

use crate::key::candidates::Candidate;
use crate::schema::definition;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use crate::sql::quote::quoted;
use altergeist_contract::{Code, Finding, Result};

/// The column that the refusal offers to a table without any key.
const OFFERED: &str = "altergeist_id";

/// Why a unique index is no key, in the words of `keys.sql`.
const NULLABLE: &str = "one of its columns may be NULL";

const INVALID: &str = "it is not valid";

/// Returns the refusal of a table without a key.
pub(crate) async fn refusal(
    session: &Session,
    names: &Names,
    table: u32,
    why: &str,
) -> Result<Finding> {
    let rows = session.query(sql::KEYS, &[&table, &true]).await.doing("read the table's keys")?;
    let keys: Vec<Candidate> = rows.iter().map(Candidate::of_row).collect();
    let columns = definition::attributes(session, table).await?;
    let is_not_null =
        |name: &str| columns.iter().any(|column| column.name == name && column.not_null);
    let source = names.source();
    let mut remedy = None;
    for key in
        keys.iter().filter(|key| key.unfit.as_deref() == Some(NULLABLE) && !key.is_deferrable)
    {
        let missing = key
            .columns
            .iter()
            .map(|column| &column.source)
            .filter(|name| !is_not_null(name.as_str()));
        let nullable: Vec<String> = missing.map(|name| quoted(name)).collect();
        let Some(nulls) = holds_null(session, &source, &nullable).await? else { continue };
        remedy = Some(set_not_null(&names.source(), &key.name, &nullable, nulls));
        if !nulls {
            break;
        }
    }
    let remedy = remedy.unwrap_or_else(|| {
        offer(&source, &keys, columns.iter().any(|column| column.name == OFFERED))
    });
    let object = format!("table {}", names.display);
    Ok(Finding::error(
        Code::NoKey,
        object,
        format!("there is no key to follow its rows by: {why}"),
        &remedy,
    ))
}

/// Whether any row holds NULL in one of the columns. None if the answer takes too long.
async fn holds_null(session: &Session, source: &str, columns: &[String]) -> Result<Option<bool>> {
    let attempted = "look for NULL in the columns of a unique index";
    if columns.is_empty() {
        return Ok(None);
    }
    let question = sql::any_null_of(source, columns);
    session.run(sql::BEGIN_LONG_QUESTION).await.doing(attempted)?;
    let answer = session.query(&question, &[]).await;
    session.run(sql::ROLLBACK).await.doing(attempted)?;
    match answer {
        Err(error) if error::is_timeout(&error) => Ok(None),
        answer => Ok(answer.doing(attempted)?.first().map(|row| row.get(0))),
    }
}

fn set_not_null(source: &str, index: &str, columns: &[String], nulls: bool) -> String {
    let clauses: Vec<String> =
        columns.iter().map(|column| sql::set_not_null_clause(column)).collect();
    let clauses = clauses.join(", ");
    match nulls {
        false => format!(
            "index {index} can be the key: no row holds NULL in it. Run this change first, which \
             altergeist does in steps without a long lock: --alter '{}' (for {source})",
            clauses.replace('\'', "'\\''")
        ),
        true => format!(
            "index {index} could be the key, but rows hold NULL in it. Fill them, and then run \
             this change first: --alter '{}' (for {source})",
            clauses.replace('\'', "'\\''")
        ),
    }
}

/// Returns the statement for a table with no index that lacks only NOT NULL.
fn offer(source: &str, keys: &[Candidate], is_taken: bool) -> String {
    let (schema, _) = source.split_once('.').unwrap_or((source, ""));
    if let Some(key) = keys.iter().find(|key| key.unfit.as_deref() == Some(INVALID)) {
        let index = format!("{schema}.{}", quoted(&key.name));
        return format!(
            "run {}, which blocks nobody; it fails while rows are duplicates",
            sql::reindex(&index)
        );
    }
    if let Some(key) = keys.iter().find(|key| key.unfit.is_none() && key.is_deferrable) {
        let columns: Vec<String> = key.columns.iter().map(|column| column.source.clone()).collect();
        return format!(
            "the server does not tell rows apart by a deferrable key. Run {}, which blocks nobody",
            sql::create_unique_index(source, &columns)
        );
    }
    let column = if is_taken { "altergeist_key_id" } else { OFFERED };
    let constraint = if keys.iter().any(|key| key.is_primary) { "UNIQUE" } else { "PRIMARY KEY" };
    format!(
        "run {}. The server rewrites the table for that under ACCESS EXCLUSIVE: reads and writes \
         wait. An INSERT without a list of columns still works. If columns of the table are unique \
         and never NULL, run ADD {constraint} over them by --alter first: that needs no long lock",
        sql::add_numbered_key(source, column, constraint)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::candidates::Candidate;

    fn key(is_primary: bool, unfit: Option<&str>, is_deferrable: bool) -> Candidate {
        Candidate {
            name: "k".into(),
            is_primary,
            is_identity: false,
            unfit: unfit.map(Into::into),
            is_deferrable,
            columns: Vec::new(),
        }
    }

    #[test]
    fn the_least_that_is_missing_is_offered() {
        assert!(
            offer("s.t", &[], false).contains(
                "ADD COLUMN altergeist_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
            )
        );
        assert!(offer("s.t", &[], true).contains("ADD COLUMN altergeist_key_id "));
        assert!(
            offer("s.t", &[key(false, Some(INVALID), false)], false)
                .contains("REINDEX INDEX CONCURRENTLY s.k")
        );
        assert!(
            offer("s.t", &[key(true, None, true)], false)
                .contains("CREATE UNIQUE INDEX CONCURRENTLY ON s.t")
        );
        assert!(
            offer("s.t", &[key(true, Some("it is over an expression"), false)], false)
                .contains("IDENTITY UNIQUE")
        );
    }

    #[test]
    fn a_nullable_unique_index_needs_its_columns_not_null() {
        let remedy = set_not_null("s.t", "u", &["a".into(), "b".into()], false);
        assert!(
            remedy.contains("--alter 'ALTER COLUMN a SET NOT NULL, ALTER COLUMN b SET NOT NULL'")
        );
    }
}
