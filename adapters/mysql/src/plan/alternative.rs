//! Names the server's own way to make the change, where it blocks neither readers nor writers.

use crate::change::Change;
use crate::sql;
use altergeist_contract::{Code, Finding};

/// MariaDB alters online by itself since 11.2.
pub(crate) fn alternative(change: &Change) -> Option<Finding> {
    change.server.version.is_mariadb_since((11, 2, 0)).then(|| {
        let note = format!(
            "the server can make this change online by itself: {}. It has no throttle, no pause \
             and no proof. It cannot be resumed, and each replica replays it as one long event",
            sql::ddl::online_by_copy(&change.source, change.request.given.trim())
        );
        Finding::note(Code::Alternative, note)
    })
}
