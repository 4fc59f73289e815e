//! The point before the swap, to which a backup can be restored.

use crate::change::Change;
use crate::server::doing::Doing;
use crate::server::pool::SessionPool;
use crate::server::session::text;
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Error, RestorePoint, Result};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the end of the log as `mysqlbinlog --stop-position` takes it, and the GTIDs before it.
pub(crate) async fn read(change: &Change, pool: &Arc<SessionPool>) -> Result<RestorePoint> {
    let attempted = || change.doing("note the point to restore to for");
    let mut session = pool.reader().await?;
    let status = sql::log::log_status(change.server.version);
    let row = session.row(status).await.doing_in_catalogue(attempted)?.unwrap_or_default();
    let [file, offset, ..] = &row[..] else {
        return Err(Error::fatal(attempted(), "the server reports no position"));
    };
    let mut position = format!("{}:{}", text(file), text(offset));
    let gtids = match change.server.version.flavour {
        Flavour::MySql => sql::log::MYSQL_GTIDS,
        Flavour::MariaDb => sql::log::MARIADB_GTIDS,
    };
    let gtids = session.text(gtids).await.doing_in_catalogue(attempted)?.replace('\n', "");
    if !gtids.is_empty() {
        position += &format!(", GTID {gtids}");
    }
    let at_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    Ok(RestorePoint { position, name: None, at_seconds })
}
