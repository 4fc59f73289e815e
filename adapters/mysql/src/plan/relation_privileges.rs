//! Checks privileges on tables at the other ends of foreign keys, which may be in other schemas.

use crate::change::Change;
use crate::plan::privileges::lacking_on;
use crate::schema::carried_keys::source_keys;
use crate::schema::foreign_key::foreign_keys;
use crate::server::doing::Doing;
use crate::server::names::TableName;
use crate::server::session::Session;
use crate::server::version::Flavour;
use crate::sql;
use crate::sql::session::LOCK_TABLES;
use altergeist_contract::{Code, Finding, Result};

/// What the cut-over does to tables that refer to the source.
const ON_CHILDREN: [&str; 3] = ["ALTER", LOCK_TABLES, "SELECT"];
/// What the cut-over does to tables that are locked because the source refers to them, or will.
const ON_LOCKED_PARENTS: [&str; 2] = [LOCK_TABLES, "SELECT"];

/// Returns what the user lacks on the tables that foreign keys bind to the source, or to the
/// altered clone.
pub(crate) async fn refuse_privileges_on_relations(
    change: &Change,
    session: &mut Session,
) -> Result<Vec<Finding>> {
    let attempted = || change.doing("look for foreign keys of the altered clone of");
    let added = foreign_keys(session, &change.names.clone).await;
    let added = added.doing_in_catalogue(attempted)?;
    let keys = source_keys(change, session).await?;
    // MySQL locks the parents of new keys only, MariaDB all of them.
    let locks_parents = change.server.version.flavour == Flavour::MariaDb;
    let on_parents: &[&str] =
        if locks_parents { &ON_LOCKED_PARENTS } else { &["REFERENCES", "SELECT"] };
    let own =
        keys.iter().filter(|key| key.child == change.source).map(|key| (&key.parent, on_parents));
    let others = keys
        .iter()
        .filter(|key| key.child != change.source)
        .map(|key| (&key.child, &ON_CHILDREN[..]));
    let new = added.iter().map(|key| (&key.parent, &ON_LOCKED_PARENTS[..]));
    // MySQL asks for REFERENCES on the parent when a child in another schema gets its key back.
    let is_referred_from_afar = !locks_parents
        && keys
            .iter()
            .any(|key| key.parent == change.source && key.child.schema != change.source.schema);
    let itself = is_referred_from_afar.then_some((&change.source, &["REFERENCES"][..]));
    let mut seen: Vec<&TableName> = vec![&change.names.clone];
    let mut refusals = Vec::new();
    let but_itself = |(table, _): &(&TableName, _)| **table != change.source;
    let others = others.chain(new).chain(own).filter(but_itself);
    for (table, needed) in others.chain(itself) {
        if seen.contains(&table) {
            continue;
        }
        seen.push(table);
        let lacking = lacking_on(change, session, table, needed).await?;
        if !lacking.is_empty() {
            let lacking = lacking.join(", ");
            refusals.push(Finding::error(
                Code::Privilege,
                format!("table {}", table.plain()),
                format!("a foreign key binds it to the table, and the user lacks {lacking} on it"),
                format!("run GRANT {lacking} ON {}.* to this user", sql::quote(&table.schema)),
            ));
        }
    }
    Ok(refusals)
}
