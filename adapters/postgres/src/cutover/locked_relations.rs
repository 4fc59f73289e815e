//! The relations beside the table that the swap changes: its views, the tables at both ends of its
//! foreign keys, and tables whose rules and policies read it. The swap locks them before the table.
//! So no session reaches the old table through them, and none gets into a deadlock.

use crate::cutover::materialized_views::MaterializedView;
use crate::server::doing::Doing;
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
    /// Whether this role may run LOCK TABLE on it.
    may_lock: bool,
    /// Whether the lock leaves out its partitions.
    only: bool,
}

/// Lists the relations that the swap of a table locks: those of its materialized views too, and
/// those it drops. Views come first.
pub(crate) async fn list(
    session: &Session,
    engine_table: &str,
    table: u32,
    views: &[MaterializedView],
    also: &[u32],
) -> Result<Vec<LockedRelation>> {
    let views: Vec<u32> = views.iter().map(|view| view.oid).collect();
    let rows = session.query(sql::LOCKED_RELATIONS, &[&table, &views, &also]).await;
    let rows = rows.doing(format!("look for what {engine_table} is connected with"))?;
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

/// Returns the statements that lock everything, in order. LOCK TABLE on a view would also lock
/// every table under it. So a view is locked by setting its owner to the same owner. The swap
/// itself locks tables that this role may not lock. `parents` are the parents of new foreign keys:
/// only their writers are locked out.
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
    // Only we queue for the shadow. The source comes last, because its writers must not wait
    // before.
    tables.push(format!("ONLY {}", names.shadow()));
    tables.push(format!("ONLY {}", names.source()));
    statements.push(sql::lock_all_out(&tables.join(", ")));
    statements
}
