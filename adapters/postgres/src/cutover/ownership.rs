//! Finds out which table has the name after a swap without an answer.

use crate::journal;
use crate::schema::catalogue;
use crate::server::doing::Doing;
use crate::server::error;
use crate::server::names::Names;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Ownership, Result};
use std::time::{Duration, Instant};

/// Longest wait for the end of a session that lost its connection.
const SESSION_END_TIMEOUT: Duration = Duration::from_secs(20);

/// Waits until the session that held the lock has ended.
pub(crate) async fn wait_for_session_end(
    session: &Session,
    application: &str,
    pid: i32,
) -> Result<()> {
    let attempted = || format!("wait for the end of the cut-over's session {pid}");
    let deadline = Instant::now() + SESSION_END_TIMEOUT;
    loop {
        session.query(sql::END_SESSION, &[&pid, &application]).await.doing(attempted)?;
        let alive = session.one(sql::IS_ALIVE, &[&pid, &application]).await.doing(attempted)?;
        if !alive.get::<_, bool>(0) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(error::silent(attempted(), SESSION_END_TIMEOUT));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn who_answers(session: &Session, names: &Names) -> Result<Ownership> {
    // The swap's own transaction notes the outcome. The note stays true, whatever happens to the
    // tables later.
    let Some(facts) = journal::entry(session, names).await?.facts else {
        return forgotten_owner(session, names).await;
    };
    Ok(if facts.done.is_some() { Ownership::Shadow } else { Ownership::Source })
}

/// Finds the owner without the journal, which another session dropped. A swap takes the shadow out
/// of its schema, and leaves the old table in another.
async fn forgotten_owner(session: &Session, names: &Names) -> Result<Ownership> {
    let shadow = catalogue::table_id(session, &names.shadow_schema, &names.table).await?;
    let old = catalogue::table_id(session, &names.old_schema, &names.table).await?;
    if shadow.is_some() || old.is_none() {
        return Ok(Ownership::Source);
    }
    let reason = format!(
        "the journal does not know {} any more, and {} is there",
        names.display,
        names.old()
    );
    Ok(Ownership::Unclear(reason))
}
