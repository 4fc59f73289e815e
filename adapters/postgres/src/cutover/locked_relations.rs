//! The relations beside the table that the swap changes: its views, the tables its foreign keys
//! lead to and from, those whose rules and policies read it. They are locked before the table, so
//! that nobody who came by them still reads or writes the old one, and nobody is caught in a
//! deadlock.

use crate::cutover::materialized_views::MaterializedView;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Result;

/// One relation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LockedRelation {
    pub(crate) oid: u32,
    /// Qualified and quoted.
    pub(crate) name: String,
    /// Whether it is a view, materialized or not.
    pub(crate) is_view: bool,
    /// Its owner, quoted.
    owner: String,
    /// Whether LOCK TABLE is ours to say.
    may_lock: bool,
    /// Whether its partitions are let alone.
    only: bool,
}

/// Lists the locked relations of a table and of the materialized views that are replaced with it, and the
/// relations that are dropped with it, views first.
pub(crate) async fn list(
    session: &Session,
    engine_table: &str,
    table: u32,
    views: &[MaterializedView],
    also: &[u32],
) -> Result<Vec<LockedRelation>> {
    let views: Vec<u32> = views.iter().map(|view| view.oid).collect();
    let rows = session.query(sql::LOCKED_RELATIONS, &[&table, &views, &also]).await;
    let rows = rows.map_err(|error| {
        error::of(format!("look for what {engine_table} is connected with"), &error)
    })?;
    let relation = |row: &tokio_postgres::Row| LockedRelation {
        oid: row.get(0),
        name: row.get(1),
        is_view: row.get(2),
        owner: crate::sql::quote::quoted(row.get(3)),
        may_lock: row.get(4),
        only: row.get(5),
    };
    Ok(rows.iter().map(relation).collect())
}

/// The statements that lock everything, in order. LOCK TABLE on a view would lock every table under
/// it as well, so a view is locked by giving it to the owner it has. A table that is not ours to
/// lock is locked in the swap. `parents` are the tables that new foreign keys will point to: only
/// their writers are kept out.
pub(crate) fn locks(
    names: &Names,
    locked_relations: &[LockedRelation],
    parents: &[String],
) -> Vec<String> {
    let view = |view: &LockedRelation| sql::set_owner(&view.name, &view.owner);
    let mut statements: Vec<String> =
        locked_relations.iter().filter(|relation| relation.is_view).map(view).collect();
    let parents = parents
        .iter()
        .filter(|parent| !locked_relations.iter().any(|relation| relation.name == **parent));
    let parents: Vec<&str> = parents.map(String::as_str).collect();
    if !parents.is_empty() {
        statements.push(sql::lock_writers_out(&parents.join(", ")));
    }
    let tables = locked_relations.iter().filter(|relation| !relation.is_view && relation.may_lock);
    let spelled =
        |table: &LockedRelation| format!("{}{}", if table.only { "ONLY " } else { "" }, table.name);
    let mut tables: Vec<String> = tables.map(spelled).collect();
    // Nobody but us queues at the shadow. The source comes last: those who write to it must get
    // through until then.
    tables.push(format!("ONLY {}", names.shadow()));
    tables.push(format!("ONLY {}", names.source()));
    statements.push(sql::lock_all_out(&tables.join(", ")));
    statements
}
