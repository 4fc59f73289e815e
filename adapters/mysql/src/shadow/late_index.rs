//! A table has at most 64 indexes. If the altered table has all of them, our own index over the
//! former key needs the place of one. Then the run builds the last secondary index right after the
//! swap, when ours is dropped.

use crate::change::Change;
use crate::key::index::LOOKUP;
use crate::schema::column_mapping::ColumnMapping;
use crate::schema::index_definition::{Definition, secondary};
use crate::schema::lookup::read_table;
use crate::schema::table::{Table, definition_of};
use crate::server::doing::Doing;
use crate::server::error::Failure;
use crate::server::names::TableName;
use crate::server::pool::{SessionPool, Slot};
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding, Result};
use std::sync::Arc;

/// Most indexes of a table.
const INDEXES_MAX: usize = 64;

/// Finds the index that must wait, or why none can. `altered` is the clone or the shadow.
pub(crate) async fn late_index(
    change: &Change,
    session: &mut Session,
    altered: &TableName,
    mapping: &ColumnMapping,
) -> Result<std::result::Result<Option<Definition>, Finding>> {
    let table = read_table(change, session, altered).await?;
    if !mapping.key.needs_lookup() || has_room(&table) {
        return Ok(Ok(None));
    }
    let found = find_last(change, session, altered, mapping).await;
    let found = found.doing_in_catalogue(change.doing("look for an index that can wait of"))?;
    Ok(found.map(Some).ok_or_else(|| {
        Finding::error(
            Code::KeyChoice,
            format!("index {}", mapping.key.index),
            format!(
                "the altered table has {} indexes, and the run needs one more to find rows by the \
                 former key",
                table.indexes.len()
            ),
            format!(
                "keep an index over {}, or drop another index first: ALTER TABLE {} DROP KEY …",
                mapping.key.describe(),
                sql::table(&change.source)
            ),
        )
    }))
}

/// Adds our columns for the time of the trial, because our index may be over them.
async fn find_last(
    change: &Change,
    session: &mut Session,
    altered: &TableName,
    mapping: &ColumnMapping,
) -> std::result::Result<Option<Definition>, Failure> {
    if mapping.kept.is_empty() {
        return last_that_can_wait(change, session, altered, mapping).await;
    }
    session.execute(&sql::ddl::add_kept(mapping, altered)).await?;
    let found = last_that_can_wait(change, session, altered, mapping).await?;
    let names: Vec<&str> = mapping.kept.iter().map(|pair| &*pair.shadow.name).collect();
    session.execute(&sql::ddl::drop_kept(&change.source, altered, &names)).await?;
    Ok(found)
}

async fn last_that_can_wait(
    change: &Change,
    session: &mut Session,
    altered: &TableName,
    mapping: &ColumnMapping,
) -> std::result::Result<Option<Definition>, Failure> {
    let Some(last) = secondary(&definition_of(session, altered).await?).pop() else {
        return Ok(None);
    };
    let names = (&change.source, altered);
    session.execute(&sql::ddl::drop_indexes(names.0, names.1, &[&last.name])).await?;
    session.execute(&sql::ddl::add_lookup(mapping, altered, "KEY")).await?;
    match session.execute(&sql::ddl::exchange_index(names.0, names.1, LOOKUP, &last.text)).await {
        Ok(_) => Ok(Some(last)),
        Err(failure) if failure.ends_session() => Err(failure),
        Err(_) => {
            session.execute(&sql::ddl::drop_indexes(names.0, names.1, &[LOOKUP])).await?;
            session.execute(&sql::ddl::add_index_by_copy(names.0, names.1, &last.text)).await?;
            Ok(None)
        }
    }
}

/// Drops that index from the empty shadow, and returns its definition for the end of the run.
pub(crate) async fn make_room_for_lookup(
    change: &Change,
    pool: &Arc<SessionPool>,
    mapping: &ColumnMapping,
) -> Result<Option<String>> {
    let mut lease = pool.lease(Slot::Control).await?;
    let attempted = || change.doing("make room for an index in the shadow of");
    let late = late_index(change, lease.session(), &mapping.shadow, mapping).await?;
    let late =
        late.map_err(|refusal| altergeist_contract::Error::refused(attempted(), refusal.message))?;
    if let Some(late) = &late {
        let drop = sql::ddl::drop_indexes(&change.source, &mapping.shadow, &[&late.name]);
        lease.session().execute(&drop).await.doing_in_catalogue(attempted)?;
    }
    lease.keep();
    Ok(late.map(|late| late.text))
}

/// Says in `plan` which index comes last.
pub(crate) fn note(late: &Definition) -> Finding {
    let note = format!(
        "the altered table has {INDEXES_MAX} indexes, the server's limit. The run builds {} right \
         after the swap, without a lock. Until then queries run without it",
        late.name
    );
    Finding::note(Code::Method, note)
}

fn has_room(table: &Table) -> bool {
    table.indexes.iter().filter(|index| index.name != LOOKUP).count() < INDEXES_MAX
}
