//! Every session must hear the server's warnings: a value that loses something in an INSERT shows
//! by a warning alone. `max_error_count` says how many the server keeps.

use crate::server::error::Failure;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Result};

/// How many warnings the server must keep. It is what both servers keep or more, unless they are told otherwise.
const FEWEST: u64 = 64;

/// Has a session keep as many warnings as it can.
///
/// # Errors
/// `Refused`, if the server keeps too few and this user may not change that (MySQL).
pub(crate) async fn hear_all(session: &mut Session, attempted: &str) -> Result<()> {
    let attempted = || attempted.to_owned();
    match session.execute(sql::session::KEEP_WARNINGS).await {
        Ok(_) => return Ok(()),
        Err(failure) if failure.ends_session() => return Err(failure.of_catalogue(attempted())),
        // MySQL lets only an administrator set it.
        Err(_) => {}
    }
    let kept = session
        .text(sql::session::KEPT_WARNINGS)
        .await
        .map_err(|failure: Failure| failure.of_catalogue(attempted()))?;
    match kept.parse::<u64>() {
        Ok(kept) if kept >= FEWEST => Ok(()),
        _ => {
            let reason = format!(
                "the server keeps only {kept} warnings of a statement (max_error_count), so lost digits would not be seen; \
                 SET GLOBAL max_error_count = 1024, or GRANT SESSION_VARIABLES_ADMIN ON *.* to this user"
            );
            Err(Error::refused(attempted(), reason))
        }
    }
}
