//! The columns of ours that hold a former key. The shadow gets them, and the run drops them after
//! the swap.

use crate::change::Change;
use crate::key::kept::is_kept;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::lookup::read_table;
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::{Session, execute_within};
use crate::sql;
use altergeist_contract::{Code, Finding, Result};
use std::sync::Arc;

/// Gives the empty shadow the columns of ours that its mapping needs.
pub(crate) async fn add_kept(
    change: &Change,
    pool: &Arc<SessionPool>,
    mapping: &ColumnMapping,
) -> Result<()> {
    if mapping.kept.is_empty() {
        return Ok(());
    }
    let mut lease = pool.lease(Slot::Control).await?;
    let outcome = lease.session().execute(&sql::ddl::add_kept(mapping, &mapping.shadow)).await;
    lease.keep();
    let attempted = || change.doing("give the former key's columns to the shadow of");
    outcome.map(|_| ()).trying_clauses(attempted)
}

/// Drops these columns from the table that has the source's name now, if it has any.
pub(crate) async fn drop_kept(change: &Change, pool: &Arc<SessionPool>) -> Result<()> {
    let table = read_table(change, &mut pool.reader().await?, &change.source).await?;
    let names = table.columns.iter().map(|column| &*column.name).filter(|name| is_kept(name));
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return Ok(());
    }
    let mut lease = pool.lease(Slot::Control).await?;
    let drop = sql::ddl::drop_kept(&change.source, &change.source, &names);
    let outcome = execute_within(lease.session(), &pool.access, &drop, pool.lock_timeout).await;
    let attempted = || change.doing("drop our columns with the former key from");
    outcome.locking(attempted)?;
    lease.keep();
    Ok(())
}

/// Tries on the altered clone whether the server adds and drops these columns instantly.
pub(crate) async fn refuse_kept(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
) -> Result<Option<Finding>> {
    if mapping.kept.is_empty() {
        return Ok(None);
    }
    match try_kept(change, session, mapping, &change.names.clone).await {
        Ok(()) => Ok(None),
        Err(failure) => {
            let error = failure.of_clauses(change.doing("try our columns on an empty clone of"));
            let columns: Vec<&str> = mapping.kept.iter().map(|pair| &*pair.source.name).collect();
            let reason = format!(
                "the clauses drop or convert the key's columns ({}), and this table cannot have a \
                 column added and dropped at once: {}",
                columns.join(", "),
                error.reason
            );
            let remedy = format!(
                "add another unique key over NOT NULL columns that stay first, or do it in two \
                 changes: first ALTER TABLE {} ADD UNIQUE KEY …, then this one",
                sql::table(&change.source)
            );
            Ok(Some(Finding::error(
                Code::KeyChoice,
                format!("key {}", mapping.key.describe()),
                reason,
                remedy,
            )))
        }
    }
}

pub(crate) async fn try_kept(
    change: &Change,
    session: &mut Session,
    mapping: &ColumnMapping,
    clone: &TableName,
) -> std::result::Result<(), Failure> {
    session.execute(&sql::ddl::add_kept(mapping, clone)).await?;
    let names: Vec<&str> = mapping.kept.iter().map(|pair| &*pair.shadow.name).collect();
    session.execute(&sql::ddl::drop_kept(&change.source, clone, &names)).await.map(|_| ())
}

/// Says in `plan` that the shadow has these columns.
pub(crate) fn note(mapping: &ColumnMapping) -> Option<Finding> {
    let names: Vec<&str> = mapping.kept.iter().map(|pair| &*pair.source.name).collect();
    (!names.is_empty()).then(|| {
        let note = format!(
            "the clauses drop or change the key's columns {}, and the run finds rows by them. The \
             new table keeps their values in invisible columns until right after the swap",
            names.join(", ")
        );
        Finding::note(Code::KeyChoice, note)
    })
}
