//! Names transactions that are open for some time and use the table now. They would hold up the
//! cut-over.

use crate::change::Change;
use crate::cutover::blockers::described;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Code, Finding};

/// A transaction of this age is no short one.
const OLD_SECONDS: u64 = 5;

/// Warns of such transactions, as far as the server shows them.
pub(crate) async fn blockers_now(change: &Change, session: &mut Session) -> Option<Finding> {
    let version = change.server.version;
    let on_table = sql::session::old_users_of(version, &change.source, OLD_SECONDS);
    let (rows, what) = match session.rows(&on_table).await {
        Ok(rows) => (rows, "transactions read or write it for more than"),
        // MariaDB shows the tables only with a plugin.
        Err(_) => {
            let all = session.rows(&sql::session::old_transactions(OLD_SECONDS)).await.ok()?;
            (all, "transactions may read or write it for more than")
        }
    };
    if rows.is_empty() {
        return None;
    }
    let named: Vec<String> = rows.iter().map(described).collect();
    let finding = Finding::warning(
        Code::Blockers,
        format!("table {}", change.title),
        format!("{} {what} {OLD_SECONDS} s: {}", rows.len(), named.join(", ")),
        "let them end before the cut-over, or use --kill-blockers",
    );
    Some(finding.count(rows.len() as u64))
}
