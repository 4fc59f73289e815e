//! Lets the server do the change.

use crate::change::Change;
use crate::journal;
use crate::plan::cascade;
use crate::plan::steps;
use crate::schema::catalogue;
use crate::server::doing::Doing;
use crate::server::session::Session;
use crate::sql;
use altergeist_contract::Result;

/// Alters the table. The change and the note that it is done are one transaction, so after a crash
/// both exist or neither.
pub(crate) async fn alter_natively(session: &Session, change: &Change) -> Result<()> {
    let attempted = || format!("alter {}", change.names.display);
    session.run(sql::BEGIN).await.altering(attempted)?;
    session.run(&sql::use_search_path(&change.search_path)).await.altering(attempted)?;
    let cascade =
        cascade::of_change(session, change, catalogue::source(session, &change.names).await?)
            .await?;
    for statement in cascade.views_first().into_iter().chain(steps::statements(change)) {
        session.execute(&statement, &[]).await.altering(attempted)?;
    }
    session.run(&sql::use_own_language()).await.altering(attempted)?;
    journal::note_done(session, &change.names).await?;
    session.run(sql::COMMIT).await.altering(attempted)
}
