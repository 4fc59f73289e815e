//! Lets the server do the change.

use crate::change::Change;
use crate::journal;
use crate::plan::cascade;
use crate::plan::steps;
use crate::schema::catalogue;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::{Error, Result};
use std::time::Instant;

/// Alters the table. The change and the note that it is done are one transaction, so after a crash
/// both exist or neither.
pub(crate) async fn alter_natively(session: &Session, change: &Change) -> Result<()> {
    let attempted = || format!("alter {}", change.names.display);
    session.run(sql::BEGIN).await.altering(attempted)?;
    session.run(&sql::use_search_path(&change.search_path)).await.altering(attempted)?;
    let cascade =
        cascade::of_change(session, change, catalogue::source(session, &change.names).await?)
            .await?;
    let (most, begun) = (change.target.max_downtime, Instant::now());
    for statement in cascade.views_first().into_iter().chain(steps::statements(change)) {
        if let Some(most) = most {
            let rest = most.saturating_sub(begun.elapsed());
            session.run(&sql::time_limit(rest)).await.altering(attempted)?;
        }
        let altered = session.execute(&statement, &[]).await;
        if altered.is_err() && most.is_some_and(|most| begun.elapsed() >= most) {
            let reason = "the server did not finish within --max-downtime";
            return Err(Error::refused(attempted(), reason));
        }
        altered.altering(attempted)?;
    }
    session.run(&sql::use_own_language()).await.altering(attempted)?;
    journal::note_done(session, &change.names).await?;
    session.run(sql::COMMIT).await.altering(attempted)
}
