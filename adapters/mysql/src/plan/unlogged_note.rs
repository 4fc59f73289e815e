//! Says in `plan` if nothing counts rows that a session writes without the log.

use crate::change::Change;
use crate::log::unlogged::Counted;
use crate::server::session::Session;
use crate::server::version::Flavour;
use crate::sql;
use altergeist_contract::{Code, Finding};

/// Warns if the server does not count.
pub(crate) async fn unlogged_note(change: &Change, session: &mut Session) -> Option<Finding> {
    let asked = sql::catalogue::rows_changed(&change.source);
    let remedy = match change.server.version.flavour {
        Flavour::MariaDb => "",
        Flavour::MySql => match session.row(&asked).await {
            Ok(Some(row)) if Counted::read(&row).is_some() => return None,
            _ => ", or switch performance_schema on and grant this user SELECT on it",
        },
    };
    Some(Finding::warning(
        Code::UnloggedChanges,
        "sql_log_bin",
        "the run cannot see rows that a session writes with sql_log_bin = 0 after the proof, while \
         others write the table",
        format!("let nobody do so until the change is done{remedy}"),
    ))
}
