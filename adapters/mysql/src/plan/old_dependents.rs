//! Finds what depends on the old table. `cleanup --drop-old` names it, and drops nothing.
//!
//! Our sessions do not check foreign keys, so the server would drop a table that other tables refer
//! to. A view over it would stay, and fail.

use crate::change::Change;
use crate::schema::foreign_key::foreign_keys;
use crate::server::doing::Doing;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::{Error, Result};

/// Proves that nothing depends on the old table.
///
/// # Errors
/// `Refused`, with the names of all that do.
pub(crate) async fn check_nothing_needs_old(change: &Change, session: &mut Session) -> Result<()> {
    let old = &change.names.old;
    let attempted = || format!("drop the old table {}", old.plain());
    let keys = foreign_keys(session, old).await.doing_in_catalogue(attempted)?;
    let children = keys.into_iter().filter(|key| key.parent == *old && key.child != *old);
    let mut dependents: Vec<String> = children
        .map(|key| {
            let drop = sql::ddl::drop_foreign_key(&key.name);
            let alter = sql::ddl::alter_by("", &key.child, &drop);
            format!("{} ({alter})", key.describe())
        })
        .collect();
    let views =
        session.rows(&sql::catalogue::views_over(old)).await.doing_in_catalogue(attempted)?;
    dependents.extend(views.iter().map(|row| format!("view {}.{}", text(&row[0]), text(&row[1]))));
    if dependents.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "other objects depend on it: {}. Drop or change these first",
        dependents.join(", ")
    );
    Err(Error::refused(attempted(), reason))
}
