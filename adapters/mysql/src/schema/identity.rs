//! Recognizes a table: by how it is made, and by the numbers that InnoDB gave it.

use crate::change::Change;
use crate::facts::TableIdentity;
use crate::schema::table::fingerprint;
use crate::server::doing::Doing;
use crate::server::session::{Session, text};
use crate::sql;
use altergeist_contract::Result;

/// Returns what identifies a table later.
pub(crate) async fn identify_table(
    change: &Change,
    session: &mut Session,
    name: &crate::server::names::TableName,
) -> Result<TableIdentity> {
    let fingerprint =
        fingerprint(session, name).await.doing_in_catalogue(format!("look at {}", name.plain()))?;
    let is_plain =
        name.plain().chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.'));
    let ids = if is_plain {
        session
            .rows(&sql::catalogue::innodb_ids(change.server.version, name))
            .await
            .unwrap_or_default()
    } else {
        Vec::new()
    };
    Ok(TableIdentity { fingerprint, ids: ids.iter().map(|row| text(&row[0])).collect() })
}
